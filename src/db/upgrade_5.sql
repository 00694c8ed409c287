-- What schema version 5 added to version 4. It stays as it is, whatever schema.sql becomes.

alter table sample_dir add column in_file integer not null default 1 check (in_file in (0, 1));
