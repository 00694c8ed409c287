//! The time line page in Chromium: it plays, follows the finger, and leads to the file of what is marked.

use crate::daemon::{Demo, wait};
use crate::webdriver::Browser;
use serde_json::{Value, json};

/// The pictures: of the page's first camera.
const LOOK: &str = "
    const pane = document.querySelector('.pane');
    const video = pane?.querySelector('video:not(.leaf)');
    const leaf = pane?.querySelector('video.leaf');
    const image = pane?.querySelector('img.leaf');
    return {
      width: video?.videoWidth ?? 0,
      time: video?.currentTime ?? 0,
      leafing: (leaf && !leaf.hidden && leaf.videoWidth > 0) || (image && !image.hidden && image.naturalWidth > 0),
      clock: document.querySelector('.moment time')?.textContent ?? '',
    };
";

/// Puts the pointer down on the strip, or takes it off, at a share of its width.
const POINT: &str = "
    const [name, share] = arguments;
    const strip = document.querySelector('.strips');
    const box = strip.getBoundingClientRect();
    strip.setPointerCapture = () => {};
    strip.dispatchEvent(new PointerEvent(name, {
      pointerId: 1, button: 0, clientX: box.left + box.width * share, clientY: box.top + 40, bubbles: true,
    }));
";

fn look(browser: &Browser) -> Value {
    browser.run(LOOK, json!([]))
}

#[test]
fn what_was_recorded_is_played_leafed_through_and_exported() {
    let browser = Browser::start();
    let demo = Demo::start();
    let main = demo.stream(0, "main", 12);
    let camera = main.split('/').nth(3).unwrap();
    let list = demo.get(&format!("{main}/recordings")).json();
    let start = list["recordings"][0]["startTime90k"].as_i64().unwrap();
    let zone = jiff::tz::TimeZone::UTC;
    let at = jiff::Timestamp::from_millisecond((start + 180_000) / 90).unwrap();
    let at = at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    browser.open(&format!(
        "http://{}/#timeline?cameras={camera}&t={at}&span=20",
        demo.addr
    ));
    // A picture of the moment that the address names.
    wait(|| (look(&browser)["width"] == 1280).then_some(()));
    browser.run("document.querySelector('.play').click();", json!([]));
    let from = look(&browser)["time"].as_f64().unwrap();
    wait(|| (look(&browser)["time"].as_f64().unwrap() > from + 1.0).then_some(()));
    browser.run("document.querySelector('.play').click();", json!([]));

    // Pictures follow the finger; where it is lifted the time line stays.
    let before = look(&browser)["clock"].clone();
    browser.run(POINT, json!(["pointerdown", 0.62]));
    wait(|| (look(&browser)["leafing"] == true).then_some(()));
    browser.run(POINT, json!(["pointerup", 0.62]));
    wait(|| (look(&browser)["leafing"] != true).then_some(()));
    assert_ne!(look(&browser)["clock"], before);

    // What is marked is a file.
    let export = "document.querySelector('[aria-label=Export]').click();";
    browser.run(export, json!([]));
    let link = wait(|| {
        let link = "return document.querySelector('.export-list a')?.getAttribute('href') ?? null;";
        browser.run(link, json!([])).as_str().map(str::to_owned)
    });
    let file = demo.get(&link);
    assert_eq!(file.status, 200, "{}", file.text());
    let name = file.header("content-disposition").unwrap();
    assert!(name.contains("driveway"), "{name}");
    assert_eq!(browser.complaints(), [""; 0]);
}
