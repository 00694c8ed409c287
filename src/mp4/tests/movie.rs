use super::*;
use jiff::tz::TimeZone;

fn movie(segments: &[Segment]) -> File {
    File::movie(segments, None).unwrap()
}

#[test]
fn tables_tell_of_runs() {
    let a = recording(
        0,
        3,
        &[(10, 5), (10, 6), (10, 7), (11, 8), (11, 9), (10, 4)],
    );
    let b = recording(1, 2, &[(10, 1), (10, 2)]);
    let file = movie(&[whole(&a), whole(&b), whole(&b), segment(&a, 35..45)]);
    let head = head(&[&a, &b], &file);
    assert_eq!(
        numbers(&head, b"stts", 4),
        [3, 10, 2, 11, 1, 10, 2, 10, 2, 10, 1, 11, 1, 4]
    );
    assert_eq!(numbers(&head, b"stss", 4), [1, 4, 7, 9, 11]);
    assert_eq!(
        numbers(&head, b"stsz", 8),
        [5, 6, 7, 8, 9, 4, 1, 2, 1, 2, 8, 9]
    );
    assert_eq!(
        numbers(&head, b"stsc", 4),
        [1, 6, 1, 2, 2, 1, 3, 2, 1, 4, 2, 1]
    );
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
    let file = movie(&[segment(&r, 5 * 90_000..7 * 90_000)]);
    let head = head(&[&r], &file);
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
    let times = |n| movie(&vec![whole(&r); n]);

    let small = times(2);
    assert_eq!(numbers(&head(&[&r], &small), b"stco", 4).len(), 2);
    let large = times(6);
    let head = head(&[&r], &large);
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
        let file = movie(&[whole(&r)]);
        let head = head(&[&r], &file);
        (file.len(), head)
    };
    let has = |head: &[u8], kind: &[u8; 4]| head.windows(4).any(|w| w == kind);
    let overhead = with(1).0 as u32 - 1;
    let (len, head) = with(u32::MAX - overhead);
    assert_eq!(len, u64::from(u32::MAX));
    assert!(has(&head, b"stco"));
    let (_, head) = with(u32::MAX - overhead + 1);
    assert!(has(&head, b"co64"));
    let (len, head) = with(u32::MAX);
    assert_eq!(len, head.len() as u64 + u64::from(u32::MAX));
    assert_eq!(head[head.len() - 12..][..4], *b"mdat");
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    assert_eq!(File::movie(&[], None).unwrap_err(), Error::Empty);
    let r = recording(4, 2, &[(10, 5), (10, 5)]);
    let refused = |s| File::movie(&[s], None).unwrap_err();
    for range in [20..30, -5..0, 7..7] {
        let error = Error::EmptySegment { recording: r.id };
        assert_eq!(refused(segment(&r, range.clone())), error, "{range:?}");
    }
    // All of it, but by its index.
    let damaged = |change: fn(&mut Segment)| {
        let mut s = whole(&r).with_index(r.index.clone().into());
        s.summary.sums = None;
        change(&mut s);
        refused(s).to_string()
    };
    assert_eq!(
        damaged(|s| s.index = Some(s.index.as_ref().unwrap()[..2].into())),
        "recording 1/4: index ends within a sample (byte 2)"
    );
    assert_eq!(
        damaged(|s| s.summary.sample_file_bytes = 9),
        "recording 1/4: its index tells of 10 bytes, its sample file has 9"
    );
    assert!(damaged(|s| s.index = Some([].into())).contains("nothing of it"));
    assert!(damaged(|s| s.index = None).contains("was not given"));
    let mut s = whole(&r);
    s.summary.sums.as_mut().unwrap().duration_runs = 9;
    assert!(refused(s).to_string().contains("its row tells of sums"));
    let most = vec![whole(&r); MAX_SEGMENTS + 1];
    let error = File::movie(&most, None).unwrap_err();
    assert!(matches!(error, Error::TooLong(_)));
}

#[test]
fn wall_time_is_scaled_to_media_time() {
    let mut r = recording(0, 1, &[(100, 1); 1_000]); // 100,000 units by the camera,
    r.wall_duration = Duration90k(100_050); // 50 more by the recorder.
    let within = |a, b| {
        let wall = r.start + Duration90k(a)..r.start + Duration90k(b);
        Segment::within(summary(&r), &wall)
            .map(|s| (s.range.start.0, s.range.end.0, s.needs_index()))
    };
    assert_eq!(within(-10, 200_000), Some((0, i64::MAX, false)));
    assert_eq!(within(50_025, 100_050), Some((50_000, i64::MAX, true)));
    assert_eq!(within(0, 50_025), Some((0, 50_000, true)));
    assert_eq!(within(100_049, 100_051), Some((99_999, i64::MAX, true)));
    for (a, b) in [(-10, 0), (100_050, 100_060), (500, 500), (500, 400)] {
        assert_eq!(within(a, b), None, "{a}..{b}");
    }
}

#[test]
fn any_index_bytes_make_a_readable_file_or_an_error() {
    let mut random = Pcg32::seed_from_u64(1);
    let good = recording(0, 5, &[(3_000, 100); 20]);
    let mut files = 0;
    for _ in 0..5_000 {
        let mut r = good.clone();
        r.index[0] = (random.next_u32() & 1) as u8;
        for _ in 0..random.next_u32() % 4 {
            let at = random.next_u32() as usize % r.index.len();
            r.index[at] = random.next_u32() as u8;
        }
        let from = i64::from(random.next_u32() % 70_000);
        let to = from + i64::from(random.next_u32() % 70_000);
        // The row and its sums are those of the good index.
        let mut s = whole(&good);
        s.summary.sample_file_bytes = u32::MAX;
        s.summary.sums = None;
        s.index = Some(r.index.clone().into());
        let mut part = s.clone();
        part.range = Duration90k(from)..Duration90k(to);
        let Ok(file) = File::movie(&[part, s], None) else {
            continue;
        };
        files += 1;
        let read = Reader::new([&r]).read(&file, 0..file.len().min(10_000));
        assert_eq!(read.len() as u64, file.len().min(10_000));
    }
    assert!(files > 100, "{files}");
}

#[test]
fn subtitles_follow_the_picture_they_tell_of() {
    let r = recording(0, 10, &[(9_000, 5); 20]); // Two seconds of 100 bytes.
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let segments = [segment(&r, 45_000..i64::MAX), whole(&r)];
    let file = File::movie(&segments, Some(&zone)).unwrap();
    let bytes = Reader::new([&r]).read(&file, 0..file.len());
    let times = |text: &[u8]| bytes.windows(text.len()).filter(|w| *w == text).count();
    assert_eq!(times(b"\x00\x1a2026-11-22 11:00:00 +01:00"), 2);
    assert_eq!(times(b"\x00\x1a2026-11-22 11:00:01 +01:00"), 2);
    let text = &bytes[bytes.windows(4).position(|w| w == b"sbtl").unwrap()..];
    assert_eq!(
        numbers(text, b"stts", 4),
        [1, 45_000, 1, 90_000, 1, 90_000, 1, 90_000]
    );
    assert_eq!(numbers(text, b"stsz", 0), [28, 4]);
    assert_eq!(numbers(text, b"stsc", 4), [1, 2, 1, 2, 2, 1]);
    for (i, at) in numbers(text, b"stco", 4).into_iter().enumerate() {
        let at = at as usize;
        assert_eq!(bytes[at..at + 4], *b"\x00\x1a20", "chunk {i}");
    }
    assert!(content(&bytes, b"mvhd").ends_with(&[0, 0, 0, 3])); // The next track.
    assert_eq!(file.content_type(), "video/mp4; codecs=\"avc1.4d401e\"");
}
