//! `moonfire-nvr config` in a terminal that tmux plays, as somebody uses it over a serial line: from an
//! empty database to a camera that is recorded, without a recorder and beside one; and that the terminal
//! is as it was afterwards, however it ends.

#![cfg(feature = "ffmpeg")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_moonfire-nvr");
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the screen.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A shell in a terminal of 80 columns and 24 rows.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn start(dir: &Path, environment: &str) -> Tmux {
        let this = Tmux {
            socket: dir.join("tmux"),
        };
        let shell = format!("env {environment} PS1='ready$ ' sh");
        this.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            &shell,
        ]);
        this.waits_for("ready$");
        this
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        let out = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Types text as it is.
    fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses keys by their names.
    fn presses(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tmux(&args);
    }

    #[track_caller]
    fn waits_for(&self, words: &str) {
        wait_until(|| self.screen().contains(words), || self.screen());
    }

    fn runs(&self, command: &str) {
        self.types(command);
        self.presses(&["Enter"]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        let _ = command
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .status();
    }
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool, tell: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", tell());
        std::thread::park_timeout(LOOK_INTERVAL);
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// A simulated camera, and its main stream's URL.
fn camera(args: &[&str]) -> (Running, String) {
    let mut child = Command::new(PROGRAM)
        .args([
            "simulate-camera",
            "--listen",
            "127.0.0.1:0",
            "--synthetic",
            "100000",
        ])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One line for each stream; then it says nothing more.
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = stdout.next().unwrap().unwrap();
    stdout.next().unwrap().unwrap();
    (Running(child), url)
}

/// A configuration that names no camera, and its database.
fn configured() -> (TempDir, String) {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().display();
    let file = temp.path().join("nvr.toml");
    let text = format!("db_dir = \"{dir}/db\"\nsample_dirs = [\"{dir}/sample\"]\n");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let init = Command::new(PROGRAM)
        .args(["init", "--config", &file])
        .output()
        .unwrap();
    assert!(init.status.success(), "{init:?}");
    (temp, file)
}

/// Starts the recorder, with its log in a file.
fn recorder(file: &str, log: &Path) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let child = Command::new(PROGRAM)
        .args(["run", "--config", file])
        .stderr(log)
        .stdout(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

#[track_caller]
fn waits_for_line(log: &Path, words: &str) {
    let read = || std::fs::read_to_string(log).unwrap_or_default();
    wait_until(|| read().contains(words), read);
}

#[test]
fn from_an_empty_database_to_cameras_that_are_recorded() {
    let (temp, file) = configured();
    let log = temp.path().join("log");
    let (_driveway, main) = camera(&["--username", "admin", "--password", "hunter2"]);
    let terminal = Tmux::start(temp.path(), "TERM=vt100 LC_ALL=C");
    terminal.runs(&format!("{PROGRAM} config --config {file}"));
    terminal.waits_for("There is no camera yet");
    assert!(terminal.screen().contains("The recorder is not running"));

    // Without a recorder: the wrong password first, then the right one, tested and saved.
    terminal.presses(&["1"]);
    terminal.waits_for("press a to add one");
    terminal.presses(&["a"]);
    terminal.waits_for("new camera");
    terminal.types("driveway");
    terminal.presses(&["Tab", "Tab"]);
    terminal.types("admin\thunter1\t");
    terminal.types(&main);
    terminal.presses(&["C-t"]);
    terminal.waits_for("the camera refuses this user name and password");
    terminal.presses(&["Escape"]);
    terminal.waits_for("new camera");
    terminal.presses(&["Up", "C-u"]);
    terminal.types("hunter2");
    terminal.presses(&["C-t"]);
    terminal.waits_for("1280 x 720");
    let told = terminal.screen();
    for fact in [
        "H.264 (avc1.",
        "30 a second",
        "kbit/s",
        "every 2.0 s",
        "this machine's",
    ] {
        assert!(told.contains(fact), "{fact} is not in {told}");
    }
    assert!(told.is_ascii(), "{told}");
    terminal.presses(&["Escape"]);
    terminal.waits_for("new camera");
    terminal.presses(&["C-o"]);
    terminal.waits_for("takes it in when it starts");
    assert!(
        terminal.screen().contains("nothing yet"),
        "{}",
        terminal.screen()
    );

    // The recorder starts, and takes in what is saved beside it, without a break of the other stream.
    let _recorder = recorder(&file, &log);
    waits_for_line(&log, "driveway/main: recording 1280x720");
    let (_garden, main) = camera(&["--name", "garden"]);
    terminal.presses(&["a"]);
    terminal.waits_for("new camera");
    terminal.types("garden\t\t\t\t");
    terminal.types(&main);
    terminal.presses(&["C-o"]);
    terminal.waits_for("within seconds");
    waits_for_line(&log, "garden/main: recording 1280x720");
    terminal.presses(&["Down", "d"]);
    terminal.waits_for("Remove the camera \"garden\"?");
    terminal.presses(&["k"]);
    terminal.waits_for("its recordings are kept");
    let changes = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.matches("the change is in force").count()
    };
    wait_until(|| changes() == 2, || format!("{} changes", changes()));
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("driveway/main").count(), 1, "{log}");
    terminal.presses(&["Escape"]);
    terminal.waits_for("The recorder is running");
    terminal.types("q");
    terminal.waits_for("ready$");
}

#[test]
fn the_terminal_is_as_it_was_however_it_ends() {
    let (temp, file) = configured();
    let terminal = Tmux::start(temp.path(), "TERM=vt220 LC_ALL=C.UTF-8");
    let settings = |name: &str| {
        terminal.runs(&format!(
            "stty -a >{}/{name}; echo d''one-{name}",
            temp.path().display()
        ));
        terminal.waits_for(&format!("done-{name}"));
        std::fs::read_to_string(temp.path().join(name)).unwrap()
    };
    let before = settings("before");
    let pid = temp.path().join("pid");
    let begin = format!(
        "sh -c 'echo $$ >{}; exec {PROGRAM} config --config {file}'",
        pid.display()
    );
    for (n, end) in ["key", "TERM", "INT", "HUP"].into_iter().enumerate() {
        terminal.runs(&begin);
        terminal.waits_for("q quit");
        // It fits what it gets.
        terminal.tmux(&["resize-window", "-x", "60", "-y", "14"]);
        terminal.presses(&["1", "a"]);
        terminal.waits_for("new camera");
        terminal.types("half a name");
        terminal.waits_for("half a name");
        terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
        terminal.waits_for("Sub stream");
        match end {
            "key" => terminal.presses(&["C-c"]),
            signal => {
                let pid: i32 = std::fs::read_to_string(&pid)
                    .unwrap()
                    .trim()
                    .parse()
                    .unwrap();
                let signal: Signal = format!("SIG{signal}").parse().unwrap();
                kill(Pid::from_raw(pid), signal).unwrap();
            }
        }
        terminal.waits_for("What was typed and not saved is gone.");
        assert_eq!(settings(&format!("after{n}")), before, "after {end}");
        let screen = terminal.screen();
        assert!(
            screen.contains("done-before"),
            "what was there is back: {screen}"
        );
    }
}
