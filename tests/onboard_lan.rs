//! Cameras on a LAN of the test's own: each simulated one has a network namespace, an address and a cable
//! (veth) to a bridge in the recorder's namespace. Nothing of it is seen by the rest of the machine.
//!
//! Needs to make namespaces, as root or where users may (`unshare -Urn`); where that is not
//! allowed it says so and is passed over.

mod not_run;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

const PROGRAM: &str = env!("CARGO_BIN_EXE_moonfire-nvr");
/// How the recorder's own WS-UsernameToken begins; onvif-util's has another prefix.
const OWN_TOKEN: &str = "<w:UsernameToken>";
const SUBNET: [u8; 3] = [192, 168, 77];

/// What something may take at most on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// A process that is ended with the test.
struct Running(Child);

impl Running {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Ends it in good order.
    fn stop(mut self, signal: Signal) -> bool {
        let _ = kill(Pid::from_raw(self.0.id() as i32), signal);
        self.0.wait().is_ok_and(|s| s.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A process that holds a new network namespace.
fn new_namespace(within: Option<&Running>) -> Running {
    let mut command = match within {
        Some(outer) => inside(outer, "unshare"),
        None => Command::new("unshare"),
    };
    if within.is_none() && !is_root() {
        command.args(["-U", "-r"]);
    }
    // Whoever waits for its standard input ends with us.
    let child = command
        .args(["-n", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let holder = Running(child);
    // It is there once it is `cat` that runs.
    wait("a namespace", || {
        let name = fs::read_to_string(format!("/proc/{}/comm", holder.pid())).ok()?;
        (name.trim() == "cat").then_some(())
    });
    holder
}

/// A command inside a namespace.
fn inside(namespace: &Running, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &namespace.pid(), "-n"]);
    if !is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.arg(program);
    command
}

fn does(namespace: &Running, line: &str) {
    let mut words = line.split_whitespace();
    let output = inside(namespace, words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {told}");
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Why the test cannot be run here.
fn obstacle() -> Option<String> {
    let namespace: &[&str] = if is_root() {
        &["-n", "true"]
    } else {
        &["-U", "-r", "-n", "true"]
    };
    let output: Output = Command::new("unshare")
        .args(namespace)
        .output()
        .expect("unshare");
    (!output.status.success()).then(|| "this user may not make network namespaces".to_owned())
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(SUBNET[0], SUBNET[1], SUBNET[2], host)
}

/// A camera's place on the LAN.
struct Place {
    namespace: Running,
}

impl Place {
    fn new(lan: &Running, number: u8) -> Place {
        let namespace = new_namespace(Some(lan));
        let pid = namespace.pid();
        does(
            lan,
            &format!("ip link add v{number} type veth peer name eth0 netns {pid}"),
        );
        does(lan, &format!("ip link set v{number} master br0 up"));
        does(&namespace, "ip link set lo up");
        does(&namespace, "ip link set eth0 up");
        Place { namespace }
    }

    /// Switches the camera on at an address.
    fn camera(&self, host: u8, name: &str, more: &[&str]) -> Running {
        does(&self.namespace, "ip addr flush dev eth0");
        does(
            &self.namespace,
            &format!("ip addr add {}/24 dev eth0", address(host)),
        );
        let child = inside(&self.namespace, PROGRAM)
            .args([
                "simulate-camera",
                "--synthetic",
                "60000",
                "--username",
                "admin",
            ])
            .args([
                "--name",
                name,
                "--listen",
                &format!("{}:554", address(host)),
            ])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn();
        Running(child.unwrap())
    }

    /// The same with ONVIF; `serial` is what it is known by.
    fn onvif(&self, host: u8, name: &str, serial: u8, password: &str, more: &[&str]) -> Running {
        let (services, seed) = (format!("{}:80", address(host)), serial.to_string());
        let all = [
            "--onvif",
            &services,
            "--seed",
            &seed,
            "--password",
            password,
        ];
        self.camera(host, name, &[&all, more].concat())
    }
}

/// The recorder's HTTP interface, by its UNIX socket, as its own user.
struct Api<'a>(&'a Path);

impl Api<'_> {
    fn get(&self, path: &str) -> Option<Value> {
        let output = Command::new("curl")
            .args(["-s", "--max-time", "10", "--unix-socket"])
            .arg(self.0)
            .arg(format!("http://localhost{path}"))
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Each camera's name and UUID.
    fn cameras(&self) -> BTreeMap<String, String> {
        let told = self.get("/api/").unwrap_or_default();
        let all = told["cameras"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        all.iter()
            .map(|c| (text(&c["shortName"]), text(&c["uuid"])))
            .collect()
    }

    /// When what is recorded of a camera ends, if it is being recorded now.
    fn recorded_until(&self, name: &str, stream: &str) -> Option<i64> {
        let uuid = self.cameras().remove(name)?;
        let path = format!("/api/cameras/{uuid}/{stream}/recordings?startTime90k=0");
        let told = self.get(&path)?;
        let all = told["recordings"].as_array()?;
        let growing = all.iter().filter(|r| r["growing"] == true);
        growing.filter_map(|r| r["endTime90k"].as_i64()).max()
    }

    /// A device that was found at an address.
    fn device(&self, host: u8) -> Option<Value> {
        let told = self.get("/api/onboard/")?;
        let wanted = address(host).to_string();
        let mut all = told["devices"].as_array()?.iter();
        all.find(|d| d["address"] == wanted.as_str()).cloned()
    }
}

/// A packet: where to, and what is in it (TCP and UDP).
struct Packet {
    to: Ipv4Addr,
    payload: Vec<u8>,
}

/// Reads a file of tcpdump's: Ethernet frames with IPv4 in them.
fn packets(file: &Path) -> Vec<Packet> {
    let bytes = fs::read(file).unwrap();
    let mut all = Vec::new();
    let mut rest = bytes.get(24..).unwrap_or_default();
    while rest.len() >= 16 {
        let len = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        let Some(frame) = rest.get(16..16 + len) else {
            break;
        };
        rest = &rest[16 + len..];
        if frame.len() < 34 || frame[12..14] != [8, 0] {
            continue;
        }
        let ip = &frame[14..];
        let head = usize::from(ip[0] & 15) * 4;
        let to = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]])).min(ip.len());
        let inner = match ip[9] {
            6 if ip.len() > head + 12 => head + usize::from(ip[head + 12] >> 4) * 4,
            17 => head + 8,
            _ => total,
        };
        let payload = ip.get(inner..total).unwrap_or_default().to_vec();
        all.push(Packet { to, payload });
    }
    all
}

fn contains(payload: &[u8], word: &str) -> bool {
    payload.windows(word.len()).any(|w| w == word.as_bytes())
}

/// Debian's onvif-util looks at the simulated cameras.
fn debians_tools(lan: &Running, password: &str) {
    let util = |args: &[&str], commands: &str| {
        let mut child = inside(lan, "onvif-util")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that ends early has told why.
        let _ = std::io::Write::write_all(&mut stdin, commands.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let there = Command::new("onvif-util").arg("-h").output();
    there.expect("onvif-util, of Debian's onvif-tools");
    // It looks where the default route leads.
    does(lan, "ip route add default dev br0");
    let found = wait("onvif-util to find all", || {
        let told = util(&["-a"], "");
        told.contains("Found 6 cameras").then_some(told)
    });
    assert!(found.contains("192.168.77.11 (one Simulated)"), "{found}");
    let commands = "get profiles\nget rtsp\nget time\nquit\n";
    let told = util(&["-u", "admin", "-p", password, "192.168.77.11"], commands);
    for words in ["Token 0: main", "rtsp://", "Time Offset: 0 seconds"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// A namespace with a bridge that cameras can be connected to.
fn new_lan() -> Running {
    let lan = new_namespace(None);
    for line in [
        "ip link set lo up",
        "ip link add br0 type bridge mcast_snooping 0",
        "ip addr add 192.168.77.1/24 dev br0",
        "ip link set br0 up",
    ] {
        does(&lan, line);
    }
    lan
}

#[test]
fn an_rtsp_server_that_tells_of_itself() {
    if let Some(why) = obstacle() {
        return not_run::tell("an RTSP server that tells of itself", &why);
    }
    let lan = new_lan();
    let place = Place::new(&lan, 9);
    does(&place.namespace, "ip addr add 192.168.77.19/24 dev eth0");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/zeroconf_rtsp.py");
    let announcer = inside(&place.namespace, "/usr/bin/python3")
        .arg(script)
        .args(["192.168.77.19", "8554", "The Shed", "/live"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut announcer = Running(announcer.unwrap());
    let stdout = announcer.0.stdout.take().unwrap();
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "announced");

    let found = wait("it to be found", || {
        let output = inside(&lan, PROGRAM).args(["discover", "--json"]).output();
        let all: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        all.get(0).cloned()
    });
    assert_eq!(found["address"], "192.168.77.19");
    assert_eq!(found["name"], "The Shed");
    assert_eq!(found["rtsp"], "rtsp://192.168.77.19:8554/live");
}

#[test]
fn eight_cameras_on_a_lan_of_their_own() {
    if let Some(why) = obstacle() {
        return not_run::tell("cameras on a LAN of their own", &why);
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for folder in ["db", "sample"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    let lan = new_lan();
    let places: Vec<Place> = (1..=8).map(|n| Place::new(&lan, n)).collect();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let in_1970 = format!("--clock-ahead=-{}", now.as_secs());
    let right = "battery-staple-77";
    let mut cameras: BTreeMap<&str, Running> = BTreeMap::new();
    cameras.insert("one", places[0].onvif(11, "one", 1, right, &[]));
    cameras.insert(
        "two",
        places[1].onvif(12, "two", 2, right, &["--digest", "sha-256"]),
    );
    cameras.insert("mover", places[2].onvif(13, "mover", 3, right, &[]));
    cameras.insert("old", places[3].camera(14, "old", &["--password", right]));
    cameras.insert("locked", places[4].onvif(15, "locked", 5, "another", &[]));
    cameras.insert(
        "late clock",
        places[5].onvif(16, "late clock", 6, right, &[&in_1970]),
    );
    // This one is in the file, by its address.
    cameras.insert("named", places[6].onvif(17, "named", 7, right, &[]));

    let log = dir.join("packets");
    let capture = inside(&lan, "tcpdump")
        .args([
            "-i",
            "br0",
            "-U",
            "-s",
            "0",
            "-Z",
            "root",
            "--immediate-mode",
            "-w",
        ])
        .arg(&log)
        .arg("not (tcp port 554 and greater 600)")
        .stderr(Stdio::null())
        .spawn();
    let capture = Running(capture.unwrap());
    wait("tcpdump", || {
        fs::metadata(&log).ok().filter(|m| m.len() >= 24)
    });

    let socket = dir.join("http.sock");
    let config = dir.join("moonfire-nvr.toml");
    let text = format!(
        "db_dir = \"{0}/db\"\nsample_dirs = [\"{0}/sample\"]\nreserve = \"none\"\n\
         [onboard]\nauto = true\nusername = \"admin\"\npassword = \"{right}\"\nscan = true\n\
         [[http]]\nlisten = \"unix:{0}/http.sock\"\nowner_is_administrator = true\n\
         [[camera]]\nname = \"by the file\"\nusername = \"admin\"\npassword = \"{right}\"\n\
         [camera.main]\nurl = \"rtsp://192.168.77.17/main\"\n",
        dir.display()
    );
    fs::write(&config, text).unwrap();
    let init = Command::new(PROGRAM)
        .arg("init")
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(
        init.status.success(),
        "{}",
        String::from_utf8_lossy(&init.stderr)
    );
    let told = fs::File::create(dir.join("log")).unwrap();
    let daemon = inside(&lan, PROGRAM)
        .arg("run")
        .arg("--config")
        .arg(&config)
        .stderr(told)
        .spawn();
    let daemon = Running(daemon.unwrap());
    let api = Api(&socket);
    let told = || fs::read_to_string(dir.join("log")).unwrap_or_default();
    let recorded = |name: &str, stream: &str| {
        wait(&format!("{name}/{stream}; the log:\n{}", told()), || {
            api.recorded_until(name, stream)
        })
    };

    // All that can be are recorded, each as it should be.
    for name in ["one", "two", "mover", "late clock"] {
        recorded(name, "main");
        recorded(name, "sub");
    }
    recorded("by the file", "main");
    let old = "camera 192.168.77.14";
    recorded(old, "main");
    let refused = wait("the refusal", || {
        api.device(15).filter(|d| d["state"] == "refused")
    });
    assert!(
        refused["message"].as_str().unwrap().contains("tried once"),
        "{refused}"
    );
    let named = wait("its identity", || {
        api.device(17).filter(|d| d["camera"].is_string())
    });
    assert_eq!(
        named["camera"].as_str(),
        api.cameras().get("by the file").map(String::as_str)
    );

    // Somebody else's program sees the same, and is let in.
    debians_tools(&lan, right);

    // One comes later.
    cameras.insert("late", places[7].onvif(18, "late", 8, right, &[]));
    recorded("late", "main");

    // Two get another address, one of them of the file. They go on under their names.
    for (name, place, from, to, serial) in [("mover", 2, 13, 33, 3), ("named", 6, 17, 37, 7)] {
        cameras.remove(name);
        assert_ne!(from, to);
        let camera: &Place = &places[place];
        cameras.insert(name, camera.onvif(to, name, serial, right, &[]));
    }
    for (name, host) in [("mover", 33), ("by the file", 37)] {
        let words = format!("it is at {} now", address(host));
        wait(&format!("{words}; the log:\n{}", told()), || {
            told().contains(&words).then_some(())
        });
        let before = recorded(name, "main");
        wait(name, || {
            api.recorded_until(name, "main").filter(|now| *now > before)
        });
    }
    let names: Vec<String> = api.cameras().into_keys().collect();
    let wanted = [
        "by the file",
        old,
        "late",
        "late clock",
        "mover",
        "one",
        "two",
    ];
    assert_eq!(names, wanted);

    // What they notice is heard.
    let uuid = &api.cameras()["one"];
    wait("a signal of its own", || {
        let told = api.get("/api/")?;
        let mut all = told["signals"].as_array()?.iter();
        all.find(|s| s["shortName"] == "one: motion" && s["cameras"][uuid] == "direct")
            .map(|_| ())
    });
    let told_events = api.get("/api/onboard/").unwrap();
    let events = told_events["events"].as_array().unwrap();
    let ours = events
        .iter()
        .find(|e| e["camera"] == uuid.as_str())
        .unwrap();
    assert_eq!(ours["state"], "subscribed", "{ours}");

    // A second start asks the one that refused nothing more.
    assert!(daemon.stop(Signal::SIGTERM), "{}", told());
    let again = fs::File::create(dir.join("log")).unwrap();
    let daemon = inside(&lan, PROGRAM)
        .arg("run")
        .arg("--config")
        .arg(&config)
        .stderr(again)
        .spawn();
    let daemon = Running(daemon.unwrap());
    // Where they had moved to is known.
    recorded("by the file", "main");
    recorded("mover", "main");
    wait("it is found again", || api.device(15));
    assert!(daemon.stop(Signal::SIGTERM), "{}", told());
    assert!(capture.stop(Signal::SIGINT));

    let all = packets(&log);
    assert!(all.len() > 500, "{} packets", all.len());
    let own = |to: &Ipv4Addr| to.octets()[..3] == SUBNET || to.is_multicast();
    let strangers: Vec<Ipv4Addr> = all.iter().map(|p| p.to).filter(|to| !own(to)).collect();
    assert!(strangers.is_empty(), "{strangers:?} are asked");
    let shown = |host: u8, word: &str| {
        let to = |p: &&Packet| p.to == address(host);
        all.iter()
            .filter(to)
            .filter(|p| contains(&p.payload, word))
            .count()
    };
    assert_eq!(shown(15, OWN_TOKEN), 1, "once, and never again");
    assert_eq!(shown(15, "Authorization:"), 0);
    assert!(shown(11, OWN_TOKEN) > 1);
    assert!(
        all.iter().all(|p| !contains(&p.payload, right)),
        "nor in plain text"
    );
}
