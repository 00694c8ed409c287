//! What the helper gives up before it reads its first request: everything but computing.

use super::{Kind, MAX_JPEG_BYTES, seccomp};
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use std::fs;
use std::io;

/// Memory that it may ask for (`RLIMIT_DATA`): what a 4K picture in full size takes, and some. Most of
/// it is never touched: the JPEG encoder reserves 3,000 bytes for each macroblock.
pub(super) const MAX_DATA_BYTES: u64 = 320 << 20;

/// The same with the program itself and its libraries (`RLIMIT_AS`).
const MAX_ADDRESS_SPACE_BYTES: u64 = MAX_DATA_BYTES
    + if cfg!(target_pointer_width = "32") {
        192 << 20
    } else {
        // On a desktop FFmpeg comes with two hundred libraries.
        1 << 30
    };

/// Standard input, output and error, a request's two memory files, and one to spare.
const MAX_DESCRIPTORS: u64 = 6;

/// The least share of the processor there is: a picture can wait.
const PICTURES_NICENESS: libc::c_int = 19;

/// Who logs in cannot, not for long.
const PASSWORDS_NICENESS: libc::c_int = 10;

/// How much sooner than others it is ended when memory is short: the most.
const OOM_SCORE: &str = "1000";

/// The parent's end is ours, also while we compute. What is missed in the moment before this is
/// found at the socket, which is then closed at its other end.
pub(super) fn die_with_parent() {
    // SAFETY: changes a property of this process; all arguments are numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
}

/// Steps behind everything else on the machine. What is refused is not missed much.
pub(super) fn step_back(kind: Kind) {
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let niceness = match kind {
        Kind::Pictures => PICTURES_NICENESS,
        Kind::Passwords => PASSWORDS_NICENESS,
    };
    // SAFETY: `param` lives through the call, which changes no memory.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, niceness);
        // Not SCHED_IDLE: on a busy machine that is never.
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = 0;
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param);
    }
}

/// Closes all descriptors but the first three. The recorder's own are closed by exec already.
pub(super) fn close_descriptors() {
    // SAFETY: nothing in this process owns a descriptor above 2 at this point.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        // Linux before 5.9.
        for fd in 3..1024 {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// Goes into the sandbox for good; needs neither rights nor namespaces.
pub(super) fn enter() -> io::Result<()> {
    // Rust's own handlers would hide by what we ended.
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: restores what the kernel does itself.
        unsafe { signal(fault, SigHandler::SigDfl) }?;
    }
    for (resource, most) in [
        (Resource::RLIMIT_DATA, MAX_DATA_BYTES),
        (Resource::RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES),
        (Resource::RLIMIT_FSIZE, MAX_JPEG_BYTES as u64),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        let most = most as rlim_t;
        setrlimit(resource, most, most)?;
    }
    // No other process of this user may look into us, and nothing that we might start gets more
    // rights than we have.
    for (property, value) in [(libc::PR_SET_DUMPABLE, 0), (libc::PR_SET_NO_NEW_PRIVS, 1)] {
        let none: libc::c_ulong = 0;
        // SAFETY: changes a property of this process; all arguments are numbers.
        let result = unsafe { libc::prctl(property, value as libc::c_ulong, none, none, none) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    seccomp::install()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    /// How a process ends that goes into the sandbox and then does this. It must not panic.
    fn inside(deed: impl FnOnce() -> i32) -> WaitStatus {
        // SAFETY: the child calls the system and the allocator, which glibc keeps usable, and leaves
        // without running anything of the test's.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = match enter() {
                    Ok(()) => deed(),
                    Err(_) => 99,
                };
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        }
    }

    fn is_killed_for(deed: impl FnOnce()) {
        let status = inside(|| {
            deed();
            7
        });
        assert!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)),
            "{status:?}"
        );
    }

    #[test]
    fn nothing_can_be_opened_reached_started_or_hurt() {
        let path = c"/etc/passwd".as_ptr();
        let null = std::ptr::null::<libc::c_char>();
        // SAFETY: system calls that are refused before they look at their arguments, which are
        // valid all the same.
        unsafe {
            is_killed_for(|| drop(fs::File::open("/etc/passwd")));
            is_killed_for(|| {
                libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY);
            });
            is_killed_for(|| {
                libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0);
            });
            is_killed_for(|| drop(std::net::TcpStream::connect(("127.0.0.1", 1))));
            is_killed_for(|| {
                libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
            });
            is_killed_for(|| {
                libc::connect(0, std::ptr::null(), 0);
            });
            is_killed_for(|| {
                libc::fork();
            });
            is_killed_for(|| {
                let argv = [null];
                libc::execve(path, argv.as_ptr(), argv.as_ptr());
            });
            is_killed_for(|| drop(std::thread::Builder::new().spawn(|| ())));
            is_killed_for(|| {
                libc::kill(libc::getppid(), libc::SIGTERM);
            });
            is_killed_for(|| {
                libc::ptrace(libc::PTRACE_ATTACH, 1, 0, 0);
            });
            is_killed_for(|| {
                libc::ioctl(0, libc::TIOCSTI, path);
            });
        }
    }

    #[test]
    fn no_memory_can_be_executed() {
        let map = |protection, flags| {
            // SAFETY: a new mapping that nobody uses.
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, 0, 0) }
        };
        let own = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let (read_write, execute) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_EXEC);
        is_killed_for(|| {
            map(libc::PROT_READ | execute, own);
        });
        is_killed_for(|| {
            map(read_write, libc::MAP_PRIVATE);
        });
        is_killed_for(|| {
            let at = map(read_write, own);
            // SAFETY: our own mapping.
            unsafe { libc::mprotect(at, 4096, execute) };
        });
        let status = inside(|| i32::from(map(read_write, own) == libc::MAP_FAILED));
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }

    #[test]
    fn computing_goes_on_within_its_memory() {
        let status = inside(|| {
            let fine = vec![1_u8; 64 << 20];
            let mut too_much: Vec<u8> = Vec::new();
            let refused = too_much.try_reserve_exact(MAX_DATA_BYTES as usize).is_err();
            i32::from(fine[fine.len() - 1] != 1 || !refused)
        });
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }
}
