//! The whole program against cameras that we did not write, and against being killed.
//!
//! Needs GStreamer's RTSP server and FFmpeg: `./prep.sh test` installs them.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PROGRAM: &str = env!("CARGO_BIN_EXE_moonfire-nvr");
/// How long anything here may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that is gone when the test is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("it runs");
    }

    /// Waits for its end.
    fn end(mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits until `f` yields something, looking every now and then.
fn wait_for<T>(what: &str, mut f: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = f() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A recorder with a folder of its own.
struct Recorder {
    dir: tempfile::TempDir,
    port: u16,
}

impl Recorder {
    fn new(cameras: &str) -> Recorder {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a free port")
            .port();
        let recorder = Recorder {
            dir: tempfile::tempdir().expect("a folder"),
            port,
        };
        recorder.configure(cameras);
        let out = recorder.command(&["init"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        recorder
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("nvr.toml")
    }

    fn configure(&self, cameras: &str) {
        let dir = self.dir.path().display();
        let config = format!(
            "db_dir = \"{dir}/db\"\nsample_dirs = [\"{dir}/sample\"]\ntime_zone = \"Etc/UTC\"\n\
             [[http]]\nlisten = \"127.0.0.1:{}\"\nallow_unauthenticated = [\"view_recordings\"]\n\
             {cameras}",
            self.port
        );
        std::fs::write(self.config(), config).expect("a file");
    }

    fn command(&self, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .arg("--config")
            .arg(self.config())
            .output()
            .expect("the program runs")
    }

    fn run(&self) -> Running {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let child = Command::new(PROGRAM)
            .args(["run", "--config"])
            .arg(self.config())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        Running(child)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    fn api(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/api/")?).ok()
    }

    /// One stream of `/api/`.
    fn stream(&self, camera: &str, kind: &str) -> Option<Value> {
        let api = self.api()?;
        let camera = api["cameras"]
            .as_array()?
            .iter()
            .find(|c| c["shortName"] == camera)?;
        Some(camera["streams"][kind].clone())
    }

    /// Waits until the stream has recorded so many seconds in one go.
    fn wait_recorded(&self, camera: &str, kind: &str, seconds: i64) {
        wait_for(
            &format!("{seconds} s of {camera}/{kind}; log: {}", self.log()),
            || {
                let s = self.stream(camera, kind)?;
                let in_progress = s["inProgressDuration90k"].as_i64()?;
                (s["recording"] == true && in_progress >= seconds * 90_000).then_some(())
            },
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A camera of GStreamer's; yields its port.
fn gstreamer(args: &[&str]) -> (Running, u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/gst_rtsp_server.py");
    let mut child = Command::new("/usr/bin/python3")
        .arg(script)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is missing: run ./prep.sh test");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("its port");
    let port = line
        .trim()
        .strip_prefix("port ")
        .and_then(|p| p.parse().ok());
    let port = port.expect("GStreamer's RTSP server is missing: run ./prep.sh test");
    (Running(child), port)
}

/// A camera of our own that plays a clip over and over; yields its main stream's URL.
fn simulated(clip: &Path) -> (Running, String) {
    let mut child = Command::new(PROGRAM)
        .args(["simulate-camera", "--listen", "127.0.0.1:0", "--file"])
        .arg(clip)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let stdout = child.stdout.take().expect("its output");
    // Both lines are read, or it could not write the second.
    let urls: Vec<String> = BufReader::new(stdout)
        .lines()
        .take(2)
        .map_while(Result::ok)
        .collect();
    let url = urls.first().cloned().unwrap_or_default();
    assert!(
        url.starts_with("rtsp://") && url.ends_with("/main"),
        "{urls:?}"
    );
    (Running(child), url)
}

/// A clip of so many seconds in which no two frames are alike, with frames that H.264 likes to hide:
/// several slices and a second between sync samples.
fn clip(path: &Path, seconds: u32) {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size=640x360:rate=25:duration={seconds}"))
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-g",
            "25",
        ])
        .args(["-x264-params", "slices=2", "-pix_fmt", "yuv420p"])
        .arg(path)
        .output()
        .expect("ffmpeg is missing: run ./prep.sh test");
    assert!(out.status.success(), "{}", text(&out.stderr));
}

/// The hash of each packet of a file, parameter sets and delimiters left out, as FFmpeg reads it.
fn packet_hashes(path: &Path) -> Vec<String> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v", "-c", "copy", "-bsf:v"])
        .arg("h264_mp4toannexb,filter_units=remove_types=6|7|8|9|12")
        .args(["-f", "framehash", "-hash", "sha256", "-"])
        .output()
        .expect("ffmpeg is missing: run ./prep.sh test");
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.rsplit(',').next())
        .map(|h| h.trim().to_owned())
        .collect()
}

/// FFmpeg decodes all of it without a word.
fn assert_decodes(path: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is missing: run ./prep.sh test");
    let said = text(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{said}");
}

/// Seconds since 1970.
fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

/// RFC 3339, as `export` takes it.
fn rfc3339(unix: f64) -> String {
    jiff::Timestamp::from_millisecond((unix * 1000.0) as i64)
        .expect("a time")
        .to_string()
}

/// Records a file that GStreamer serves once, exports it, and compares every frame.
fn frame_by_frame(transport: &str) {
    const SECONDS: u32 = 12;
    let files = tempfile::tempdir().expect("a folder");
    let source = files.path().join("source.mp4");
    clip(&source, SECONDS);
    let (_camera, port) = gstreamer(&[
        "--file",
        source.to_str().expect("a path"),
        "--auth",
        "digest",
        "admin",
        "let \"me\" in",
    ]);
    let recorder = Recorder::new(&format!(
        "[[camera]]\nname = \"gst\"\nusername = \"admin\"\npassword = 'let \"me\" in'\n[camera.main]\n\
         url = \"rtsp://127.0.0.1:{port}/main\"\ntransport = \"{transport}\"\n"
    ));
    let begin = unix_now();
    let running = recorder.run();
    // It is served once; the camera then hangs up, and the recorder says so.
    wait_for("the end of the file", || {
        recorder
            .log()
            .contains("camera-lost")
            .then_some(())
            .or_else(|| recorder.log().contains("not recording").then_some(()))
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(running.end().success());
    let clip = files.path().join("clip.mp4");
    let out = recorder.command(&[
        "export",
        "gst",
        "--from",
        &rfc3339(begin - 5.0),
        "--to",
        &rfc3339(unix_now() + 60.0),
        "-o",
        clip.to_str().expect("a path"),
    ]);
    assert!(
        out.status.success(),
        "{}\n{}",
        text(&out.stderr),
        recorder.log()
    );
    assert_decodes(&clip);
    let (sent, kept) = (packet_hashes(&source), packet_hashes(&clip));
    assert_eq!(sent.len(), (SECONDS * 25) as usize);
    assert!(
        kept.len() >= sent.len(),
        "{} of {} frames",
        kept.len(),
        sent.len()
    );
    assert!(
        kept[..sent.len()] == sent[..],
        "a frame is not the camera's; {}",
        recorder.log()
    );
    let out = recorder.command(&["check"]);
    assert!(
        out.status.success(),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
    assert!(
        !recorder.log().contains("let \"me\" in"),
        "the password is in the log"
    );
}

#[test]
fn what_gstreamer_sends_over_tcp_is_exported_frame_by_frame() {
    frame_by_frame("tcp");
}

#[test]
fn what_gstreamer_sends_over_udp_is_exported_frame_by_frame() {
    frame_by_frame("udp");
}

#[test]
fn being_killed_costs_no_more_than_the_sync_interval_and_a_second() {
    let files = tempfile::tempdir().expect("a folder");
    clip(&files.path().join("clip.mp4"), 4);
    let (_camera, url) = simulated(&files.path().join("clip.mp4"));
    let sub = url.replace("/main", "/sub");
    let recorder = Recorder::new(&format!(
        "[[camera]]\nname = \"c\"\n[camera.main]\nurl = \"{url}\"\n[camera.sub]\nurl = \"{sub}\"\n"
    ));
    let mut killed_at = Vec::new();
    for round in 0..5 {
        let running = recorder.run();
        recorder.wait_recorded("c", "main", 3 + round % 3);
        recorder.wait_recorded("c", "sub", 3);
        killed_at.push(unix_now());
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.end();
        let out = recorder.command(&["check"]);
        assert!(
            out.status.success(),
            "{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
    }
    let running = recorder.run();
    recorder.wait_recorded("c", "main", 1);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(running.end().success());
    let out = recorder.command(&["check"]);
    assert!(
        out.status.success(),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
    // What was recorded up to each kill is there: some recording ends shortly before it.
    let database =
        rusqlite::Connection::open(recorder.dir.path().join("db/db")).expect("a database");
    let mut select = database
        .prepare(
            "select (start_90k + wall_duration_90k) / 90000.0 from recording where stream_id = ?1",
        )
        .expect("a query");
    for stream in [1, 2] {
        let ends: Vec<f64> = select
            .query_map([stream], |r| r.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("numbers");
        for at in &killed_at {
            let lost = ends
                .iter()
                .map(|e| at - e)
                .filter(|l| *l > -0.5)
                .fold(f64::MAX, f64::min);
            assert!(
                lost < 2.5,
                "{lost} s were lost of stream {stream}; {}",
                recorder.log()
            );
        }
    }
}

#[test]
fn reading_the_configuration_again_leaves_streams_that_did_not_change_alone() {
    let files = tempfile::tempdir().expect("a folder");
    clip(&files.path().join("clip.mp4"), 4);
    let (_camera, url) = simulated(&files.path().join("clip.mp4"));
    let sub = url.replace("/main", "/sub");
    let one = format!("[[camera]]\nname = \"c\"\n[camera.main]\nurl = \"{url}\"\n");
    let recorder = Recorder::new(&one);
    let running = recorder.run();
    recorder.wait_recorded("c", "main", 2);
    recorder.configure(&format!(
        "{one}[[camera]]\nname = \"d\"\n[camera.sub]\nurl = \"{sub}\"\n"
    ));
    running.signal(nix::sys::signal::Signal::SIGHUP);
    recorder.wait_recorded("d", "sub", 2);
    recorder.wait_recorded("c", "main", 5);
    // A file that is wrong is told and changes nothing.
    recorder.configure("[[camera]]\nnme = \"c\"\n");
    running.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the error", || recorder.log().contains("nme").then_some(()));
    recorder.wait_recorded("c", "main", 7);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(running.end().success());
    let database =
        rusqlite::Connection::open(recorder.dir.path().join("db/db")).expect("a database");
    let runs: i64 = database
        .query_row(
            "select count(*) from recording where stream_id = 1 and run_offset = 0",
            [],
            |r| r.get(0),
        )
        .expect("a number");
    assert_eq!(runs, 1, "{}", recorder.log());
}
