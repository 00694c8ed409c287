//! `moonfire-nvr export`: what it writes, as ffmpeg sees it, and what it says.

use crate::footage::{self, Clip, FRAME, Footage, Frame, GOP};
use crate::recorder::{Recorder, TEN, names};
use moonfire_nvr::db::{Delete, Flush};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

fn seconds(s: i64) -> Duration90k {
    Duration90k::from_secs(s)
}

/// Two recordings of two seconds, ten seconds apart, with the reason between them.
fn with_a_gap(footage: &Footage) -> Recorder {
    let mut r = Recorder::new();
    let (a, b) = footage.frames.split_at(60);
    let main = r.main();
    r.record(main, footage, a, TEN);
    r.record(main, footage, b, TEN + seconds(12));
    r.gap(
        TEN + seconds(2),
        TEN + seconds(12),
        "it could not be reached",
    );
    r
}

fn hashes(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|f| f.hash.as_str()).collect()
}

/// Exports from `from` to `to`; the file must decode without a warning. Returns its packets and what
/// was said.
fn export(r: &Recorder, from: &str, to: &str) -> (Vec<footage::Packet>, String) {
    let arguments = [
        "driveway", "--from", from, "--to", to, "-o", "clip.mp4", "--force",
    ];
    let told = r.run("export", &arguments);
    assert_eq!(told.code, 0, "{told:?}");
    let path = r.path("clip.mp4");
    footage::decode(&path);
    (footage::packets(&path), told.stderr)
}

fn exported_hashes(packets: &[footage::Packet]) -> Vec<&str> {
    packets.iter().map(|p| p.hash.as_str()).collect()
}

#[test]
fn a_gap_is_skipped_and_told() {
    for b_frames in [0, 2] {
        let footage = Clip {
            b_frames,
            ..Clip::SMALL
        }
        .code();
        let r = with_a_gap(&footage);
        let (packets, told) = export(&r, "2026-11-22T09:59:50", "2026-11-22T10:00:30Z");
        assert_eq!(exported_hashes(&packets), hashes(&footage.frames));
        assert!(told.contains("2 recordings, 4.0 s, "), "{told}");
        assert_eq!(names(&r.path("")), ["clip.mp4", "db", "nvr.toml", "sample"]);
        if b_frames > 0 {
            continue; // The first frame's decoding time is a guess: these begin a little earlier.
        }
        let gap = "nothing from 2026-11-22 10:00:02 to 2026-11-22 10:00:12 (10.0 s): \
                   network: it could not be reached";
        assert!(told.contains(gap), "{told}");
        let before = "nothing from 2026-11-22 09:59:50 to 2026-11-22 10:00:00 (10.0 s): no cause";
        assert!(told.contains(before), "{told}");
        let format = footage::probe(&r.path("clip.mp4"), &["-show_format"]);
        let created = &format["format"]["tags"]["creation_time"];
        assert_eq!(created, "2026-11-22T10:00:00.000000Z");
    }
}

#[test]
fn a_start_and_an_end_within_gops() {
    let footage = Clip::SMALL.code();
    let r = with_a_gap(&footage);
    // From frame 20 (the sync sample before it is 15) to frame 60 + 9.
    let (packets, told) = export(&r, "2026-11-22T10:00:00.6666667", "10:00:12.3");
    assert_eq!(exported_hashes(&packets), hashes(&footage.frames[GOP..69]));
    let hidden = packets.iter().filter(|p| p.hidden).count();
    assert_eq!(hidden, 20 - GOP);
    assert_eq!(packets.iter().map(|p| p.pts).min(), Some(-5 * FRAME));
    assert!(told.contains("2 recordings, 1.6 s, "), "{told}");
    assert!(!told.contains("no cause"), "{told}");
}

#[test]
fn what_is_being_recorded_is_there_up_to_the_last_sync() {
    let footage = Clip::SMALL.code();
    let mut r = Recorder::new();
    let (a, b) = footage.frames.split_at(60);
    let main = r.main();
    r.record(main, &footage, a, TEN);
    r.record_uncommitted(main, &footage, b, TEN + seconds(2));
    let all = hashes(&footage.frames);
    // Beside the daemon, which has the database open, and after it.
    let (packets, _) = export(&r, "2026-11-22T10:00", "10:01");
    assert_eq!(exported_hashes(&packets), all);
    r.stop();
    let (packets, _) = export(&r, "2026-11-22T10:00", "10:01");
    assert_eq!(exported_hashes(&packets), all);
}

#[test]
fn the_sub_stream_and_standard_output() {
    let footage = Clip {
        seconds: 1,
        ..Clip::SMALL
    }
    .code();
    let mut r = Recorder::new();
    let sub = r.sub();
    r.record(sub, &footage, &footage.frames, TEN);
    let span = [
        "driveway",
        "--from",
        "2026-11-22T10:00",
        "--to",
        "10:01",
        "-o",
        "-",
    ];
    let told = r.run("export", &[&span[..], &["--stream", "sub"]].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    std::fs::write(r.path("piped.mp4"), &told.stdout).unwrap();
    let packets = footage::packets(&r.path("piped.mp4"));
    assert_eq!(exported_hashes(&packets), hashes(&footage.frames));
    let told = r.run("export", &span);
    assert_eq!(told.code, 1);
    let nothing = "nothing was recorded of driveway main from 2026-11-22 10:00:00 to \
                   2026-11-22 10:01:00, nor at any other time\n";
    assert_eq!(told.stderr, nothing);
}

#[test]
fn errors_say_what_to_do() {
    let footage = Clip::SMALL.code();
    let r = with_a_gap(&footage);
    let refused = |camera: &str, from: &str, to: &str| {
        let told = r.run(
            "export",
            &[camera, "--from", from, "--to", to, "-o", "x.mp4"],
        );
        assert!(told.stdout.is_empty());
        assert_eq!(names(&r.path("")), ["db", "nvr.toml", "sample"]);
        (told.code, told.stderr)
    };
    let (code, told) = refused("garden", "2026-11-22T10:00", "10:01");
    assert_eq!(
        (code, told.as_str()),
        (2, "there is no camera \"garden\"; there are: driveway\n")
    );
    let (code, told) = refused("driveway", "2026-11-22T10:00:05", "10:00:06");
    assert_eq!(code, 1);
    let around = "the recording before ends 2026-11-22 10:00:02; \
                  the next one begins 2026-11-22 10:00:12\n  network: it could not be reached\n";
    assert!(told.ends_with(around), "{told}");
    let (code, told) = refused("driveway", "2026-11-22T10:00", "09:00");
    assert_eq!(code, 2);
    assert!(told.contains("before it begins"), "{told}");
}

#[test]
fn a_disk_or_a_file_that_is_gone_is_told() {
    let footage = Clip::SMALL.code();
    let mut r = with_a_gap(&footage);
    let arguments = [
        "driveway",
        "--from",
        "2026-11-22T10:00",
        "--to",
        "10:01",
        "-o",
        "x.mp4",
    ];
    std::fs::write(r.path("x.mp4"), "mine").unwrap();
    let told = r.run("export", &arguments);
    assert_eq!(told.code, 1);
    assert_eq!(told.stderr, "x.mp4 exists: give --force to replace it\n");
    std::fs::remove_file(r.path("x.mp4")).unwrap();

    std::fs::rename(r.path("sample"), r.path("unplugged")).unwrap();
    std::fs::create_dir(r.path("sample")).unwrap();
    let told = r.run("export", &arguments);
    assert_eq!(told.code, 1);
    assert!(told.stderr.contains("has no marker file"), "{told:?}");
    assert!(
        told.stderr.contains("2 of 2 recordings are in "),
        "{told:?}"
    );
    std::fs::remove_dir(r.path("sample")).unwrap();
    std::fs::rename(r.path("unplugged"), r.path("sample")).unwrap();

    // Its row is still there, as if it was deleted after the database was asked.
    let id = moonfire_nvr::recording::RecordingId {
        stream: r.main(),
        sequence: 0,
    };
    std::fs::remove_file(r.sample_file(id)).unwrap();
    let told = r.run("export", &arguments);
    assert_eq!(told.code, 1);
    assert!(
        told.stderr.contains("it is gone: probably deleted"),
        "{told:?}"
    );
    assert_eq!(names(&r.path("")), ["db", "nvr.toml", "sample"]);
    // Once its row is gone too, the rest can be had.
    let stream = r.main();
    r.flush(Flush {
        delete: vec![Delete::StreamBytes { stream, bytes: 1 }],
        ..Flush::default()
    });
    assert_eq!(r.run("export", &arguments).code, 0);

    // A sample file that ends early.
    let id = moonfire_nvr::recording::RecordingId {
        stream,
        sequence: 1,
    };
    let len = std::fs::metadata(r.sample_file(id)).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(r.sample_file(id))
        .unwrap()
        .set_len(len - 1)
        .unwrap();
    let told = r.run("export", &[&arguments[..], &["--force"]].concat());
    assert_eq!(told.code, 1);
    assert!(
        told.stderr
            .contains(&format!("it ends at byte {}", len - 1)),
        "{told:?}"
    );
    assert_eq!(names(&r.path("")), ["db", "nvr.toml", "sample", "x.mp4"]);
}

/// Ctrl-C during an export that waits for a sample file.
#[test]
fn an_interrupt_removes_what_is_unfinished() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::io::Read;
    use std::process::{Command, Stdio};

    let footage = Clip::SMALL.code();
    let mut r = Recorder::new();
    let main = r.main();
    for i in 0..3 {
        r.record(main, &footage, &footage.frames, TEN + seconds(4 * i));
    }
    // The sample file is a pipe: the export waits for it to be opened for writing.
    let id = moonfire_nvr::recording::RecordingId {
        stream: main,
        sequence: 2,
    };
    std::fs::remove_file(r.sample_file(id)).unwrap();
    nix::unistd::mkfifo(&r.sample_file(id), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .arg("export")
        .arg("--config")
        .arg(r.path("nvr.toml"))
        .args([
            "driveway",
            "--from",
            "2026-11-22T10:00",
            "--to",
            "10:01",
            "-o",
        ])
        .arg(r.path("x.mp4"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its signals wait to be asked for from before this file is there.
    let deadline = Instant::now() + PATIENCE;
    while !names(&r.path("")).contains(&"x.mp4.part".to_owned()) {
        assert!(Instant::now() < deadline, "the export does not begin");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    // Opening our end lets it go on.
    let writer = std::fs::File::options()
        .write(true)
        .open(r.sample_file(id))
        .unwrap();
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(told, "interrupted\n");
    assert_eq!(names(&r.path("")), ["db", "nvr.toml", "sample"]);
}

#[test]
fn times_before_1970_and_the_future_are_no_crash() {
    let footage = Clip {
        seconds: 1,
        ..Clip::SMALL
    }
    .code();
    let mut r = Recorder::new();
    let main = r.main();
    r.record(main, &footage, &footage.frames, Wall90k(0));
    let (packets, _) = export(&r, "0001-01-01T00:00", "9999-01-01T00:00");
    assert_eq!(packets.len(), 30);
}
