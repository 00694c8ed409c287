//! The helper's system call filter: a small BPF program (seccomp(2)) with an allow-list.
//!
//! Allowed is what computing needs: memory without code in it, and reading and writing what is open
//! already. Whatever opens, connects, starts or signals something ends the process at once. Written
//! out here because no kept crate knows 32-bit ARM.

use libc::c_long;
use std::io;

/// The architecture's name in `seccomp_data.arch` (`AUDIT_ARCH_*`, linux/audit.h); `None` where
/// nobody has looked at what system calls are needed.
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(all(target_arch = "arm", target_endian = "little")) {
    Some(0x4000_0028)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else {
    None
};

/// System calls that are allowed whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // What is open already: the socket and the memory files that came over it.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_close,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Locks, the time, entropy.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // The end; and going on after having been stopped.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
];

/// The same with times of 64 bits, which the C library asks for first on a 32-bit machine:
/// `clock_gettime64` and `futex_time64` (asm/unistd.h).
const ALLOWED_64_BIT_TIME: &[c_long] = &[403, 422];

#[cfg(target_arch = "arm")]
const MMAP: c_long = libc::SYS_mmap2;
#[cfg(not(target_arch = "arm"))]
const MMAP: c_long = libc::SYS_mmap;

#[cfg(target_arch = "arm")]
const FCNTL: c_long = libc::SYS_fcntl64;
#[cfg(not(target_arch = "arm"))]
const FCNTL: c_long = libc::SYS_fcntl;

// Offsets in `struct seccomp_data`: the call's number, the architecture, and the low halves of the
// second to fourth argument (all supported machines are little endian). The kernel itself looks at
// no more than that half of protections and flags.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_1: u32 = 16 + 8;
const ARGUMENT_2: u32 = 16 + 2 * 8;
const ARGUMENT_3: u32 = 16 + 3 * 8;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_ANY_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// From now on and for good, this process can call what is allowed and nothing else.
/// Needs `PR_SET_NO_NEW_PRIVS` before it.
pub(super) fn install() -> io::Result<()> {
    let Some(arch) = ARCH else {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    };
    let mut program = program(arch);
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // The older of the two ways: services are often confined to calls among which `seccomp` is not.
    // SAFETY: the kernel copies the program, which lives until then, and checks it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER as libc::c_ulong,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn program(arch: u32) -> Vec<libc::sock_filter> {
    let allow = step(RETURN, libc::SECCOMP_RET_ALLOW);
    let kill = step(RETURN, libc::SECCOMP_RET_KILL_PROCESS);
    let mut out = vec![
        step(LOAD, ARCHITECTURE),
        jump(IF_EQUAL, arch, 1, 0),
        kill,
        step(LOAD, NUMBER),
    ];
    let wide = cfg!(target_pointer_width = "32").then_some(ALLOWED_64_BIT_TIME);
    for number in ALLOWED.iter().chain(wide.unwrap_or_default()) {
        out.extend([jump(IF_EQUAL, *number as u32, 0, 1), allow]);
    }
    // Memory of one's own, and nothing that can be executed.
    out.extend([
        jump(IF_EQUAL, MMAP as u32, 0, 6),
        step(LOAD, ARGUMENT_2),
        jump(IF_ANY_SET, libc::PROT_EXEC as u32, 3, 0),
        step(LOAD, ARGUMENT_3),
        jump(IF_ANY_SET, libc::MAP_ANONYMOUS as u32, 0, 1),
        allow,
        kill,
    ]);
    out.extend([
        jump(IF_EQUAL, libc::SYS_mprotect as u32, 0, 4),
        step(LOAD, ARGUMENT_2),
        jump(IF_ANY_SET, libc::PROT_EXEC as u32, 1, 0),
        allow,
        kill,
    ]);
    // Whether a descriptor is open: unoptimized programs ask that before they close it.
    out.extend([
        jump(IF_EQUAL, FCNTL as u32, 0, 3),
        step(LOAD, ARGUMENT_1),
        jump(IF_EQUAL, libc::F_GETFD as u32, 0, 1),
        allow,
        kill,
    ]);
    out
}

fn step(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

/// `yes` and `no` are how many instructions are left out.
fn jump(code: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    }
}
