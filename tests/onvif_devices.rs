//! Our ONVIF against a device that somebody else wrote: that of ipycam, a virtual camera from PyPI. It is
//! fetched by pip into the build's folder; where that cannot be, the test says so and is passed over.

mod not_run;

use moonfire_nvr::config::Secret;
use moonfire_nvr::http::{ClientResponse, ResponseReader};
use moonfire_nvr::onvif::soap::SoapError;
use moonfire_nvr::onvif::{Interview, Report};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};
use url::Url;

const VERSION: &str = "1.3.0";

struct Device {
    child: Child,
    stdout: BufReader<ChildStdout>,
    service: Url,
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of ipycam's modules, or why it is not to be had.
fn ipycam() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ipycam-{VERSION}"));
    let modules = folder.join("ipycam");
    if modules.join("onvif.py").exists() {
        return Ok(modules);
    }
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "-q", "--no-deps", "--target"])
        .arg(&folder)
        .arg(format!("ipycam=={VERSION}"))
        .output()
        .map_err(|e| format!("there is no python3 ({e})"))?;
    match output.status.success() && modules.join("onvif.py").exists() {
        true => Ok(modules),
        false => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "pip cannot fetch ipycam: {}",
                why.lines().last().unwrap_or("")
            ))
        }
    }
}

impl Device {
    fn start(modules: &Path, name: &str) -> Device {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/ipycam_onvif.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(modules)
            .args([name, "secret"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        stdout.read_line(&mut port).unwrap();
        let service = format!("http://127.0.0.1:{}/onvif/device_service", port.trim());
        Device {
            child,
            stdout,
            service: Url::parse(&service).unwrap(),
        }
    }

    fn exchange(&self, request: &[u8]) -> ClientResponse {
        let mut stream = TcpStream::connect(("127.0.0.1", self.service.port().unwrap())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut reader = ResponseReader::default();
        let mut buffer = [0; 4096];
        loop {
            let len = stream.read(&mut buffer).unwrap();
            if len == 0 {
                return reader.end().unwrap();
            }
            if let Some(response) = reader.receive(&buffer[..len]).unwrap() {
                return response;
            }
        }
    }

    /// What comes of an interview, and what the device was asked: "plain" or "token", and the call.
    fn interview(&mut self, password: &str) -> (Result<Report, SoapError>, Vec<String>) {
        let password = Secret(password.to_owned());
        let mut it = Interview::new(self.service.clone(), "admin", &password, 5);
        let now = || {
            let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            unix.unwrap().as_secs() as i64
        };
        let mut asked = Vec::new();
        let result = loop {
            let Some(request) = it.next_request(now()) else {
                break Ok(it.into_report());
            };
            let response = self.exchange(&request.to_bytes());
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            asked.push(line.trim().to_owned());
            if let Err(e) = it.answered(&response, now()) {
                break Err(e);
            }
        };
        (result, asked)
    }
}

#[test]
fn a_virtual_camera_of_somebody_else() {
    let modules = match ipycam() {
        Ok(modules) => modules,
        Err(why) => return not_run::tell("a virtual camera of somebody else", &why),
    };
    let name = format!("virtual {}", std::process::id());
    let mut device = Device::start(&modules, &name);

    let (report, asked) = device.interview("secret");
    let report = report.unwrap_or_else(|e| panic!("{e}: {asked:?}"));
    assert_eq!(report.information.maker.as_deref(), Some("PythonCam"));
    assert_eq!(report.information.serial.as_deref(), Some("PY-000001"));
    let main = report.main.unwrap();
    assert_eq!((main.profile.width, main.profile.height), (1920, 1080));
    assert_eq!(main.url.as_str(), "rtsp://127.0.0.1:8554/video_main");
    let sub = report.sub.unwrap();
    assert_eq!((sub.profile.width, sub.url.path()), (640, "/video_sub"));
    assert!(report.snapshot.is_some());

    let (refused, asked) = device.interview("wrong");
    assert_eq!(refused.unwrap_err(), SoapError::Refused);
    let shown = asked.iter().filter(|a| a.starts_with("token")).count();
    assert_eq!(shown, 1, "{asked:?}");
    // It wants a token even for its clock, of which the token's time is made: that one is not given.
    assert_eq!(asked[0], "plain GetSystemDateAndTime");
    assert_ne!(asked[1], "token GetSystemDateAndTime");

    // And it is found, by its own WS-Discovery.
    let output = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .args(["discover", "--interface", "lo", "--json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let service = device.service.as_str();
    let ours = found
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["service"] == service);
    assert!(ours.is_some(), "{found}");
}
