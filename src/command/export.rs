//! `export`: one playable file of a span of a stream.
//!
//! Works beside a running daemon: the database is opened for reading only, what is not committed yet
//! comes from the journals, and sample files are held open a window ahead of what is being
//! copied, so that one that is deleted meanwhile is either still readable or missed early.

use super::output::Output;
use super::progress::{Progress, bytes};
use super::{Exit, Failure, span};
use crate::ConfigArgs;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use moonfire_nvr::db::{self, Database, Dir, Mode, Snapshot, Stream, StreamKind};
use moonfire_nvr::db::{After, MAX_INDEXES, MAX_SUMMARIES, Which};
use moonfire_nvr::mp4::{self, Piece, Segment};
use moonfire_nvr::recording::real_directory::RealDirectory;
use moonfire_nvr::recording::recovery::{AttachError, Committed, read_marker, read_uncommitted};
use moonfire_nvr::recording::{DirId, DirIdentity, Gap, Place, RecordingId, Summary};
use moonfire_nvr::time::{Duration90k, Wall90k};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sample files held open ahead of what is being copied: four hours and more of one-minute
/// recordings, and half of the usual limit of open files.
const WINDOW: usize = 512;

/// Bytes copied between two looks at the signals and the progress line.
const COPY_BYTES: u64 = 4 << 20;

/// Spans without a recording that the summary lists; more are counted.
const MAX_HOLES_TOLD: usize = 20;

/// Causes told of one such span.
const MAX_CAUSES_TOLD: usize = 5;

/// What was recorded so shortly before now may not be in the journal yet, so that it is not missed: the
/// interval of syncing comes on top.
const NOT_YET: Duration90k = Duration90k(4 * 90_000);

/// A span shorter than this between two recordings is what clocks and frame durations leave.
const SHORTEST_HOLE: Duration90k = Duration90k(90_000);

/// Write what was recorded of a span of time to one .mp4 file.
///
/// Spans in which nothing was recorded are skipped, and told at the end. The file plays from the
/// asked-for time on, to a fraction of a second. Works beside a running recorder, and includes what is
/// being recorded at the moment.
#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    config: ConfigArgs,

    /// The camera's name.
    camera: String,

    /// Where to begin: 2026-11-22T10:00 in the configuration's time zone, or RFC 3339 with an offset.
    #[arg(long, value_name = "TIME")]
    from: String,

    /// Where to end: likewise, or 10:05 for the same day.
    #[arg(long, value_name = "TIME")]
    to: String,

    /// The file to write; "-" writes to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Which of the camera's streams.
    #[arg(long, value_enum, default_value_t = Kind::Main)]
    stream: Kind,

    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Main,
    Sub,
}

pub fn run(args: Export) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let zone = &config.time_zone;
    let wish = Wish {
        camera: args.camera,
        stream: match args.stream {
            Kind::Main => StreamKind::Main,
            Kind::Sub => StreamKind::Sub,
        },
        span: span::parse(&args.from, &args.to, zone).map_err(Failure::Usage)?,
    };
    let mut db = Database::open(&config.db_dir, Mode::ReadOnly, 0)?;
    let snapshot = db.snapshot()?;
    let stream = find_stream(&snapshot, &wish).map_err(Failure::Usage)?;
    let found = find(&mut db, &snapshot, stream, &wish.span)?;
    for note in &found.notes {
        eprintln!("{note}");
    }
    if found.recordings.is_empty() {
        return Err(Failure::Failed(nothing(&db, &found, stream, &wish, zone)?));
    }
    let sources = locate(&snapshot, &found.recordings).map_err(Failure::Failed)?;
    let interval = Duration90k(config.sync_interval.as_millis() as i64 * 90);
    let synced = span::wall(Timestamp::now()) - interval - NOT_YET;
    let mut indexes = Indexes::new(&db, found.indexes);
    let sources: Vec<_> = sources.into_iter().zip(found.recordings).collect();
    let plan = Plan::new(&wish.span, sources, &found.gaps, synced, &mut indexes);
    let plan = plan.map_err(Failure::Failed)?;
    plan.save(&args.output, args.force, indexes)
        .map_err(Failure::Failed)?;
    for line in plan.summary(zone) {
        eprintln!("{line}");
    }
    Ok(Exit::Fine)
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Wish {
    camera: String,
    stream: StreamKind,
    span: Range<Wall90k>,
}

/// A file that is ready to be written, and what is to be said of it.
struct Plan {
    file: mp4::File,
    /// For each segment, its sample file.
    sources: Vec<PathBuf>,
    holes: Vec<Hole>,
}

/// Part of the wanted span of which there is no recording.
#[derive(Debug, PartialEq, Eq)]
struct Hole {
    span: Range<Wall90k>,
    /// Why, as far as the ledger tells: causes with their sentences.
    causes: Vec<String>,
}

/// The stream that is asked for; the error lists what there is.
fn find_stream<'a>(snapshot: &'a Snapshot, wish: &Wish) -> Result<&'a Stream, String> {
    let Some(camera) = snapshot.cameras.iter().find(|c| c.name == wish.camera) else {
        let names: Vec<&str> = snapshot.cameras.iter().map(|c| c.name.as_str()).collect();
        return Err(match names.as_slice() {
            [] => format!("there is no camera {:?}, nor any other", wish.camera),
            names => format!(
                "there is no camera {:?}; there are: {}",
                wish.camera,
                names.join(", ")
            ),
        });
    };
    let found = camera.streams.iter().find(|s| s.kind == wish.stream);
    found.ok_or_else(|| {
        let kinds: Vec<&str> = camera.streams.iter().map(|s| s.kind.as_str()).collect();
        format!(
            "camera {} has no stream {}; it has: {}",
            camera.name,
            wish.stream.as_str(),
            kinds.join(", ")
        )
    })
}

/// What was recorded of a span, in order of time, and where it lies.
struct Found {
    recordings: Vec<Summary>,
    /// The sample indexes of those that are not committed yet.
    indexes: BTreeMap<RecordingId, Arc<[u8]>>,
    gaps: Vec<Gap>,
    /// Of what is not committed yet: the last end before the span, and the first start behind it.
    around: (Option<Wall90k>, Option<Wall90k>),
    /// What should be said of disks that could not be asked.
    notes: Vec<String>,
}

/// Gathers what the journals and the database have of the span.
///
/// A daemon may commit meanwhile. So the journals are read first, for what was not committed at
/// `before`, and the database's word goes before theirs.
fn find(
    db: &mut Database,
    before: &Snapshot,
    stream: &Stream,
    span: &Range<Wall90k>,
) -> Result<Found, db::Error> {
    let mut found = uncommitted(before, stream, span);
    let taken = std::mem::take(&mut found.recordings).into_iter();
    let mut recordings: BTreeMap<RecordingId, Summary> = taken.map(|s| (s.id, s)).collect();
    let mut after = None;
    loop {
        let which = Which::Overlapping {
            span: span.clone(),
            after,
        };
        let page = db.summaries(stream.id, &which, MAX_SUMMARIES)?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(After::from(last));
        for summary in page {
            found.indexes.remove(&summary.id);
            recordings.insert(summary.id, summary);
        }
    }
    found.recordings = recordings.into_values().collect();
    found.recordings.sort_by_key(|s| s.start);
    found.gaps = db.gaps(stream.id, span)?;
    Ok(found)
}

/// What the journals have of the span.
fn uncommitted(before: &Snapshot, stream: &Stream, span: &Range<Wall90k>) -> Found {
    let committed = BTreeMap::from([(
        stream.id,
        Committed {
            next_sequence: stream.next_sequence,
            holes: stream.holes.clone(),
        },
    )]);
    let mut found = Found {
        recordings: Vec::new(),
        indexes: BTreeMap::new(),
        gaps: Vec::new(),
        around: (None, None),
        notes: Vec::new(),
    };
    for dir in before.dirs.iter().filter(|d| d.attached_before) {
        let identity = identity(before, dir);
        let recordings =
            match read_uncommitted(&RealDirectory::new(&dir.path), &identity, &committed) {
                Ok(recordings) => recordings,
                Err(e) => {
                    found.notes.push(format!(
                        "{}: {e}; what is being recorded there is left out",
                        dir.path.display()
                    ));
                    continue;
                }
            };
        for r in recordings {
            let (start, end) = (r.start, r.start + r.wall_duration);
            if end <= span.start {
                found.around.0 = found.around.0.max(Some(end));
            } else if start >= span.end {
                let first = found.around.1.map_or(start, |t| t.min(start));
                found.around.1 = Some(first);
            } else {
                // Its place in the stream is not told by a file.
                let place = Place {
                    dir: dir.id,
                    sample_entry_id: 0,
                    prev_media_duration: Duration90k::ZERO,
                    prev_runs: 0,
                };
                match Summary::of(&r, place) {
                    Ok(summary) => {
                        found.indexes.insert(r.id, r.index.into());
                        found.recordings.push(summary);
                    }
                    Err(e) => found.notes.push(format!("recording {}: {e}", r.id)),
                }
            }
        }
    }
    found
}

/// Sample indexes, as the file's layout and tables want them.
struct Indexes<'a> {
    db: &'a Database,
    /// Those of what was not committed.
    uncommitted: BTreeMap<RecordingId, Arc<[u8]>>,
    /// Those that were read last.
    batch: BTreeMap<RecordingId, Arc<[u8]>>,
}

impl Indexes<'_> {
    fn new(db: &Database, uncommitted: BTreeMap<RecordingId, Arc<[u8]>>) -> Indexes<'_> {
        Indexes {
            db,
            uncommitted,
            batch: BTreeMap::new(),
        }
    }

    /// The index of a recording. If it is to be read, those that `next` tells of are read with it.
    fn get(
        &mut self,
        id: RecordingId,
        next: impl FnOnce() -> Vec<RecordingId>,
    ) -> Result<Arc<[u8]>, String> {
        let known = |i: &Indexes| i.uncommitted.get(&id).or(i.batch.get(&id)).cloned();
        if let Some(index) = known(self) {
            return Ok(index);
        }
        let mut wanted = next();
        if !wanted.contains(&id) {
            wanted = vec![id];
        }
        let read = self.db.indexes(&wanted).map_err(|e| e.to_string())?;
        self.batch = read
            .into_iter()
            .filter_map(|(id, index)| Some((id, index?)))
            .collect();
        known(self).ok_or_else(|| format!("recording {id}: {DELETED}"))
    }
}

/// Where each recording's sample file is; each directory in use must be the right one.
fn locate(snapshot: &Snapshot, recordings: &[Summary]) -> Result<Vec<PathBuf>, String> {
    let mut paths: BTreeMap<DirId, &Path> = BTreeMap::new();
    for dir in &snapshot.dirs {
        let used = recordings.iter().filter(|r| r.dir == dir.id).count();
        if used == 0 {
            continue;
        }
        let problem = match read_marker(&RealDirectory::new(&dir.path)) {
            Ok(Some(found)) if found == identity(snapshot, dir) => None,
            Ok(Some(found)) => Some(AttachError::Foreign { found }),
            Ok(None) => Some(AttachError::NoMarker),
            Err(e) => Some(e),
        };
        if let Some(problem) = problem {
            return Err(format!(
                "{used} of {} recordings are in {}, but {problem}. Is the disk mounted?",
                recordings.len(),
                dir.path.display()
            ));
        }
        paths.insert(dir.id, &dir.path);
    }
    recordings
        .iter()
        .map(|r| match paths.get(&r.dir) {
            Some(path) => Ok(path.join(r.id.file_name())),
            None => Err(format!("recording {}: its directory is not known", r.id)),
        })
        .collect()
}

fn identity(snapshot: &Snapshot, dir: &Dir) -> DirIdentity {
    DirIdentity {
        database: snapshot.database,
        directory: dir.uuid,
    }
}

/// That nothing was recorded, and what was recorded around it.
fn nothing(
    db: &Database,
    found: &Found,
    stream: &Stream,
    wish: &Wish,
    zone: &TimeZone,
) -> Result<String, db::Error> {
    let (before, after) = db.nearest(stream.id, wish.span.start)?;
    let before = before.max(found.around.0);
    let after = after.into_iter().chain(found.around.1).min();
    let mut line = format!(
        "nothing was recorded of {} {} from {} to {}",
        wish.camera,
        wish.stream.as_str(),
        span::told(wish.span.start, zone),
        span::told(wish.span.end, zone)
    );
    if let Some(before) = before {
        line += &format!("; the recording before ends {}", span::told(before, zone));
    }
    if let Some(after) = after {
        line += &format!("; the next one begins {}", span::told(after, zone));
    }
    if before.is_none() && after.is_none() {
        line += ", nor at any other time";
    }
    for gap in db.gaps(stream.id, &wish.span)?.iter().take(MAX_CAUSES_TOLD) {
        line += &format!("\n  {}", why(gap));
    }
    Ok(line)
}

/// SIGINT and SIGTERM, which wait until they are asked for: the unfinished file is removed first.
struct Signals(SignalFd);

impl Signals {
    fn new() -> nix::Result<Signals> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Signals(SignalFd::with_flags(&mask, flags)?))
    }

    /// One of them has come.
    fn stop(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

impl Plan {
    /// Lays out the file of what `recordings` (in order of time, with their sample files) have of the
    /// span; `gaps` tell why there is nothing of the rest. What is after `synced` is not missed.
    fn new(
        span: &Range<Wall90k>,
        recordings: Vec<(PathBuf, Summary)>,
        gaps: &[Gap],
        synced: Wall90k,
        indexes: &mut Indexes,
    ) -> Result<Plan, String> {
        let mut covered = Vec::with_capacity(recordings.len());
        let (mut sources, mut segments) = (Vec::new(), Vec::new());
        for (path, r) in recordings {
            let time = r.start..r.end();
            let Some(mut segment) = Segment::within(r, span) else {
                continue;
            };
            if segment.needs_index() {
                let index = indexes.get(segment.summary.id, Vec::new)?;
                segment = segment.with_index(index);
            }
            covered.push(time);
            segments.push(segment);
            sources.push(path);
        }
        let file = mp4::File::movie(&segments, None).map_err(|e| damaged(&e))?;
        Ok(Plan {
            file,
            sources,
            holes: holes(&(span.start..span.end.min(synced)), &covered, gaps),
        })
    }

    /// Writes the file under its name, or nothing.
    fn save(&self, path: &Path, replace: bool, indexes: Indexes) -> Result<(), String> {
        let signals = Signals::new().map_err(|e| format!("cannot wait for signals: {e}"))?;
        let mut out = Output::create(path, replace)?;
        self.write(out.file(), indexes, &|| signals.stop())?;
        out.finish()
    }

    /// Writes the file's bytes.
    fn write(
        &self,
        out: &mut File,
        mut indexes: Indexes,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let len = self.file.len();
        let mut progress = Progress::new("wrote", len);
        let mut window = Window::new(self)?;
        let mut position = 0;
        while let Some(piece) = self.file.piece(position..len) {
            if stopped() {
                return Err("interrupted".into());
            }
            let wanted = || self.file.indexes_wanted(position..len, MAX_INDEXES);
            let end = position + piece.len();
            match piece {
                Piece::Bytes(b) => {
                    out.write_all(&b).map_err(|e| cannot_write(&e))?;
                    progress.add(b.len() as u64);
                }
                Piece::Table(part) => {
                    let index = indexes.get(part.recording, wanted)?;
                    let b = self.file.table(&part, &index).map_err(|e| damaged(&e))?;
                    out.write_all(&b).map_err(|e| cannot_write(&e))?;
                    progress.add(b.len() as u64);
                }
                Piece::Samples { segment, range } => {
                    let mut source = window.open(segment)?;
                    let mut at = range.start;
                    source
                        .seek(io::SeekFrom::Start(at))
                        .map_err(|e| self.problem(segment, &e.to_string()))?;
                    while at < range.end && !stopped() {
                        let n = (range.end - at).min(COPY_BYTES);
                        let copied = copy(&mut source, out, n)
                            .map_err(|e| self.problem(segment, &e.to_string()))?;
                        if copied < n {
                            let problem = format!("it ends at byte {}: run `check`", at + copied);
                            return Err(self.problem(segment, &problem));
                        }
                        at += n;
                        progress.add(n);
                    }
                }
            }
            position = end;
        }
        Ok(())
    }

    fn problem(&self, segment: usize, problem: &str) -> String {
        let id = self.file.source(segment).id;
        format!(
            "recording {id}, {}: {problem}",
            self.sources[segment].display()
        )
    }

    /// Sentences for people: what was found of the span and what was not.
    fn summary(&self, zone: &TimeZone) -> Vec<String> {
        let recordings = self.file.segments();
        let mut lines = vec![format!(
            "{recordings} recording{}, {}, {}",
            if recordings == 1 { "" } else { "s" },
            self.file.duration(),
            bytes(self.file.len())
        )];
        for hole in self.holes.iter().take(MAX_HOLES_TOLD) {
            let why = match hole.causes.as_slice() {
                [] => "no cause is noted".to_owned(),
                causes => causes.join("; "),
            };
            lines.push(format!(
                "nothing from {} to {} ({}): {why}",
                span::told(hole.span.start, zone),
                span::told(hole.span.end, zone),
                hole.span.end - hole.span.start
            ));
        }
        if self.holes.len() > MAX_HOLES_TOLD {
            let more = self.holes.len() - MAX_HOLES_TOLD;
            lines.push(format!("... and {more} more spans without a recording"));
        }
        lines
    }
}

/// Copies up to `n` bytes; in the kernel, where it can: a file to a file or a pipe.
fn copy(source: &mut File, out: &mut File, n: u64) -> io::Result<u64> {
    io::copy(&mut io::Read::take(source, n), out)
}

/// What people should do about it.
fn damaged(e: &mp4::Error) -> String {
    match e {
        mp4::Error::Index { .. } => format!("{e}: the database is damaged, run `check`"),
        e => e.to_string(),
    }
}

fn cannot_write(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::BrokenPipe => "whoever reads the output went away".into(),
        _ => format!("cannot write: {e}"),
    }
}

/// The parts of `span` that none of `covered` (in order) covers, and why.
fn holes(span: &Range<Wall90k>, covered: &[Range<Wall90k>], gaps: &[Gap]) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut at = span.start;
    let end = span.end..span.end;
    for c in covered.iter().chain([&end]) {
        if c.start - at >= SHORTEST_HOLE {
            let span = at..c.start;
            let within = gaps
                .iter()
                .filter(|g| g.start < span.end && g.end > span.start);
            let mut causes: Vec<String> = within.map(why).collect();
            causes.dedup();
            causes.truncate(MAX_CAUSES_TOLD);
            holes.push(Hole { span, causes });
        }
        at = at.max(c.end);
    }
    holes
}

fn why(gap: &Gap) -> String {
    match gap.detail.as_str() {
        "" => gap.cause.as_str().to_owned(),
        detail => format!("{}: {detail}", gap.cause.as_str()),
    }
}

/// Sample files open ahead of their use. An open file can be read to its end even if it is deleted.
struct Window<'a> {
    plan: &'a Plan,
    /// Those of the segments before `next`.
    open: VecDeque<File>,
    next: usize,
}

impl Window<'_> {
    fn new(plan: &Plan) -> Result<Window<'_>, String> {
        let mut window = Window {
            plan,
            open: VecDeque::with_capacity(WINDOW),
            next: 0,
        };
        window.fill()?;
        Ok(window)
    }

    fn fill(&mut self) -> Result<(), String> {
        while self.open.len() < WINDOW && self.next < self.plan.sources.len() {
            let i = self.next;
            let file = File::open(&self.plan.sources[i]).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => self.plan.problem(i, DELETED),
                _ => self.plan.problem(i, &e.to_string()),
            })?;
            self.open.push_back(file);
            self.next += 1;
        }
        Ok(())
    }

    /// The file of a segment; to be called for each segment once, in order.
    fn open(&mut self, _segment: usize) -> Result<File, String> {
        let file = self.open.pop_front();
        self.fill()?;
        file.ok_or_else(|| "more segments than sample files".into())
    }
}

/// Why a file of the window may be missing.
const DELETED: &str = "it is gone: probably deleted meanwhile to make room. Try again with a                        later --from; if that does not help, run `check`";

#[cfg(test)]
mod tests {
    use super::*;
    use moonfire_nvr::recording::{GapCause, StreamId};

    #[test]
    fn what_is_missing_is_told_with_its_causes() {
        let at = Wall90k::from_unix_secs;
        let gap = |from, to, detail: &str| Gap {
            stream: StreamId(1),
            start: at(from),
            end: at(to),
            cause: GapCause::Camera,
            detail: detail.into(),
            clock_untrusted: false,
        };
        let gaps = [
            gap(90, 110, "it was off"),
            gap(110, 120, ""),
            gap(300, 310, "later"),
        ];
        let hole = |from, to, causes: &[&str]| Hole {
            span: at(from)..at(to),
            causes: causes.iter().map(|&c| c.to_owned()).collect(),
        };
        let covered = [at(50)..at(100), at(120)..at(200), at(200)..at(210)];
        let found = |from, to| holes(&(at(from)..at(to)), &covered, &gaps);
        let middle = hole(100, 120, &["camera: it was off", "camera"]);
        assert_eq!(found(50, 210), [middle]);
        let end = hole(210, 400, &["camera: later"]);
        assert_eq!(holes(&(at(130)..at(400)), &covered[1..], &gaps), [end]);
        let nothing: [Hole; 0] = [];
        assert_eq!(holes(&(at(60)..at(100)), &covered[..1], &gaps), nothing);
        // Less than a second is what clocks leave; a span that ends before it all misses nothing.
        assert_eq!(
            holes(&(at(0)..at(10)), &[at(0)..at(9) + Duration90k(45_000)], &[]),
            nothing
        );
        assert_eq!(holes(&(at(60)..at(20)), &[at(60)..at(70)], &[]), nothing);
    }
}
