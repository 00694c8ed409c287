//! What was served: equal URLs with equal entity tags are equal bytes, and what a file has of video are
//! frames that the cameras made, whole and in order.

use super::answer::{self, Answer};
use super::boxes;
use crate::sim::monitor::Broken;
use crate::sim::witness::{FrameId, StreamKey, Witness};
use std::collections::BTreeMap;

/// Files longer than this are not looked into.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Files that are remembered.
const MAX_FILES: usize = 64;

/// What is known of a file.
struct Known {
    length: u64,
    bytes: Vec<u8>,
    has: Vec<bool>,
    missing: usize,
}

/// See the module.
#[derive(Default)]
pub struct Seen {
    files: BTreeMap<(String, String), Known>,
    /// The last entity tag of each URL, and the file's length.
    tags: BTreeMap<String, (String, u64)>,
    /// Files that were seen whole, and their frames.
    pub whole: u64,
    pub frames: u64,
}

impl Seen {
    /// The entity tag that a URL had last, and the file's length.
    pub fn tag(&self, url: &str) -> Option<&(String, u64)> {
        self.tags.get(url)
    }

    /// Takes in what was served of the file of `url`, a stream's, and finds fault with it.
    pub fn file(
        &mut self,
        url: &str,
        of: StreamKey,
        answer: &Answer,
        witness: &Witness,
    ) -> Result<(), Broken> {
        let fail = |what: String| Broken::new("served-bytes", format!("{url}: {what}"));
        let tag = answer.field("etag").ok_or_else(|| fail("no tag".into()))?;
        let (length, parts) = answer::parts(answer).map_err(fail)?;
        self.tags.insert(url.to_owned(), (tag.to_owned(), length));
        if length > MAX_FILE_BYTES {
            return Ok(());
        }
        if self.files.len() >= MAX_FILES {
            self.files.clear();
        }
        let name = (url.to_owned(), tag.to_owned());
        let known = self.files.entry(name).or_insert_with(|| Known {
            length,
            bytes: vec![0; length as usize],
            has: vec![false; length as usize],
            missing: length as usize,
        });
        let was_whole = known.missing == 0;
        for (from, bytes) in parts {
            known.add(length, from, bytes).map_err(fail)?;
        }
        if known.missing == 0 && !was_whole {
            let frames = frames(&known.bytes, of, witness, None).map_err(fail)?;
            self.whole += 1;
            self.frames += frames.len() as u64;
        }
        Ok(())
    }
}

impl Known {
    fn add(&mut self, length: u64, from: u64, bytes: &[u8]) -> Result<(), String> {
        if length != self.length {
            return Err(format!("{length} bytes long, and {} before", self.length));
        }
        let from = from as usize;
        let end = from + bytes.len();
        if end > self.bytes.len() {
            return Err(format!("{from}-{end} of {length} bytes"));
        }
        for (i, byte) in bytes.iter().enumerate() {
            let at = from + i;
            if self.has[at] && self.bytes[at] != *byte {
                return Err(format!("the byte at {at} is another one than before"));
            }
            self.missing -= usize::from(!self.has[at]);
            self.has[at] = true;
            self.bytes[at] = *byte;
        }
        Ok(())
    }
}

/// The frames that a file's samples are, which come after `last` and in order. Where packets were lost
/// on their way from the camera, a sample may be none.
pub fn frames(
    file: &[u8],
    of: StreamKey,
    witness: &Witness,
    last: Option<FrameId>,
) -> Result<Vec<FrameId>, String> {
    let Some(log) = witness.streams.get(&of) else {
        return Err("there is no such stream".to_owned());
    };
    let mut found: Vec<FrameId> = Vec::new();
    for range in boxes::samples(file)? {
        let sample = &file[range.clone()];
        let Some(id) = log.identify(sample) else {
            if log.loses_packets {
                continue;
            }
            let what = log.describe(sample);
            return Err(format!(
                "the sample at {}, {what}, is no frame",
                range.start
            ));
        };
        let before = found.last().copied().or(last);
        if before.is_some_and(|b| b >= id) {
            return Err(format!("{id:?} comes after {before:?}"));
        }
        found.push(id);
    }
    Ok(found)
}
