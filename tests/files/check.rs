//! `moonfire-nvr check`: it finds what was damaged, mends what can be mended, and then finds nothing.

use crate::footage::{FRAME, Footage, Frame, GOP};
use crate::recorder::{Recorder, TEN, Told, names};
use moonfire_nvr::db::{Database, Delete, Flush, LOCK_NAME, Mode};
use moonfire_nvr::recording::{Gap, GapCause, RecordingId};
use moonfire_nvr::time::Duration90k;
use std::fs;
use std::os::unix::fs::FileExt;

/// Frames that nobody could decode; `check` does not try.
fn footage(seed: u8) -> Footage {
    let frame = |i: usize| Frame {
        bytes: vec![seed.wrapping_add(i as u8); 1_000 + 37 * i],
        dts: i as i64 * FRAME,
        pts: i as i64 * FRAME,
        duration: FRAME,
        sync: i % GOP == 0,
        hash: String::new(),
    };
    Footage {
        width: 320,
        height: 240,
        avcc: vec![1, 2, 3],
        frames: (0..60).map(frame).collect(),
    }
}

/// A recorder with three recordings of two seconds, one after the other; it runs.
fn with_three() -> Recorder {
    let mut r = Recorder::new();
    let main = r.main();
    for i in 0..3 {
        let f = footage(i);
        r.record(
            main,
            &f,
            &f.frames,
            TEN + Duration90k::from_secs(2 * i64::from(i)),
        );
    }
    r
}

fn id(r: &Recorder, sequence: u32) -> RecordingId {
    RecordingId {
        stream: r.main(),
        sequence,
    }
}

/// Runs `check` and expects an exit code and words on standard output.
fn check(r: &Recorder, arguments: &[&str], code: i32, words: &[&str]) -> String {
    let Told {
        code: found,
        stdout,
        stderr,
    } = r.run("check", arguments);
    let told = String::from_utf8(stdout).unwrap();
    assert_eq!(found, code, "{told}\n{stderr}");
    for word in words {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
    told
}

fn sql(r: &Recorder, sql: &str) {
    let db = rusqlite::Connection::open(r.path("db/db")).unwrap();
    db.execute_batch(sql).unwrap();
}

/// Finds `words`, mends, and finds nothing more.
fn found_and_mended(r: &mut Recorder, words: &[&str], mended: &[&str]) {
    r.stop();
    let found = check(r, &[], 3, words);
    assert!(found.contains("check --repair` can mend"), "{found}");
    check(r, &["--repair"], 0, mended);
    check(r, &[], 0, &["all is in order"]);
}

fn gaps(r: &Recorder) -> Vec<Gap> {
    let db = Database::open(&r.path("db"), Mode::ReadOnly, 0).unwrap();
    let always = TEN - Duration90k::from_secs(1_000)..TEN + Duration90k::from_secs(1_000);
    db.gaps(r.main(), &always).unwrap()
}

#[test]
fn what_a_recorder_leaves_is_in_order() {
    let mut r = with_three();
    let bytes: u64 = (0..3)
        .map(|s| r.sample_file(id(&r, s)).metadata().unwrap().len())
        .sum();
    let read = format!(
        "3 recordings, {} kB read\nall is in order\n",
        (bytes + 500) / 1_000
    );
    assert_eq!(check(&r, &[], 0, &[]), read);
    check(
        &r,
        &["--fast"],
        0,
        &["3 recordings, their bytes not read\n"],
    );

    // Something is being recorded, and something is being deleted.
    let main = r.main();
    let f = footage(9);
    r.record_uncommitted(main, &f, &f.frames, TEN + Duration90k::from_secs(6));
    let oldest = Delete::StreamBytes {
        stream: main,
        bytes: 1,
    };
    r.flush(Flush {
        delete: vec![oldest],
        ..Flush::default()
    });
    let notes = "; 1 being recorded or to be recovered; 1 files wait to be deleted\n";
    check(&r, &[], 0, &["2 recordings, ", notes]);
    r.stop();
    check(&r, &[], 0, &[notes]);
    check(
        &r,
        &["--repair"],
        0,
        &["mended: 1 file that waited for it was deleted"],
    );
    assert!(!r.sample_file(id(&r, 0)).exists());
    assert!(r.sample_file(id(&r, 3)).exists(), "it is to be recovered");
    let told = check(&r, &[], 0, &["1 being recorded or to be recovered\n"]);
    assert!(!told.contains("wait to be deleted"), "{told}");
}

#[test]
fn repair_is_refused_beside_a_daemon() {
    let r = with_three();
    fs::remove_file(r.sample_file(id(&r, 1))).unwrap();
    check(
        &r,
        &[],
        3,
        &["driveway main, recording 1/1: ", ": the file is gone"],
    );
    let told = r.run("check", &["--repair"]);
    assert_eq!(told.code, 1);
    assert!(
        told.stderr.contains("stop the recorder to repair"),
        "{told:?}"
    );
    assert!(r.path("db").join(LOCK_NAME).exists());
    assert_eq!(gaps(&r), []);
}

#[test]
fn recordings_without_a_file_become_gaps() {
    let mut r = with_three();
    fs::remove_file(r.sample_file(id(&r, 1))).unwrap();
    found_and_mended(
        &mut r,
        &[
            "driveway main, recording 1/1: ",
            ": the file is gone",
            "1 problem, which",
        ],
        &[
            "mended: 1 recording whose file is gone became a gap",
            "all is in order now",
        ],
    );
    let gaps = gaps(&r);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].cause, GapCause::Disk);
    assert_eq!(gaps[0].start, TEN + Duration90k::from_secs(2));
    assert_eq!(gaps[0].end, TEN + Duration90k::from_secs(4));
}

#[test]
fn bytes_are_compared_with_their_hash() {
    let mut r = with_three();
    r.stop();
    let file = fs::File::options()
        .write(true)
        .open(r.sample_file(id(&r, 2)))
        .unwrap();
    file.write_all_at(&[0xff], 12_345).unwrap();
    let changed = "driveway main, recording 1/2: ";
    let words = [changed, "its bytes are not those that were recorded"];
    check(&r, &[], 3, &words);
    check(&r, &["--fast"], 0, &[]);
    let left = check(
        &r,
        &["--repair"],
        3,
        &["cannot be mended", "1 problem is left"],
    );
    assert!(left.contains(&format!("left: {changed}")), "{left}");
    assert!(r.sample_file(id(&r, 2)).exists());
}

#[test]
fn a_rows_sums_are_counted_anew() {
    let mut r = with_three();
    sql(
        &r,
        "update recording set duration_runs = 2 where sequence = 1;
         update recording set duration_runs = null, composition_offsets = null where sequence = 2;",
    );
    found_and_mended(
        &mut r,
        &[
            "recording 1/1: its row's sums are not those of its index",
            "recording 1/2: its row's sums",
            "can mend 2 of them",
        ],
        &["mended: 2 indexes were counted anew", "all is in order now"],
    );
}

#[test]
fn files_have_their_length() {
    let mut r = with_three();
    let (long, short) = (r.sample_file(id(&r, 0)), r.sample_file(id(&r, 1)));
    let len = long.metadata().unwrap().len();
    let set_len = |path, len| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(len)
            .unwrap()
    };
    set_len(&long, len + 4_096);
    found_and_mended(
        &mut r,
        &[&format!("has {} bytes, 4096 too many", len + 4_096)],
        &["mended: 1 file was cut to its length"],
    );
    assert_eq!(long.metadata().unwrap().len(), len);
    set_len(&short, len - 1);
    let words = format!("has {} bytes of {len}", len - 1);
    check(
        &r,
        &["--fast"],
        3,
        &[&words, "1 problem, which cannot be mended"],
    );
    check(&r, &["--repair"], 3, &[&words, "left: "]);
}

#[test]
fn files_of_no_recording_are_set_aside() {
    let mut r = with_three();
    // A recording that the database has given up long ago, and one of a stream that never was.
    let given_up = Delete::StreamBytes {
        stream: r.main(),
        bytes: 1,
    };
    r.flush(Flush {
        delete: vec![given_up],
        ..Flush::default()
    });
    let unlinked = vec![id(&r, 0)];
    r.flush(Flush {
        unlinked,
        ..Flush::default()
    });
    let stray = r.path("sample/0000004d00000001");
    for round in 0..2 {
        fs::write(&stray, format!("round {round}")).unwrap();
        let words = [
            "0000004d00000001: belongs to no recording",
            "0000000100000000: belongs",
        ];
        let words = if round == 0 { &words[..] } else { &words[..1] };
        found_and_mended(
            &mut r,
            words,
            &["of no recording went to the folder set-aside"],
        );
    }
    assert_eq!(
        names(&r.path("sample/set-aside")),
        ["0000000100000000", "0000004d00000001", "0000004d00000001.1"]
    );
    let second = fs::read(r.path("sample/set-aside/0000004d00000001.1")).unwrap();
    assert_eq!(second, b"round 1");
    // Other files are none of our business, but told.
    fs::write(r.path("sample/holiday.jpg"), "").unwrap();
    check(&r, &[], 0, &["holiday.jpg is not ours"]);
}

#[test]
fn changed_rows_are_told() {
    for (statement, words) in [
        (
            "update recording set start_90k = start_90k + 1 where sequence = 1",
            &["recording 1/1: it does not follow in the hash chain"][..],
        ),
        (
            "update recording_index set video_index = x'0004' where id = 2",
            &[
                "recording 1/1: index ends within a sample (byte 2)",
                "1/1: it does not follow",
            ],
        ),
        (
            "update recording set video_samples = 59 where sequence = 2",
            &[
                "recording 1/2: the index tells of 60 samples (4 sync), ",
                "not 59 samples",
            ],
        ),
        (
            "update recording_index set chain_hash = zeroblob(32) where id = 1",
            &[
                "recording 1/0: it does not follow",
                "recording 1/1: it does not follow",
            ],
        ),
        (
            "update recording set wall_duration_90k = wall_duration_90k + 9000 where sequence = 0;
             update stream_dir set duration_90k = duration_90k + 9000",
            &["recordings 1/0 and 1/1 overlap by 0.100 s"],
        ),
    ] {
        let mut r = with_three();
        r.stop();
        sql(&r, statement);
        check(&r, &["--fast"], 3, words);
        check(&r, &["--fast", "--repair"], 3, &["left: "]);
    }
}

#[test]
fn what_came_late_is_no_fault() {
    let mut r = Recorder::new();
    let (main, f) = (r.main(), footage(1));
    let at = |n: i64| TEN + Duration90k::from_secs(2 * n);
    r.record(main, &f, &f.frames, at(0));
    // Two that a disk brings later, and what was recorded to another meanwhile.
    let late = [1, 2].map(|n| r.record_unknown(main, &f, &f.frames, at(n)));
    r.record(main, &f, &f.frames, at(3));
    for recording in late {
        r.flush(Flush {
            late: vec![(r.dir(), recording)],
            ..Flush::default()
        });
    }
    r.record(main, &f, &f.frames, at(4));
    check(&r, &[], 0, &["5 recordings"]);
    // Each of them is tied to the chain all the same.
    r.stop();
    for sequence in 0..5 {
        let changed = format!(
            "update recording set start_90k = start_90k {{}} 1 where sequence = {sequence}"
        );
        sql(&r, &changed.replace("{}", "+"));
        let word = format!("recording 1/{sequence}: it does not follow in the hash chain");
        check(&r, &["--fast"], 3, &[&word]);
        sql(&r, &changed.replace("{}", "-"));
    }
    check(&r, &["--fast"], 0, &[]);
}

#[test]
fn what_the_database_counts_is_mended() {
    let mut r = with_three();
    r.stop();
    sql(&r, "update stream_dir set sample_file_bytes = 1");
    found_and_mended(
        &mut r,
        &["the sums for directory 1 are not"],
        &["counted the sums anew"],
    );
    sql(&r, "delete from recording_index where id = 2");
    found_and_mended(
        &mut r,
        &["recording 1/1 has no sample index"],
        &["mended: 1 recording without an index became a gap"],
    );
    assert_eq!(names(&r.path("sample/set-aside")), ["0000000100000001"]);
    assert_eq!(
        gaps(&r)[0].detail,
        "check --repair: the sample index was gone"
    );
}

#[test]
fn a_recordings_file_is_never_deleted_as_garbage() {
    let mut r = with_three();
    r.stop();
    sql(&r, "insert into garbage values (1, 1, 1, 1000)");
    found_and_mended(
        &mut r,
        &["recording 1/1 is also to be removed"],
        &["kept it"],
    );
    assert!(r.sample_file(id(&r, 1)).exists());
}

#[test]
fn gaps_are_where_nothing_was_recorded() {
    let mut r = with_three();
    let second = Duration90k::from_secs(1);
    r.gap(TEN - second, TEN + second + second, "it was away");
    // Half a second of overlap is what clocks leave.
    r.gap(
        TEN + Duration90k(5 * 90_000 + 45_000),
        TEN + Duration90k::from_secs(20),
        "later",
    );
    found_and_mended(
        &mut r,
        &[
            "the gap from 2026-11-22 09:59:59 to 2026-11-22 10:00:02 is said to have been recorded \
           for 2.0 s of it",
        ],
        &["mended: 1 gap was cut"],
    );
    let spans: Vec<_> = gaps(&r)
        .iter()
        .map(|g| (g.start - TEN, g.end - TEN))
        .collect();
    assert_eq!(spans[0], (Duration90k(-90_000), Duration90k(0)));
    assert_eq!(spans.len(), 2);
}

#[test]
fn another_disk_is_told_and_nothing_is_given_up() {
    let mut r = with_three();
    r.stop();
    let (ours, other) = (r.path("sample"), Recorder::new());
    fs::rename(&ours, r.path("unplugged")).unwrap();
    check(
        &r,
        &["--repair"],
        3,
        &["there is no such directory; 3 recordings in it cannot be"],
    );
    fs::create_dir(&ours).unwrap();
    check(
        &r,
        &["--repair"],
        3,
        &["it has no marker file", "3 recordings in it cannot be"],
    );
    fs::remove_dir(&ours).unwrap();
    fs::rename(other.path("sample"), &ours).unwrap();
    check(&r, &["--repair"], 3, &["it belongs to another recorder"]);
    fs::remove_dir_all(&ours).unwrap();
    fs::rename(r.path("unplugged"), &ours).unwrap();
    check(&r, &[], 0, &["3 recordings, "]);
}

#[test]
fn a_database_that_is_damaged_or_missing() {
    let mut r = with_three();
    r.stop();
    sql(&r, "pragma wal_checkpoint(truncate)");
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(r.path("db/db"))
        .unwrap();
    let len = file.metadata().unwrap().len();
    // All pages but the first, which has the schema's version.
    file.write_all_at(&vec![0x5a; (len - 8_192) as usize], 8_192)
        .unwrap();
    let told = r.run("check", &["--repair"]);
    assert!(told.code == 3 || told.code == 1, "{told:?}");
    let all = String::from_utf8(told.stdout).unwrap() + &told.stderr;
    assert!(all.contains("damaged"), "{all}");
    assert!(r.sample_file(id(&r, 0)).exists());
    fs::remove_file(r.path("db/db")).unwrap();
    let told = r.run("check", &[]);
    assert_eq!(told.code, 1);
    assert!(told.stderr.contains("there is no database in"), "{told:?}");
}
