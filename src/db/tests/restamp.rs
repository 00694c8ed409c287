use super::*;

const MAIN: StreamId = StreamId(1);

/// A recording made while the clock said `start`.
fn untrusted(open: OpenId, sequence: u32, start: Wall90k) -> (DirId, Recording) {
    let mut r = recording(open, MAIN, sequence);
    r.start = start;
    r.clock_untrusted = true;
    (DirId(1), r)
}

fn restamp(db: &mut Database, by: Duration90k) -> Flushed {
    flush(
        db,
        Flush {
            restamp: Some(by),
            ..Flush::default()
        },
    )
    .unwrap()
}

#[test]
fn what_was_made_in_1970_moves_and_is_trusted() {
    let (mut db, snapshot) = one_camera();
    let open = snapshot.open;
    let recordings = (0..3)
        .map(|s| untrusted(open, s, Wall90k(MINUTE.0 * i64::from(s))))
        .collect();
    let mut unset = gap(MAIN, Wall90k(3 * MINUTE.0), Wall90k(4 * MINUTE.0), "away");
    unset.clock_untrusted = true;
    // The same commit may bring recordings and move them.
    let all = Flush {
        recordings,
        gaps: vec![unset],
        restamp: Some(Duration90k(TEN.0)),
        ..Flush::default()
    };
    let flushed = flush(&mut db, all).unwrap();
    let expected: Vec<_> = (0..3)
        .map(|s| (s, TEN.0 + MINUTE.0 * i64::from(s), MINUTE.0))
        .collect();
    assert_eq!(placed(&db, MAIN), expected);
    assert_eq!(flushed.totals[0].1.first_start, Some(TEN));
    let gap: (i64, i64) = db
        .connection
        .query_row("select start_90k, clock_untrusted from gap", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    assert_eq!(gap, (TEN.0 + 3 * MINUTE.0, 0));
    // Once moved, it stays.
    restamp(&mut db, MINUTE);
    assert_eq!(placed(&db, MAIN), expected);
}

#[test]
fn only_this_open_moves() {
    let (mut db, snapshot) = one_camera();
    let old = Flush {
        recordings: vec![untrusted(snapshot.open, 0, Wall90k(0))],
        ..Flush::default()
    };
    flush(&mut db, old).unwrap();
    let now = start(&mut db, &["/a"], &[camera("driveway")]);
    let new = Flush {
        recordings: vec![untrusted(now.open, 1, Wall90k(0) + MINUTE)],
        restamp: Some(Duration90k(TEN.0)),
        ..Flush::default()
    };
    flush(&mut db, new).unwrap();
    let starts: Vec<i64> = placed(&db, MAIN).iter().map(|p| p.1).collect();
    assert_eq!(starts, [0, TEN.0 + MINUTE.0]);
}

#[test]
fn it_is_pushed_past_what_is_older() {
    let (mut db, snapshot) = one_camera();
    // Ten to two minutes past.
    record(&mut db, snapshot.open, MAIN, 0..2);
    let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
    let all = Flush {
        recordings: vec![
            untrusted(open, 2, Wall90k(0)),
            untrusted(open, 3, Wall90k(0) + MINUTE),
        ],
        // Half a minute too early.
        restamp: Some(Duration90k(TEN.0 + MINUTE.0 * 3 / 2)),
        ..Flush::default()
    };
    flush(&mut db, all).unwrap();
    assert_eq!(
        placed(&db, MAIN),
        [
            (0, TEN.0, MINUTE.0),
            (1, TEN.0 + MINUTE.0, MINUTE.0),
            (2, TEN.0 + 2 * MINUTE.0, MINUTE.0),
            (3, TEN.0 + 3 * MINUTE.0, MINUTE.0),
        ]
    );
}

#[test]
fn it_is_cut_before_what_is_newer_and_the_sums_follow() {
    let (mut db, snapshot) = one_camera();
    let open = snapshot.open;
    let mut trusted = recording(open, MAIN, 1);
    trusted.start = TEN + Duration90k(MINUTE.0 - 90);
    let all = Flush {
        recordings: vec![untrusted(open, 0, Wall90k(0)), (DirId(1), trusted)],
        restamp: Some(Duration90k(TEN.0)),
        ..Flush::default()
    };
    let flushed = flush(&mut db, all).unwrap();
    assert_eq!(placed(&db, MAIN)[0], (0, TEN.0, MINUTE.0 - 90));
    assert_eq!(flushed.totals[0].1.duration, Duration90k(2 * MINUTE.0 - 90));
}

#[test]
fn a_small_step_does_not_trip_over_itself() {
    let (mut db, snapshot) = one_camera();
    let recordings = (0..50)
        .map(|s| untrusted(snapshot.open, s, TEN + Duration90k(MINUTE.0 * i64::from(s))))
        .collect();
    let all = Flush {
        recordings,
        ..Flush::default()
    };
    flush(&mut db, all).unwrap();
    for by in [MINUTE.0 / 3, -MINUTE.0 / 3, 5 * MINUTE.0] {
        let mut copy = memory(2).unwrap();
        let open = start(&mut copy, &["/a"], &[camera("driveway")]).open;
        let recordings = (0..50)
            .map(|s| untrusted(open, s, TEN + Duration90k(MINUTE.0 * i64::from(s))))
            .collect();
        let all = Flush {
            recordings,
            restamp: Some(Duration90k(by)),
            ..Flush::default()
        };
        flush(&mut copy, all).unwrap();
        for ((s, start, duration), (_, before, _)) in
            placed(&copy, MAIN).into_iter().zip(placed(&db, MAIN))
        {
            assert_eq!((start, duration), (before + by, MINUTE.0), "{s}");
        }
    }
}

#[test]
fn nothing_ever_overlaps() {
    // Trusted recordings here and there, untrusted ones moved into their midst.
    for by in (-20..20).map(|n| n * MINUTE.0 / 4) {
        let (mut db, snapshot) = one_camera();
        let mut recordings = Vec::new();
        for s in 0..6 {
            recordings.push((DirId(1), recording(snapshot.open, MAIN, s)));
        }
        for s in 6..12 {
            let minute = Duration90k(i64::from(s) * MINUTE.0);
            recordings.push(untrusted(snapshot.open, s, TEN + minute));
        }
        for s in 12..15 {
            recordings.push((DirId(1), recording(snapshot.open, MAIN, s)));
        }
        let all = Flush {
            recordings,
            restamp: Some(Duration90k(by)),
            ..Flush::default()
        };
        flush(&mut db, all).unwrap();
        let mut spans: Vec<(i64, i64)> = placed(&db, MAIN)
            .iter()
            .filter(|p| p.2 > 0)
            .map(|p| (p.1, p.1 + p.2))
            .collect();
        spans.sort();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "by {by}: {pair:?}");
        }
    }
}

/// The stream's gaps, as the page would show them.
fn gaps(db: &Database) -> Vec<(i64, i64, GapCause)> {
    let ever = Wall90k(i64::MIN / 4)..Wall90k(i64::MAX / 4);
    let gaps = db.gaps(MAIN, &ever).unwrap();
    gaps.iter().map(|g| (g.start.0, g.end.0, g.cause)).collect()
}

#[test]
fn what_opens_when_it_moves_away_is_told() {
    let edge = TEN.0 + 2 * MINUTE.0;
    // The recorder's own line went on from the edge; with and without a gap told before it.
    for gap_90k in [0, 5 * 90_000] {
        let (mut db, snapshot) = one_camera();
        record(&mut db, snapshot.open, MAIN, 0..2);
        let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
        let gap = Gap {
            stream: MAIN,
            start: Wall90k(edge),
            end: Wall90k(edge + gap_90k),
            cause: GapCause::Crash,
            detail: "gone".to_owned(),
            clock_untrusted: true,
        };
        let all = Flush {
            recordings: vec![untrusted(open, 2, gap.end)],
            gaps: vec![gap],
            restamp: Some(Duration90k(MINUTE.0)),
            ..Flush::default()
        };
        flush(&mut db, all).unwrap();
        let begins = edge + gap_90k + MINUTE.0;
        assert_eq!(placed(&db, MAIN)[2], (2, begins, MINUTE.0));
        let cause = match gap_90k {
            0 => GapCause::Clock,
            _ => GapCause::Crash,
        };
        assert_eq!(gaps(&db), [(edge, begins, cause)]);
    }
}
