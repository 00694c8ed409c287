use super::*;

const MAIN: StreamId = StreamId(1);
const SUB: StreamId = StreamId(2);

fn give_up(db: &mut Database, delete: Delete) -> Vec<Garbage> {
    flush(
        db,
        Flush {
            delete: vec![delete],
            ..Flush::default()
        },
    )
    .unwrap()
    .garbage
}

fn sequences(garbage: &[Garbage]) -> Vec<(i32, u32)> {
    garbage
        .iter()
        .map(|g| (g.id.stream.0, g.id.sequence))
        .collect()
}

#[test]
fn a_flush_counts_what_it_commits() {
    let (mut db, snapshot) = one_camera();
    let flushed = record(&mut db, snapshot.open, MAIN, 0..3);
    let (stream, totals) = flushed.totals[0];
    assert_eq!(stream, MAIN);
    assert_eq!(
        totals,
        StreamTotals {
            recordings: 3,
            sample_file_bytes: 3000,
            duration: Duration90k(3 * MINUTE.0),
            first_start: Some(TEN),
            last_end: Some(TEN + Duration90k(3 * MINUTE.0)),
        }
    );
    assert_eq!(flushed.totals[1], (SUB, StreamTotals::default()));
    // All of one kind share their sample entry's row.
    assert_eq!(count(&db, "video_sample_entry"), 1);
    let stream = &db.snapshot().unwrap().cameras[0].streams[0];
    assert_eq!(stream.next_sequence, 3);
    assert_eq!(stream.last_chain_hash, chain_hash(&db, MAIN, 2));
    assert_eq!(stream.totals, totals);
}

#[test]
fn a_second_commit_of_a_recording_is_refused_whole() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..2);
    let again = Flush {
        recordings: vec![
            (DirId(1), recording(snapshot.open, SUB, 0)),
            (DirId(1), recording(snapshot.open, MAIN, 1)),
        ],
        ..Flush::default()
    };
    let error = flush(&mut db, again).unwrap_err();
    assert!(
        matches!(error, Error::DuplicateRecording(id) if id == RecordingId { stream: MAIN, sequence: 1 }),
        "{error}"
    );
    assert_eq!(count(&db, "recording"), 2);
    assert_eq!(count(&db, "recording_index"), 2);
    // What was refused with it goes in by itself.
    record(&mut db, snapshot.open, SUB, 0..1);
}

#[test]
fn a_number_is_not_used_again_after_its_recording_was_given_up() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..1);
    give_up(
        &mut db,
        Delete::StreamBytes {
            stream: MAIN,
            bytes: 1,
        },
    );
    let again = Flush {
        recordings: vec![(DirId(1), recording(snapshot.open, MAIN, 0))],
        ..Flush::default()
    };
    assert!(matches!(
        flush(&mut db, again),
        Err(Error::DuplicateRecording(_))
    ));
}

#[test]
fn strangers_are_refused() {
    let (mut db, snapshot) = one_camera();
    let unknown_stream = Flush {
        recordings: vec![(DirId(1), recording(snapshot.open, StreamId(9), 0))],
        ..Flush::default()
    };
    assert!(matches!(
        flush(&mut db, unknown_stream),
        Err(Error::UnknownStream(StreamId(9)))
    ));
    let unknown_dir = Flush {
        recordings: vec![(DirId(9), recording(snapshot.open, MAIN, 0))],
        ..Flush::default()
    };
    assert!(matches!(
        flush(&mut db, unknown_dir),
        Err(Error::UnknownDir(DirId(9)))
    ));
    let mut fresh = memory(1).unwrap();
    assert!(matches!(
        flush(&mut fresh, Flush::default()),
        Err(Error::NotStarted)
    ));
}

#[test]
fn what_a_directory_brings_of_an_unknown_open_is_taken_in() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, OpenId(snapshot.open.0 + 40), MAIN, 5..6);
    assert_eq!(
        db.snapshot().unwrap().cameras[0].streams[0].next_sequence,
        6
    );
}

#[test]
fn bytes_are_freed_oldest_first_and_the_files_are_told_until_unlinked() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..4);
    let garbage = give_up(
        &mut db,
        Delete::StreamBytes {
            stream: MAIN,
            bytes: 1001,
        },
    );
    assert_eq!(sequences(&garbage), [(1, 0), (1, 1)]);
    let first = (TEN, TEN + MINUTE);
    assert_eq!(garbage[0].time, Some(first));
    // Only what deletes them knows when they were.
    let later: Vec<Garbage> = garbage
        .iter()
        .map(|g| Garbage { time: None, ..*g })
        .collect();
    assert_eq!(db.snapshot().unwrap().garbage, later);
    let totals = db.snapshot().unwrap().cameras[0].streams[0].totals;
    assert_eq!((totals.recordings, totals.sample_file_bytes), (2, 2000));
    assert_eq!(totals.first_start, Some(TEN + Duration90k(2 * MINUTE.0)));
    let unlinked = Flush {
        unlinked: garbage.iter().map(|g| g.id).collect(),
        ..Flush::default()
    };
    flush(&mut db, unlinked).unwrap();
    assert_eq!(db.snapshot().unwrap().garbage, []);
    assert_eq!(count(&db, "recording_index"), 2);
}

#[test]
fn days_are_kept_by_the_recordings_end() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..4);
    let before = TEN + Duration90k(2 * MINUTE.0);
    let garbage = give_up(
        &mut db,
        Delete::StreamBefore {
            stream: MAIN,
            before,
        },
    );
    assert_eq!(sequences(&garbage), [(1, 0), (1, 1)]);
    let none = give_up(
        &mut db,
        Delete::StreamBefore {
            stream: MAIN,
            before,
        },
    );
    assert_eq!(none, []);
}

#[test]
fn a_recording_of_1970_among_others_does_not_go_before_its_elders() {
    let (mut db, snapshot) = one_camera();
    let mut odd = recording(snapshot.open, MAIN, 1);
    odd.start = Wall90k(0);
    let recordings = vec![
        (DirId(1), recording(snapshot.open, MAIN, 0)),
        (DirId(1), odd),
    ];
    flush(
        &mut db,
        Flush {
            recordings,
            ..Flush::default()
        },
    )
    .unwrap();
    assert_eq!(
        give_up(
            &mut db,
            Delete::StreamBefore {
                stream: MAIN,
                before: TEN
            }
        ),
        []
    );
}

#[test]
fn a_directory_gives_up_the_oldest_of_all_its_streams() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..3);
    record(&mut db, snapshot.open, SUB, 0..3);
    let garbage = give_up(
        &mut db,
        Delete::DirBytes {
            dir: DirId(1),
            bytes: 4000,
        },
    );
    assert_eq!(sequences(&garbage).len(), 4);
    let mut both = sequences(&garbage);
    both.sort();
    assert_eq!(both, [(1, 0), (1, 1), (2, 0), (2, 1)]);
    // Wanting more than there is takes what there is.
    let rest = give_up(
        &mut db,
        Delete::DirBytes {
            dir: DirId(1),
            bytes: i64::MAX,
        },
    );
    assert_eq!(rest.len(), 2);
    assert_eq!(count(&db, "recording"), 0);
}

#[test]
fn a_directory_gives_up_only_its_own() {
    let mut db = memory(1).unwrap();
    let snapshot = start(&mut db, &["/a", "/b"], &[camera("driveway")]);
    let recordings = (0..6)
        .map(|s| (DirId(1 + (s / 3) as i32), recording(snapshot.open, MAIN, s)))
        .collect();
    let all = Flush {
        recordings,
        ..Flush::default()
    };
    flush(&mut db, all).unwrap();
    let garbage = give_up(
        &mut db,
        Delete::DirBytes {
            dir: DirId(2),
            bytes: 1500,
        },
    );
    assert_eq!(sequences(&garbage), [(1, 3), (1, 4)]);
    assert!(garbage.iter().all(|g| g.dir == DirId(2)));
    let garbage = give_up(
        &mut db,
        Delete::StreamBytes {
            stream: MAIN,
            bytes: i64::MAX,
        },
    );
    assert_eq!(sequences(&garbage), [(1, 0), (1, 1), (1, 2), (1, 5)]);
}

#[test]
fn a_flush_gives_up_a_bounded_number() {
    let (mut db, snapshot) = one_camera();
    let many = MAX_DELETED_PER_FLUSH as u32 + 10;
    let recordings = (0..many)
        .map(|s| {
            let mut r = recording(snapshot.open, MAIN, s);
            r.index.truncate(4);
            (DirId(1), r)
        })
        .collect();
    let all = Flush {
        recordings,
        ..Flush::default()
    };
    flush(&mut db, all).unwrap();
    let everything = Delete::StreamBytes {
        stream: MAIN,
        bytes: i64::MAX,
    };
    assert_eq!(give_up(&mut db, everything).len(), MAX_DELETED_PER_FLUSH);
    assert_eq!(give_up(&mut db, everything).len(), 10);
}

#[test]
fn a_gap_that_goes_on_stays_one_and_empty_ones_are_left_out() {
    let (mut db, snapshot) = one_camera();
    let (a, b, c) = (TEN, TEN + MINUTE, TEN + Duration90k(2 * MINUTE.0));
    let gaps = Flush {
        gaps: vec![
            gap(MAIN, a, b, "no answer"),
            gap(MAIN, b, c, "no answer"),
            gap(MAIN, c, c, "nothing"),
            gap(MAIN, c, c + MINUTE, "refused"),
            gap(SUB, a, b, "no answer"),
        ],
        ..Flush::default()
    };
    flush(&mut db, gaps).unwrap();
    let all: Vec<(i32, i64, i64)> = db
        .connection
        .prepare("select stream_id, start_90k, end_90k from gap order by stream_id, start_90k")
        .unwrap()
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(
        all,
        [(1, a.0, c.0), (1, c.0, (c + MINUTE).0), (2, a.0, b.0)]
    );
    // They go with the recordings around them.
    record(&mut db, snapshot.open, MAIN, 5..7);
    give_up(
        &mut db,
        Delete::StreamBytes {
            stream: MAIN,
            bytes: 1,
        },
    );
    assert_eq!(count(&db, "gap"), 1);
}
