//! Setting up cameras over HTTP, with the real binary from an empty configuration on.

use crate::client::{self, Reply};
use crate::daemon::wait;
use moonfire_nvr::simulated_camera::network::{Options, Picture, RunningCamera};
use moonfire_nvr::simulated_camera::scene::Place;
use moonfire_nvr::simulated_camera::{Authentication, Faults, Scheme};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_moonfire-nvr");

/// An administrator.
const USER: &str = "anna";
const PASSWORD: &str = "correct horse";

/// What the camera wants.
const CAMERA_USER: &str = "admin";
const CAMERA_PASSWORD: &str = "a secret";

/// A recorder that knows no camera, killed at the end.
struct Recorder {
    dir: tempfile::TempDir,
    addr: String,
    child: Child,
    cookie: String,
    csrf: String,
}

fn run(config: &Path, args: &[&str]) -> Output {
    let out = Command::new(PROGRAM)
        .args(args)
        .arg("--config")
        .arg(config)
        .output();
    let out = out.unwrap();
    assert!(out.status.success(), "{out:?}");
    out
}

fn spawn(config: &Path) -> Child {
    let mut command = Command::new(PROGRAM);
    command.arg("run").arg("--config").arg(config);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

impl Recorder {
    fn start() -> Recorder {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sample")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap().to_string();
        drop(free);
        let config = config(dir.path());
        let at = dir.path().display();
        let text = format!(
            "db_dir = \"{at}/db\"\nsample_dirs = [\"{at}/sample\"]\nreserve = \"none\"\n\
             [[http]]\nlisten = \"{addr}\"\n"
        );
        std::fs::write(&config, text).unwrap();
        run(&config, &["init"]);
        let password = dir.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        run(
            &config,
            &["login", USER, "--password-file", password.to_str().unwrap()],
        );
        let mut recorder = Recorder {
            child: spawn(&config),
            dir,
            addr,
            cookie: String::new(),
            csrf: String::new(),
        };
        recorder.sign_in();
        recorder
    }

    fn sign_in(&mut self) {
        wait(|| std::net::TcpStream::connect(&self.addr).ok());
        let body = json!({ "username": USER, "password": PASSWORD });
        let reply = client::send(
            &self.addr,
            "POST",
            "/api/login",
            body.to_string().as_bytes(),
        );
        assert_eq!(reply.status, 204, "{}", reply.text());
        let cookie = reply.header("set-cookie").unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
        let top = self.get("/api/").json();
        self.csrf = top["user"]["session"]["csrf"].as_str().unwrap().to_owned();
    }

    /// Ends in good order and starts again.
    fn restart(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.child = spawn(&config(self.dir.path()));
        // The session goes on.
        wait(|| std::net::TcpStream::connect(&self.addr).ok());
    }

    fn get(&self, target: &str) -> Reply {
        let fields = format!("Cookie: {}\r\n", self.cookie);
        client::request(&self.addr, "GET", target, &fields)
    }

    fn change(&self, method: &str, target: &str, mut body: Value) -> Reply {
        body["csrf"] = json!(self.csrf);
        let fields = format!("Cookie: {}\r\n", self.cookie);
        client::send_with(
            &self.addr,
            method,
            target,
            &fields,
            body.to_string().as_bytes(),
        )
    }

    /// The recordings of a stream, once they last for so long.
    fn recorded(&self, stream: &str, seconds: i64) -> Vec<Value> {
        wait(|| {
            let list = self.get(&format!("{stream}/recordings"));
            let rows = list.json()["recordings"].as_array()?.clone();
            let time = |row: &Value, key: &str| row[key].as_i64().unwrap();
            let lasts = |row: &Value| time(row, "endTime90k") - time(row, "startTime90k");
            let whole: i64 = rows.iter().map(lasts).sum();
            (whole >= seconds * 90_000).then_some(rows)
        })
    }

    fn camera(&self, name: &str) -> Option<Value> {
        let list = self.get("/api/cameras/").json();
        let mut all = list["cameras"].as_array().unwrap().iter();
        all.find(|c| c["shortName"] == name).cloned()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(dir: &Path) -> PathBuf {
    dir.join("moonfire-nvr.toml")
}

fn start_camera() -> RunningCamera {
    RunningCamera::start(Options {
        name: "garden".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        authentication: Some(Authentication {
            username: CAMERA_USER.to_owned(),
            password: CAMERA_PASSWORD.to_owned(),
            scheme: Scheme::Sha256,
        }),
        faults: Faults::none(),
        picture: Picture::Drawn(Place::Garden),
        seed: 1,
    })
    .unwrap()
}

fn garden(camera: &RunningCamera) -> Value {
    json!({ "camera": {
        "shortName": "garden",
        "username": CAMERA_USER,
        "password": CAMERA_PASSWORD,
        "streams": { "main": { "url": camera.url("main") } },
    }})
}

#[test]
fn a_camera_from_its_first_test_to_its_removal() {
    let camera = start_camera();
    let mut recorder = Recorder::start();
    let none = recorder.get("/api/cameras/").json();
    assert_eq!(none, json!({ "cameras": [] }));

    tested(&recorder, &camera);
    let made = recorder
        .change("POST", "/api/cameras/", garden(&camera))
        .json();
    let path = format!("/api/cameras/{}/", made["uuid"].as_str().unwrap());
    let main = format!("{path}main");
    recorder.recorded(&main, 4);
    plays(&recorder, &main);

    changed(&recorder, &camera, &path);
    recorder.restart();
    let after = recorder.camera("garden").unwrap();
    assert_eq!(after["uuid"], made["uuid"]);
    assert_eq!(after["description"], "the shed");
    assert_eq!(after["streams"]["main"]["retainDays"], 30);
    let before = recorder.recorded(&format!("{path}sub"), 2).len();
    assert!(before >= 1);
    recorder.recorded(&main, 8);

    // Removed, and what it has recorded is there; also after a restart.
    let keep = format!("{path}?recordings=keep");
    assert_eq!(recorder.change("DELETE", &keep, json!({})).status, 204);
    for _ in 0..2 {
        let kept = recorder.camera("garden").unwrap();
        assert_eq!(kept["removed"], true);
        let top = recorder.get("/api/").json();
        assert_eq!(top["cameras"][0]["streams"]["main"]["recording"], false);
        recorder.recorded(&main, 8);
        plays(&recorder, &main);
        recorder.restart();
    }

    // By its name it is the same one again; and goes with all that it has.
    let again = recorder
        .change("POST", "/api/cameras/", garden(&camera))
        .json();
    assert_eq!(again["uuid"], made["uuid"]);
    let delete = format!("{path}?recordings=delete");
    assert_eq!(recorder.change("DELETE", &delete, json!({})).status, 204);
    for _ in 0..2 {
        assert_eq!(recorder.camera("garden"), None);
        assert_eq!(recorder.get(&path).status, 404);
        assert_eq!(recorder.get(&format!("{main}/recordings")).status, 404);
        recorder.restart();
    }
    let sample = recorder.dir.path().join("sample");
    wait(|| (sample_files(&sample) == 0).then_some(()));
}

/// Its files, the marker and the journal left out.
fn sample_files(dir: &Path) -> usize {
    let is_sample = |name: &str| name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let names = std::fs::read_dir(dir).unwrap();
    let names = names.map(|f| f.unwrap().file_name().into_string().unwrap());
    names.filter(|n| is_sample(n)).count()
}

/// A look at both streams, then one with a wrong password.
fn tested(recorder: &Recorder, camera: &RunningCamera) {
    let mut body = garden(camera);
    body["camera"]["streams"]["sub"] = json!({ "url": camera.url("sub"), "transport": "udp" });
    let told = recorder
        .change("POST", "/api/cameras/test", body.clone())
        .json();
    for (stream, width, transport) in [("main", 1280, "tcp"), ("sub", 640, "udp")] {
        let seen = &told["streams"][stream];
        assert_eq!(seen["ok"], true, "{told}");
        assert_eq!(seen["width"], width);
        assert_eq!(seen["transport"], transport);
        assert!(
            seen["codec"].as_str().unwrap().starts_with("avc1."),
            "{seen}"
        );
        let rate = seen["frameRate"].as_f64().unwrap();
        assert!((0.5..=60.0).contains(&rate), "{seen}");
        assert!(seen["bitRate"].as_u64().unwrap() > 10_000, "{seen}");
        // On a machine that has much to do, the camera draws slowly: one key frame may be all.
        if let Some(interval) = seen["keyFrameInterval90k"].as_i64() {
            assert!((45_000..=450_000).contains(&interval), "{seen}");
        }
        let picture = seen["picture"].as_str().unwrap();
        assert!(
            picture.starts_with("data:image/jpeg;base64,/9j/"),
            "{picture}"
        );
    }
    body["camera"]["password"] = json!("not that one");
    let told = recorder.change("POST", "/api/cameras/test", body).json();
    for stream in ["main", "sub"] {
        assert_eq!(
            told["streams"][stream]["error"]["kind"], "password",
            "{told}"
        );
    }
}

/// A change that leaves the recording alone, and one that does not.
fn changed(recorder: &Recorder, camera: &RunningCamera, path: &str) {
    let main = format!("{path}main");
    let interrupted = || {
        let rows = recorder.recorded(&main, 1);
        let mut reasons = rows.iter().filter_map(|r| r["endReason"].as_str());
        reasons.any(|reason| reason.contains("settings were changed"))
    };
    let change = json!({ "camera": {
        "description": "the shed",
        "streams": { "main": { "retainDays": 30 }, "sub": { "url": camera.url("sub") } },
    }});
    let reply = recorder.change("PATCH", path, change);
    assert_eq!(reply.status, 204, "{}", reply.text());
    recorder.recorded(&format!("{path}sub"), 2);
    // The other stream has not noticed.
    assert!(!interrupted());
    let test = json!({ "uuid": recorder.camera("garden").unwrap()["uuid"] });
    let told = recorder.change("POST", "/api/cameras/test", test).json();
    assert_eq!(told["streams"]["main"]["ok"], true, "{told}");
    assert_eq!(told["streams"]["sub"]["ok"], true, "{told}");
    let change = json!({ "camera": { "streams": { "main": { "transport": "udp" } } } });
    assert_eq!(recorder.change("PATCH", path, change).status, 204);
    wait(|| interrupted().then_some(()));
}

/// All of a stream as one file, which ffprobe reads.
fn plays(recorder: &Recorder, stream: &str) {
    let rows = recorder.recorded(stream, 1);
    let id = |key: &str| rows.iter().filter_map(|r| r[key].as_i64()).max();
    let first = rows
        .iter()
        .filter_map(|r| r["startId"].as_i64())
        .min()
        .unwrap();
    let last = id("endId").max(id("startId")).unwrap();
    let file = recorder.get(&format!("{stream}/view.mp4?s={first}-{last}"));
    assert_eq!(file.status, 200, "{}", file.text());
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("view.mp4");
    std::fs::write(&path, &file.body).unwrap();
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-of",
            "csv=p=0",
            "-show_entries",
            "stream=codec_name,width",
        ])
        .arg(&path)
        .output()
        .unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    assert_eq!(
        told.trim(),
        "h264,1280",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
