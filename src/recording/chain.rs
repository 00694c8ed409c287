//! The hash chain: what ties a stream's recordings together so that a change to one is noticed.
//!
//! A recording's chain hash is the SHA-256 of, in this order, integers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 20 | `moonfire-nvr chain 1` |
//! | 32 | chain hash of the stream's recording before it, by number, when the database took it; zeros for the first |
//! | 4 + 4 + 4 + 4 | stream, sequence, open, run offset |
//! | 1 | 1 if the recording's time is covered, 0 if not |
//! | 8 + 8 | start and wall duration, 90 kHz; only if covered |
//! | 8 + 4 + 4 + 4 | media duration, sample file bytes, samples, sync samples |
//! | 2 + 2 + 2 + 2 + 1 | sample entry: width, height, pixel spacing (h, v), reorder frames |
//! | 4 + n, 4 + n | sample entry: codec string and avcC, each after its length |
//! | 4 + n | index, after its length |
//! | 16 | data hash |
//!
//! The time of a recording that was made while the clock was not trusted is put right later, so its
//! chain hash can't cover it; its place in the chain still tells what came before and after. The end
//! reason is not covered: it is there for people.
//!
//! The hash has no key: it shows that a row or file was changed, also by a failing disk, and somebody
//! who notes a stream's last chain hash elsewhere can prove later that nothing before it was changed.

use super::Recording;
use crate::h264::VideoSampleEntry;
use sha2::{Digest, Sha256};

/// See the module; also says which version of the encoding it is.
const DOMAIN: &[u8; 20] = b"moonfire-nvr chain 1";

/// What a chain hash vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// All of the recording, with its start and wall duration.
    Time,
    /// All but start and wall duration: it was made while the clock was not trusted.
    Order,
}

/// The chain hash of a new recording that follows the one with `previous`. Its own `chain_hash` plays
/// no part.
pub fn hash(previous: &[u8; 32], r: &Recording) -> [u8; 32] {
    let covers = if r.clock_untrusted {
        Covers::Order
    } else {
        Covers::Time
    };
    hash_as(previous, r, covers)
}

/// Checks a recording against the one before it; `None` if it or its place was changed.
pub fn verify(previous: &[u8; 32], r: &Recording) -> Option<Covers> {
    [Covers::Time, Covers::Order]
        .into_iter()
        .find(|&c| hash_as(previous, r, c) == r.chain_hash)
}

fn hash_as(previous: &[u8; 32], r: &Recording, covers: Covers) -> [u8; 32] {
    let mut h = Sha256::new();
    h.update(DOMAIN);
    h.update(previous);
    h.update(r.id.stream.0.to_le_bytes());
    h.update(r.id.sequence.to_le_bytes());
    h.update(r.open.0.to_le_bytes());
    h.update(r.run_offset.to_le_bytes());
    match covers {
        Covers::Time => {
            h.update([1]);
            h.update(r.start.0.to_le_bytes());
            h.update(r.wall_duration.0.to_le_bytes());
        }
        Covers::Order => h.update([0]),
    }
    h.update(r.media_duration.0.to_le_bytes());
    h.update(r.sample_file_bytes.to_le_bytes());
    h.update(r.video_samples.to_le_bytes());
    h.update(r.video_sync_samples.to_le_bytes());
    hash_entry(&mut h, &r.sample_entry);
    hash_bytes(&mut h, &r.index);
    h.update(r.data_hash);
    h.finalize().into()
}

fn hash_entry(h: &mut Sha256, e: &VideoSampleEntry) {
    h.update(e.width.to_le_bytes());
    h.update(e.height.to_le_bytes());
    h.update(e.pixel_h_spacing.to_le_bytes());
    h.update(e.pixel_v_spacing.to_le_bytes());
    h.update([e.reorder_frames]);
    hash_bytes(h, e.rfc6381_codec.as_bytes());
    hash_bytes(h, &e.avcc);
}

fn hash_bytes(h: &mut Sha256, bytes: &[u8]) {
    h.update((bytes.len() as u32).to_le_bytes()); // All are bounded far below 4 GiB.
    h.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{OpenId, RecordingId, StreamId};
    use crate::time::{Duration90k, Wall90k};
    use std::sync::Arc;

    fn recording() -> Recording {
        Recording {
            id: RecordingId {
                stream: StreamId(3),
                sequence: 7,
            },
            open: OpenId(2),
            run_offset: 1,
            start: Wall90k::from_unix_secs(1_795_341_600),
            wall_duration: Duration90k(5_400_100),
            media_duration: Duration90k(5_400_000),
            clock_untrusted: false,
            sample_file_bytes: 1_000,
            video_samples: 10,
            video_sync_samples: 1,
            sample_entry: Arc::new(VideoSampleEntry {
                width: 1920,
                height: 1080,
                pixel_h_spacing: 1,
                pixel_v_spacing: 1,
                rfc6381_codec: "avc1.4d401f".into(),
                avcc: vec![1, 2, 3],
                reorder_frames: 0,
            }),
            index: vec![0, 1, 2],
            data_hash: [5; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        }
    }

    #[test]
    fn each_fact_is_covered() {
        let previous = [9; 32];
        let mut good = recording();
        good.chain_hash = hash(&previous, &good);
        assert_eq!(verify(&previous, &good), Some(Covers::Time));
        assert_eq!(verify(&[8; 32], &good), None);

        type Change = fn(&mut Recording);
        let entry = |r: &mut Recording, f: fn(&mut VideoSampleEntry)| {
            f(Arc::make_mut(&mut r.sample_entry));
        };
        let changes: [Change; 13] = [
            |r| r.id.stream.0 += 1,
            |r| r.id.sequence += 1,
            |r| r.open.0 += 1,
            |r| r.run_offset += 1,
            |r| r.start.0 += 1,
            |r| r.wall_duration.0 += 1,
            |r| r.media_duration.0 += 1,
            |r| r.sample_file_bytes += 1,
            |r| r.video_samples += 1,
            |r| r.video_sync_samples += 1,
            |r| r.index.push(0),
            |r| r.data_hash[15] ^= 1,
            |r| r.chain_hash[31] ^= 1,
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut r = good.clone();
            change(&mut r);
            assert_eq!(verify(&previous, &r), None, "change {i}");
        }
        let entry_changes: [fn(&mut VideoSampleEntry); 7] = [
            |e| e.width += 1,
            |e| e.height += 1,
            |e| e.pixel_h_spacing += 1,
            |e| e.pixel_v_spacing += 1,
            |e| e.reorder_frames += 1,
            |e| e.rfc6381_codec.push('0'),
            |e| e.avcc.push(0),
        ];
        for (i, change) in entry_changes.into_iter().enumerate() {
            let mut r = good.clone();
            entry(&mut r, change);
            assert_eq!(verify(&previous, &r), None, "entry change {i}");
        }
    }

    #[test]
    fn an_untrusted_time_may_be_put_right() {
        let previous = [9; 32];
        let mut r = recording();
        r.clock_untrusted = true;
        r.chain_hash = hash(&previous, &r);
        r.start.0 += 1_000_000;
        r.clock_untrusted = false;
        r.end_reason = "the clock was set".into();
        assert_eq!(verify(&previous, &r), Some(Covers::Order));
        r.run_offset += 1;
        assert_eq!(verify(&previous, &r), None);
    }

    /// The encoding is for ever: old recordings must still verify.
    #[test]
    fn the_encoding_does_not_change() {
        let hex = |h: [u8; 32]| h.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mut r = recording();
        assert_eq!(
            hex(hash(&[9; 32], &r)),
            "1d6f6ae3ebfea9b3a48c6958a1449a275f41598ad5a14bcf52e8f732410c1ed1"
        );
        r.clock_untrusted = true;
        assert_eq!(
            hex(hash(&[9; 32], &r)),
            "f7080bce29ac1aa74848d4e6e9839e6ef6b0077c64ede647be939ed5f4c7fa49"
        );
    }
}
