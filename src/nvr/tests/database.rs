//! A database that refuses, hangs and comes back.

use super::*;

#[test]
fn a_last_commit_that_fails_is_tried_again() {
    let mut board = Board::ready(&[URL], 1);
    board.refuses = Some(|| db::Error::Full);
    board.tell(Event::Shutdown);
    board.pass(10);
    board.answer_all();
    board.refuses = None;
    board.pass(6_000);
    assert!(board.flushes.last().unwrap().clean_shutdown);
    assert!(board.actions.iter().any(|a| matches!(a, Action::Exit)));
}

#[test]
fn a_recording_that_the_database_can_never_take_holds_up_no_other() {
    let mut board = Board::ready(&[URL], 1);
    board.frame(&[1], 1_000);
    board.reload(config(&[OTHER_URL], 1));
    for _ in 0..2 {
        board.pass(1_000);
        board.answer_all();
    }
    let id = board.nvr.commit.pending().next().unwrap().1.id;
    assert_eq!((id.stream, id.sequence), (StreamId(1), 0));
    board.refuses = Some(|| {
        db::Error::DuplicateRecording(crate::recording::RecordingId {
            stream: StreamId(1),
            sequence: 0,
        })
    });
    board.pass(60_000);
    assert_eq!(board.flushes.last().unwrap().recordings.len(), 1);
    assert_eq!(board.nvr.commit.pending().count(), 0);
    board.refuses = None;
    board.pass(6_000);
    assert!(board.nvr.commit.trouble().is_none());
}

#[test]
fn gaps_are_bounded_while_the_database_hangs() {
    let mut board = Board::ready(&[URL], 1);
    board.no_camera();
    board.hanging = Some(Vec::new());
    let start = board.now.wall;
    for n in 0..6_000 {
        board.pass(1_000);
        let cause = [GapCause::Camera, GapCause::Network][n % 2];
        board
            .nvr
            .with_stream(board.now, StreamId(1), |_, cx, rec, dir| {
                rec.stop(cx, dir, cause, "it is gone");
                Ok(())
            });
        assert!(board.recorder(1).gaps_waiting() == 0);
    }
    board.database_is_back();
    board.pass(60_000);
    let gaps = board.flushes.iter().flat_map(|f| &f.gaps);
    let gaps: Vec<&Gap> = gaps.collect();
    let most = board.flushes.iter().map(|f| f.gaps.len()).max();
    assert_eq!(most, Some(super::commit::MAX_GAPS));
    // None of the time is left out.
    let told: i64 = gaps.iter().map(|g| (g.end - g.start).0).sum();
    assert_eq!(told, (gaps.last().unwrap().end - gaps[0].start).0);
    assert!(gaps[0].start <= start);
}

#[test]
fn a_configuration_that_the_database_does_not_take_is_tried_again() {
    let mut board = Board::ready(&[URL], 1);
    board.refuses = Some(|| db::Error::Full);
    board.reload(config(&[URL, OTHER_URL], 1));
    board.pass(5_000);
    board.pass(5_000);
    assert_eq!(board.lines("configuration").len(), 1);
    assert_eq!(board.nvr.streams.len(), 1);
    board.refuses = None;
    board.pass(5_000);
    assert_eq!(board.nvr.streams.len(), 2);
    let last = board.lines("configuration").pop().unwrap().to_owned();
    assert_eq!(last, "the changed configuration is in force");

    // One that comes while the database still begins is not lost.
    let mut board = Board::new(Nvr::new(Config::default(), 1));
    assert_eq!(board.nvr.phase, Phase::Running);
    board = Board {
        nvr: Nvr::new(config(&[URL], 1), 1),
        hanging: Some(Vec::new()),
        actions: VecDeque::new(),
        ..board
    };
    board.tell(Event::Timeout);
    assert_eq!(board.nvr.phase, Phase::Starting);
    board.reload(config(&[URL, OTHER_URL], 1));
    board.database_is_back();
    board.pass(10);
    assert_eq!(board.nvr.streams.len(), 2);
}

#[test]
fn gaps_that_follow_one_another_cost_one() {
    let mut commit = Commit::new(Monotonic(0));
    let gap = |n: i64, detail: &str| Gap {
        stream: StreamId(n as i32 % 2),
        start: Wall90k(n / 2 * 100),
        end: Wall90k(n / 2 * 100 + 100),
        clock_untrusted: false,
        cause: GapCause::Camera,
        detail: detail.to_owned(),
    };
    (0..1_000).for_each(|n| commit.add_gap(gap(n, "away")));
    (1_000..1_002).for_each(|n| commit.add_gap(gap(n, "refused")));
    // With too many waiting, the reason that was first stands for what follows.
    (1_002..100_000).for_each(|n| commit.add_gap(gap(n, &format!("{}", n / 2))));
    let mut out = Outbox::default();
    commit.begin(
        &mut out,
        Monotonic(0),
        Wall90k(0),
        Vec::new(),
        Vec::new(),
        None,
        false,
    );
    let Some(Action::Db { request, .. }) = out.pop() else {
        panic!()
    };
    let Request::Flush(flush) = request else {
        panic!()
    };
    assert!(flush.gaps.len() <= 4_001, "{}", flush.gaps.len());
    assert_eq!(flush.gaps[0].end, Wall90k(500 * 100));
    for stream in [0, 1] {
        let ours = flush.gaps.iter().filter(|g| g.stream == StreamId(stream));
        let told: i64 = ours.map(|g| (g.end - g.start).0).sum();
        assert_eq!(told, 50_000 * 100);
    }
}
