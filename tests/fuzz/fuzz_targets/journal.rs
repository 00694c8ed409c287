//! Whatever is in the journal, attaching ends with sound recordings and the same when done again.
//!
//! The input is cut into payloads. Some are written as they are, most with a right header and, where
//! that can be known, the right digest of a sample file of zeros, so that all of recovery is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::recording::directory::Directory;
use moonfire_nvr::recording::journal::record::{self, HEADER_BYTES, MAGIC, Place, Record};
use moonfire_nvr::recording::journal::segment_name;
use moonfire_nvr::recording::recovery::{AttachRequest, Committed, attach, read_uncommitted};
use moonfire_nvr::recording::{DirIdentity, Recording, RecordingId, StreamId, index};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The length of all sample files.
const SAMPLE_FILE_BYTES: usize = 32 << 10;

#[derive(Default)]
struct Files(RefCell<BTreeMap<String, Vec<u8>>>);

impl Directory for Files {
    fn list(&self, sub: &str) -> io::Result<Vec<String>> {
        let files = self.0.borrow();
        Ok(files
            .keys()
            .filter_map(|n| match sub {
                "" => Some(n.clone()),
                _ => n.strip_prefix(&format!("{sub}/")).map(str::to_owned),
            })
            .collect())
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.0.borrow().get(name).map(|f| f.len() as u64))
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let files = self.0.borrow();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let from = (offset as usize).min(file.len());
        let len = buf.len().min(file.len() - from);
        buf[..len].copy_from_slice(&file[from..from + len]);
        Ok(len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let file = files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        file.resize(len as usize, 0);
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().insert(name.into(), bytes.to_vec());
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name);
        Ok(())
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends `payload` with a right header.
fn frame(out: &mut Vec<u8>, place: &Place, payload: &[u8]) {
    let len = (payload.len() as u32).to_le_bytes();
    let mut h = Xxh3::new();
    h.update(place.directory.as_bytes());
    h.update(&place.segment.to_le_bytes());
    h.update(&place.offset.to_le_bytes());
    h.update(&len);
    h.update(payload);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&len);
    out.extend_from_slice(&h.digest().to_le_bytes());
    out.extend_from_slice(payload);
}

fn digest(bytes: u32) -> Option<[u8; 16]> {
    let zeros = [0; SAMPLE_FILE_BYTES];
    Some(xxh3_128(zeros.get(..bytes as usize)?).to_be_bytes())
}

/// The record with the digest that its sample file of zeros has.
fn mend<'a>(record: Record<'a>) -> Record<'a> {
    match record {
        Record::Full {
            mut progress,
            open,
            run_offset,
            sample_entry,
        } => {
            let known = index::totals(progress.index).map_or(0, |t| t.bytes);
            let newest = progress.newest.map_or(0, |s| s.bytes);
            if let Some(d) = digest(known.saturating_add(newest)) {
                progress.digest = d;
            }
            Record::Full {
                progress,
                open,
                run_offset,
                sample_entry,
            }
        }
        Record::Finished(r) => {
            let mut r: Recording = r.into_owned();
            if let Some(d) = digest(r.sample_file_bytes) {
                r.data_hash = d;
            }
            Record::Finished(std::borrow::Cow::Owned(r))
        }
        other => other,
    }
}

fn segment(directory: Uuid, number: u64, mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [kind, len, rest @ ..] = input {
        let len = usize::from(*len).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        input = rest;
        if *kind == 0 {
            out.extend_from_slice(payload);
            continue;
        }
        let place = Place {
            directory,
            segment: number,
            offset: out.len() as u64,
        };
        let mut framed = Vec::new();
        frame(&mut framed, &place, payload);
        match record::parse(&framed, &place) {
            Ok((r, len)) => {
                assert_eq!(len, HEADER_BYTES + payload.len());
                record::append(&mut out, &place, &mend(r));
            }
            Err(_) => out.extend_from_slice(&framed),
        }
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let request = AttachRequest {
        identity: DirIdentity {
            database: Uuid::from_u128(1),
            directory: Uuid::from_u128(2),
        },
        may_create: true,
        read_only: false,
        committed: (0..4)
            .map(|s| {
                let committed = Committed {
                    next_sequence: s as u32,
                    // One of a stream's numbers before was never committed.
                    holes: (0..u32::from(s > 1)).map(|_| 0..1).collect(),
                };
                (StreamId(s), committed)
            })
            .collect(),
    };
    let dir = Files::default();
    attach(&dir, &request).expect("an empty directory is taken");
    for (n, part) in input.split(|&b| b == 0xff).take(4).enumerate() {
        let bytes = segment(request.identity.directory, n as u64, part);
        let _ = dir.put(&segment_name(n as u64), &bytes);
    }
    for stream in (0..4).map(StreamId) {
        for sequence in 0..4 {
            let id = RecordingId { stream, sequence };
            let _ = dir.put(&id.file_name(), &[0; SAMPLE_FILE_BYTES]);
        }
    }

    let seen = read_uncommitted(&dir, &request.identity, &request.committed).expect("readable");
    let attached = attach(&dir, &request).expect("attachable");
    assert_eq!(attached.recovered, seen);
    let again = attach(&dir, &request).expect("attachable again");
    assert_eq!(again.recovered, seen);

    let mut last: BTreeMap<StreamId, &Recording> = BTreeMap::new();
    for r in &seen {
        assert!(request.committed[&r.id.stream].lacks(r.id.sequence));
        let totals = index::totals(&r.index).expect("a sound index");
        assert_eq!(totals.bytes, r.sample_file_bytes);
        assert_eq!(totals.samples, r.video_samples);
        assert_eq!(totals.media_duration_90k, r.media_duration.0);
        assert_eq!(digest(r.sample_file_bytes), Some(r.data_hash));
        assert_eq!(dir.len(&r.id.file_name()).ok().flatten(), Some(totals.bytes.into()));
        let before = last.insert(r.id.stream, r);
        if let Some(b) = before {
            assert!(b.id.sequence < r.id.sequence);
            assert!(b.start + b.wall_duration <= r.start);
        }
    }
});
