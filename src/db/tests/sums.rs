use super::*;
use crate::recording::index::{self, IndexEncoder, Reordering, Sample, Sums};
use tempfile::TempDir;

const MAIN: StreamId = StreamId(1);

/// An index of samples of (duration, composition offset).
pub(super) fn index_of(samples: &[(i32, i32)]) -> Vec<u8> {
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, false);
    for (i, &(duration_90k, composition_offset_90k)) in samples.iter().enumerate() {
        let sample = Sample {
            media_start_90k: 0, // Follows from the samples before.
            duration_90k,
            composition_offset_90k,
            offset: 0, // Likewise.
            bytes: 10,
            is_sync: i == 0,
        };
        encoder.add(&mut index, &sample);
    }
    index
}

/// Three recordings: plain, reordered, and one whose index is damaged.
fn three(db: &mut Database, open: OpenId) -> [Option<Sums>; 3] {
    let plain = index_of(&[(3000, 0), (3000, 0), (3001, 0)]);
    let reordered = index_of(&[(3000, 500), (3000, 6500), (3000, -2500)]);
    let recordings = [plain, reordered, vec![7; 9]].into_iter().zip(0..);
    let recordings = recordings.map(|(index, sequence)| {
        let r = Recording {
            index,
            ..recording(open, MAIN, sequence)
        };
        (DirId(1), r)
    });
    let all = Flush {
        recordings: recordings.collect(),
        ..Flush::default()
    };
    flush(db, all).unwrap();
    let reordering = Reordering {
        offset_runs: 3,
        presentation_duration_90k: 9001,
    };
    [
        Some(Sums {
            duration_runs: 2,
            reordering: None,
        }),
        Some(Sums {
            // The last is stretched to one unit after the second is presented.
            duration_runs: 2,
            reordering: Some(reordering),
        }),
        None,
    ]
}

fn summaries(db: &mut Database) -> Vec<Summary> {
    db.summaries(MAIN, &Which::Sequences(0..9), 9).unwrap()
}

#[test]
fn a_row_has_its_indexs_sums() {
    let (mut db, snapshot) = one_camera();
    let wanted = three(&mut db, snapshot.open);
    let told: Vec<_> = summaries(&mut db).into_iter().map(|s| s.sums).collect();
    assert_eq!(told, wanted);
    // Wrong ones are put right.
    db.connection
        .execute_batch("update recording set duration_runs = 77, composition_offsets = 0")
        .unwrap();
    for (sequence, wanted) in (0..).zip(wanted) {
        let id = RecordingId {
            stream: MAIN,
            sequence,
        };
        assert_eq!(db.sums(id).unwrap().unwrap().duration_runs, 77);
        db.recount(id).unwrap();
        assert_eq!(db.sums(id).unwrap(), wanted);
    }
}

#[test]
fn a_database_of_version_1_gets_them() {
    let temp = TempDir::new().unwrap();
    let mut db = Database::open(temp.path(), Mode::Create, 1).unwrap();
    let snapshot = start(&mut db, &["/a"], &[camera("driveway")]);
    let wanted = three(&mut db, snapshot.open);
    record(&mut db, snapshot.open, StreamId(2), 0..1100); // More than are counted at once.
    let good = index_of(&[(100, 0); 30]);
    db.connection
        .execute(
            "update recording_index set video_index = ?1 where id > 3",
            [&good],
        )
        .unwrap();
    let schema = |db: &Database| -> Vec<String> {
        let mut select = db
            .connection
            .prepare("select name from pragma_table_info('recording') order by name")
            .unwrap();
        let names = select.query_map([], |r| r.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    let columns = schema(&db);
    db.connection.execute_batch(UNDO_3).unwrap();
    db.connection
        .execute_batch(
            "alter table recording drop column duration_runs;
             alter table recording drop column offset_runs;
             alter table recording drop column presentation_duration_90k;
             update recording set composition_offsets = null;
             pragma user_version = 1;",
        )
        .unwrap();
    drop(db);

    assert!(matches!(
        Database::open(temp.path(), Mode::ReadWrite, 1),
        Err(Error::OldSchema { found: 1, .. })
    ));
    let mut filled = 0;
    let found = upgrade(temp.path(), &mut |p| {
        filled += u32::from(matches!(p, Progress::Filled { .. }));
    });
    assert_eq!(found.unwrap(), 1);
    assert_eq!(filled, 3);
    let mut db = Database::open(temp.path(), Mode::ReadWrite, 1).unwrap();
    assert_eq!(schema(&db), columns);
    let told: Vec<_> = summaries(&mut db).into_iter().map(|s| s.sums).collect();
    assert_eq!(told, wanted);
    let all = db
        .summaries(StreamId(2), &Which::Sequences(0..2000), 2000)
        .unwrap();
    assert_eq!(all.len(), 1100);
    assert!(all.iter().all(|s| s.sums == index::sums(&good).unwrap()));
}

#[test]
fn requests_read_what_was_recorded() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..3);
    let id = |sequence| RecordingId {
        stream: MAIN,
        sequence,
    };
    match db.handle(Request::Indexes(vec![id(2), id(7)])).unwrap() {
        Reply::Indexes(found) => {
            let index: Arc<[u8]> = vec![7; 3600].into();
            assert_eq!(found, [(id(2), Some(index)), (id(7), None)]);
        }
        other => panic!("{other:?}"),
    }
    let many = db.handle(Request::Indexes(vec![id(0); MAX_INDEXES + 1]));
    assert!(matches!(many, Err(Error::Invalid(_))));
    let spans = Request::Spans {
        stream: MAIN,
        from_sequence: 1,
        limit: 1,
    };
    match db.handle(spans).unwrap() {
        Reply::Spans(found) => assert_eq!(
            found,
            [Span {
                sequence: 1,
                start: TEN + MINUTE,
                wall_duration: MINUTE
            }]
        ),
        other => panic!("{other:?}"),
    }
    let gaps = Flush {
        gaps: (0..3)
            .map(|i| gap(MAIN, Wall90k(i * 10), Wall90k(i * 10 + 5), "off"))
            .collect(),
        ..Flush::default()
    };
    flush(&mut db, gaps.clone()).unwrap();
    let some = Request::Gaps {
        stream: MAIN,
        span: Wall90k(12)..Wall90k(99),
        limit: 1,
    };
    match db.handle(some).unwrap() {
        Reply::Gaps(found) => assert_eq!(found, gaps.gaps[1..2]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sample_entries_have_rows_before_their_recordings() {
    let (mut db, snapshot) = one_camera();
    let ask = |db: &mut Database, entry: &Arc<VideoSampleEntry>| match db
        .handle(Request::SampleEntryId(entry.clone()))
        .unwrap()
    {
        Reply::SampleEntryId(id) => id.unwrap(),
        other => panic!("{other:?}"),
    };
    let id = ask(&mut db, &sample_entry());
    record(&mut db, snapshot.open, MAIN, 0..1);
    assert_eq!(summaries(&mut db)[0].sample_entry_id, id);
    let other = Arc::new(VideoSampleEntry {
        width: 99,
        ..(*sample_entry()).clone()
    });
    assert_ne!(ask(&mut db, &other), id);
    let mut entry = |id| match db.handle(Request::SampleEntry(id)).unwrap() {
        Reply::SampleEntry(entry) => entry,
        other => panic!("{other:?}"),
    };
    assert_eq!(entry(id), Some(sample_entry()));
    assert_eq!(entry(99), None);
}
