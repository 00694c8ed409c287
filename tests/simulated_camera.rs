//! The simulated camera against clients that were not written for it: ffmpeg and GStreamer.
//!
//! Needs the packages `ffmpeg`, `gstreamer1.0-tools` and `gstreamer1.0-plugins-{base,good,bad}`.

use moonfire_nvr::simulated_camera::network::{Options, Picture, RunningCamera};
use moonfire_nvr::simulated_camera::synthetic::{self, Synthetic};
use moonfire_nvr::simulated_camera::{Authentication, Fault, Scheme};
use std::path::Path;
use std::process::{Command, Output};

fn start(picture: Picture, scheme: Option<Scheme>, faults: &[&str]) -> RunningCamera {
    RunningCamera::start(Options {
        name: "driveway".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        authentication: scheme.map(|scheme| Authentication {
            username: "admin".to_owned(),
            password: "secret".to_owned(),
            scheme,
        }),
        faults: faults.iter().map(|f| f.parse::<Fault>().unwrap()).collect(),
        picture,
        seed: 1,
    })
    .unwrap()
}

fn synthetic() -> Synthetic {
    Synthetic {
        frame_rate: 30,
        gop_frames: 15,
        sync_bytes: 30_000,
        ..Synthetic::default()
    }
}

fn url(camera: &RunningCamera, stream: &str, user: &str) -> String {
    format!("rtsp://{user}{}/{stream}", camera.addr())
}

/// Ends whatever takes longer than half a minute, so that a test fails rather than hangs.
fn run(program: &str, args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["-k", "5", "30", program])
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// What ffmpeg has to say about the URL: nothing, if all is well.
fn ffmpeg(url: &str, transport: &str, rest: &[&str]) -> Output {
    let start = [
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "warning",
        "-rtsp_transport",
        transport,
        "-i",
        url,
    ];
    run("ffmpeg", &[&start, rest].concat())
}

fn assert_clean(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {said}", output.status);
    assert_eq!(said, "", "{what}");
}

#[test]
fn ffmpeg_decodes_without_a_warning() {
    for scheme in [None, Some(Scheme::Basic), Some(Scheme::Md5)] {
        let camera = start(Picture::Synthetic(synthetic()), scheme, &[]);
        let user = if scheme.is_some() {
            "admin:secret@"
        } else {
            ""
        };
        for transport in ["tcp", "udp"] {
            for stream in ["main", "sub"] {
                let url = url(&camera, stream, user);
                let output = ffmpeg(&url, transport, &["-frames:v", "40", "-f", "null", "-"]);
                assert_clean(&output, &format!("{scheme:?} {transport} {stream}"));
            }
        }
    }
}

#[test]
fn a_wrong_password_is_refused() {
    let camera = start(Picture::Synthetic(synthetic()), Some(Scheme::Md5), &[]);
    for user in ["", "admin:wrong@", "nobody:secret@"] {
        let output = ffmpeg(&url(&camera, "main", user), "tcp", &["-f", "null", "-"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("401"), "{said}");
    }
}

/// NAL units between start codes, but for parameter sets and access unit delimiters.
fn nal_units(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = (3..=bytes.len())
        .filter(|i| bytes[i - 3..*i] == [0, 0, 1])
        .collect();
    starts.push(bytes.len() + 3);
    let nals = starts.windows(2).map(|w| {
        let nal = &bytes[w[0]..w[1] - 3];
        let end = nal.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        nal[..end].to_vec()
    });
    nals.filter(|n| !matches!(n[0] & 0x1f, 7..=9)).collect()
}

#[test]
fn what_ffmpeg_reads_is_what_the_camera_made() {
    let stream = synthetic();
    let camera = start(Picture::Synthetic(stream.clone()), None, &[]);
    let dir = tempfile::tempdir().unwrap();
    for transport in ["tcp", "udp"] {
        let file = dir.path().join(format!("{transport}.h264"));
        let output = ffmpeg(
            &url(&camera, "main", ""),
            transport,
            &["-c", "copy", "-frames:v", "45", path(&file)],
        );
        assert_clean(&output, transport);
        let read = nal_units(&std::fs::read(&file).unwrap());
        let first = synthetic::number_of(&read[0]).unwrap();
        assert!(stream.is_sync(first));
        let made: Vec<Vec<u8>> = (first..first + 45)
            .flat_map(|n| stream.frame(n).nals)
            .collect();
        assert!(read == made, "{transport}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn gstreamer_plays_it() {
    let camera = start(Picture::Synthetic(synthetic()), Some(Scheme::Md5), &[]);
    let location = format!("location={}", camera.url("main"));
    for protocols in ["protocols=tcp", "protocols=udp"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("got.h264");
        let sink = format!("location={}", path(&file));
        let output = run(
            "gst-launch-1.0",
            &[
                "-q",
                "rtspsrc",
                &location,
                protocols,
                "latency=200",
                "user-id=admin",
                "user-pw=secret",
                "!",
                "rtph264depay",
                "!",
                "h264parse",
                "!",
                "video/x-h264,stream-format=byte-stream,alignment=au",
                "!",
                "identity",
                "eos-after=60",
                "!",
                "filesink",
                &sink,
            ],
        );
        assert_clean(&output, protocols);
        let numbers: Vec<u64> = nal_units(&std::fs::read(&file).unwrap())
            .iter()
            .filter_map(|n| synthetic::number_of(n))
            .collect();
        assert!(numbers.len() >= 58, "{protocols}: {numbers:?}");
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    }
}

#[test]
fn ffmpeg_gets_through_what_it_should() {
    for fault in [
        "absolute-control",
        "no-sprop",
        "stale-nonce=2",
        "many-challenges",
        "bare-challenge",
        "padding",
        "timestamp-wrap=1",
        "burst=5",
        "other-channels",
    ] {
        let camera = start(Picture::Synthetic(synthetic()), Some(Scheme::Md5), &[fault]);
        let url = url(&camera, "main", "admin:secret@");
        let output = ffmpeg(&url, "tcp", &["-frames:v", "40", "-f", "null", "-"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{fault}: {said}");
    }
}

/// The command itself, as a person would use it.
#[test]
fn the_command_prints_urls_that_work() {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Stdio};

    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let child = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .args(["simulate-camera", "--listen", "127.0.0.1:0", "--synthetic"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let urls: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    for (url, path) in urls.iter().zip(["/main", "/sub"]) {
        assert!(url.ends_with(path), "{url}");
        let output = ffmpeg(url, "tcp", &["-frames:v", "10", "-f", "null", "-"]);
        assert_clean(&output, url);
    }
}

#[cfg(feature = "ffmpeg")]
mod drawn {
    use super::*;
    use moonfire_nvr::simulated_camera::clip;
    use moonfire_nvr::simulated_camera::scene::Place;
    use std::sync::Arc;

    #[test]
    fn a_drawn_picture_is_decoded_without_a_warning() {
        for place in [Place::Driveway, Place::Garden] {
            let camera = start(Picture::Drawn(place), Some(Scheme::Md5), &[]);
            for (transport, stream, frames) in [("tcp", "main", "75"), ("udp", "sub", "25")] {
                let url = url(&camera, stream, "admin:secret@");
                let output = ffmpeg(&url, transport, &["-frames:v", frames, "-f", "null", "-"]);
                assert_clean(&output, &format!("{place:?} {transport} {stream}"));
            }
        }
    }

    /// A clip with B pictures comes through as it is.
    #[test]
    fn a_clip_is_looped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clip.mp4");
        let made = run(
            "ffmpeg",
            &[
                "-hide_banner",
                "-nostdin",
                "-loglevel",
                "warning",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=25:duration=2",
                "-c:v",
                "libx264",
                "-pix_fmt",
                "yuv420p",
                "-bf",
                "2",
                "-g",
                "25",
                path(&file),
            ],
        );
        assert_clean(&made, "the clip");
        let clip = Arc::new(clip::read(&file).unwrap());
        assert_eq!(clip.len(), 50);
        let camera = start(Picture::Clip(clip), None, &[]);
        let url = camera.url("main");
        let output = ffmpeg(&url, "tcp", &["-frames:v", "80", "-f", "null", "-"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("error"), "{said}");
    }
}
