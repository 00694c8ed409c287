-- What schema version 4 added to version 3. It stays as it is, whatever schema.sql becomes.

alter table camera add column removed text check (removed in ('kept', 'deleting'));
