//! HLS: playlists checked against the rules, and read by ffprobe and ffmpeg.

use crate::client::{Reply, get, request};
use crate::daemon::{Demo, wait};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How far sums of durations may be off for their rounding, in seconds.
const ROUNDING: f64 = 0.000_1;

/// A media playlist that has passed the rules of RFC 8216 section 4.3 and its second edition.
#[derive(Debug, Default)]
struct Playlist {
    target: f64,
    part_target: Option<f64>,
    first: u64,
    map: Option<String>,
    segments: Vec<Segment>,
    /// Of the segment that is not listed yet.
    parts: Vec<Part>,
    hint: Option<String>,
    kind: Option<String>,
    ended: bool,
    discontinuities: usize,
}

#[derive(Debug)]
struct Segment {
    uri: String,
    duration: f64,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    uri: String,
    duration: f64,
}

/// An attribute's value, without its quotes.
fn attribute(list: &str, name: &str) -> Option<String> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"').unwrap();
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key == name {
            return Some(value.to_owned());
        }
        rest = next;
    }
    None
}

impl Playlist {
    fn read(text: &str) -> Playlist {
        let mut p = Playlist::default();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#EXTM3U"));
        let (mut duration, mut version) = (None, 0);
        for line in lines {
            assert!(!p.ended, "nothing comes behind the end: {text}");
            if !line.starts_with('#') {
                let duration = duration.take().expect("EXTINF before each segment");
                assert!(p.map.is_some(), "a map before the first segment");
                p.segments.push(Segment {
                    uri: line.to_owned(),
                    duration,
                    parts: std::mem::take(&mut p.parts),
                });
                continue;
            }
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-VERSION" => version = value.parse().unwrap(),
                "#EXT-X-TARGETDURATION" => p.target = value.parse().unwrap(),
                "#EXT-X-MEDIA-SEQUENCE" => {
                    assert!(p.segments.is_empty());
                    p.first = value.parse().unwrap();
                }
                "#EXT-X-PLAYLIST-TYPE" => p.kind = Some(value.to_owned()),
                "#EXT-X-MAP" => p.map = attribute(value, "URI"),
                "#EXTINF" => duration = Some(value.trim_end_matches(',').parse().unwrap()),
                "#EXT-X-PART-INF" => {
                    p.part_target = Some(attribute(value, "PART-TARGET").unwrap().parse().unwrap());
                }
                "#EXT-X-SERVER-CONTROL" => {
                    let back: f64 = attribute(value, "PART-HOLD-BACK").unwrap().parse().unwrap();
                    assert_eq!(attribute(value, "CAN-BLOCK-RELOAD").unwrap(), "YES");
                    p.part_target.get_or_insert(back);
                }
                "#EXT-X-PART" => p.parts.push(Part {
                    uri: attribute(value, "URI").unwrap(),
                    duration: attribute(value, "DURATION").unwrap().parse().unwrap(),
                }),
                "#EXT-X-PRELOAD-HINT" => {
                    assert_eq!(attribute(value, "TYPE").unwrap(), "PART");
                    p.hint = attribute(value, "URI");
                }
                "#EXT-X-DISCONTINUITY" => p.discontinuities += 1,
                "#EXT-X-ENDLIST" => p.ended = true,
                "#EXT-X-INDEPENDENT-SEGMENTS"
                | "#EXT-X-PROGRAM-DATE-TIME"
                | "#EXT-X-START"
                | "#EXT-X-DISCONTINUITY-SEQUENCE"
                | "#EXT-X-RENDITION-REPORT" => {}
                _ => panic!("{line}"),
            }
        }
        assert!(version >= if p.part_target.is_some() { 9 } else { 6 });
        for s in &p.segments {
            assert!(s.duration > 0.0 && s.duration.round() <= p.target, "{s:?}");
            if !s.parts.is_empty() {
                let sum: f64 = s.parts.iter().map(|p| p.duration).sum();
                assert!((sum - s.duration).abs() < ROUNDING, "{s:?}");
            }
        }
        p
    }

    /// The number that the segment in progress has, and how many parts of it are there.
    fn edge(&self) -> (u64, usize) {
        (self.first + self.segments.len() as u64, self.parts.len())
    }

    fn duration(&self) -> f64 {
        self.segments.iter().map(|s| s.duration).sum()
    }
}

fn playlist(reply: &Reply) -> Playlist {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kind = reply.header("content-type");
    assert_eq!(kind, Some("application/vnd.apple.mpegurl"));
    Playlist::read(&reply.text())
}

fn now_90k() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as i64 * 90
}

/// The span from long before the start to the end of what is there, as a query.
fn until_now() -> String {
    let now = now_90k();
    let hour = 3_600 * 90_000;
    format!("startTime90k={}&endTime90k={now}", now - hour)
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.is_empty() && out.status.success(), "{args:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

/// Frames, and seconds from the first to the last, of what ffprobe gets.
fn frames(url: &str) -> (usize, f64) {
    let entries = "packet=pts_time";
    let args = [
        "-v",
        "warning",
        "-show_entries",
        entries,
        "-of",
        "csv=p=0",
        url,
    ];
    let out = run("ffprobe", &args);
    let times: Vec<f64> = out
        .lines()
        .map(|l| l.trim_end_matches(',').parse().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    (times.len(), times[times.len() - 1] - times[0])
}

/// Access units that GStreamer's player gets of a playlist that ends, undecoded.
fn gstreamer_frames(url: &str) -> usize {
    let uri = format!("uri={url}");
    let source = ["-v", "uridecodebin3", &uri, "caps=video/x-h264"];
    let sink = ["!", "fakesink", "silent=false", "sync=false"];
    let out = Command::new("timeout")
        .args(["60", "gst-launch-1.0"])
        .args(source)
        .args(sink)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let trouble = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{url}: {trouble}");
    said.matches("last-message = chain").count()
}

#[test]
fn a_span_is_played_whole() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 8);
    let url = |target: &str| format!("http://{}{target}", demo.addr);
    // As it grows, it is an event of which there is more and more; then it has its end.
    let hour = 3_600 * 90_000;
    let open = format!("{base}/vod.m3u8?startTime90k={}", now_90k() - hour);
    let event = wait(|| {
        let event = get(&demo.addr, &open);
        (event.status == 200).then(|| playlist(&event))
    });
    assert_eq!(event.kind.as_deref(), Some("EVENT"));
    let target = wait(|| {
        let target = format!("{base}/vod.m3u8?{}", until_now());
        let reply = demo.get(&target);
        let done = reply.status == 200 && playlist(&reply).segments.len() >= 2;
        done.then_some(target)
    });
    let first = wait(|| {
        let p = playlist(&demo.get(&target));
        p.ended.then_some(p)
    });
    assert_eq!((first.kind.as_deref(), first.first), (Some("VOD"), 0));
    assert_eq!(first.segments[0].uri, event.segments[0].uri);

    let (frames, seconds) = frames(&url(&target));
    assert!(
        (first.duration() - seconds).abs() < 1.0,
        "{seconds} {first:?}"
    );
    let mut counted = 0;
    for s in &first.segments {
        let samples = s.uri.split_once("samples=").unwrap().1;
        let (from, rest) = samples.split_once('-').unwrap();
        let (to, _) = rest.split_once('&').unwrap();
        assert_eq!(from.parse::<usize>().unwrap(), counted);
        counted = to.parse().unwrap();
    }
    assert_eq!(frames, counted, "all of them");
    let decoded = ["-v", "warning", "-i", &url(&target), "-f", "null", "-"];
    run("ffmpeg", &decoded);

    assert_eq!(gstreamer_frames(&url(&target)), counted);

    // A segment never changes: browsers keep it.
    let segment = format!("{base}/{}", first.segments[0].uri);
    let reply = demo.get(&segment);
    let caching = reply.header("cache-control").unwrap();
    assert!(caching.contains("immutable"), "{caching}");
    let condition = format!("If-None-Match: {}\r\n", reply.header("etag").unwrap());
    let same = request(&demo.addr, "GET", &segment, &condition);
    assert_eq!(same.status, 304);
    let part = crate::client::range(&demo.addr, &segment, "100-199");
    assert!(part.status == 206 && part.body == reply.body[100..200]);

    // Players choose among the streams.
    let camera = base.rsplit_once('/').unwrap().0;
    let variants = demo.get(&format!("{camera}/index.m3u8?{}", until_now()));
    assert_eq!(variants.status, 200, "{}", variants.text());
    let text = variants.text();
    let streams = text.lines().filter(|l| !l.starts_with('#')).count();
    assert!(text.contains("CODECS=\"avc1.") && streams == 2, "{text}");
}

#[test]
fn live_is_listed_part_by_part() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 4);
    let camera = base.rsplit_once('/').unwrap().0.to_owned();
    let target = format!("{base}/live.m3u8");
    let mut list = playlist(&demo.get(&target));
    assert!(!list.segments.is_empty() && !list.ended);
    let map = format!("{base}/{}", list.map.as_deref().unwrap());
    assert!(map.ends_with("/main/../../../init/1.mp4"), "{map}");
    let init = demo.get("/api/init/1.mp4").body;
    // Whoever waits for the next part is answered when it is there, and with it.
    let (from, _) = list.edge();
    let mut hinted = Vec::new();
    while list.edge().0 < from + 3 {
        let (segment, parts) = list.edge();
        let hint = format!("{base}/{}", list.hint.as_deref().unwrap());
        assert!(hint.ends_with(&format!("segment={segment}&part={parts}")));
        if parts == 0 {
            hinted.push(demo.get(&hint));
        }
        let next = format!("{target}?_HLS_msn={segment}&_HLS_part={parts}");
        let begun = Instant::now();
        let next = playlist(&demo.get(&next));
        assert!(next.edge() > (segment, parts), "{list:?} {next:?}");
        let waited = begun.elapsed().as_secs_f64();
        assert!(waited < 3.0 * list.target, "{waited}");
        assert_eq!(next.target, list.target);
        // What was listed stays as it was.
        let skipped = (next.first - list.first) as usize;
        for (old, new) in list.segments[skipped..].iter().zip(&next.segments) {
            assert_eq!(old.uri, new.uri);
            assert_eq!(old.duration, new.duration);
        }
        list = next;
    }
    for reply in &hinted {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // A segment has the bytes of its parts' frames.
    let whole = list.segments.iter().rev().find(|s| !s.parts.is_empty());
    let whole = whole.unwrap();
    let data = |uri: &str| {
        let body = demo.get(&format!("{base}/{uri}")).body;
        let at = body.windows(4).position(|w| w == b"mdat").unwrap();
        body[at + 4..].to_vec()
    };
    let parts: Vec<u8> = whole.parts.iter().flat_map(|p| data(&p.uri)).collect();
    assert!(parts == data(&whole.uri), "the parts are not the segment");
    // All parts behind the initialization segment are a file.
    let mut file = init;
    for p in list.segments.iter().flat_map(|s| &s.parts) {
        file.extend(demo.get(&format!("{base}/{}", p.uri)).body);
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("parts.mp4");
    std::fs::write(&path, file).unwrap();
    frames(path.to_str().unwrap());

    for (target, status) in [
        (format!("{target}?_HLS_msn=99999999999"), 400),
        (format!("{target}?_HLS_part=1"), 400),
        (format!("{target}?_HLS_msn=x"), 400),
        (format!("{base}/segment.m4s"), 400),
        (format!("{base}/segment.m4s?segment=1"), 404),
        (format!("{base}/vod.m3u8"), 400),
        (format!("{camera}/sub/vod.m3u8?startTime90k=0"), 404),
    ] {
        let reply = demo.get(&target);
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
    }
    let variants = demo.get(&format!("{camera}/index.m3u8")).text();
    assert!(variants.contains("\nmain/live.m3u8\n"), "{variants}");
    // Others play it, by the list of streams too.
    for path in [&target, &format!("{camera}/index.m3u8")] {
        let url = format!("http://{}{path}", demo.addr);
        run(
            "ffmpeg",
            &["-v", "error", "-i", &url, "-t", "4", "-f", "null", "-"],
        );
    }
}
