//! Chromium plays what is served: the live page, media segments through Media Source Extensions, and
//! `view.mp4` in a plain `<video>`.

use crate::daemon::{Demo, wait};
use crate::webdriver::Browser;
use serde_json::{Value, json};

/// How far what is buffered may be from what was asked for, in seconds: a frame.
const FRAME_S: f64 = 0.1;

/// Of each `<video>` that is shown: what has it, where it is and whether it is all right.
const LOOK: &str = "
    return [...document.querySelectorAll('video')].filter((v) => v.offsetParent).map((v) => ({
      width: v.videoWidth, height: v.videoHeight, time: v.currentTime, ready: v.readyState,
      error: v.error && v.error.message, paused: v.paused,
      behind: v.buffered.length ? v.buffered.end(v.buffered.length - 1) - v.currentTime : null }));";

/// What the scripts share: waiting for an event, or failing with the video.
const EVENTS: &str = "
    const until = (target, event) => new Promise((ok, bad) => {
      target.addEventListener(event, ok, { once: true });
      target.addEventListener('error', () => bad(target.error?.message ?? 'error'), { once: true });
    });
    const video = document.createElement('video');
    video.muted = true;
    document.body.append(video);
    const plays = async (s) => {
      const from = video.currentTime;
      await video.play();
      while (video.currentTime < from + s && !video.ended) await until(video, 'timeupdate');
      video.pause();
      return video.currentTime - from;
    };
    const seek = async (to) => {
      const seeked = until(video, 'seeked');
      video.currentTime = to;
      await seeked;
      return video.currentTime;
    };
    const told = () => ({ width: video.videoWidth, height: video.videoHeight,
      error: video.error && video.error.message, duration: video.duration,
      buffered: Array.from(video.buffered, (_, i) => [video.buffered.start(i), video.buffered.end(i)]) });
";

/// Spans of a recording, put at their places in its time through a `MediaSource`.
const SEGMENTS: &str = "
    const [base, init, spans, to] = asked;
    const source = new MediaSource();
    const opened = until(source, 'sourceopen');
    video.src = URL.createObjectURL(source);
    await opened;
    let buffer = null;
    const append = async (bytes) => {
      const updated = until(buffer, 'updateend');
      buffer.appendBuffer(bytes);
      await updated;
    };
    for (const [start, end] of spans) {
      const reply = await fetch(`${base}/view.m4s?s=0.${start}-${end}`);
      if (!reply.ok) throw new Error(await reply.text());
      if (!buffer) {
        buffer = source.addSourceBuffer(reply.headers.get('content-type'));
        await append(await (await fetch(init)).arrayBuffer());
      }
      const leading = Number(reply.headers.get('x-leading-media-duration'));
      buffer.timestampOffset = (start - leading) / 90000;
      // What is ahead of the span is needed to decode it, and is there already.
      await append(await reply.arrayBuffer());
    }
    source.endOfStream();
    video.currentTime = spans[0][0] / 90000;
    const played = await plays(1);
    const at = await seek(to);
    const playedThere = await plays(0.5);
    return { ...told(), played, at, playedThere };
";

/// A file as any player has it.
const FILE: &str = "
    const [url, to] = asked;
    const known = until(video, 'loadedmetadata');
    video.src = url;
    await known;
    const played = await plays(1);
    const at = await seek(to);
    const playedThere = await plays(0.5);
    return { ...told(), played, at, playedThere };
";

/// Width and height of a stream's recordings.
fn size(demo: &Demo, base: &str) -> (i64, i64) {
    let list = demo.get(&format!("{base}/recordings")).json();
    let entries = list["videoSampleEntries"].as_object().unwrap();
    let entry = entries.values().next().unwrap();
    (
        entry["width"].as_i64().unwrap(),
        entry["height"].as_i64().unwrap(),
    )
}

/// Waits until the page has so many videos, each of the size, each having played on for a second.
fn plays_on(browser: &Browser, videos: usize, (width, height): (i64, i64)) {
    let mut first: Option<Vec<f64>> = None;
    wait(|| {
        let looked = browser.run(LOOK, json!([]));
        let all = looked.as_array().unwrap();
        assert!(all.iter().all(|v| v["error"].is_null()), "{looked}");
        let right = |v: &Value| v["width"] == width && v["height"] == height;
        if all.len() != videos || !all.iter().all(right) {
            first = None;
            return None;
        }
        let times: Vec<f64> = all.iter().map(|v| v["time"].as_f64().unwrap()).collect();
        let from = first.get_or_insert_with(|| times.clone());
        let all_on = times.iter().zip(from).all(|(now, then)| *now > *then + 1.0);
        all_on.then_some(())
    });
}

/// A second from which on a stream's first recording has another one, whose sync sample is well behind the
/// first second; and where that sync sample is. In 90 kHz units of the recording.
fn late_start(demo: &Demo, stream: &str) -> Option<(i64, i64)> {
    (3..12).map(|second| second * 90_000).find_map(|start| {
        let span = format!("{stream}/view.m4s?s=0.{start}-{}", start + 90_000);
        let reply = demo.get(&span);
        let leading = reply.header("x-leading-media-duration")?;
        let sync = start - leading.parse::<i64>().unwrap();
        (sync > 180_000).then_some((start, sync))
    })
}

fn near(told: &Value, expected: f64) -> bool {
    told.as_f64()
        .is_some_and(|t| (t - expected).abs() < FRAME_S)
}

#[test]
fn chromium_plays_live_and_recorded() {
    let browser = Browser::start();
    let demo = Demo::start();
    let (main, sub) = (demo.stream(0, "main", 13), demo.stream(0, "sub", 3));
    let url = |path: &str| format!("http://{}{path}", demo.addr);

    // Live: sub streams side by side, the main stream of the one that is tapped.
    browser.open(&url("/#live"));
    plays_on(&browser, 2, size(&demo, &sub));
    browser.run("document.querySelector('.tile-open').click();", json!([]));
    plays_on(&browser, 1, size(&demo, &main));
    assert_eq!(browser.complaints(), [""; 0]);

    // Recorded: two spans that follow each other are one.
    let list = demo.get(&format!("{main}/recordings")).json();
    let init = format!(
        "/api/init/{}.mp4",
        list["recordings"][0]["videoSampleEntryId"]
    );
    browser.open(&url("/healthz"));
    let spans = json!([[0, 270_000], [270_000, 540_000]]);
    let script = format!("{EVENTS}{SEGMENTS}");
    let told = browser.run(&script, json!([main, init, spans, 4.5]));
    let buffered = told["buffered"].as_array().unwrap();
    assert_eq!(buffered.len(), 1, "{told}");
    assert!(
        near(&buffered[0][0], 0.0) && near(&buffered[0][1], 6.0),
        "{told}"
    );
    played(&told, size(&demo, &main), 4.5);
    // With a gap between them they are two, the later from the sync sample ahead of it on. On a machine that
    // has much to do these are seconds apart.
    let (start, sync) = wait(|| late_start(&demo, &main));
    let end = start + 90_000;
    let seconds = |time_90k: i64| time_90k as f64 / 90_000.0;
    let spans = json!([[0, 90_000], [start, end]]);
    let to = seconds(start) + 0.2;
    let told = browser.run(&script, json!([main, init, spans, to]));
    let buffered = told["buffered"].as_array().unwrap();
    assert_eq!(buffered.len(), 2, "{told}");
    assert!(
        near(&buffered[0][1], 1.0) && near(&buffered[1][0], seconds(sync)),
        "{told}"
    );
    assert!(near(&buffered[1][1], seconds(end)), "{told}");
    played(&told, size(&demo, &main), to);

    // As a file, with an edit list ahead and a subtitle track beside.
    let script = format!("{EVENTS}{FILE}");
    for of in [
        "s=0.90000-540000",
        "s=0.90000-540000&ts=true",
        "s=0.0-90000&s=0.180000-540000",
    ] {
        let told = browser.run(&script, json!([format!("{main}/view.mp4?{of}"), 3.0]));
        assert!(near(&told["duration"], 5.0), "{of}: {told}");
        played(&told, size(&demo, &main), 3.0);
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// It had the size, played on, went to where it was told to, and played on from there.
fn played(told: &Value, (width, height): (i64, i64), to: f64) {
    assert!(told["error"].is_null(), "{told}");
    assert!(told["width"] == width && told["height"] == height, "{told}");
    assert!(told["played"].as_f64() >= Some(0.9), "{told}");
    assert!(near(&told["at"], to), "{told}");
    assert!(told["playedThere"].as_f64() >= Some(0.4), "{told}");
}
