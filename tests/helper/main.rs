//! The helper process for real: the binary, its sandbox, and what becomes of it when it is killed,
//! stopped, fed with rubbish or left alone.

#[cfg(feature = "ffmpeg")]
mod key_frame;
#[cfg(feature = "ffmpeg")]
mod pictures;
mod through_the_loop;

use moonfire_nvr::access::password;
use moonfire_nvr::config::Secret;
use moonfire_nvr::decoder::serve::{BAD_REQUEST, NOT_BY_HAND};
use moonfire_nvr::decoder::{Error, Kind, Reply, Request, SUBCOMMAND};
use moonfire_nvr::reactor::helper::{Keeper, Limits};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_moonfire-nvr");

/// What is waited for takes no longer than this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times for a machine that is busy with other tests.
const LIMITS: Limits = Limits {
    time: PATIENCE,
    cpu: PATIENCE,
    idle: PATIENCE,
    first_rest: Duration::from_millis(1),
    longest_rest: Duration::from_millis(1),
};

/// Descriptors and processes are the whole program's, so each test has it for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn keeper(limits: Limits) -> Keeper {
    Keeper::new(PathBuf::from(PROGRAM), limits)
}

fn hash(password: &str) -> Request {
    Request::HashPassword(Secret(password.to_owned()))
}

fn verify(password: &str, hash: &str) -> Request {
    Request::VerifyPassword {
        password: Secret(password.to_owned()),
        hash: Secret(hash.to_owned()),
    }
}

/// Asks until it is so. Lets others have the processor meanwhile.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain");
        std::thread::yield_now();
    }
}

/// The line of a process's status that starts with `name`, without the name.
fn status_of(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    Some(line.trim_start_matches(':').trim().to_owned())
}

/// `R`, `S`, `T` or `Z`; `None` for a process that is gone.
fn state_of(pid: u32) -> Option<char> {
    status_of(pid, "State")?.chars().next()
}

fn stop(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGSTOP).unwrap();
    wait_until(|| state_of(pid) == Some('T'));
}

/// A program that does as a shell script says.
fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("helper.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn passwords_are_hashed_and_known_again() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let Ok(Reply::Hash(Secret(first))) = keeper.handle(hash("correct horse")) else {
        panic!("no hash");
    };
    let pid = keeper.process_id();
    assert_eq!(password::verify("correct horse", &first), Ok(true));
    for (guess, stored, right) in [
        ("correct horse", first.as_str(), true),
        ("correct horsf", &first, false),
        ("correct horse", password::DECOY, false),
        (&"x".repeat(5000), &first, false),
        ("", &first, false),
    ] {
        let result = keeper.handle(verify(guess, stored));
        assert_eq!(result, Ok(Reply::Verified(right)), "{guess}");
    }
    let Ok(Reply::Hash(Secret(second))) = keeper.handle(hash("correct horse")) else {
        panic!("no hash");
    };
    assert_ne!(first, second, "the salt is always another");
    let unfit = |text: &str| Err(Error::Unfit(password::check(text).unwrap_err()));
    for bad in ["short", &"x".repeat(257), &"x".repeat(100_000)] {
        assert_eq!(keeper.handle(hash(bad)), unfit(bad));
    }
    for bad in ["", "hunter2", &"$argon2id$".repeat(1000)] {
        assert_eq!(
            keeper.handle(verify("correct horse", bad)),
            Err(Error::BadHash)
        );
    }
    assert_eq!(
        keeper.process_id(),
        pid,
        "nothing of that is the helper's fault"
    );
}

#[test]
fn it_lives_in_a_sandbox() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    keeper.handle(hash("correct horse")).unwrap();
    let pid = keeper.process_id().unwrap();
    for (name, value) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Threads", "1")] {
        assert_eq!(status_of(pid, name).as_deref(), Some(value), "{name}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, soft_and_hard) in [
        ("Max data size", "335544320 335544320"),
        ("Max file size", "8388608 8388608"),
        ("Max processes", "0 0"),
        ("Max open files", "6 6"),
        ("Max core file size", "0 0"),
        ("Max locked memory", "0 0"),
    ] {
        let line = limits.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(words.join(" "), soft_and_hard, "{name}");
    }
    let cpu = limits.lines().find_map(|l| l.strip_prefix("Max cpu time"));
    let cpu = cpu.unwrap().split_whitespace().next().unwrap();
    let cpu: u64 = cpu.parse().expect("its processor time is limited");
    assert!((60..=70).contains(&cpu), "{cpu}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    assert_eq!(after_name.split(' ').nth(16), Some("10"), "niceness");
    // Only root may look there, as the process cannot be dumped.
    if let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) {
        assert_eq!(fds.count(), 3);
    }
}

#[test]
fn it_ends_when_it_hangs_and_the_next_one_works() {
    let _alone = alone();
    let mut keeper = keeper(Limits {
        time: Duration::from_millis(300),
        ..LIMITS
    });
    // The first one may take long to start.
    wait_until(|| keeper.handle(hash("correct horse")).is_ok());
    let pid = keeper.process_id().unwrap();
    stop(pid);
    let began = Instant::now();
    let result = keeper.handle(verify("correct horse", password::DECOY));
    assert_eq!(result, Err(Error::TimedOut(0)));
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(state_of(pid), None, "it is gone, and buried");
    wait_until(|| keeper.handle(hash("correct horse")).is_ok());
    assert_ne!(keeper.process_id(), Some(pid));
}

#[test]
fn one_that_was_killed_in_its_idle_time_is_replaced_unseen() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    keeper.handle(hash("correct horse")).unwrap();
    for _ in 0..3 {
        let pid = keeper.process_id().unwrap();
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        wait_until(|| state_of(pid) == Some('Z'));
        keeper.handle(hash("correct horse")).unwrap();
        assert_eq!(state_of(pid), None, "no zombie");
        assert_ne!(keeper.process_id(), Some(pid));
    }
    // Nor does it stay a zombie when nothing is asked.
    let pid = keeper.process_id().unwrap();
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    wait_until(|| state_of(pid) == Some('Z'));
    keeper.look();
    assert_eq!((state_of(pid), keeper.process_id()), (None, None));
}

#[test]
fn an_idle_one_is_ended() {
    let _alone = alone();
    let mut keeper = keeper(Limits {
        idle: Duration::from_millis(200),
        ..LIMITS
    });
    assert_eq!(
        keeper.next_look(),
        None,
        "nothing is started before it is needed"
    );
    keeper.handle(hash("correct horse")).unwrap();
    let pid = keeper.process_id().unwrap();
    wait_until(|| {
        assert!(keeper.next_look().unwrap() <= Duration::from_millis(200));
        keeper.look();
        keeper.process_id().is_none()
    });
    assert_eq!(state_of(pid), None);
    assert_eq!(keeper.next_look(), None);
}

#[test]
fn rests_double_and_are_each_kinds_own() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    // It takes the request and falls over it.
    let program = script(dir.path(), "head -c 1 > /dev/null; kill -9 $$");
    let limits = Limits {
        first_rest: Duration::from_millis(100),
        longest_rest: Duration::from_millis(400),
        ..LIMITS
    };
    let mut keeper = Keeper::new(program, limits);
    let mut before = Instant::now();
    for (failure, rest_ms) in [0, 100, 200, 400, 400].into_iter().enumerate() {
        let mut refused = 0;
        let crashed = loop {
            match keeper.handle(hash("correct horse")) {
                Err(Error::Unavailable(why)) => {
                    assert!(why.contains("may be started again"), "{why}");
                    refused += 1;
                }
                result => break result,
            }
            assert!(before.elapsed() < PATIENCE);
            std::thread::yield_now();
        };
        let Err(Error::Crashed(how)) = crashed else {
            panic!("{crashed:?}");
        };
        assert!(how.contains("signal: 9"), "{how}");
        assert!(
            before.elapsed() >= Duration::from_millis(rest_ms),
            "{failure}"
        );
        assert_eq!(refused > 0, failure > 0);
        before = Instant::now();
    }
    #[cfg(feature = "ffmpeg")]
    {
        let result = keeper.handle(key_frame::small().request(320));
        assert!(
            matches!(result, Err(Error::Crashed(_))),
            "tried: {result:?}"
        );
    }
}

#[test]
fn what_cannot_be_started_or_says_nonsense_is_one_error_each() {
    let _alone = alone();
    let mut none = Keeper::new(PathBuf::from("/nonexistent/helper"), LIMITS);
    let result = none.handle(hash("correct horse"));
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    let dir = tempfile::tempdir().unwrap();
    for (text, told) in [
        ("head -c 1 >&2; printf '\\005xyz' >&0; sleep 60", "nonsense"),
        // A picture for a password.
        (
            "head -c 1 >&2; printf '\\001\\001\\000\\000\\000' >&0; sleep 60",
            "nonsense",
        ),
        (
            "head -c 1 >&2; printf '\\002hunter2' >&0; sleep 60",
            "nonsense",
        ),
        ("head -c 2000 /dev/zero >&0; sleep 60", "nonsense"),
        ("head -c 1 >&2; exit 3", "exit status: 3"),
        ("head -c 1 >&2; exit 70", "no sandbox"),
        ("head -c 1 >&2; kill -SYS $$", "its sandbox"),
    ] {
        let mut keeper = Keeper::new(script(dir.path(), text), LIMITS);
        let result = keeper.handle(hash("correct horse"));
        let Err(Error::Crashed(how)) = &result else {
            panic!("{text}: {result:?}");
        };
        assert!(how.contains(told), "{text}: {how}");
        assert_eq!(keeper.process_id(), None);
    }
}

#[test]
fn nothing_is_left_behind() {
    let _alone = alone();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let children = || {
        let me = std::process::id().to_string();
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.parse::<u32>().ok()
        });
        all.filter(|pid| status_of(*pid, "PPid").as_deref() == Some(&me))
            .count()
    };
    let before = (open(), children());
    let dir = tempfile::tempdir().unwrap();
    let crashing = script(dir.path(), "head -c 1 > /dev/null; exit 1");
    for _ in 0..10 {
        let mut good = keeper(LIMITS);
        good.handle(hash("correct horse")).unwrap();
        #[cfg(feature = "ffmpeg")]
        good.handle(key_frame::small().request(100)).unwrap();
        let mut bad = Keeper::new(crashing.clone(), LIMITS);
        assert!(bad.handle(hash("correct horse")).is_err());
        #[cfg(feature = "ffmpeg")]
        assert!(bad.handle(key_frame::small().request(100)).is_err());
    }
    assert_eq!((open(), children()), before);
}

#[test]
fn it_dies_with_its_parent() {
    let _alone = alone();
    let parent = std::thread::spawn(|| {
        let mut keeper = keeper(LIMITS);
        keeper.handle(hash("correct horse")).unwrap();
        let pid = keeper.process_id().unwrap();
        // Nobody kills it, and its socket stays open.
        std::mem::forget(keeper);
        pid
    });
    let pid = parent.join().unwrap();
    wait_until(|| state_of(pid) == Some('Z'));
    waitpid(Pid::from_raw(pid as i32), None).unwrap();
}

/// The helper, started by hand at one end of a socket.
fn start_by_hand(kind: Kind) -> (Child, OwnedFd) {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .unwrap();
    let child = Command::new(PROGRAM)
        .args([SUBCOMMAND, kind.as_str()])
        .stdin(Stdio::from(theirs))
        .spawn()
        .unwrap();
    (child, ours)
}

#[test]
fn it_ends_when_nobody_asks_any_more_or_asks_nonsense() {
    let _alone = alone();
    let (mut child, socket) = start_by_hand(Kind::Passwords);
    drop(socket);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let without_files = [1, 85, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 64, 1, 0, 0];
    for (kind, nonsense) in [
        (Kind::Pictures, &b"nonsense"[..]),
        (Kind::Pictures, &[1, 2, 3]),
        (Kind::Pictures, &without_files),
        (Kind::Passwords, &[2, 0xff]),
        (Kind::Passwords, &[3, 200, 0, 1]),
        // Good requests, but of the other kind.
        (Kind::Passwords, &without_files),
        (Kind::Pictures, b"\x02correct horse"),
    ] {
        let (mut child, socket) = start_by_hand(kind);
        send(socket.as_raw_fd(), nonsense, MsgFlags::empty()).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(BAD_REQUEST.into()), "{nonsense:?}");
    }
    let unknown = Command::new(PROGRAM).args([SUBCOMMAND, "wishes"]).output();
    assert_eq!(unknown.unwrap().status.code(), Some(2));
    let by_hand = Command::new(PROGRAM)
        .args([SUBCOMMAND, Kind::Pictures.as_str()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(by_hand.status.code(), Some(NOT_BY_HAND.into()));
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("export") && !help.contains("helper"),
        "{help}"
    );
}
