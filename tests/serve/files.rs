//! `view.mp4`, `view.m4s`, lists, and what is refused.

use crate::client::{range, request};
use crate::daemon::Demo;
use std::path::Path;
use std::process::Command;

/// What ffprobe tells of each stream of a file: kind and frames.
fn streams(file: &Path) -> Vec<(String, u32)> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-of", "json"])
        .args(["-show_entries", "stream=codec_type,nb_read_packets"])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let all: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let of = |s: &serde_json::Value| {
        let frames = s["nb_read_packets"].as_str().unwrap().parse().unwrap();
        (s["codec_type"].as_str().unwrap().to_owned(), frames)
    };
    all["streams"].as_array().unwrap().iter().map(of).collect()
}

/// ffmpeg decodes the pictures of a file without a word.
fn decodes(file: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(
        out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn files_are_whole_however_they_are_read() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 4);
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("view.mp4");

    // What grows is there up to its last written frame, with the time of day beside it.
    let whole = demo.get(&format!("{base}/view.mp4?s=0&ts=true"));
    assert_eq!(whole.status, 200, "{}", whole.text());
    let media_type = whole.header("content-type").unwrap();
    assert!(
        media_type.starts_with("video/mp4; codecs=\"avc1."),
        "{media_type}"
    );
    std::fs::write(&path, &whole.body).unwrap();
    let found = streams(&path);
    assert_eq!(
        (found[0].0.as_str(), found[1].0.as_str()),
        ("video", "subtitle")
    );
    assert!(found[0].1 >= 10 && found[1].1 >= 4, "{found:?}");
    decodes(&path);

    // A span that has ended is the same each time, and in whatever ranges it is read.
    let target = format!("{base}/view.mp4?s=0.90000-270000");
    let span = demo.get(&target);
    let etag = span.header("etag").unwrap().to_owned();
    std::fs::write(&path, &span.body).unwrap();
    decodes(&path);
    let len = span.body.len();
    let head = request(&demo.addr, "HEAD", &target, "");
    assert_eq!(
        head.header("content-length"),
        Some(len.to_string().as_str())
    );
    assert!(head.body.is_empty());
    for (text, expected) in [
        ("0-0", 0..1),
        ("100-999", 100..1000),
        ("-500", len - 500..len),
        (&format!("{}-", len / 2), len / 2..len),
    ] {
        let part = range(&demo.addr, &target, text);
        assert_eq!(
            (part.status, part.header("etag")),
            (206, Some(etag.as_str()))
        );
        assert!(part.body == span.body[expected], "{text}");
    }
    let several = range(&demo.addr, &target, "0-9,5000-5009");
    assert_eq!(several.status, 206);
    let kind = several.header("content-type").unwrap();
    assert!(
        kind.starts_with("multipart/byteranges; boundary="),
        "{kind}"
    );
    assert_eq!(range(&demo.addr, &target, &format!("{len}-")).status, 416);
    let same = request(
        &demo.addr,
        "GET",
        &target,
        &format!("If-None-Match: {etag}\r\n"),
    );
    assert_eq!((same.status, same.body.len()), (304, 0));

    // A media segment behind its initialization segment is a file too.
    let list = demo.get(&format!("{base}/recordings")).json();
    let id = list["recordings"][0]["videoSampleEntryId"]
        .as_i64()
        .unwrap();
    let init = demo.get(&format!("/api/init/{id}.mp4"));
    assert_eq!(init.header("x-aspect"), Some("16:9"));
    let segment = demo.get(&format!("{base}/view.m4s?s=0"));
    assert_eq!(segment.header("x-prev-media-duration"), Some("0"));
    let both = [init.body, segment.body].concat();
    std::fs::write(&path, both).unwrap();
    assert!(streams(&path)[0].1 >= 10);
    decodes(&path);
    let account = demo.get(&format!("{base}/view.mp4.txt?s=0")).text();
    assert!(
        account.contains("moov") && account.contains("mdat"),
        "{account}"
    );
    let named = demo.get(&format!("{target}&filename=front%20door%0d%0a.mp4"));
    let name = named.header("content-disposition").unwrap();
    assert_eq!(name, "attachment; filename=\"front door__.mp4\"");
}

#[test]
fn what_cannot_be_had_is_told_in_a_sentence() {
    let demo = Demo::start();
    let base = demo.stream(0, "sub", 1);
    let uuid = "00000000-0000-4000-8000-000000000000";
    for (target, status, word) in [
        (format!("{base}/view.mp4"), 400, "s=FIRST-LAST"),
        (format!("{base}/view.mp4?s=x"), 400, "not understood"),
        (format!("{base}/view.mp4?s=0&ts=maybe"), 400, "ts"),
        (format!("{base}/view.mp4?s=999"), 404, "no recording 999"),
        (format!("{base}/view.mp4?s=0@99"), 404, "not of open 99"),
        (format!("{base}/view.mp4?s=0.9000000000-"), 400, "span"),
        (format!("{base}/view.mp4?s=0-4000000000"), 400, "shorter"),
        (
            format!("{base}/recordings?startTime90k=soon"),
            400,
            "startTime90k",
        ),
        (format!("{base}/recordings?split90k=0"), 400, "split90k"),
        (format!("{base}/live.m4s"), 426, "WebSocket"),
        (
            format!("/api/cameras/{uuid}/main/recordings"),
            404,
            "nothing",
        ),
        ("/api/cameras/../".to_owned(), 400, ".."),
        ("/api/init/999.mp4".to_owned(), 404, "nothing"),
        ("/api/nonsense".to_owned(), 404, "nothing"),
    ] {
        let reply = demo.get(&target);
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
        assert!(reply.text().contains(word), "{target}: {}", reply.text());
    }
    let posted = request(&demo.addr, "POST", "/api/", "Content-Length: 0\r\n");
    assert_eq!(
        (posted.status, posted.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let foreign = "Origin: http://evil.example\r\nContent-Length: 0\r\n";
    assert_eq!(request(&demo.addr, "POST", "/api/", foreign).status, 403);
    let metrics = demo.get("/metrics").text();
    assert!(
        metrics.contains("moonfire_nvr_stream_recording{"),
        "{metrics}"
    );
    assert!(metrics.contains("# TYPE moonfire_nvr_stream_lost_packets_total counter"));
    let fields = "Accept: application/openmetrics-text\r\n";
    let metrics = request(&demo.addr, "GET", "/metrics", fields).text();
    assert!(metrics.contains("# TYPE moonfire_nvr_stream_lost_packets counter"));
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}
