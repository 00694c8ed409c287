//! The helper process itself: into the sandbox, then one request after another until the recorder
//! hangs up.
//!
//! It ends at the first thing that is not as it has to be: a new one is started soon enough.

use super::message::{Answered, Asked, MAX_BYTES, PictureHead};
use super::sandbox;
use super::{Error, Kind, MAX_JPEG_BYTES};
use crate::access::password;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockType, getsockopt, recvmsg, sockopt};
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd, RawFd};

/// The word by which the program is started as a helper; the kind of helper follows.
pub const SUBCOMMAND: &str = "helper";

/// Exit statuses besides 0, the recorder's hanging up.
pub const NOT_BY_HAND: u8 = 2;
pub const NO_SANDBOX: u8 = 70;
pub const BAD_REQUEST: u8 = 71;

/// The socket to the recorder.
const SOCKET: RawFd = libc::STDIN_FILENO;

/// The memory files of a picture's request.
const FILES: usize = 2;

/// A request, and the memory files that came with it.
type Received = (Asked, Vec<File>);

/// The helper's life.
pub fn run(kind: Kind) -> ! {
    let status = live(kind);
    // SAFETY: nothing is to be put away; what Rust and C would put away needs calls that are no
    // longer allowed.
    unsafe { libc::_exit(status.into()) }
}

/// Returns the exit status.
fn live(kind: Kind) -> u8 {
    // SAFETY: standard input stays open as long as the process lives.
    let socket = unsafe { BorrowedFd::borrow_raw(SOCKET) };
    if !matches!(
        getsockopt(&socket, sockopt::SockType),
        Ok(SockType::SeqPacket)
    ) {
        eprintln!("The helper is started by the recorder itself; it is of no use by hand.");
        return NOT_BY_HAND;
    }
    sandbox::die_with_parent();
    sandbox::close_descriptors();
    sandbox::step_back(kind);
    keep_no_memory();
    // What is found out once about the machine needs files.
    #[cfg(feature = "ffmpeg")]
    if kind == Kind::Pictures {
        super::picture::warm_up();
    }
    if sandbox::enter().is_err() {
        return NO_SANDBOX;
    }
    loop {
        let (asked, files) = match receive() {
            Ok(Some(received)) => received,
            Ok(None) => return 0,
            Err(_) => return BAD_REQUEST,
        };
        if asked.kind() != kind {
            return BAD_REQUEST;
        }
        let Ok(answered) = answer(asked, files) else {
            return BAD_REQUEST;
        };
        if send(&answered).is_err() {
            return 0;
        }
    }
}

/// Large pieces of memory go back to the system as soon as they are free, instead of being kept for the
/// next picture: the helper is idle most of the time, and each picture then starts with empty memory.
fn keep_no_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, before anything large is allocated.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10)
    };
}

/// The next request; `None` when the recorder has hung up.
fn receive() -> io::Result<Option<Received>> {
    let mut bytes = [0; MAX_BYTES];
    let mut control = nix::cmsg_space!([RawFd; FILES]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(SOCKET, &mut parts, Some(&mut control), flags) {
            Err(nix::Error::EINTR) => {}
            result => break result?,
        }
    };
    let mut files = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just made them for us.
            files.extend(fds.into_iter().map(|fd| unsafe { File::from_raw_fd(fd) }));
        }
    }
    let len = message.bytes;
    if len == 0 {
        return Ok(None);
    }
    match Asked::decode(&bytes[..len]) {
        Some(asked) => Ok(Some((asked, files))),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn send(answered: &Answered) -> io::Result<()> {
    let bytes = answered.encode();
    // `send` and `sendto` are not among the calls that are left.
    let part = [io::IoSlice::new(&bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    nix::sys::socket::sendmsg::<()>(SOCKET, &part, &[], flags, None)?;
    Ok(())
}

/// An error is one of the memory files, and the end; what is wrong with a picture is an answer.
fn answer(asked: Asked, files: Vec<File>) -> io::Result<Answered> {
    let result = match asked {
        Asked::Picture(head) => {
            let (avcc, sample, mut out) = take(&head, files)?;
            match picture(&head, &avcc, &sample) {
                Ok(jpeg) if jpeg.len() <= MAX_JPEG_BYTES => {
                    out.write_all(&jpeg)?;
                    Ok(Answered::Picture(jpeg.len() as u32))
                }
                Ok(_) => Err(Error::Unencodable),
                Err(e) => Err(e),
            }
        }
        Asked::Hash(password) => {
            let mut salt = [0; password::SALT_BYTES];
            getrandom::fill(&mut salt).map_err(io::Error::other)?;
            password::hash(&password, salt)
                .map(Answered::Hash)
                .map_err(Error::Unfit)
        }
        Asked::Verify { password, hash } => password::verify(&password, &hash)
            .map(Answered::Verified)
            .map_err(|_| Error::BadHash),
    };
    Ok(result.unwrap_or_else(Answered::Failed))
}

/// The avcC, the sample, and where the JPEG goes.
fn take(head: &PictureHead, files: Vec<File>) -> io::Result<(Vec<u8>, Vec<u8>, File)> {
    let Ok([mut from, out]) = <[File; FILES]>::try_from(files) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    // Both lengths were checked against their limits.
    let mut avcc = vec![0; head.avcc_bytes as usize];
    from.read_exact(&mut avcc)?;
    let mut sample = vec![0; head.sample_bytes as usize];
    from.read_exact(&mut sample)?;
    Ok((avcc, sample, out))
}

#[cfg(feature = "ffmpeg")]
use super::picture::jpeg as picture;

#[cfg(not(feature = "ffmpeg"))]
fn picture(_: &PictureHead, _: &[u8], _: &[u8]) -> Result<Vec<u8>, Error> {
    Err(Error::Unsupported(super::NO_FFMPEG))
}
