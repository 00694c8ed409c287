//! A recorder that follows the journal's protocol, with power cuts at any point: what a round has
//! acknowledged is recovered byte for byte.

use super::memory_directory::MemoryDirectory;
use super::{FRAME_90K, T0, entry, id};
use crate::recording::directory::Directory as _;
use crate::recording::index;
use crate::recording::journal::{Journal, segment_name};
use crate::recording::recovery::{AttachRequest, Committed, attach, read_uncommitted};
use crate::recording::writer::{NewSample, Run, Start, Writer};
use crate::recording::{DirIdentity, OpenId, Recording, RecordingId, StreamId};
use crate::time::{Duration90k, Wall90k};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::collections::BTreeMap;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

const STREAMS: i32 = 3;

fn identity() -> DirIdentity {
    DirIdentity {
        database: Uuid::from_u128(1),
        directory: Uuid::from_u128(2),
    }
}

/// What the test knows of one recording.
#[derive(Clone, Default)]
struct Model {
    /// All bytes added, and the sizes of the samples.
    bytes: Vec<u8>,
    samples: Vec<usize>,
    written: usize,
    /// In a checkpoint of the round under way; acknowledged.
    checkpointed: usize,
    acknowledged: usize,
    finished: Option<Recording>,
    /// Its finishing was journaled in the round under way; acknowledged.
    finish_journaled: bool,
    finish_acknowledged: bool,
}

impl Model {
    /// The end of the last sample that is wholly written.
    fn covered(&self) -> usize {
        let mut end = 0;
        for s in &self.samples {
            if end + s > self.written {
                break;
            }
            end += s;
        }
        end
    }
}

struct Active {
    writer: Writer,
    /// Bytes added and not handed over.
    buffer: Vec<u8>,
}

struct Stream {
    id: StreamId,
    active: Option<Active>,
    run: Option<Run>,
    next_sequence: u32,
    pts: i64,
    last_end: Option<Wall90k>,
    committed: Committed,
    committed_end: Option<Wall90k>,
}

struct Recorder {
    r: Pcg32,
    dir: MemoryDirectory,
    streams: Vec<Stream>,
    models: BTreeMap<RecordingId, Model>,
    journal: Journal,
    segment: Option<String>,
    now: Wall90k,
    came_back: [usize; 3],
}

impl Recorder {
    fn new(seed: u64) -> Recorder {
        Recorder {
            r: Pcg32::seed_from_u64(seed),
            dir: MemoryDirectory::default(),
            streams: (1..=STREAMS)
                .map(|s| Stream {
                    id: StreamId(s),
                    active: None,
                    run: None,
                    next_sequence: 0,
                    pts: 0,
                    last_end: None,
                    committed: Committed::default(),
                    committed_end: None,
                })
                .collect(),
            models: BTreeMap::new(),
            journal: Journal::new(identity().directory, 0, Vec::new()),
            segment: None,
            now: T0,
            came_back: [0; 3],
        }
    }

    fn below(&mut self, n: u32) -> u32 {
        self.r.next_u32() % n
    }

    fn request(&self) -> AttachRequest {
        AttachRequest {
            identity: identity(),
            may_create: true,
            read_only: false,
            committed: self
                .streams
                .iter()
                .map(|s| (s.id, s.committed.clone()))
                .collect(),
        }
    }

    /// Attaches what the power cut has left, checks it and goes on from there.
    fn begin(&mut self) {
        let request = self.request();
        // Seen beside a running recorder first: the same, but nothing changes.
        let before = self.dir.clone();
        let seen = read_uncommitted(&before, &identity(), &request.committed);
        // Attaching is cut short, sometimes.
        while self.below(3) == 0 {
            let budget = self.below(6);
            self.dir.fail_after(Some(budget));
            if attach(&self.dir, &request).is_ok() {
                break;
            }
            self.dir = self.dir.power_cut(&mut self.r);
        }
        self.dir.fail_after(None);
        let attached = attach(&self.dir, &request).unwrap();
        if let Ok(seen) = seen {
            assert_eq!(seen, attached.recovered);
        }
        self.check(&attached.recovered);
        self.count(&attached.recovered);
        self.segment = None;
        self.journal = Journal::new(
            identity().directory,
            attached.next_segment,
            attached.segments,
        );
        self.now = self.now + Duration90k::from_secs(20);
        for s in &mut self.streams {
            s.active = None;
            s.run = None;
            let of_stream = |r: &&Recording| r.id.stream == s.id;
            let last = attached.recovered.iter().rfind(of_stream);
            let reached = attached.streams.get(&s.id);
            s.next_sequence = reached.map_or(s.committed.next_sequence, |r| r.next_sequence);
            s.last_end = last.map_or(s.committed_end, |r| Some(r.start + r.wall_duration));
            assert_eq!(
                reached.and_then(|r| r.last_end).or(s.committed_end),
                s.last_end
            );
        }
        self.models.retain(|id, _| {
            let s = &self.streams[id.stream.0 as usize - 1];
            id.sequence < s.committed.next_sequence
        });
        for r in attached.recovered {
            let content = self.dir.content(&r.id.file_name()).unwrap();
            let model = Model {
                written: content.len(),
                bytes: content,
                samples: index::samples(&r.index)
                    .map(|s| s.unwrap().bytes as usize)
                    .collect(),
                checkpointed: r.sample_file_bytes as usize,
                acknowledged: r.sample_file_bytes as usize,
                finish_journaled: true,
                // It is in the old segments, or in the new one.
                finish_acknowledged: true,
                finished: Some(r),
            };
            self.models
                .insert(model.finished.as_ref().unwrap().id, model);
        }
    }

    fn count(&mut self, recovered: &[Recording]) {
        for (id, m) in &self.models {
            let s = &self.streams[id.stream.0 as usize - 1];
            if id.sequence >= s.committed.next_sequence {
                let found = recovered.iter().find(|r| r.id == *id);
                let is_whole = |r: &Recording| r.sample_file_bytes as usize == m.bytes.len();
                self.came_back[found.map_or(2, |r| usize::from(!is_whole(r)))] += 1;
            }
        }
    }

    fn check(&self, recovered: &[Recording]) {
        for (id, m) in &self.models {
            let s = &self.streams[id.stream.0 as usize - 1];
            let found = recovered.iter().find(|r| r.id == *id);
            if id.sequence < s.committed.next_sequence {
                assert!(found.is_none(), "{id} is committed");
                let content = self.dir.content(&id.file_name()).unwrap();
                assert_eq!(content, m.bytes);
                continue;
            }
            let kept = found.map_or(0, |r| r.sample_file_bytes as usize);
            assert!(kept >= m.acknowledged, "{id}: {kept} of {}", m.acknowledged);
            if m.finish_acknowledged {
                let (r, finished) = (found.unwrap(), m.finished.as_ref().unwrap());
                assert_eq!(
                    (r.start, r.wall_duration),
                    (finished.start, finished.wall_duration)
                );
                assert_eq!(r.end_reason, finished.end_reason);
                assert_eq!(r.index, finished.index);
            }
        }
        for s in &self.streams {
            let mut end = s.committed_end;
            let mut run = None;
            for r in recovered.iter().filter(|r| r.id.stream == s.id) {
                let m = &self.models[&r.id];
                let content = self.dir.content(&r.id.file_name()).unwrap();
                assert_eq!(content.len(), r.sample_file_bytes as usize);
                assert_eq!(content, m.bytes[..content.len()], "{}", r.id);
                assert_eq!(r.data_hash, xxh3_128(&content).to_be_bytes());
                let totals = index::totals(&r.index).unwrap();
                assert_eq!(totals.bytes, r.sample_file_bytes);
                assert_eq!(totals.samples, r.video_samples);
                assert_eq!(totals.media_duration_90k, r.media_duration.0);
                assert!(end.is_none_or(|e| e <= r.start), "{} overlaps", r.id);
                if run.is_some() && r.run_offset > 0 {
                    assert_eq!(run, Some(r.run_offset - 1));
                    assert_eq!(end, Some(r.start));
                }
                run = r.end_reason.is_empty().then_some(r.run_offset);
                end = Some(r.start + r.wall_duration);
            }
        }
    }

    fn add_sample(&mut self, n: usize) {
        let is_sync = self.below(4) == 0;
        let bytes = 1 + self.below(if is_sync { 5_000 } else { 800 });
        self.now = self.now + Duration90k(FRAME_90K / i64::from(STREAMS));
        let s = &mut self.streams[n];
        s.pts = (self.now - T0).0;
        if is_sync && s.active.is_some() && self.r.next_u32() % 3 == 0 {
            let next = Some(s.pts);
            self.finish(n, next, "");
        }
        let s = &mut self.streams[n];
        if s.active.is_none() {
            if !is_sync {
                return;
            }
            let id = id(s.id.0, s.next_sequence);
            s.next_sequence += 1;
            let run = s.run.take().unwrap_or_else(|| Run::new(s.last_end));
            self.dir.create(&id.file_name());
            self.models.insert(id, Model::default());
            let writer = Writer::start(Start {
                id,
                open: OpenId(1),
                run,
                sample_entry: entry(0),
                clock_untrusted: false,
            });
            s.active = Some(Active {
                writer,
                buffer: Vec::new(),
            });
        }
        let a = s.active.as_mut().unwrap();
        let late = Duration90k(i64::from(self.r.next_u32() % 9_000));
        let sample = NewSample {
            pts: s.pts,
            bytes,
            is_sync,
            arrival: self.now + late,
        };
        a.writer.add(sample).unwrap();
        let mut data = vec![0; bytes as usize];
        self.r.fill_bytes(&mut data);
        a.buffer.extend_from_slice(&data);
        let m = self.models.get_mut(&a.writer.id()).unwrap();
        m.bytes.extend_from_slice(&data);
        m.samples.push(data.len());
    }

    fn hand_over(&mut self, n: usize, bytes: usize) {
        let Some(a) = &mut self.streams[n].active else {
            return;
        };
        let data: Vec<u8> = a.buffer.drain(..bytes.min(a.buffer.len())).collect();
        if data.is_empty() {
            return;
        }
        let m = self.models.get_mut(&a.writer.id()).unwrap();
        a.writer.written(&data);
        self.dir.write(&a.writer.id().file_name(), m.written, &data);
        m.written += data.len();
    }

    fn finish(&mut self, n: usize, next_pts: Option<i64>, reason: &str) {
        self.hand_over(n, usize::MAX);
        let s = &mut self.streams[n];
        let a = s.active.take().unwrap();
        let (recording, run) = a.writer.finish(next_pts, reason).unwrap();
        s.run = next_pts.map(|_| run);
        s.last_end = Some(recording.start + recording.wall_duration);
        self.journal.finished(&recording);
        let m = self.models.get_mut(&recording.id).unwrap();
        m.finish_journaled = self.segment.is_some();
        m.finished = Some(recording);
    }

    /// One round; false if the power went in it.
    fn round(&mut self) -> bool {
        let rotate = self.journal.should_rotate() || self.below(6) == 0;
        let open = self.streams.iter_mut().filter_map(|s| s.active.as_mut());
        let open = open.map(|a| &mut a.writer);
        if rotate {
            let finished: Vec<Recording> = self
                .models
                .values()
                .filter_map(|m| m.finished.clone())
                .collect();
            let open: Vec<&mut Writer> = open.collect();
            let name = self.journal.begin_segment(open, &finished);
            self.dir.create(&name);
            self.segment = Some(name);
        } else {
            open.for_each(|w| self.journal.checkpoint(w));
        }
        for m in self.models.values_mut() {
            m.checkpointed = m.checkpointed.max(m.covered());
            m.finish_journaled = m.finished.is_some();
        }
        self.unlink_segments();
        let segment = self.segment.clone().unwrap();
        let mut synced = None;
        if let Some(p) = self.journal.take_pending(Vec::new()) {
            assert_eq!(segment_name(p.segment), segment);
            self.dir.write(&segment, p.offset as usize, &p.bytes);
            synced = Some((p.segment, p.offset + p.bytes.len() as u64));
        }
        let mut to_sync: Vec<Option<String>> = self
            .models
            .iter()
            .filter(|(_, m)| !m.finish_acknowledged)
            .map(|(id, _)| Some(id.file_name()))
            .chain([Some(segment), None])
            .collect();
        while !to_sync.is_empty() {
            if self.below(60) == 0 {
                return false;
            }
            let next = self.r.next_u32() as usize % to_sync.len();
            match to_sync.swap_remove(next) {
                Some(name) => self.dir.sync_file(&name),
                None => self.dir.sync().unwrap(),
            }
        }
        for m in self.models.values_mut() {
            m.acknowledged = m.checkpointed;
            m.finish_acknowledged = m.finish_journaled;
        }
        if let Some((number, len)) = synced {
            self.journal.synced(number, len);
        }
        self.unlink_segments();
        true
    }

    fn unlink_segments(&mut self) {
        for name in self.journal.segments_to_unlink() {
            self.dir.unlink(&name).unwrap();
        }
    }

    /// The database commits the oldest recordings that are durable.
    fn commit(&mut self) {
        for s in &mut self.streams {
            while self.r.next_u32() % 2 == 0 {
                let id = id(s.id.0, s.committed.next_sequence);
                let Some(m) = self.models.get(&id) else {
                    // It vanished: the number was never committed, a later one may be.
                    let later = self.models.range(id..).next();
                    match later {
                        Some((l, m)) if l.stream == s.id && m.finish_acknowledged => {
                            s.committed.next_sequence = l.sequence;
                            continue;
                        }
                        _ => break,
                    }
                };
                if !m.finish_acknowledged {
                    break;
                }
                let r = m.finished.as_ref().unwrap();
                s.committed = Committed {
                    next_sequence: id.sequence + 1,
                    holes: Vec::new(),
                };
                s.committed_end = Some(r.start + r.wall_duration);
            }
        }
    }
}

/// How many recordings came back whole, cut, and not at all.
fn life(seed: u64) -> [usize; 3] {
    let mut w = Recorder::new(seed);
    for _ in 0..6 {
        w.begin();
        for _ in 0..20 + w.below(400) {
            let n = w.below(STREAMS as u32) as usize;
            match w.below(20) {
                0 => {
                    if !w.round() {
                        break;
                    }
                }
                1 => w.commit(),
                2 => w.hand_over(n, usize::MAX),
                3 => {
                    let bytes = w.below(3_000) as usize;
                    w.hand_over(n, bytes);
                }
                4 if w.streams[n].active.is_some() && w.below(10) == 0 => {
                    w.finish(n, None, "the camera went away");
                    w.now = w.now + Duration90k(900_000);
                }
                _ => w.add_sample(n),
            }
        }
        w.dir = w.dir.power_cut(&mut w.r);
    }
    w.begin();
    w.came_back
}

/// The first of `MOONFIRE_SEEDS` (200) seeds that fails is told.
#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let seeds = std::env::var("MOONFIRE_SEEDS").map_or(200, |s| s.parse().unwrap());
    let mut came_back = [0; 3];
    for seed in 0..seeds {
        match std::panic::catch_unwind(|| life(seed)) {
            Ok(c) => (0..3).for_each(|i| came_back[i] += c[i]),
            Err(e) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(e);
            }
        }
    }
    // The test is about something.
    assert!(came_back.iter().all(|&c| c > 100), "{came_back:?}");
}
