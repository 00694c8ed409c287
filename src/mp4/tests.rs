use super::*;
use crate::h264::VideoSampleEntry;
use crate::recording::index::{IndexEncoder, Sample};
use crate::recording::{OpenId, Recording, StreamId};
use crate::time::Wall90k;
use std::sync::Arc;

/// A recording of samples of (duration, bytes); each `gop`th is a sync sample.
fn recording(sequence: u32, gop: usize, samples: &[(i32, u32)]) -> Arc<Recording> {
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, false);
    for (i, &(duration_90k, bytes)) in samples.iter().enumerate() {
        encoder.add(
            &mut index,
            &Sample {
                media_start_90k: 0, // Follows from the samples before.
                duration_90k,
                composition_offset_90k: 0,
                offset: 0, // Likewise.
                bytes,
                is_sync: i % gop == 0,
            },
        );
    }
    let media_duration = Duration90k(samples.iter().map(|s| i64::from(s.0)).sum());
    Arc::new(Recording {
        id: RecordingId {
            stream: StreamId(1),
            sequence,
        },
        open: OpenId(1),
        run_offset: sequence,
        start: Wall90k::from_unix_secs(1_795_341_600),
        wall_duration: media_duration,
        media_duration,
        clock_untrusted: false,
        sample_file_bytes: samples.iter().map(|s| s.1).sum(),
        video_samples: samples.len() as u32,
        video_sync_samples: samples.len().div_ceil(gop) as u32,
        sample_entry: Arc::new(VideoSampleEntry {
            width: 704,
            height: 576,
            pixel_h_spacing: 16,
            pixel_v_spacing: 11,
            rfc6381_codec: "avc1.4d401e".into(),
            avcc: vec![1, 2, 3, 4],
            reorder_frames: 0,
        }),
        index,
        data_hash: [0; 16],
        chain_hash: [0; 32],
        end_reason: String::new(),
    })
}

fn part(recording: &Arc<Recording>, range: Range<i64>) -> Segment {
    Segment {
        recording: recording.clone(),
        range: Duration90k(range.start)..Duration90k(range.end),
    }
}

/// All bytes ahead of the samples.
fn head(file: &File) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in file.pieces(0..file.len()) {
        match piece {
            Piece::Bytes(b) => out.extend_from_slice(&b),
            Piece::Samples { .. } => break,
        }
    }
    out
}

/// The content of the first box of a kind, with version and flags if it has them.
fn content<'a>(head: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    let at = head.windows(4).position(|w| w == kind).unwrap();
    let len = u32::from_be_bytes(head[at - 4..at].try_into().unwrap()) as usize;
    &head[at + 4..at - 4 + len]
}

/// The numbers of a table after version, flags and `skip` bytes.
fn numbers(head: &[u8], kind: &[u8; 4], skip: usize) -> Vec<u32> {
    content(head, kind)[4 + skip..]
        .chunks(4)
        .map(|c| u32::from_be_bytes(c.try_into().unwrap()))
        .collect()
}

#[test]
fn tables_tell_of_runs() {
    let a = recording(
        0,
        3,
        &[(10, 5), (10, 6), (10, 7), (11, 8), (11, 9), (10, 4)],
    );
    let b = recording(1, 2, &[(10, 1), (10, 2)]);
    let file = File::new(vec![
        Segment::whole(a.clone()),
        Segment::whole(b.clone()),
        Segment::whole(b),
        part(&a, 35..45),
    ])
    .unwrap();
    let head = head(&file);
    assert_eq!(
        numbers(&head, b"stts", 4),
        [3, 10, 2, 11, 1, 10, 2, 10, 2, 10, 1, 11, 1, 4]
    );
    assert_eq!(numbers(&head, b"stss", 4), [1, 4, 7, 9, 11]);
    assert_eq!(
        numbers(&head, b"stsz", 8),
        [5, 6, 7, 8, 9, 4, 1, 2, 1, 2, 8, 9]
    );
    assert_eq!(numbers(&head, b"stsc", 4), [1, 6, 1, 2, 2, 1]);
    let first = head.len() as u32;
    let chunks = [first, first + 39, first + 42, first + 45];
    assert_eq!(numbers(&head, b"stco", 4), chunks);
    assert!(!head.windows(4).any(|w| w == b"ctts"));
    let elst = content(&head, b"elst");
    assert_eq!(elst[4..8], [0, 0, 0, 2]);
    let times: Vec<u64> = [8, 16, 28, 36]
        .iter()
        .map(|&at| u64::from_be_bytes(elst[at..at + 8].try_into().unwrap()))
        .collect();
    assert_eq!(times, [62 + 40, 0, 10, 62 + 40 + 5]);
    assert_eq!(file.duration(), Duration90k(112));
    // What a segment takes of the sample file.
    let samples: Vec<Piece> = file.pieces(u64::from(first) + 38..file.len()).collect();
    let piece = |segment, range| Piece::Samples { segment, range };
    let wanted = [
        piece(0, 38..39),
        piece(1, 0..3),
        piece(2, 0..3),
        piece(3, 18..35),
    ];
    assert_eq!(samples, wanted);
}

#[test]
fn the_header_tells_when_and_how_large() {
    let r = recording(0, 10, &[(90_000, 5); 20]);
    let file = File::new(vec![part(&r, 5 * 90_000..7 * 90_000)]).unwrap();
    let head = head(&file);
    let created = 1_795_341_605 + FROM_1904;
    assert_eq!(
        content(&head, b"mvhd")[4..12],
        (created as u64).to_be_bytes()
    );
    let size = [(704 * 16 / 11) << 16, 576u32 << 16]
        .map(u32::to_be_bytes)
        .concat();
    assert_eq!(content(&head, b"tkhd")[88..], size);
    assert_eq!(content(&head, b"pasp"), [0, 0, 0, 16, 0, 0, 0, 11]);
    assert_eq!(content(&head, b"avcC"), [1, 2, 3, 4]);
}

/// Seconds from 1904 to 1970: 66 years, 17 of them with a leap day.
const FROM_1904: i64 = (66 * 365 + 17) * 86_400;

#[test]
fn files_past_4_gib_have_64_bit_offsets() {
    const GIB: u32 = 1 << 30;
    let r = recording(0, 2, &[(3_000, GIB), (3_000, GIB / 2)]); // 1.5 GiB
    let at_most = |n| File::new(vec![Segment::whole(r.clone()); n]).unwrap();

    let small = at_most(2);
    assert_eq!(numbers(&head(&small), b"stco", 4).len(), 2);
    let large = at_most(6);
    let head = head(&large);
    assert_eq!(large.len(), head.len() as u64 + 9 * u64::from(GIB));
    assert!(!head.windows(4).any(|w| w == b"stco"));
    let offsets: Vec<u64> = content(&head, b"co64")[8..]
        .chunks(8)
        .map(|c| u64::from_be_bytes(c.try_into().unwrap()))
        .collect();
    let one_and_a_half = u64::from(GIB) * 3 / 2;
    for (i, &offset) in offsets.iter().enumerate() {
        assert_eq!(offset, head.len() as u64 + i as u64 * one_and_a_half);
        let first: Vec<Piece> = large.pieces(offset..offset + 1).collect();
        let range = 0..1;
        assert_eq!(first, [Piece::Samples { segment: i, range }]);
    }
    assert_eq!(offsets.len(), 6);
    // A 64-bit length: 1, the kind, the length itself.
    let mdat = &head[head.len() - 16..];
    assert_eq!(mdat[..8], *b"\0\0\0\x01mdat");
    assert_eq!(mdat[8..], (16 + 9 * u64::from(GIB)).to_be_bytes());
    // The last byte.
    let last: Vec<Piece> = large.pieces(large.len() - 1..u64::MAX).collect();
    let range = one_and_a_half - 1..one_and_a_half;
    assert_eq!(last, [Piece::Samples { segment: 5, range }]);
    assert_eq!(large.pieces(large.len()..u64::MAX).count(), 0);
}

#[test]
fn a_length_just_below_4_gib_needs_no_64_bits() {
    let with = |bytes| {
        let r = recording(0, 1, &[(3_000, bytes)]);
        File::new(vec![Segment::whole(r)]).unwrap()
    };
    let overhead = with(1).len() as u32 - 1;
    let file = with(u32::MAX - overhead);
    assert_eq!(file.len(), u64::from(u32::MAX));
    assert!(head(&file).windows(4).any(|w| w == b"stco"));
    let file = with(u32::MAX - overhead + 1);
    assert!(head(&file).windows(4).any(|w| w == b"co64"));
    let file = with(u32::MAX);
    assert_eq!(file.len(), head(&file).len() as u64 + u64::from(u32::MAX));
    assert_eq!(head(&file)[head(&file).len() - 12..][..4], *b"mdat");
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    assert_eq!(File::new(vec![]).unwrap_err(), Error::Empty);
    let r = recording(4, 2, &[(10, 5), (10, 5)]);
    let refused = |s| File::new(vec![s]).unwrap_err();
    for range in [20..30, -5..0, 7..7] {
        let error = Error::EmptySegment { recording: r.id };
        assert_eq!(refused(part(&r, range.clone())), error, "{range:?}");
    }
    let damaged = |change: fn(&mut Recording)| {
        let mut r = (*r).clone();
        change(&mut r);
        refused(Segment::whole(Arc::new(r))).to_string()
    };
    assert_eq!(
        damaged(|r| r.index.truncate(2)),
        "recording 1/4: index ends within a sample (byte 2)"
    );
    assert_eq!(
        damaged(|r| r.sample_file_bytes = 9),
        "recording 1/4: its index tells of 10 bytes, its sample file has 9"
    );
    assert!(damaged(|r| r.index.clear()).contains("nothing of it"));
}

#[test]
fn wall_time_is_scaled_to_media_time() {
    let mut r = (*recording(0, 1, &[(100, 1); 1_000])).clone(); // 100,000 units by the camera,
    r.wall_duration = Duration90k(100_050); // 50 more by the recorder.
    let (start, r) = (r.start, Arc::new(r));
    let within = |a, b| {
        Segment::within(r.clone(), &(start + Duration90k(a)..start + Duration90k(b)))
            .map(|s| (s.range.start.0, s.range.end.0))
    };
    assert_eq!(within(-10, 200_000), Some((0, i64::MAX)));
    assert_eq!(within(50_025, 100_050), Some((50_000, i64::MAX)));
    assert_eq!(within(0, 50_025), Some((0, 50_000)));
    assert_eq!(within(100_049, 100_051), Some((99_999, i64::MAX)));
    for (a, b) in [(-10, 0), (100_050, 100_060), (500, 500), (500, 400)] {
        assert_eq!(within(a, b), None, "{a}..{b}");
    }
}

#[test]
fn any_index_bytes_make_a_readable_file_or_an_error() {
    use rand_core::{RngCore, SeedableRng};
    let mut random = rand_pcg::Pcg32::seed_from_u64(1);
    let good = recording(0, 5, &[(3_000, 100); 20]);
    let mut files = 0;
    for _ in 0..5_000 {
        let mut r = (*good).clone();
        r.index[0] = (random.next_u32() & 1) as u8;
        for _ in 0..random.next_u32() % 4 {
            let at = random.next_u32() as usize % r.index.len();
            r.index[at] = random.next_u32() as u8;
        }
        r.sample_file_bytes = u32::MAX;
        let from = i64::from(random.next_u32() % 70_000);
        let to = from + i64::from(random.next_u32() % 70_000);
        let r = Arc::new(r);
        let Ok(file) = File::new(vec![part(&r, from..to), Segment::whole(r.clone())]) else {
            continue;
        };
        files += 1;
        let read: u64 = file.pieces(0..file.len()).map(|p| p.len()).sum();
        assert_eq!(read, file.len());
    }
    assert!(files > 100, "{files}");
}
