use super::*;

/// Boxes at the top of some bytes.
fn top(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let kind = String::from_utf8(bytes[4..8].to_vec()).unwrap();
        found.push((kind, &bytes[8..len]));
        bytes = &bytes[len..];
    }
    found
}

fn read(recordings: &[&Recording], file: &File) -> Vec<u8> {
    Reader::new(recordings.iter().copied()).read(file, 0..file.len())
}

/// Decoding times of fragments.
fn decode_times(bytes: &[u8]) -> Vec<u64> {
    let found = top(bytes).into_iter().filter(|(kind, _)| kind == "moof");
    found
        .map(|(_, moof)| u64::from_be_bytes(content(moof, b"tfdt")[4..12].try_into().unwrap()))
        .collect()
}

#[test]
fn each_segment_is_a_fragment() {
    let a = recording(0, 2, &[(10, 5), (11, 6), (12, 7)]);
    let b = recording(1, 2, &[(10, 8), (10, 9), (10, 3)]);
    let segments = [segment(&a, 15..i64::MAX), segment(&b, 12..25)];
    let file = File::media_segment(&segments, 1 << 33).unwrap();
    let bytes = read(&[&a, &b], &file);
    let kinds: Vec<String> = top(&bytes).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["styp", "moof", "mdat", "moof", "mdat"]);
    assert_eq!(file.leading_duration(), Duration90k(15));
    assert_eq!(file.duration(), Duration90k(18 + 13));
    assert_eq!(decode_times(&bytes), [1 << 33, (1 << 33) + 33]);
    let boxes = top(&bytes);
    let sync = 0x0200_0000;
    let other = 0x0101_0000;
    let moof = 8 + boxes[1].1.len() as u32;
    assert_eq!(
        numbers(boxes[1].1, b"trun", 0),
        [3, moof + 8, 10, 5, sync, 11, 6, other, 12, 7, sync]
    );
    assert_eq!(boxes[2].1.len(), 18);
    // From its first sync sample to the one that is shown at 24; its last duration is cut.
    let moof = 8 + boxes[3].1.len() as u32;
    assert_eq!(
        numbers(boxes[3].1, b"trun", 0),
        [3, moof + 8, 10, 8, sync, 10, 9, other, 5, 3, sync]
    );
    let id = b.id;
    let bytes: Vec<u8> = (0..20).map(|at| Reader::sample_byte(id, at)).collect();
    assert_eq!(boxes[4].1, bytes);
}

#[test]
fn reordered_samples_have_signed_offsets() {
    let r = recording_of(
        0,
        &[(10, 5, 20, true), (10, 5, 30, false), (10, 5, 10, false)],
    );
    let file = File::media_segment(&[whole(&r)], 0).unwrap();
    let bytes = read(&[&r], &file);
    let trun = content(&bytes, b"trun");
    assert_eq!(trun[..4], [1, 0, 0x0f, 0x01]); // Version 1, with all there is.
    let numbers = numbers(&bytes, b"trun", 8);
    let offsets: Vec<i32> = numbers.chunks(4).map(|s| s[3] as i32).collect();
    assert_eq!(offsets, [0, 10, -10]);
}

/// Each sync sample's offset may be another: a camera that changes how it reorders, or loses its clock.
#[test]
fn a_span_begins_with_a_sync_sample_presented_earlier_than_the_first_one() {
    let r = recording_of(
        0,
        &[
            (10, 5, 20, true),
            (10, 5, 20, false),
            (10, 5, 5, true), // Decoded at 20, presented at 5.
            (10, 5, 15, false),
        ],
    );
    let whole = whole(&r);
    let early = segment(&r, 12..i64::MAX);
    let file = File::media_segment(std::slice::from_ref(&early), 0).unwrap();
    let bytes = read(&[&r], &file);
    let trun = numbers(&bytes, b"trun", 8);
    let offsets: Vec<i32> = trun.chunks(4).map(|s| s[3] as i32).collect();
    assert_eq!(offsets, [0, 10]);
    assert_eq!(file.leading_duration(), Duration90k(7));
    assert_eq!(file.duration(), Duration90k(28));
    // Behind another, its times come after all of that one's.
    let file = File::movie(&[whole, early], None).unwrap();
    let head = head(&[&r], &file);
    let elst = content(&head, b"elst");
    let times: Vec<u64> = [8, 16, 28, 36]
        .iter()
        .map(|&at| u64::from_be_bytes(elst[at..at + 8].try_into().unwrap()))
        .collect();
    assert_eq!(times, [40, 0, 28, 40 + 7]);
}

#[test]
fn offsets_that_no_file_can_tell_are_refused_before_it_is_promised() {
    let r = recording_of(
        4,
        &[
            (10, 5, i32::MIN, true),
            (10, 5, 1, false),
            (10, 5, i32::MIN, true),
        ],
    );
    let mut whole = segment(&r, 0..i64::MAX);
    assert!(whole.needs_index());
    whole.index = Some(r.index.clone().into());
    let told = File::movie(&[whole], None).unwrap_err().to_string();
    assert_eq!(told, "recording 1/4: sample 1: mad composition offset");
}

#[test]
fn one_media_segment_has_one_sample_entry() {
    let a = recording(0, 2, &[(10, 5)]);
    let mut b = recording(1, 2, &[(10, 5)]);
    Arc::make_mut(&mut b.sample_entry).width = 9;
    let both = [whole(&a), whole(&b)];
    assert_eq!(
        File::media_segment(&both, 0).unwrap_err(),
        Error::SeveralEntries
    );
    let error = File::media_segment(&both[..1], u64::MAX).unwrap_err();
    assert!(matches!(error, Error::TooLong(_)));
    let huge = recording(2, 1, &[(10, u32::MAX - 7)]);
    let error = File::media_segment(&[whole(&huge)], 0).unwrap_err();
    assert!(matches!(error, Error::TooLong(_)));
    let large = recording(2, 1, &[(10, u32::MAX - 8)]);
    assert!(File::media_segment(&[whole(&large)], 0).is_ok());
}

#[test]
fn a_live_fragment_says_what_it_is_given() {
    let sample = |bytes, is_sync, composition_offset_90k| FragmentSample {
        bytes,
        duration_90k: 3_000,
        composition_offset_90k,
        is_sync,
    };
    let one = fragment(7, u64::MAX - 1, &[sample(100, true, 0)]);
    assert_eq!(one.len(), 96 + 12);
    assert_eq!(one[one.len() - 8..], *b"\0\0\0\x6cmdat");
    assert_eq!(decode_times(&one[..one.len() - 8]), [u64::MAX - 1]);
    assert_eq!(numbers(&one, b"mfhd", 0), [7]);
    assert_eq!(numbers(&one, b"trun", 0)[1], one.len() as u32);
    let two = fragment(8, 0, &[sample(5, false, 0), sample(6, false, -3_000)]);
    assert_eq!(two.len(), 96 + 32);
    assert_eq!(two[two.len() - 8..], *b"\0\0\0\x13mdat");
    assert_eq!(numbers(&two, b"trun", 8)[7], -3_000i32 as u32);
    // Past 4 GiB the length is of 64 bits, and the samples begin behind it.
    let large = fragment(9, 0, &[sample(u32::MAX, true, 0); 2]);
    assert_eq!(large[large.len() - 16..][..8], *b"\0\0\0\x01mdat");
    assert_eq!(numbers(&large, b"trun", 0)[1], large.len() as u32);
}

fn scrub(recordings: &[Recording], every: i64) -> File {
    let mut scrub = Scrub::new(recordings[0].start, Duration90k(every));
    for r in recordings {
        scrub
            .add(&whole(r).with_index(r.index.clone().into()))
            .unwrap();
    }
    scrub.finish(false).unwrap()
}

/// (decoding time, duration, bytes) of each fragment of one sample.
fn pictures(recordings: &[Recording], file: &File) -> Vec<(u64, u32, u32)> {
    let all: Vec<&Recording> = recordings.iter().collect();
    let bytes = read(&all, file);
    let times = decode_times(&bytes);
    let moofs = top(&bytes).into_iter().filter(|(kind, _)| kind == "moof");
    let samples = moofs.map(|(_, moof)| numbers(moof, b"trun", 8));
    times
        .into_iter()
        .zip(samples)
        .map(|(t, s)| (t, s[0], s[1]))
        .collect()
}

#[test]
fn a_scrub_stream_has_each_sync_sample_until_the_next() {
    const S: i32 = 90_000;
    let a = recording(0, 2, &[(S, 5), (S, 6), (S, 7), (S, 8)]);
    let mut b = recording(1, 3, &[(S, 9), (S, 10), (S, 11), (S, 12)]);
    b.start.0 += 4 * i64::from(S) + 5; // Clocks differ a little.
    let mut c = recording(2, 9, &[(S, 13), (S, 14)]);
    c.start.0 += 60 * i64::from(S); // After a gap.
    let all = [a, b, c];
    let s = |n: u64| n * S as u64;
    let told = pictures(&all, &scrub(&all, 0));
    assert_eq!(
        told,
        [
            (0, 2 * S as u32, 5),
            (s(2), 2 * S as u32 + 5, 7),
            (s(4) + 5, 3 * S as u32, 9),
            (s(7) + 5, S as u32, 12),
            (s(60), 2 * S as u32, 13),
        ]
    );
    // One in three seconds at most.
    let told = pictures(&all, &scrub(&all, 3 * i64::from(S)));
    assert_eq!(
        told,
        [
            (0, 4 * S as u32 + 5, 5),
            (s(4) + 5, 3 * S as u32, 9),
            (s(7) + 5, S as u32, 12),
            (s(60), 2 * S as u32, 13),
        ]
    );
    assert_eq!(scrub(&all, 0).duration(), Duration90k(62 * i64::from(S)));
}

#[test]
fn a_scrub_stream_begins_before_its_span_and_ends_with_it() {
    let r = recording(0, 2, &[(100, 5), (100, 6), (100, 7), (100, 8), (100, 9)]);
    let of = |range: Range<i64>| {
        let mut scrub = Scrub::new(r.start + Duration90k(range.start), Duration90k::ZERO);
        let s = segment(&r, range).with_index(r.index.clone().into());
        scrub.add(&s).unwrap();
        pictures(std::slice::from_ref(&r), &scrub.finish(true).unwrap())
    };
    assert_eq!(of(250..300), [(0, 50, 7)]);
    assert_eq!(of(150..450), [(0, 50, 5), (50, 200, 7), (250, 50, 9)]);
    assert_eq!(of(400..500), [(0, 100, 9)]);
}

#[test]
fn what_cannot_be_scrubbed_is_refused() {
    let origin = Wall90k(0);
    let empty = Scrub::new(origin, Duration90k::ZERO).finish(true);
    assert_eq!(empty.unwrap_err(), Error::Empty);
    let r = recording(0, 1, &[(100, 5), (100, 6)]);
    let add = |s: Segment| Scrub::new(origin, Duration90k::ZERO).add(&s);
    assert!(add(whole(&r)).is_err());
    let with_index = || whole(&r).with_index(r.index.clone().into());
    assert!(add(with_index()).is_ok());
    let mut short = with_index();
    short.summary.sample_file_bytes = 10;
    assert!(add(short).unwrap_err().to_string().contains("more bytes"));
    assert!(add(with_index().with_index(r.index[..2].into())).is_err());
}

#[test]
fn a_scrub_stream_begins_anew_where_the_format_changes() {
    const S: i32 = 90_000;
    let mut all: Vec<Recording> = (0..4)
        .map(|i| recording(i, 2, &[(S, 5), (S, 6), (S, 7), (S, 8)]))
        .collect();
    for (r, i) in all.iter_mut().zip(0..) {
        r.start.0 += i * 4 * i64::from(S);
    }
    Arc::make_mut(&mut all[1].sample_entry).width = 9;
    Arc::make_mut(&mut all[2].sample_entry).width = 9;
    Arc::make_mut(&mut all[1].sample_entry).rfc6381_codec = "avc1.640028".into();
    Arc::make_mut(&mut all[2].sample_entry).rfc6381_codec = "avc1.640028".into();
    let whole_file = |every| {
        let mut scrub = Scrub::new(all[0].start, Duration90k(every));
        for r in &all {
            let s = whole(r).with_index(r.index.clone().into());
            scrub.add(&s).unwrap();
        }
        scrub.finish(true).unwrap()
    };
    let told = |file: &File| {
        let bytes = read(&all.iter().collect::<Vec<_>>(), file);
        let mut told = String::new();
        for (kind, content) in top(&bytes) {
            told += match kind.as_str() {
                "moof" => "p",
                "moov" if content == top(&read(&[], &File::init(&all[0].sample_entry)))[1].1 => "A",
                "moov" if content == top(&read(&[], &File::init(&all[1].sample_entry)))[1].1 => "B",
                "ftyp" | "mdat" => "",
                other => other,
            };
        }
        told
    };
    let file = whole_file(0);
    assert_eq!(told(&file), "AppBppppApp");
    assert_eq!(
        file.content_type(),
        r#"video/mp4; codecs="avc1.4d401e,avc1.640028""#
    );
    assert_eq!(pictures(&all, &file).len(), 8);
    // Where no picture of a format is left, nothing is said of it.
    assert_eq!(told(&whole_file(16 * i64::from(S) - 1)), "Ap");
    assert_eq!(told(&whole_file(12 * i64::from(S))), "App");
    assert_ne!(file.etag(), scrub(&all[..1], 0).etag());
}

#[test]
fn a_recording_is_cut_at_its_sync_samples() {
    let r = recording(0, 2, &[(10, 5), (11, 6), (12, 7), (10, 8), (10, 9)]);
    let told = |at_least| -> Vec<(i64, i64, Range<u32>, u32)> {
        let parts = sync_parts(&r.index, Duration90k(at_least)).unwrap();
        parts
            .into_iter()
            .map(|p| (p.range.start.0, p.duration().0, p.bytes, p.samples))
            .collect()
    };
    let each = [(0, 21, 0..11, 2), (21, 22, 11..26, 2), (43, 10, 26..35, 1)];
    assert_eq!(told(0), each);
    assert_eq!(told(21), each);
    assert_eq!(told(22), [(0, 43, 0..26, 4), (43, 10, 26..35, 1)]);
    assert_eq!(told(100), [(0, 53, 0..35, 5)]);
    assert!(sync_parts(&r.index[..2], Duration90k(0)).is_err());
    assert_eq!(sync_parts(&[0], Duration90k(0)).ok(), None);
    assert_eq!(sync_parts(&[], Duration90k(0)), Ok(vec![]));
    // The parts, as segments, are the samples told.
    for p in sync_parts(&r.index, Duration90k(0)).unwrap() {
        assert_eq!(p.decode_start, p.range.start, "nothing is reordered");
        let counted = Samples::of(r.id, &r.index, p.first..p.first + p.samples, 35).unwrap();
        assert_eq!(
            (counted.offset, counted.start, counted.duration()),
            (p.bytes.start, p.decode_start, p.duration())
        );
        let s = segment(&r, p.range.start.0..p.range.end.0);
        let s = s.with_index(r.index.clone().into());
        let file = File::media_segment(&[s], 0).unwrap();
        assert_eq!(file.leading_duration(), Duration90k::ZERO);
        assert_eq!(file.duration(), p.duration());
        let last = file.pieces(0..file.len()).last().unwrap();
        let range = u64::from(p.bytes.start)..u64::from(p.bytes.end);
        assert_eq!(last, Piece::Samples { segment: 0, range });
    }
}

#[test]
fn counted_samples_are_a_fragment_of_their_own() {
    let r = recording(7, 3, &[(10, 5), (11, 6), (12, 7), (10, 8), (10, 9)]);
    let s = summary(&r);
    let source = Source {
        id: s.id,
        dir: s.dir,
    };
    let some = |positions| Samples::of(r.id, &r.index, positions, s.sample_file_bytes);
    let file = |positions, decode_time| {
        let samples = some(positions).unwrap();
        File::counted(source, s.open, &s.sample_entry, &samples, decode_time).unwrap()
    };
    // It need not begin with a sync sample, and nothing comes ahead of it.
    let middle = file(1..4, 1 << 40);
    let bytes = read(&[&r], &middle);
    let kinds: Vec<String> = top(&bytes).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["styp", "moof", "mdat"]);
    assert_eq!(decode_times(&bytes), [1 << 40]);
    assert_eq!(middle.duration(), Duration90k(33));
    let data: Vec<u8> = (5..26).map(|at| Reader::sample_byte(r.id, at)).collect();
    assert_eq!(top(&bytes)[2].1, data);
    let whole = Reader::new([&r]);
    for range in [0..3, 40..90, middle.len() - 5..middle.len()] {
        let at = range.start as usize..range.end as usize;
        assert_eq!(whole.read(&middle, range), bytes[at]);
    }
    assert_eq!(some(1..4).unwrap().start, Duration90k(10));
    // Others have other tags.
    let tags = [(1..4, 0), (1..4, 1), (1..3, 0), (0..3, 0)].map(|(p, t)| file(p, t).etag);
    for (i, tag) in tags.iter().enumerate() {
        assert!(!tags[..i].contains(tag));
    }
    // What is not there is refused.
    let recording = r.id;
    for positions in [0..6, 5..6, 3..3] {
        let none = Err(Error::EmptySegment { recording });
        assert_eq!(some(positions), none);
    }
    assert!(matches!(some(0..MAX_SAMPLES + 1), Err(Error::TooLong(_))));
    assert!(Samples::of(r.id, &r.index, 0..5, 34).is_err());
    assert!(Samples::of(r.id, &r.index[..2], 0..5, 35).is_err());
}
