//! Attaching a directory.

use super::memory_directory::MemoryDirectory;
use super::{FRAME_90K, id, sample, start};
use crate::recording::directory::Directory as _;
use crate::recording::journal::{Journal, segment_name};
use crate::recording::real_directory::RealDirectory;
use crate::recording::recovery::{
    AttachError, AttachRequest, Attached, Committed, ENDED_WITHOUT_NOTICE, LOST_ITS_END, MARKER,
    attach, read_uncommitted,
};
use crate::recording::writer::{Run, Writer};
use crate::recording::{DirIdentity, Recording, StreamId, index};
use crate::time::Duration90k;
use std::collections::BTreeMap;
use uuid::Uuid;

fn request() -> AttachRequest {
    AttachRequest {
        identity: DirIdentity {
            database: Uuid::from_u128(1),
            directory: Uuid::from_u128(2),
        },
        may_create: true,
        read_only: false,
        committed: BTreeMap::from([(
            StreamId(1),
            Committed {
                next_sequence: 5,
                holes: Vec::new(),
            },
        )]),
    }
}

#[test]
fn an_empty_directory_is_taken_once() {
    let d = MemoryDirectory::default();
    let no = AttachRequest {
        may_create: false,
        ..request()
    };
    assert!(matches!(attach(&d, &no), Err(AttachError::NoMarker)));
    d.create("lost+found/x");
    d.create(&format!("{MARKER}.tmp"));
    let a = attach(&d, &request()).unwrap();
    assert_eq!(
        (a.next_segment, a.recovered.len(), a.streams.len()),
        (0, 0, 0)
    );
    attach(&d, &no).unwrap();
    let text = String::from_utf8(d.content(MARKER).unwrap()).unwrap();
    assert!(
        text.contains("Moonfire NVR") && text.contains(&request().identity.database.to_string())
    );
}

#[test]
fn what_is_only_read_is_not_changed() {
    let d = MemoryDirectory::default();
    let read = AttachRequest {
        read_only: true,
        ..request()
    };
    assert!(matches!(attach(&d, &read), Err(AttachError::NoMarker)));
    assert!(d.list("").unwrap().is_empty());
    attach(&d, &request()).unwrap();
    let marked = d.list("").unwrap();
    assert!(attach(&d, &read).unwrap().recovered.is_empty());
    assert_eq!(d.list("").unwrap(), marked);
}

#[test]
fn what_is_not_ours_is_refused() {
    let d = MemoryDirectory::default();
    d.create("holiday.mp4");
    assert!(matches!(attach(&d, &request()), Err(AttachError::NotEmpty)));
    assert!(d.content(MARKER).is_none());

    let d = MemoryDirectory::default();
    attach(&d, &request()).unwrap();
    for (database, directory) in [(1, 3), (3, 2)] {
        let mut other = request();
        other.identity.database = Uuid::from_u128(database);
        other.identity.directory = Uuid::from_u128(directory);
        let e = attach(&d, &other).unwrap_err();
        assert!(matches!(e, AttachError::Foreign { found } if found == request().identity));
        let e = read_uncommitted(&d, &other.identity, &other.committed).unwrap_err();
        assert!(matches!(e, AttachError::Foreign { .. }));
    }
    let marker = String::from_utf8(d.content(MARKER).unwrap()).unwrap();
    for bad in [
        marker.replace("format = 1", "format = 2"),
        marker.replace("database", "databse"),
        String::new(),
        "\u{0}".repeat(5_000),
    ] {
        d.put(MARKER, bad.as_bytes()).unwrap();
        assert!(matches!(
            attach(&d, &request()),
            Err(AttachError::BadMarker(_))
        ));
    }
    let temp = tempfile::tempdir().unwrap();
    let gone = RealDirectory::new(temp.path().join("gone"));
    assert!(matches!(
        attach(&gone, &request()),
        Err(AttachError::Missing)
    ));
}

/// Bytes that differ from frame to frame.
fn frame(n: i64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n as usize * 31 + i) as u8).collect()
}

fn grow(d: &MemoryDirectory, w: &mut Writer, frames: i64) {
    let name = w.id().file_name();
    if d.content(&name).is_none() {
        d.create(&name);
    }
    for _ in 0..frames {
        let n = i64::from(w.samples());
        let pts = (i64::from(w.id().sequence) * 1_000 + n) * FRAME_90K;
        w.add(sample(pts, 100, n == 0)).unwrap();
        let at = w.bytes_written() as usize;
        let data = frame(n, 100);
        w.written(&data);
        d.write(&name, at, &data);
    }
}

struct Journaled {
    dir: MemoryDirectory,
    journal: Journal,
    number: u64,
}

impl Journaled {
    fn new() -> Journaled {
        let dir = MemoryDirectory::default();
        attach(&dir, &request()).unwrap();
        let mut j = Journaled {
            journal: Journal::new(request().identity.directory, 0, Vec::new()),
            dir,
            number: 0,
        };
        j.begin(&mut [], &[]);
        j
    }

    fn begin(&mut self, open: &mut [&mut Writer], done: &[Recording]) {
        let name = self
            .journal
            .begin_segment(open.iter_mut().map(|w| &mut **w), done);
        self.dir.create(&name);
        self.write();
    }

    fn write(&mut self) {
        if let Some(p) = self.journal.take_pending(Vec::new()) {
            self.number = p.segment;
            self.dir
                .write(&segment_name(p.segment), p.offset as usize, &p.bytes);
        }
    }

    fn checkpoint(&mut self, w: &mut Writer) {
        self.journal.checkpoint(w);
        self.write();
    }

    fn finish(&mut self, w: Writer, next: Option<i64>) -> (Recording, Run) {
        let (r, run) = w.finish(next, "").unwrap();
        self.journal.finished(&r);
        self.write();
        (r, run)
    }

    fn attach(&self) -> Attached {
        let seen = read_uncommitted(&self.dir, &request().identity, &request().committed).unwrap();
        let attached = attach(&self.dir, &request()).unwrap();
        assert_eq!(seen, attached.recovered);
        // And once more.
        assert_eq!(attach(&self.dir, &request()).unwrap().recovered, seen);
        attached
    }

    fn flip(&self, name: &str, at: usize) {
        let b = self.dir.content(name).unwrap()[at] ^ 1;
        self.dir.write(name, at, &[b]);
    }
}

#[test]
fn what_was_being_recorded_comes_back() {
    let mut j = Journaled::new();
    let mut w = start(id(1, 5), Run::new(None));
    grow(&j.dir, &mut w, 10);
    j.checkpoint(&mut w);
    grow(&j.dir, &mut w, 5);
    j.checkpoint(&mut w);
    let (start, name) = (w.start_time(), w.id().file_name());
    grow(&j.dir, &mut w, 5); // In no checkpoint.
    let a = j.attach();
    let [r] = &a.recovered[..] else { panic!() };
    assert_eq!(
        (r.id, r.start, r.sample_file_bytes),
        (id(1, 5), start, 1_500)
    );
    assert_eq!(r.media_duration, Duration90k(15 * FRAME_90K));
    assert_eq!(r.wall_duration, r.media_duration);
    assert_eq!(r.end_reason, ENDED_WITHOUT_NOTICE);
    assert_eq!(j.dir.content(&name).unwrap().len(), 1_500);
    let reached = a.streams[&StreamId(1)];
    assert_eq!(reached.next_sequence, 6);
    assert_eq!(reached.last_end, Some(r.start + r.wall_duration));
    assert_eq!((a.next_segment, a.segments), (1, vec![0]));
}

#[test]
fn the_digest_finds_what_the_disk_lost() {
    // Ten checkpoints of ten frames each; one byte is wrong.
    for bad in [0, 1, 99, 999, 1_000, 5_555, 9_999] {
        let mut j = Journaled::new();
        let mut w = start(id(1, 5), Run::new(None));
        for _ in 0..10 {
            grow(&j.dir, &mut w, 10);
            j.checkpoint(&mut w);
        }
        j.flip(&w.id().file_name(), bad);
        let a = j.attach();
        let whole = bad / 1_000 * 1_000;
        match &a.recovered[..] {
            [] => {
                assert_eq!(whole, 0);
                assert_eq!(j.dir.content(&w.id().file_name()), None);
            }
            [r] => {
                assert_eq!(r.sample_file_bytes as usize, whole);
                let totals = index::totals(&r.index).unwrap();
                assert_eq!(totals.samples as usize * 100, whole);
            }
            _ => panic!(),
        }
        // The number was used.
        assert_eq!(a.streams[&StreamId(1)].next_sequence, 6);
    }
}

#[test]
fn a_recording_that_lost_its_end_ends_its_run() {
    for lose_all in [false, true] {
        let mut j = Journaled::new();
        let mut w = start(id(1, 5), Run::new(None));
        grow(&j.dir, &mut w, 10);
        j.checkpoint(&mut w);
        grow(&j.dir, &mut w, 990);
        let (first, run) = j.finish(w, Some(6_000 * FRAME_90K));
        let mut w = start(id(1, 6), run);
        grow(&j.dir, &mut w, 1_000);
        let (second, run) = j.finish(w, Some(7_000 * FRAME_90K));
        let mut w = start(id(1, 7), run);
        grow(&j.dir, &mut w, 10);
        j.checkpoint(&mut w);
        j.flip(&first.id.file_name(), if lose_all { 0 } else { 50_000 });
        let got = j.attach().recovered;
        let last = &got[got.len() - 1];
        if lose_all {
            assert_eq!(got.len(), 2);
        } else {
            assert_eq!(got[0].sample_file_bytes, 1_000);
            assert_eq!(got[0].end_reason, LOST_ITS_END);
            assert_eq!(got[0].start, first.start);
        }
        let next = &got[got.len() - 2];
        assert_eq!((next.id, next.run_offset), (second.id, 0));
        assert_eq!(
            (next.start, next.data_hash),
            (second.start, second.data_hash)
        );
        assert_eq!((last.id, last.run_offset), (id(1, 7), 1));
        assert_eq!(next.start + next.wall_duration, last.start);
    }
}

#[test]
fn what_the_database_has_or_does_not_know_is_left_alone() {
    let mut j = Journaled::new();
    let mut done = Vec::new();
    for (stream, sequence) in [(1, 4), (1, 5), (2, 0)] {
        let mut w = start(id(stream, sequence), Run::new(None));
        grow(&j.dir, &mut w, 10);
        done.push(j.finish(w, None).0);
    }
    j.dir.write(&id(1, 4).file_name(), 1_000, b"more");
    j.dir.write(&id(2, 0).file_name(), 1_000, b"more");
    let a = j.attach();
    assert_eq!(a.recovered, [done[1].clone()]);
    assert_eq!(j.dir.content(&id(1, 4).file_name()).unwrap().len(), 1_004);
    assert_eq!(j.dir.content(&id(2, 0).file_name()).unwrap().len(), 1_004);
    assert_eq!(a.streams.keys().copied().collect::<Vec<_>>(), [StreamId(1)]);
}

#[test]
fn what_is_in_a_hole_comes_back_and_what_nothing_tells_of_goes() {
    let mut j = Journaled::new();
    let mut run = Run::new(None);
    let mut made = Vec::new();
    for n in 1..4 {
        let mut w = start(id(1, n), run);
        grow(&j.dir, &mut w, 1_000);
        let (r, next) = j.finish(w, Some(i64::from(n + 1) * 1_000 * FRAME_90K));
        made.push(r);
        run = next;
    }
    // Begun just before the power failed, in the hole and behind all numbers.
    for n in [4, 20] {
        j.dir.create(&id(1, n).file_name());
    }
    let mut request = request();
    let mut c = Committed {
        next_sequence: 20,
        holes: vec![2..3, 4..10],
    };
    request.committed.insert(StreamId(1), c.clone());
    let seen = read_uncommitted(&j.dir, &request.identity, &request.committed).unwrap();
    let a = attach(&j.dir, &request).unwrap();
    assert_eq!(seen, a.recovered);
    let [r] = &a.recovered[..] else { panic!() };
    // It follows on one that was committed, so the run goes on.
    assert_eq!((r.id, r.run_offset, r.start), (id(1, 2), 1, made[1].start));
    let there = |n| j.dir.content(&id(1, n).file_name()).is_some();
    assert_eq!(
        [1, 2, 3, 4, 20].map(there),
        [true, true, true, false, false]
    );

    assert!(c.lacks(2) && !c.lacks(3) && c.lacks(4) && !c.lacks(19) && c.lacks(20));
    assert!(!c.lacks_from(9) && !c.lacks_from(19) && c.lacks_from(20));
    c.add(2);
    c.add(5);
    c.add(22);
    let holes = vec![4..5, 6..10, 20..22];
    assert_eq!((c.next_sequence, c.holes.clone()), (23, holes));
    c.holes.push(23..30);
    c.next_sequence = 30;
    assert!(!c.lacks_from(22) && c.lacks_from(23));
}

#[test]
fn a_file_that_is_gone_takes_its_recording_along() {
    let mut j = Journaled::new();
    let mut w = start(id(1, 5), Run::new(None));
    grow(&j.dir, &mut w, 10);
    j.checkpoint(&mut w);
    j.dir.unlink(&w.id().file_name()).unwrap();
    let a = j.attach();
    assert!(a.recovered.is_empty());
    assert_eq!(a.streams[&StreamId(1)].next_sequence, 6);
}

#[test]
fn a_later_segment_tells_what_a_torn_one_does_not() {
    let mut j = Journaled::new();
    let mut w = start(id(1, 5), Run::new(None));
    grow(&j.dir, &mut w, 10);
    j.checkpoint(&mut w);
    let torn = j.dir.content(&segment_name(0)).unwrap().len() / 2;
    grow(&j.dir, &mut w, 10);
    j.begin(&mut [&mut w], &[]);
    grow(&j.dir, &mut w, 10);
    j.checkpoint(&mut w);
    j.flip(&segment_name(0), torn);
    assert_eq!(j.attach().recovered[0].sample_file_bytes, 3_000);
    // The other way round: the new one is torn, the old one is there.
    j.flip(&segment_name(0), torn);
    j.flip(&segment_name(1), 20);
    assert_eq!(j.attach().recovered[0].sample_file_bytes, 1_000);
}

#[test]
fn a_journal_that_goes_on_meanwhile_is_read_anew() {
    let mut j = Journaled::new();
    let mut w = start(id(1, 5), Run::new(None));
    grow(&j.dir, &mut w, 10);
    j.checkpoint(&mut w);
    j.begin(&mut [&mut w], &[]);
    j.dir.vanish(&segment_name(0));
    let got = read_uncommitted(&j.dir, &request().identity, &request().committed).unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(j.dir.content(&segment_name(0)), None);
}
