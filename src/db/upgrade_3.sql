-- What schema version 3 added to version 2. It stays as it is, whatever schema.sql becomes.

create table user (
  id integer primary key autoincrement,
  name text not null collate nocase unique check (name <> ''),
  password_hash text,
  permissions integer not null,
  all_cameras integer not null check (all_cameras in (0, 1)),
  preferences text not null,
  disabled integer not null default 0 check (disabled in (0, 1))
) strict;

create table user_camera (
  user_id integer not null references user (id) on delete cascade,
  camera_uuid blob not null check (length(camera_uuid) = 16),
  primary key (user_id, camera_uuid)
) strict, without rowid;

create table session (
  id integer primary key autoincrement,
  user_id integer not null references user (id) on delete cascade,
  token_hash blob not null unique check (length(token_hash) = 32),
  csrf_secret blob not null check (length(csrf_secret) = 32),
  created_90k integer not null,
  last_use_90k integer not null,
  expires_90k integer not null,
  clock_untrusted integer not null check (clock_untrusted in (0, 1)),
  user_agent text not null,
  address text not null,
  revoked_90k integer
) strict;

create index session_by_user on session (user_id);

create table api_token (
  id integer primary key autoincrement,
  user_id integer not null references user (id) on delete cascade,
  name text not null,
  token_hash blob not null unique check (length(token_hash) = 32),
  permissions integer not null,
  created_90k integer not null,
  last_use_90k integer
) strict;

create index api_token_by_user on api_token (user_id);

create table signal_type (
  uuid blob primary key check (length(uuid) = 16),
  name text not null
) strict, without rowid;

create table signal_state (
  type_uuid blob not null references signal_type (uuid) on delete cascade,
  state integer not null check (state between 1 and 65535),
  name text not null,
  color text not null,
  motion integer not null check (motion in (0, 1)),
  primary key (type_uuid, state)
) strict, without rowid;

create table signal (
  id integer primary key autoincrement,
  uuid blob not null unique check (length(uuid) = 16),
  type_uuid blob not null references signal_type (uuid),
  name text not null unique check (name <> ''),
  changes integer not null default 0
) strict;

create table signal_camera (
  signal_id integer not null references signal (id) on delete cascade,
  camera_uuid blob not null check (length(camera_uuid) = 16),
  direct integer not null check (direct in (0, 1)),
  primary key (signal_id, camera_uuid)
) strict, without rowid;

create table signal_change (
  signal_id integer not null references signal (id) on delete cascade,
  time_90k integer not null,
  state integer not null check (state between 0 and 65535),
  primary key (signal_id, time_90k)
) strict, without rowid;
