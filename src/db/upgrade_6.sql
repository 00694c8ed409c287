-- What schema version 6 added to version 5. It stays as it is, whatever schema.sql becomes.

-- What a camera is known by, so that it is found again at another address.
create table device (
  camera_id integer primary key references camera (id) on delete cascade,
  -- The host in the camera's URLs when this was learned: for another one it does not hold.
  learned_host text not null,
  -- Where it was last seen; another host than in its URLs if it has moved.
  address text not null,
  -- Its WS-Discovery endpoint reference, in lower case.
  endpoint text not null,
  -- Its ONVIF device service.
  service text not null
) strict;

-- Users and passwords that were tried on devices, each once: devices lock accounts.
create table device_try (
  -- What the device is known by.
  device text not null,
  -- The first 8 bytes of a hash over device, user and password: tells two apart, and gives none away.
  credentials blob not null check (length(credentials) = 8),
  tried_90k integer not null,
  primary key (device, credentials)
) strict, without rowid;
