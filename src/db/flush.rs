//! A commit of the steady state: what was recorded goes in, what is given up becomes garbage.

use super::configure::totals;
use super::database::SampleEntries;
use super::{
    Delete, Error, Flush, Flushed, Garbage, MAX_DELETED_PER_FLUSH, cameras, holes, late, restamp,
    sessions, sums,
};
use crate::h264::VideoSampleEntry;
use crate::recording::{
    DirId, Gap, GapCause, OpenId, Recording, RecordingId, StreamId, chain, packed,
};
use crate::time::Wall90k;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Does all that `request` says, in the order of its fields.
pub(super) fn flush(
    tx: &Transaction,
    entries: &mut SampleEntries,
    open: OpenId,
    request: &Flush,
) -> Result<Flushed, Error> {
    for (dir, recording) in &request.recordings {
        insert_recording(tx, entries, *dir, recording)?;
    }
    for gap in &request.gaps {
        insert_gap(tx, open, gap)?;
    }
    if let Some(by) = request.restamp {
        restamp::restamp(tx, open, by)?;
    }
    for (dir, recording) in &request.late {
        late::insert(tx, entries, open, *dir, recording)?;
    }
    let garbage = delete(tx, open, &request.delete)?;
    for id in &request.unlinked {
        tx.prepare_cached("delete from garbage where stream_id = ?1 and sequence = ?2")?
            .execute(params![id.stream.0, id.sequence])?;
    }
    sessions::write_uses(tx, &request.uses)?;
    let forgotten = cameras::forget(tx, &request.forget)?;
    tx.prepare_cached("update open set last_90k = ?2, clean = ?3 where id = ?1")?
        .execute(params![open.0, request.wall.0, request.clean_shutdown])?;
    Ok(Flushed {
        garbage,
        totals: all_totals(tx)?,
        forgotten,
        unused_dirs: unused_dirs(tx)?,
    })
}

fn unused_dirs(connection: &Connection) -> Result<Vec<DirId>, Error> {
    let mut select = connection.prepare_cached(
        "select id from sample_dir d where configured = 0
           and not exists (select 1 from stream_dir s where s.dir_id = d.id and s.recordings > 0)
           and not exists (select 1 from garbage g where g.dir_id = d.id)",
    )?;
    let ids = select.query_map([], |r| r.get(0).map(DirId))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn all_totals(connection: &Connection) -> Result<Vec<(StreamId, super::StreamTotals)>, Error> {
    let mut select = connection.prepare_cached("select id from stream order by id")?;
    let ids = select
        .query_map([], |r| r.get(0).map(StreamId))?
        .collect::<Result<Vec<_>, _>>()?;
    ids.into_iter()
        .map(|id| Ok((id, totals(connection, id)?)))
        .collect()
}

/// How far a stream has got, as its row says.
struct Position {
    next_sequence: u32,
    media_duration: i64,
    runs: i64,
    last_chain_hash: [u8; 32],
}

fn position(tx: &Transaction, stream: StreamId) -> Result<Position, Error> {
    tx.prepare_cached(
        "select next_sequence, media_duration_90k, runs, last_chain_hash from stream where id = ?1",
    )?
    .query_row([stream.0], |r| {
        Ok(Position {
            next_sequence: r.get(0)?,
            media_duration: r.get(1)?,
            runs: r.get(2)?,
            last_chain_hash: r.get(3)?,
        })
    })
    .optional()?
    .ok_or(Error::UnknownStream(stream))
}

/// What comes before a recording that is not its stream's newest: the chain hash of the one before it,
/// zeros if that is gone, and what the stream had before, which such recordings are not counted in.
fn position_before(tx: &Transaction, at: &Position, id: RecordingId) -> Result<Position, Error> {
    let last_chain_hash = tx
        .prepare_cached(
            "select i.chain_hash from recording r join recording_index i on i.id = r.index_id
             where r.stream_id = ?1 and r.sequence < ?2 order by r.sequence desc limit 1",
        )?
        .query_row(params![id.stream.0, id.sequence], |r| r.get(0))
        .optional()?;
    let after: Option<(i64, i64)> = tx
        .prepare_cached(
            "select prev_media_duration_90k, prev_runs from recording
             where stream_id = ?1 and sequence > ?2 order by sequence limit 1",
        )?
        .query_row(params![id.stream.0, id.sequence], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .optional()?;
    let (media_duration, runs) = after.unwrap_or((at.media_duration, at.runs));
    Ok(Position {
        next_sequence: at.next_sequence,
        media_duration,
        runs,
        last_chain_hash: last_chain_hash.unwrap_or_default(),
    })
}

/// Takes a recording in, and ties it to the chain.
pub(super) fn insert_recording(
    tx: &Transaction,
    entries: &mut SampleEntries,
    dir: DirId,
    r: &Recording,
) -> Result<(), Error> {
    let mut at = position(tx, r.id.stream)?;
    let is_newest = holes::take(tx, r.id.stream, at.next_sequence, r.id.sequence)?
        .ok_or(Error::DuplicateRecording(r.id))?;
    if !is_newest {
        at = position_before(tx, &at, r.id)?;
    }
    let chain_hash = chain::hash(&at.last_chain_hash, r);
    require_dir(tx, dir)?;
    let entry = entry_id(tx, entries, &r.sample_entry)?;
    let counted = sums::Columns::count(&r.index);
    tx.prepare_cached(
        "insert into recording_index (video_index, data_hash, chain_hash) values (?1, ?2, ?3)",
    )?
    .execute(params![packed::pack(&r.index), r.data_hash, chain_hash])?;
    let index_id = tx.last_insert_rowid();
    tx.prepare_cached(
        "insert into recording (stream_id, sequence, dir_id, open_id, run_offset, start_90k,
           wall_duration_90k, media_duration_90k, clock_untrusted, sample_file_bytes,
           video_samples, video_sync_samples, video_sample_entry_id, prev_media_duration_90k,
           prev_runs, end_reason, index_id, composition_offsets, duration_runs, offset_runs,
           presentation_duration_90k)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
           ?19, ?20, ?21)",
    )?
    .execute(params![
        r.id.stream.0,
        r.id.sequence,
        dir.0,
        r.open.0,
        r.run_offset,
        r.start.0,
        r.wall_duration.0,
        r.media_duration.0,
        r.clock_untrusted,
        r.sample_file_bytes,
        r.video_samples,
        r.video_sync_samples,
        entry,
        at.media_duration,
        at.runs,
        Some(r.end_reason.as_str()).filter(|s| !s.is_empty()),
        index_id,
        counted.composition_offsets,
        counted.duration_runs,
        counted.offset_runs,
        counted.presentation_duration_90k,
    ])?;
    if is_newest {
        tx.prepare_cached(
            "update stream set next_sequence = max(next_sequence, ?2 + 1),
               media_duration_90k = media_duration_90k + ?3, runs = runs + ?4,
               last_chain_hash = ?5 where id = ?1",
        )?
        .execute(params![
            r.id.stream.0,
            r.id.sequence,
            r.media_duration.0,
            r.run_offset == 0,
            chain_hash
        ])?;
    }
    // The lowest sequence number stays, unless this one is lower or there was no recording.
    tx.prepare_cached(
        "insert into stream_dir (stream_id, dir_id, recordings, sample_file_bytes, duration_90k,
           oldest_sequence)
         values (?1, ?2, 1, ?3, ?4, ?5)
         on conflict (stream_id, dir_id) do update set recordings = recordings + 1,
           sample_file_bytes = sample_file_bytes + ?3, duration_90k = duration_90k + ?4,
           oldest_sequence = min(oldest_sequence, ?5)",
    )?
    .execute(params![
        r.id.stream.0,
        dir.0,
        r.sample_file_bytes,
        r.wall_duration.0,
        r.id.sequence
    ])?;
    Ok(())
}

fn require_dir(tx: &Transaction, dir: DirId) -> Result<(), Error> {
    tx.prepare_cached("select 1 from sample_dir where id = ?1")?
        .query_row([dir.0], |_| Ok(()))
        .optional()?
        .ok_or(Error::UnknownDir(dir))
}

pub(super) fn entry_id(
    tx: &Transaction,
    entries: &mut SampleEntries,
    entry: &Arc<VideoSampleEntry>,
) -> Result<i64, Error> {
    if let Some(id) = entries.id(entry) {
        return Ok(id);
    }
    let id = match find_entry(tx, entry)? {
        Some(id) => id,
        None => {
            let e = entry.as_ref();
            tx.prepare_cached(
                "insert into video_sample_entry (avcc, rfc6381_codec, width, height,
                   pixel_h_spacing, pixel_v_spacing, reorder_frames)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                e.avcc,
                e.rfc6381_codec,
                e.width,
                e.height,
                e.pixel_h_spacing,
                e.pixel_v_spacing,
                e.reorder_frames
            ])?;
            tx.last_insert_rowid()
        }
    };
    entries.insert(entry, id);
    Ok(id)
}

/// The row of a sample entry, if it has one.
pub(super) fn find_entry(
    connection: &Connection,
    entry: &VideoSampleEntry,
) -> Result<Option<i64>, Error> {
    let e = entry;
    Ok(connection
        .prepare_cached(
            "select id from video_sample_entry where avcc = ?1 and rfc6381_codec = ?2
               and width = ?3 and height = ?4 and pixel_h_spacing = ?5
               and pixel_v_spacing = ?6 and reorder_frames = ?7",
        )?
        .query_row(
            params![
                e.avcc,
                e.rfc6381_codec,
                e.width,
                e.height,
                e.pixel_h_spacing,
                e.pixel_v_spacing,
                e.reorder_frames
            ],
            |r| r.get(0),
        )
        .optional()?)
}

/// A gap that follows on one of the same cause and words extends it. One of no length says nothing
/// and is left out.
pub(super) fn insert_gap(tx: &Transaction, open: OpenId, gap: &Gap) -> Result<(), Error> {
    position(tx, gap.stream)?;
    if gap.end <= gap.start {
        return Ok(());
    }
    let extended = tx
        .prepare_cached(
            "update gap set end_90k = ?3 where stream_id = ?1 and end_90k = ?2 and open_id = ?4
               and cause = ?5 and detail = ?6 and clock_untrusted = ?7",
        )?
        .execute(params![
            gap.stream.0,
            gap.start.0,
            gap.end.0,
            open.0,
            gap.cause.as_str(),
            gap.detail,
            gap.clock_untrusted
        ])?;
    if extended == 0 {
        tx.prepare_cached(
            "insert into gap (stream_id, open_id, start_90k, end_90k, cause, detail,
               clock_untrusted)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            gap.stream.0,
            open.0,
            gap.start.0,
            gap.end.0,
            gap.cause.as_str(),
            gap.detail,
            gap.clock_untrusted
        ])?;
    }
    Ok(())
}

/// A recording that may be given up.
pub(super) struct Oldest {
    id: RecordingId,
    dir: DirId,
    pub start: Wall90k,
    end: Wall90k,
    sample_file_bytes: i64,
    index_id: i64,
    /// It is still to be moved, by this open.
    open: Option<OpenId>,
}

fn delete(tx: &Transaction, open: OpenId, wishes: &[Delete]) -> Result<Vec<Garbage>, Error> {
    let mut garbage = Vec::new();
    for wish in wishes {
        match *wish {
            Delete::StreamBytes { stream, bytes } => {
                position(tx, stream)?;
                let mut freed = 0;
                while freed < bytes && garbage.len() < MAX_DELETED_PER_FLUSH {
                    let Some(oldest) = oldest_of_stream(tx, stream)? else {
                        break;
                    };
                    freed += oldest.sample_file_bytes;
                    garbage.push(give_up(tx, open, &oldest)?);
                }
            }
            Delete::StreamBefore { stream, before } => {
                position(tx, stream)?;
                while garbage.len() < MAX_DELETED_PER_FLUSH {
                    match oldest_of_stream(tx, stream)? {
                        Some(oldest) if oldest.end <= before => {
                            garbage.push(give_up(tx, open, &oldest)?);
                        }
                        _ => break,
                    }
                }
            }
            Delete::DirBytes { dir, bytes } => delete_from_dir(tx, open, dir, bytes, &mut garbage)?,
        }
    }
    let streams: BTreeSet<StreamId> = garbage.iter().map(|g| g.id.stream).collect();
    for stream in streams {
        forget_old_gaps(tx, stream)?;
    }
    Ok(garbage)
}

fn delete_from_dir(
    tx: &Transaction,
    open: OpenId,
    dir: DirId,
    bytes: i64,
    garbage: &mut Vec<Garbage>,
) -> Result<(), Error> {
    require_dir(tx, dir)?;
    let mut select =
        tx.prepare_cached("select stream_id from stream_dir where dir_id = ?1 and recordings > 0")?;
    let streams = select
        .query_map([dir.0], |r| r.get(0).map(StreamId))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut candidates = Vec::new();
    for stream in streams {
        candidates.extend(oldest_in_dir(tx, stream, dir)?);
    }
    let mut freed = 0;
    while freed < bytes && garbage.len() < MAX_DELETED_PER_FLUSH {
        let Some(i) = (0..candidates.len()).min_by_key(|&i| candidates[i].start) else {
            break;
        };
        let oldest = candidates.swap_remove(i);
        freed += oldest.sample_file_bytes;
        garbage.push(give_up(tx, open, &oldest)?);
        candidates.extend(oldest_in_dir(tx, oldest.id.stream, dir)?);
    }
    Ok(())
}

/// The stream's recording with the lowest sequence number, wherever it lies.
fn oldest_of_stream(tx: &Transaction, stream: StreamId) -> Result<Option<Oldest>, Error> {
    select_oldest(
        tx,
        "select sequence, dir_id, start_90k, wall_duration_90k, sample_file_bytes, index_id,
           case when clock_untrusted then open_id end
         from recording where stream_id = ?1
           and sequence >= (select min(oldest_sequence) from stream_dir
                            where stream_id = ?1 and recordings > 0)
         order by sequence limit 1",
        stream,
        None,
    )
}

/// The stream's recording with the lowest sequence number of those in `dir`.
pub(super) fn oldest_in_dir(
    tx: &Transaction,
    stream: StreamId,
    dir: DirId,
) -> Result<Option<Oldest>, Error> {
    select_oldest(
        tx,
        "select sequence, dir_id, start_90k, wall_duration_90k, sample_file_bytes, index_id,
           case when clock_untrusted then open_id end
         from recording where stream_id = ?1 and dir_id = ?2
           and sequence >= (select oldest_sequence from stream_dir
                            where stream_id = ?1 and dir_id = ?2)
         order by sequence limit 1",
        stream,
        Some(dir),
    )
}

fn select_oldest(
    tx: &Transaction,
    sql: &str,
    stream: StreamId,
    dir: Option<DirId>,
) -> Result<Option<Oldest>, Error> {
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = match dir {
        Some(dir) => select.query(params![stream.0, dir.0])?,
        None => select.query(params![stream.0])?,
    };
    let Some(r) = rows.next()? else {
        return Ok(None);
    };
    let start: i64 = r.get(2)?;
    let wall_duration: i64 = r.get(3)?;
    Ok(Some(Oldest {
        id: RecordingId {
            stream,
            sequence: r.get(0)?,
        },
        dir: DirId(r.get(1)?),
        start: Wall90k(start),
        end: Wall90k(start.saturating_add(wall_duration)),
        sample_file_bytes: r.get(4)?,
        index_id: r.get(5)?,
        open: r.get::<_, Option<u32>>(6)?.map(OpenId),
    }))
}

/// Turns a recording's row into garbage.
fn give_up(tx: &Transaction, open: OpenId, oldest: &Oldest) -> Result<Garbage, Error> {
    let is_oldest = tx
        .prepare_cached("select 1 from recording where stream_id = ?1 and sequence < ?2 limit 1")?
        .query_row(params![oldest.id.stream.0, oldest.id.sequence], |_| Ok(()))
        .optional()?
        .is_none();
    if !is_oldest {
        let gap = Gap {
            stream: oldest.id.stream,
            start: oldest.start,
            end: oldest.end,
            cause: GapCause::Disk,
            detail: "given up, as its disk had no room; what is older is on another disk"
                .to_owned(),
            clock_untrusted: oldest.open == Some(open),
        };
        insert_gap(tx, open, &gap)?;
    }
    let garbage = Garbage {
        dir: oldest.dir,
        id: oldest.id,
        sample_file_bytes: oldest.sample_file_bytes,
        time: Some((oldest.start, oldest.end)),
    };
    tx.prepare_cached("delete from recording_index where id = ?1")?
        .execute([oldest.index_id])?;
    tx.prepare_cached("delete from recording where stream_id = ?1 and sequence = ?2")?
        .execute(params![oldest.id.stream.0, oldest.id.sequence])?;
    tx.prepare_cached(
        "update stream_dir set recordings = recordings - 1,
           sample_file_bytes = sample_file_bytes - ?3, duration_90k = duration_90k - ?4,
           oldest_sequence = ?5 + 1
         where stream_id = ?1 and dir_id = ?2",
    )?
    .execute(params![
        oldest.id.stream.0,
        oldest.dir.0,
        oldest.sample_file_bytes,
        (oldest.end - oldest.start).0,
        oldest.id.sequence
    ])?;
    tx.prepare_cached(
        "insert into garbage (stream_id, sequence, dir_id, sample_file_bytes)
         values (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        oldest.id.stream.0,
        oldest.id.sequence,
        oldest.dir.0,
        oldest.sample_file_bytes
    ])?;
    Ok(garbage)
}

/// Why there is nothing before the stream's first recording is of no interest any more; so there
/// are never many more gaps than recordings.
fn forget_old_gaps(tx: &Transaction, stream: StreamId) -> Result<(), Error> {
    tx.prepare_cached(
        "delete from gap where stream_id = ?1 and end_90k <=
           (select min(start_90k) from recording where stream_id = ?1)",
    )?
    .execute([stream.0])?;
    Ok(())
}
