-- What schema version 7 added to version 6. It stays as it is, whatever schema.sql becomes.

-- Sequence numbers below a stream's next one that there was never a recording of: from first to before
-- past. A directory that was away may still bring it. There are few.
create table hole (
  stream_id integer not null references stream (id) on delete cascade,
  first integer not null,
  past integer not null,
  primary key (stream_id, first)
) strict, without rowid;
