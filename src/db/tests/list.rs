use super::*;
use std::ops::ControlFlow;

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

    let mut all = Vec::new();
    db.list(MAIN, &(at(0)..at(9)), &mut |listed| {
        all.push(listed);
        ControlFlow::Continue(())
    })
    .unwrap();
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
    let entry = db.sample_entry(all[0].sample_entry_id).unwrap().unwrap();
    assert_eq!(entry, *sample_entry());
    assert_eq!(db.sample_entry(77).unwrap(), None);
    // By number it is the same.
    assert_eq!(db.list_by_sequence(MAIN, 1..3, 9).unwrap(), all[1..3]);
    assert_eq!(db.list_by_sequence(MAIN, 0..9, 2).unwrap(), all[..2]);
}

#[test]
fn a_list_ends_where_its_reader_wants() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..5);
    let mut seen = 0;
    db.list(MAIN, &(at(1)..at(9)), &mut |_| {
        seen += 1;
        match seen {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })
    .unwrap();
    assert_eq!(seen, 2);
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
    let found = |from, to| -> Vec<u32> {
        let mut listed = Vec::new();
        db.list(MAIN, &(from..to), &mut |l| {
            listed.push(l.id.sequence);
            ControlFlow::Continue(())
        })
        .unwrap();
        let full = db.recordings(MAIN, &(from..to)).unwrap();
        let full: Vec<u32> = full.iter().map(|(_, r)| r.id.sequence).collect();
        assert_eq!(listed, full);
        listed
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
    assert_eq!(found, recording(snapshot.open, StreamId(2), 7));
    let before = RecordingId { sequence: 6, ..id };
    assert_eq!(db.recording(before).unwrap(), None);
}
