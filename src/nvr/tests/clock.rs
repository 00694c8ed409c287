//! Clocks that are not set, are set, or run wrong.

use super::*;

#[test]
fn by_how_much_the_clock_was_set_is_committed_at_once() {
    let board = Board::ready(&[URL], 1);
    let right = board.now.wall;
    let mut board = board.restarted(Wall90k::from_unix_secs(30));
    board.answer_all();
    board.no_camera();
    board.frame(&[1], 1_000);
    assert!(!board.nvr.clock.as_ref().unwrap().is_trusted());
    board.now.wall = right + Duration90k::from_secs(100);
    let flushes = board.flushes.len();
    for _ in 0..30 {
        board.frame(&[1], 1_000);
        board.answer_all();
    }
    let moves = board.flushes.iter().map(|f| f.restamp);
    let moves: Vec<_> = moves.skip(flushes).collect();
    assert!(matches!(moves[..], [Some(_)]), "{moves:?}");
}

#[test]
fn nothing_goes_on_in_the_time_of_before_the_clock_was_set() {
    let board = Board::ready(&[URL], 1);
    let right = board.now.wall;
    let mut board = board.restarted(Wall90k::from_unix_secs(30));
    board.answer_all();
    board.no_camera();
    board.frame(&[1], 1_000);
    board.now.wall = right + Duration90k::from_secs(100);
    // The picture changes with the very sync sample that begins the new run.
    board.picture_width = 32;
    board.frame(&[1], 1_000);
    assert!(!board.recorder(1).has_untrusted());
    let flushes = board.flushes.len();
    board.tell(Event::Shutdown);
    board.pass(10);
    board.answer_all();
    let recordings = board
        .flushes
        .iter()
        .skip(flushes)
        .flat_map(|f| &f.recordings);
    let newest = recordings
        .map(|(_, r)| r)
        .max_by_key(|r| r.id.sequence)
        .unwrap();
    assert!(
        !newest.clock_untrusted && newest.start > right,
        "{}",
        newest.start
    );
    assert_eq!(newest.run_offset, 0);
}

#[test]
fn what_an_earlier_start_could_not_move_comes_after_what_it_did() {
    let mut board = Board::ready(&[URL], 1);
    board.no_camera();
    let (open, start) = (board.nvr.open.unwrap(), board.now.wall);
    for _ in 0..3 {
        board.frame(&[1], 1_000);
    }
    board.tell(Event::Shutdown);
    board.pass(10);
    board.answer_all();
    let (_, first) = board.flushes.last().unwrap().recordings[0].clone();
    let end = first.start + first.wall_duration;
    // Its clock was set while the disk was away.
    let mut board = board.restarted(start + Duration90k::from_secs(60));
    let unset = Wall90k::from_unix_secs(1_704_067_200);
    let mut late = recording(open, 1, unset, Duration90k::from_secs(5));
    late.clock_untrusted = true;
    board.recovers = vec![late];
    board.answer_all();
    let (_, late) = board.flushes.last().unwrap().recordings[0].clone();
    assert_eq!((late.id.sequence, late.start), (1, end));
}

#[test]
fn a_camera_whose_clock_is_wrong_loses_no_frame() {
    for fast in [true, false] {
        let mut board = Board::ready(&[URL], 1);
        board.no_camera();
        let frames = 1_000;
        for n in 0..frames {
            board.pass(100);
            let ticks = if fast { 11_000 } else { 7_000 };
            board.sample(&[1], 100, n * ticks, n % 20 == 0);
            board.answer_all();
        }
        board.tell(Event::Shutdown);
        for _ in 0..3 {
            board.pass(1_000);
            board.answer_all();
        }
        let recordings = board.flushes.iter().flat_map(|f| &f.recordings);
        let recordings: Vec<_> = recordings.map(|(_, r)| r).collect();
        let samples: u32 = recordings.iter().map(|r| r.video_samples).sum();
        assert_eq!(i64::from(samples), frames);
        let runs = recordings.iter().filter(|r| r.run_offset == 0).count();
        assert!(runs > 2, "{runs}");
    }
}
