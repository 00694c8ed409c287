use super::*;
use crate::recording::chain;

const MAIN: StreamId = StreamId(1);

fn at(minute: i64) -> Wall90k {
    TEN + Duration90k(minute * MINUTE.0)
}

#[test]
fn a_list_tells_each_recordings_place() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..3);
    let mut second_run = recording(snapshot.open, MAIN, 3);
    second_run.run_offset = 0;
    second_run.end_reason = "the camera went away".to_owned();
    let more = Flush {
        recordings: vec![(DirId(1), second_run)],
        ..Flush::default()
    };
    flush(&mut db, more).unwrap();

    let all = db.summaries(MAIN, &within(at(0), at(9)), 9).unwrap();
    let places: Vec<_> = all
        .iter()
        .map(|l| (l.id.sequence, l.prev_media_duration.0, l.prev_runs))
        .collect();
    let each = MINUTE.0 + 17;
    assert_eq!(
        places,
        [(0, 0, 0), (1, each, 1), (2, 2 * each, 1), (3, 3 * each, 1)]
    );
    assert_eq!(all[3].end_reason, "the camera went away");
    assert_eq!(all[3].end(), at(4));
    assert_eq!(all[0].sample_entry, sample_entry());
    // By number it is the same.
    assert_eq!(by_number(&mut db, 1..3, 9), all[1..3]);
    assert_eq!(by_number(&mut db, 0..9, 2), all[..2]);
    // In pages likewise.
    let mut pages = Vec::new();
    while pages.len() < all.len() {
        let span = at(0)..at(9);
        let after = pages.last().map(After::from);
        let page = db.summaries(MAIN, &Which::Overlapping { span, after }, 1);
        pages.extend(page.unwrap());
    }
    assert_eq!(pages, all);
}

fn within(from: Wall90k, to: Wall90k) -> Which {
    let after = None;
    Which::Overlapping {
        span: from..to,
        after,
    }
}

fn by_number(db: &mut Database, range: std::ops::Range<u32>, limit: usize) -> Vec<Summary> {
    db.summaries(MAIN, &Which::Sequences(range), limit).unwrap()
}

#[test]
fn one_of_no_duration_is_found_and_hides_nothing() {
    let (mut db, snapshot) = one_camera();
    let mut short = recording(snapshot.open, MAIN, 1);
    short.start = at(0) + Duration90k(MINUTE.0 / 2);
    short.wall_duration = Duration90k::ZERO;
    let both = Flush {
        recordings: vec![
            (DirId(1), recording(snapshot.open, MAIN, 0)),
            (DirId(1), short.clone()),
        ],
        ..Flush::default()
    };
    flush(&mut db, both).unwrap();
    let mut found = |from, to| -> Vec<u32> {
        let listed = db.summaries(MAIN, &within(from, to), 9).unwrap();
        listed.iter().map(|s| s.id.sequence).collect()
    };
    assert_eq!(found(at(0), at(1)), [0, 1]);
    assert_eq!(found(short.start, at(1)), [0, 1]);
    assert_eq!(found(short.start + Duration90k(1), at(1)), [0]);
    assert_eq!(found(at(0), short.start), [0]);
}

#[test]
fn all_recordings_are_read_in_pages() {
    let (mut db, snapshot) = one_camera();
    assert_eq!(db.recordings_after(None, 2).unwrap(), []);
    record(&mut db, snapshot.open, MAIN, 0..5);
    record(&mut db, snapshot.open, StreamId(2), 7..9);
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = db.recordings_after(after, 2).unwrap();
        let Some((_, last)) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.id);
        seen.extend(page.iter().map(|(_, r)| (r.id.stream.0, r.id.sequence)));
    }
    assert_eq!(
        seen,
        [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 7), (2, 8)]
    );
    let id = RecordingId {
        stream: StreamId(2),
        sequence: 7,
    };
    let (dir, found) = db.recording(id).unwrap().unwrap();
    assert_eq!(dir, DirId(1));
    let expected = Recording {
        // It is the first of its stream that came in.
        chain_hash: chain::hash(&[0; 32], &found),
        ..recording(snapshot.open, StreamId(2), 7)
    };
    assert_eq!(found, expected);
    let before = RecordingId { sequence: 6, ..id };
    assert_eq!(db.recording(before).unwrap(), None);
}
