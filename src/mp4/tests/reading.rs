//! Whatever a file is made of and however it is read, its bytes are the same.

use super::*;
use jiff::tz::TimeZone;

/// Files of all kinds of some recordings, the third of which is reordered.
fn files(recordings: &[Recording]) -> Vec<File> {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let mut segments: Vec<Segment> = recordings.iter().map(whole).collect();
    segments.insert(1, segment(&recordings[0], 3_000..9_500));
    segments.push(segment(&recordings[1], 100..i64::MAX));
    let start = recordings[0].start;
    let scrub = |changes: bool| {
        let mut scrub = Scrub::new(start, Duration90k::ZERO);
        for (r, i) in recordings.iter().zip(0..) {
            let mut s = whole(r).with_index(r.index.clone().into());
            if changes {
                Arc::make_mut(&mut s.summary.sample_entry).width += i % 2;
            }
            scrub.add(&s).unwrap();
        }
        scrub.finish(true).unwrap()
    };
    vec![
        File::movie(&segments, None).unwrap(),
        File::movie(&segments[..2], None).unwrap(),
        File::movie(&segments, Some(&zone)).unwrap(),
        File::media_segment(&segments, 77).unwrap(),
        File::media_segment(&segments[..1], 0).unwrap(),
        File::init(&recordings[0].sample_entry),
        scrub(false),
        scrub(true),
    ]
}

#[test]
fn whose_samples_are_in_it() {
    let recordings = recordings(3);
    for file in files(&recordings) {
        for r in &recordings {
            let found = (0..file.segments()).any(|i| file.source(i).id == r.id);
            assert_eq!(file.has(r.id), found, "{}", r.id);
        }
        let other = RecordingId {
            stream: StreamId(2),
            ..recordings[0].id
        };
        assert!(!file.has(other));
    }
}

fn recordings(seed: u64) -> Vec<Recording> {
    let mut random = Pcg32::seed_from_u64(seed);
    (0..5)
        .map(|i| {
            let mut r = loop {
                let r = any_recording(&mut random, i == 2);
                if r.media_duration.0 > 10_000 {
                    break r;
                }
            };
            r.id.sequence = i;
            r.start.0 += i64::from(i) * 200_000;
            r
        })
        .collect()
}

#[test]
fn ranges_are_the_whole_files_bytes() {
    for seed in 0..20 {
        let recordings = recordings(seed);
        let reader = Reader::new(&recordings);
        let mut random = Pcg32::seed_from_u64(seed + 100);
        for (kind, file) in files(&recordings).iter().enumerate() {
            let bytes = reader.read(file, 0..file.len());
            assert_eq!(bytes.len() as u64, file.len(), "seed {seed} kind {kind}");
            for _ in 0..100 {
                let a = random.next_u64() % (file.len() + 3);
                let b = a + random.next_u64() % 500;
                let [from, to] = [a, b].map(|at| at.min(file.len()) as usize);
                let told = format!("seed {seed} kind {kind}, {a}..{b}");
                assert_eq!(reader.read(file, a..b), bytes[from..to], "{told}");
            }
            for at in 0..file.len() {
                let one = reader.read(file, at..at + 1);
                assert_eq!(
                    one,
                    bytes[at as usize..][..1],
                    "seed {seed} kind {kind} {at}"
                );
            }
            assert!(file.piece(file.len()..u64::MAX).is_none());
            let (from, to) = (5, 3);
            assert!(file.piece(from..to).is_none());
        }
    }
}

#[test]
fn boxes_fill_the_file_and_the_account_tells_them() {
    let recordings = recordings(1);
    let reader = Reader::new(&recordings);
    for (kind, file) in files(&recordings).iter().enumerate() {
        let bytes = reader.read(file, 0..file.len());
        let mut kinds = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            kinds.push(String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap());
            at += len as usize;
        }
        assert_eq!(at, bytes.len(), "kind {kind}: {kinds:?}");
        let account: Vec<String> = file.account().collect();
        let account = account.join("\n");
        for k in &kinds {
            let fragment = matches!(k.as_str(), "moof" | "mdat") && kind > 2;
            assert!(
                fragment || account.contains(k),
                "kind {kind}: {k} {account}"
            );
        }
        assert!(account.contains(file.etag()));
        assert!(account.contains(&format!("{} bytes", file.len())));
    }
}

#[test]
fn indexes_are_wanted_in_the_order_of_their_use() {
    let recordings = recordings(2);
    for file in files(&recordings) {
        let mut random = Pcg32::seed_from_u64(3);
        for _ in 0..50 {
            let a = random.next_u64() % file.len();
            let b = a + random.next_u64() % (file.len() - a);
            let mut used: Vec<RecordingId> = Vec::new();
            for piece in file.pieces(a..b) {
                if let Piece::Table(part) = piece {
                    if !used.contains(&part.recording) {
                        used.push(part.recording);
                    }
                }
            }
            assert_eq!(file.indexes_wanted(a..b, 99), used, "{a}..{b}");
            used.truncate(2);
            assert_eq!(file.indexes_wanted(a..b, 2), used, "{a}..{b}");
        }
    }
}

#[test]
fn another_index_than_that_of_the_layout_is_refused() {
    let r = recording(7, 3, &[(3_000, 5), (3_000, 6), (3_000, 7), (2_000, 8)]);
    let others = [
        recording(7, 3, &[(3_000, 5), (3_000, 6), (3_000, 7)]),
        recording(7, 3, &[(3_000, 5), (3_000, 6), (3_000, 7), (2_000, 9)]),
        recording(7, 1, &[(3_000, 5), (3_000, 6), (3_000, 7), (2_000, 8)]),
        recording(7, 3, &[(6_000, 5), (6_000, 6), (3_000, 7), (2_000, 8)]),
    ];
    let movie = File::movie(&[whole(&r)], None).unwrap();
    let fragment = File::media_segment(&[whole(&r)], 0).unwrap();
    for file in [&movie, &fragment] {
        for piece in file.pieces(0..file.len()) {
            let Piece::Table(part) = piece else { continue };
            assert!(file.table(&part, &r.index).is_ok());
            for (i, other) in others.iter().enumerate() {
                let told = file.table(&part, &other.index).unwrap_err().to_string();
                assert_eq!(
                    told, "recording 1/7: its index does not agree with its row",
                    "{part:?} of {i}"
                );
            }
            assert!(file.table(&part, &[]).is_err());
            assert!(file.table(&part, &r.index[..4]).is_err());
        }
    }
}

#[test]
fn a_row_that_tells_of_too_many_samples_costs_no_memory() {
    let r = recording(7, 3, &[(3_000, 5), (3_000, 6)]);
    let mut lies = whole(&r);
    lies.summary.video_samples = u32::MAX / 2;
    lies.summary.sample_file_bytes = u32::MAX / 2;
    lies.summary.media_duration = Duration90k(i64::from(u32::MAX / 2));
    let file = File::media_segment(&[lies], 0).unwrap();
    let table = file.pieces(0..file.len()).find_map(|piece| match piece {
        Piece::Table(part) => Some(part),
        _ => None,
    });
    let told = file
        .table(&table.unwrap(), &r.index)
        .unwrap_err()
        .to_string();
    assert_eq!(told, "recording 1/7: its index does not agree with its row");
}

#[test]
fn a_recording_that_has_grown_gives_the_same_bytes() {
    let samples = [(3_000, 5), (3_100, 6), (2_900, 7), (3_000, 8), (2_950, 9)];
    let grown = recording(3, 2, &samples);
    // The newest sample's duration was a guess.
    let mut then = samples[..4].to_vec();
    then[3].0 = 2_900;
    let then = recording(3, 2, &then);
    let segments = [whole(&then), segment(&then, 4_000..i64::MAX)];
    for file in [
        File::movie(&segments, None).unwrap(),
        File::media_segment(&segments, 0).unwrap(),
    ] {
        let before = Reader::new([&then]).read(&file, 0..file.len());
        let after = Reader::new([&grown]).read(&file, 0..file.len());
        assert!(before == after);
    }
}

#[test]
fn tags_tell_files_apart() {
    let recordings = recordings(4);
    let r = &recordings[0];
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let lisbon = TimeZone::get("Europe/Lisbon").unwrap();
    let movie = |segments: &[Segment], zone| File::movie(segments, zone).unwrap();
    let mut later = whole(r);
    later.summary.start.0 += 90_000;
    let mut other_open = whole(r);
    other_open.summary.open.0 += 1;
    let mut other_entry = whole(r);
    Arc::make_mut(&mut other_entry.summary.sample_entry)
        .avcc
        .push(9);
    let scrub = |every, with_init| {
        let mut scrub = Scrub::new(r.start, Duration90k(every));
        scrub
            .add(&whole(r).with_index(r.index.clone().into()))
            .unwrap();
        scrub.finish(with_init).unwrap()
    };
    let different = [
        movie(&[whole(r)], None),
        movie(&[whole(r), whole(r)], None),
        movie(&[whole(&recordings[1])], None),
        movie(&[segment(r, 0..r.media_duration.0 - 1)], None),
        movie(&[segment(r, 1..i64::MAX)], None),
        movie(&[later], None),
        movie(&[other_open], None),
        movie(&[other_entry], None),
        movie(&[whole(r)], Some(&berlin)),
        movie(&[whole(r)], Some(&lisbon)),
        File::media_segment(&[whole(r)], 0).unwrap(),
        File::media_segment(&[whole(r)], 1).unwrap(),
        File::init(&r.sample_entry),
        scrub(0, true),
        scrub(0, false),
        scrub(1 << 40, true),
    ];
    let mut tags: Vec<&str> = different.iter().map(File::etag).collect();
    for tag in &tags {
        assert!(
            tag.len() == 34 && tag.starts_with('"') && tag.ends_with('"'),
            "{tag}"
        );
    }
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), different.len());
    // What gives the same bytes has the same tag, whether it was laid out by sums or by its index.
    let mut by_index = whole(r).with_index(r.index.clone().into());
    by_index.summary.sums = None;
    assert_eq!(movie(&[by_index], None).etag(), different[0].etag());
}
