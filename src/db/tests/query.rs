//! Reading recordings and gaps by time.

use super::*;

fn minutes(n: i64) -> Duration90k {
    Duration90k(MINUTE.0 * n)
}

/// Recordings of the minutes 0, 1, 2 and 5, 6 after ten; why the two between are missing is noted.
fn with_a_hole() -> (Database, StreamId) {
    let (mut db, snapshot) = one_camera();
    let stream = snapshot.cameras[0].streams[0].id;
    let sequences = [0, 1, 2, 5, 6];
    let recordings = sequences.map(|s| (DirId(1), recording(snapshot.open, stream, s)));
    let gaps = vec![gap(
        stream,
        TEN + minutes(3),
        TEN + minutes(5),
        "it was gone",
    )];
    let request = Flush {
        recordings: recordings.to_vec(),
        gaps,
        ..Flush::default()
    };
    flush(&mut db, request).unwrap();
    (db, stream)
}

#[test]
fn recordings_are_found_by_time() {
    let (mut db, stream) = with_a_hole();
    let mut found = |from: i64, to: i64| -> Vec<u32> {
        let span = TEN + Duration90k(from)..TEN + Duration90k(to);
        let which = Which::Overlapping { span, after: None };
        let summaries = db.summaries(stream, &which, 9).unwrap();
        summaries.iter().map(|s| s.id.sequence).collect()
    };
    let m = MINUTE.0;
    assert_eq!(found(-m, 10 * m), [0, 1, 2, 5, 6]);
    assert_eq!(found(0, m), [0]);
    assert_eq!(found(m - 1, m + 1), [0, 1]);
    assert_eq!(found(2 * m + 5, 5 * m), [2]);
    assert_eq!(found(3 * m - 1, 5 * m + 1), [2, 5]);
    for (from, to) in [(-m, 0), (3 * m, 5 * m), (7 * m, 9 * m)] {
        assert_eq!(found(from, to), [0; 0], "{from}..{to}");
    }
    let all = Which::Sequences(0..9);
    let of_other = db.summaries(StreamId(stream.0 + 1), &all, 9);
    assert_eq!(of_other.unwrap(), []);
}

#[test]
fn gaps_and_what_is_nearest_are_found_by_time() {
    let (db, stream) = with_a_hole();
    let gap = gap(stream, TEN + minutes(3), TEN + minutes(5), "it was gone");
    let found = |from, to| db.gaps(stream, &(TEN + minutes(from)..TEN + minutes(to)));
    assert_eq!(found(4, 9).unwrap(), std::slice::from_ref(&gap));
    assert_eq!(found(0, 4).unwrap(), [gap]);
    assert_eq!(found(0, 3).unwrap(), []);
    assert_eq!(found(5, 9).unwrap(), []);

    let nearest = |at| {
        let (before, after) = db.nearest(stream, TEN + minutes(at)).unwrap();
        let minute = |t: Option<Wall90k>| t.map(|t| (t - TEN).0 / MINUTE.0);
        (minute(before), minute(after))
    };
    assert_eq!(nearest(-1), (None, Some(0)));
    assert_eq!(nearest(4), (Some(3), Some(5)));
    assert_eq!(nearest(9), (Some(7), None));
}
