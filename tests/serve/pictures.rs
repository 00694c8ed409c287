//! `snapshot.jpg` and `scrub.mp4`.

use crate::daemon::Demo;
use std::process::Command;

/// Codec, width and height as ffprobe sees them.
fn picture(jpeg: &[u8]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("snapshot.jpg");
    std::fs::write(&path, jpeg).unwrap();
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=codec_name,width,height"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_snapshot_of_now_and_of_then() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 4);
    let now = demo.get(&format!("{base}/snapshot.jpg"));
    assert_eq!(now.status, 200, "{}", now.text());
    assert_eq!(now.header("content-type"), Some("image/jpeg"));
    assert_eq!(now.header("cache-control"), Some("no-store"));
    assert_eq!(picture(&now.body), "mjpeg,1280,720");

    let list = demo.get(&format!("{base}/recordings")).json();
    let start = list["recordings"][0]["startTime90k"].as_i64().unwrap();
    let target = format!("{base}/snapshot.jpg?width=320&time90k={}", start + 180_000);
    let then = demo.get(&target);
    assert_eq!(then.status, 200, "{}", then.text());
    assert_eq!(picture(&then.body), "mjpeg,320,180");
    let taken: i64 = then.header("x-time-90k").unwrap().parse().unwrap();
    assert!((start..=start + 180_000).contains(&taken), "{taken}");
    // It is kept.
    assert!(demo.get(&target).body == then.body);

    let before = demo.get(&format!("{base}/snapshot.jpg?time90k={}", start - 90_000));
    assert_eq!(before.status, 404, "{}", before.text());
    let wide = demo.get(&format!("{base}/snapshot.jpg?width=0"));
    assert_eq!(wide.status, 400, "{}", wide.text());
}

#[test]
fn a_scrub_stream_has_the_sync_samples_alone() {
    let demo = Demo::start();
    let base = demo.stream(0, "sub", 6);
    let list = demo.get(&format!("{base}/recordings")).json();
    let start = list["recordings"][0]["startTime90k"].as_i64().unwrap();
    let end = start + 6 * 90_000;
    let target = format!("{base}/scrub.mp4?startTime90k={start}&endTime90k={end}");
    let scrub = demo.get(&target);
    assert_eq!(scrub.status, 200, "{}", scrub.text());
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("scrub.mp4");
    std::fs::write(&path, &scrub.body).unwrap();
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=flags"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let flags = String::from_utf8(out.stdout).unwrap();
    let pictures = flags.lines().count();
    assert!(pictures >= 3, "{flags}");
    assert!(flags.lines().all(|l| l.starts_with('K')), "{flags}");

    let sparse = demo.get(&format!("{target}&every90k={}", 4 * 90_000));
    assert!(sparse.body.len() < scrub.body.len());
    assert_eq!(demo.get(&format!("{base}/scrub.mp4")).status, 400);
    let then = format!("{base}/scrub.mp4?startTime90k=0&endTime90k=90000");
    assert_eq!(demo.get(&then).status, 404);
}
