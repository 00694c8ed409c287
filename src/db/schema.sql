-- The database of Moonfire NVR, schema version 8.
--
-- Everything but the frames is here: what is recorded, where it lies, and why the rest is missing.
-- `pragma user_version` is the schema's version, `pragma application_id` is 'MNVR'. Write-ahead log,
-- foreign keys on, synchronous = full.
--
-- Words: a time ending in _90k is in 1/90,000 s since 1970-01-01T00:00:00Z, a duration in 1/90,000 s.
-- A flag is 0 or 1. Ids are never used again, so that a file's name stays true to its row.
-- Later versions only add: a column here that nothing writes yet says "reserved".

-- One row: which database this is.
create table meta (
  id integer primary key check (id = 1),
  uuid blob not null check (length(uuid) = 16),
  created_90k integer not null,
  -- While an upgrade is under way: the version it leads to, and how far it has come.
  upgrade_to integer,
  upgrade_position integer
) strict;

-- Each span in which the daemon had the database open for writing.
create table open (
  id integer primary key autoincrement,
  start_90k integer not null,
  -- When it last committed; tells how long the recorder was away after a power cut.
  last_90k integer not null,
  -- It ended in good order.
  clean integer not null default 0 check (clean in (0, 1))
) strict;

-- A folder for sample files, on whichever disk. The configuration file names those with in_file (or did so
-- last) and says whether they are recorded to; of the others, whoever added them.
create table sample_dir (
  id integer primary key autoincrement,
  -- Absolute; the bytes of the path, which need not be UTF-8.
  path blob not null unique,
  -- Also in the folder's marker file.
  uuid blob not null unique check (length(uuid) = 16),
  -- The marker was written: from now on a folder at the path without it is refused.
  attached integer not null default 0 check (attached in (0, 1)),
  -- It is recorded to.
  configured integer not null check (configured in (0, 1)),
  in_file integer not null default 1 check (in_file in (0, 1))
) strict;

-- A camera in use has null in removed. Of one that somebody removed nothing is recorded; its recordings
-- are kept as long as others, or are being deleted, and its row goes with the last of them.
create table camera (
  id integer primary key autoincrement,
  uuid blob not null unique check (length(uuid) = 16),
  name text not null unique check (name <> ''),
  description text not null,
  username text not null,
  password text not null,
  -- The configuration file names it, and then says all of the above.
  in_file integer not null check (in_file in (0, 1)),
  removed text check (removed in ('kept', 'deleting'))
) strict;

create table stream (
  id integer primary key autoincrement,
  camera_id integer not null references camera (id),
  kind text not null check (kind in ('main', 'sub', 'ext')),
  -- Empty if there is no such stream any more, but what was recorded of it.
  url text not null,
  transport text not null check (transport in ('tcp', 'udp')),
  record integer not null check (record in (0, 1)),
  -- What is kept: both limits hold; null is no limit but the disk's room.
  retain_bytes integer check (retain_bytes >= 0),
  retain_days integer check (retain_days >= 0),
  -- Where its next recordings go.
  dir_id integer not null references sample_dir (id),

  -- How far it has got. These only grow, whatever is deleted.
  next_sequence integer not null default 0,
  media_duration_90k integer not null default 0,
  runs integer not null default 0,
  -- The chain hash of its last recording, the one with the highest number; zeros before the first.
  last_chain_hash blob not null default (zeroblob(32)) check (length(last_chain_hash) = 32),

  unique (camera_id, kind)
) strict;

-- Sequence numbers below a stream's next one that there was never a recording of: from first to before
-- past. A directory that was away may still bring it. There are few.
create table hole (
  stream_id integer not null references stream (id) on delete cascade,
  first integer not null,
  past integer not null,
  primary key (stream_id, first)
) strict, without rowid;

-- The sums over a stream's recordings in one directory, kept in the transactions that change them, so
-- that a start need not read every recording.
create table stream_dir (
  stream_id integer not null references stream (id),
  dir_id integer not null references sample_dir (id),
  recordings integer not null check (recordings >= 0),
  sample_file_bytes integer not null check (sample_file_bytes >= 0),
  duration_90k integer not null check (duration_90k >= 0),
  -- No recording of the stream in the directory has a lower sequence number.
  oldest_sequence integer not null,
  primary key (stream_id, dir_id)
) strict, without rowid;

-- What an .mp4 says once about a run of samples.
create table video_sample_entry (
  id integer primary key,
  width integer not null,
  height integer not null,
  pixel_h_spacing integer not null,
  pixel_v_spacing integer not null,
  rfc6381_codec text not null,
  -- AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1).
  avcc blob not null,
  reorder_frames integer not null,
  unique (avcc, rfc6381_codec, width, height, pixel_h_spacing, pixel_v_spacing, reorder_frames)
) strict;

-- A finished recording: about a minute of one stream. Rows are small, so that a day is listed from a
-- few pages; what only its reader needs is in recording_index.
create table recording (
  stream_id integer not null references stream (id),
  -- The sample file is named by stream and sequence number, 8 hex digits each.
  sequence integer not null,
  dir_id integer not null references sample_dir (id),
  -- The open it was made in. No reference: a disk may bring recordings of an open that a restored
  -- copy of the database has never known.
  open_id integer not null,
  -- How many recordings of the same run come before it.
  run_offset integer not null check (run_offset >= 0),
  start_90k integer not null,
  wall_duration_90k integer not null check (wall_duration_90k >= 0),
  media_duration_90k integer not null check (media_duration_90k >= 0),
  -- The clock had not been set: start_90k may be put right later.
  clock_untrusted integer not null check (clock_untrusted in (0, 1)),
  sample_file_bytes integer not null check (sample_file_bytes >= 0),
  video_samples integer not null check (video_samples >= 0),
  video_sync_samples integer not null check (video_sync_samples >= 0),
  video_sample_entry_id integer not null references video_sample_entry (id),
  -- The stream's media duration and the runs it began, before this recording.
  prev_media_duration_90k integer not null,
  prev_runs integer not null,
  -- Why it ended where it does; null if the next recording of the run just follows on.
  end_reason text,
  -- Its row in recording_index. Written in order of commit, all streams together: a minute's indexes
  -- then fill whole pages at the end of that table instead of touching some of each stream. No
  -- reference, which would cost an index; `check` verifies it.
  index_id integer not null,
  -- Some sample is presented in another place than it is stored in.
  composition_offsets integer check (composition_offsets in (0, 1)),
  -- Reserved: the audio track.
  audio_sample_entry_id integer,
  audio_samples integer,
  -- Sums of the index that an .mp4 is laid out from, so that a day's is laid out without its indexes.
  -- They and composition_offsets are null if the index could not be counted; then it is read instead.
  -- Runs of samples of one duration.
  duration_runs integer check (duration_runs > 0),
  -- Only with composition offsets: runs of samples of one offset, and when the last presented sample
  -- ends, from the recording's start on.
  offset_runs integer check (offset_runs > 0),
  presentation_duration_90k integer check (presentation_duration_90k > 0),
  primary key (stream_id, sequence)
) strict, without rowid;

-- By time. A stream's recordings never overlap, so the one before a time is the only one that can
-- reach past it.
create index recording_by_start on recording (stream_id, start_90k);

-- Those that a restamp moves: empty unless the clock was not set.
create index recording_untrusted on recording (open_id, stream_id, sequence) where clock_untrusted = 1;

create table recording_index (
  id integer primary key,
  -- Packed (recording/packed.rs) if the highest bit of its first byte is set; before version 8 none was.
  video_index blob not null,
  -- XXH3-128 of the sample file's bytes.
  data_hash blob not null check (length(data_hash) = 16),
  -- SHA-256 over the recording's facts and the chain hash of the one before: the one with the highest
  -- lower number when this one came in, which is when its id here was given.
  chain_hash blob not null check (length(chain_hash) = 32),
  -- Reserved: the audio track's samples.
  audio_index blob
) strict;

-- Spans that were not recorded, and why. They go when all recordings before their end have gone.
create table gap (
  id integer primary key,
  stream_id integer not null references stream (id),
  open_id integer not null,
  start_90k integer not null,
  end_90k integer not null check (end_90k > start_90k),
  cause text not null
    check (cause in ('camera', 'network', 'disk', 'restart', 'crash', 'clock', 'user')),
  detail text not null,
  clock_untrusted integer not null check (clock_untrusted in (0, 1))
) strict;

create index gap_by_end on gap (stream_id, end_90k);

create index gap_untrusted on gap (open_id) where clock_untrusted = 1;

-- Sample files that no row needs any more, until their unlinking is durable.
create table garbage (
  stream_id integer not null references stream (id),
  sequence integer not null,
  dir_id integer not null references sample_dir (id),
  sample_file_bytes integer not null,
  primary key (stream_id, sequence)
) strict, without rowid;

-- Who may sign in. Sessions and tokens go with their user.
create table user (
  id integer primary key autoincrement,
  -- Two names that differ only in the case of ASCII letters are one.
  name text not null collate nocase unique check (name <> ''),
  -- argon2id, as a PHC string; without one it cannot sign in.
  password_hash text,
  -- One bit each, numbered in access/permission.rs.
  permissions integer not null,
  -- The permissions hold for all cameras and for the recorder as a whole; else for user_camera's.
  all_cameras integer not null check (all_cameras in (0, 1)),
  -- A JSON object, for pages.
  preferences text not null,
  disabled integer not null default 0 check (disabled in (0, 1))
) strict;

create table user_camera (
  user_id integer not null references user (id) on delete cascade,
  -- No reference: a camera may go, and its UUID is never another's.
  camera_uuid blob not null check (length(camera_uuid) = 16),
  primary key (user_id, camera_uuid)
) strict, without rowid;

-- A browser that somebody signed in with.
create table session (
  id integer primary key autoincrement,
  user_id integer not null references user (id) on delete cascade,
  -- SHA-256 of what the cookie holds.
  token_hash blob not null unique check (length(token_hash) = 32),
  csrf_secret blob not null check (length(csrf_secret) = 32),
  created_90k integer not null,
  -- To within an hour: flash wears.
  last_use_90k integer not null,
  expires_90k integer not null,
  -- The clock had not been set: the three times are put right at the next use.
  clock_untrusted integer not null check (clock_untrusted in (0, 1)),
  user_agent text not null,
  address text not null,
  -- When somebody ended it.
  revoked_90k integer
) strict;

create index session_by_user on session (user_id);

-- What a program shows instead of signing in.
create table api_token (
  id integer primary key autoincrement,
  user_id integer not null references user (id) on delete cascade,
  name text not null,
  token_hash blob not null unique check (length(token_hash) = 32),
  -- It has those of its user's permissions that are in here.
  permissions integer not null,
  created_90k integer not null,
  last_use_90k integer
) strict;

create index api_token_by_user on api_token (user_id);

-- Signals: what is known of the world besides video, as a state that changes now and then, like a
-- door's or a motion detector's. State 0 of any signal is "unknown".
create table signal_type (
  uuid blob primary key check (length(uuid) = 16),
  name text not null
) strict, without rowid;

create table signal_state (
  type_uuid blob not null references signal_type (uuid) on delete cascade,
  state integer not null check (state between 1 and 65535),
  name text not null,
  -- For pages: a CSS colour, or empty.
  color text not null,
  -- In this state there is motion in the pictures of the cameras that the signal directly concerns.
  motion integer not null check (motion in (0, 1)),
  primary key (type_uuid, state)
) strict, without rowid;

create table signal (
  id integer primary key autoincrement,
  uuid blob not null unique check (length(uuid) = 16),
  type_uuid blob not null references signal_type (uuid),
  name text not null unique check (name <> ''),
  -- How many rows it has in signal_change.
  changes integer not null default 0
) strict;

create table signal_camera (
  signal_id integer not null references signal (id) on delete cascade,
  -- No reference, as in user_camera.
  camera_uuid blob not null check (length(camera_uuid) = 16),
  -- It is the camera's own (its motion detector), not just of use beside it (the door in its view).
  direct integer not null check (direct in (0, 1)),
  primary key (signal_id, camera_uuid)
) strict, without rowid;

-- From this time on a signal has this state, until its next row. Each differs from the one before.
create table signal_change (
  signal_id integer not null references signal (id) on delete cascade,
  time_90k integer not null,
  state integer not null check (state between 0 and 65535),
  primary key (signal_id, time_90k)
) strict, without rowid;

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
