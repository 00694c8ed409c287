//! Real H.264, made by x264 through the `ffmpeg` program, and what ffmpeg and ffprobe say of our files.
//!
//! None of our own code is used to make it or to judge it.

use std::path::Path;
use std::process::{Command, Output};

/// A coded frame, in decoding order.
#[derive(Clone, Debug)]
pub struct Frame {
    /// NAL units with 4-byte lengths.
    pub bytes: Vec<u8>,
    /// Decoding and presentation time in 90 kHz units; the first frame's are both 0.
    pub dts: i64,
    pub pts: i64,
    pub duration: i64,
    pub sync: bool,
    pub hash: String,
}

/// A coded clip.
#[derive(Clone, Debug)]
pub struct Footage {
    pub width: u16,
    pub height: u16,
    pub avcc: Vec<u8>,
    pub frames: Vec<Frame>,
}

/// What is to be coded: 30 frames a second, a sync sample each 15.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    pub width: u16,
    pub height: u16,
    pub seconds: u32,
    pub b_frames: u32,
}

/// Ticks between frames.
pub const FRAME: i64 = 3_000;
/// Frames from sync sample to sync sample.
pub const GOP: usize = 15;

impl Clip {
    pub const SMALL: Clip = Clip {
        width: 320,
        height: 240,
        seconds: 4,
        b_frames: 0,
    };

    pub fn code(self) -> Footage {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source.mp4");
        let source = format!(
            "testsrc2=size={}x{}:rate=30:duration={}",
            self.width, self.height, self.seconds
        );
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", &source])
            .args([
                "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p",
            ])
            .args(["-g", &GOP.to_string(), "-bf", &self.b_frames.to_string()])
            .args(["-x264-params", "scenecut=0:b-adapt=0", "-threads", "1"])
            .args(["-video_track_timescale", "90000"])
            .arg(&path));
        let file = std::fs::read(&path).unwrap();
        let probed = packets(&path);
        let (dts0, pts0) = (probed[0].dts, probed[0].pts);
        Footage {
            width: self.width,
            height: self.height,
            avcc: find_avcc(&file),
            frames: probed
                .into_iter()
                .map(|p| Frame {
                    bytes: file[p.position..p.position + p.size].to_vec(),
                    dts: p.dts - dts0,
                    pts: p.pts - pts0,
                    duration: p.duration,
                    sync: p.sync,
                    hash: p.hash,
                })
                .collect(),
        }
    }
}

/// The content of the `avcC` box.
fn find_avcc(file: &[u8]) -> Vec<u8> {
    let at = file.windows(4).position(|w| w == b"avcC").unwrap();
    let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file[at + 4..at - 4 + len].to_vec()
}

/// A packet as ffprobe sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub duration: i64,
    pub position: usize,
    pub size: usize,
    pub sync: bool,
    /// The edit list hides it.
    pub hidden: bool,
    pub hash: String,
}

/// All packets of a file's video track; ffprobe must have nothing to complain about.
pub fn packets(file: &Path) -> Vec<Packet> {
    list(&probe(file, &["-show_packets", "-show_data_hash", "MD5"]))
}

/// The same where ffprobe may warn. It numbers the packets of an edit list's second and later entries
/// anew and warns of the order that comes of it.
pub fn packets_of_several_edits(file: &Path) -> Vec<Packet> {
    let what = ["-show_packets", "-show_data_hash", "MD5", "-v", "error"];
    list(&probe(file, &what))
}

fn list(json: &serde_json::Value) -> Vec<Packet> {
    let number = |v: &serde_json::Value| v.as_str().unwrap().parse::<usize>().unwrap();
    json["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| Packet {
            pts: p["pts"].as_i64().unwrap(),
            dts: p["dts"].as_i64().unwrap(),
            duration: p["duration"].as_i64().unwrap_or(0),
            position: number(&p["pos"]),
            size: number(&p["size"]),
            sync: p["flags"].as_str().unwrap().contains('K'),
            hidden: p["flags"].as_str().unwrap().contains('D'),
            hash: p["data_hash"].as_str().unwrap().to_owned(),
        })
        .collect()
}

/// What ffprobe tells of `file`, as JSON.
pub fn probe(file: &Path, what: &[&str]) -> serde_json::Value {
    let out = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "json"])
        .args(what)
        .arg(file));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Decodes all of `file`: any warning fails the test. Returns the number of frames shown.
pub fn decode(file: &Path) -> usize {
    let out = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-f", "framehash", "-"]));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter(|l| !l.starts_with('#')).count()
}

/// The text of a file's subtitles, as SubRip. Markup is left out.
pub fn subtitles(file: &Path) -> String {
    let out = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(file)
        .args(["-map", "0:s:0", "-c:s", "text", "-f", "srt", "-"]));
    String::from_utf8(out.stdout).unwrap()
}

/// Runs a program that must succeed and say nothing on its standard error.
fn run(command: &mut Command) -> Output {
    let out = match command.output() {
        Ok(out) => out,
        Err(e) => panic!("cannot run {command:?} ({e}): run ./prep.sh test, which installs ffmpeg"),
    };
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && told.is_empty(),
        "{command:?}: {told}"
    );
    out
}
