//! Ways to send ranges of a warm file over a connection: what each costs the sender.
//!
//! The CPU time of the sending thread (user and system, loopback's part of the network included) in
//! microseconds a range and seconds a GB. Each range follows a head of [`HEAD_BYTES`] bytes, as a
//! response does; small ones are asked for one at a time, since that is how clients do it.
//! `cargo bench --bench send_file`

use memmap2::{Advice, Mmap, MmapOptions};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::sendfile::sendfile64;
use nix::sys::time::TimeValLike;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const FILE_BYTES: usize = 1 << 30;
const HEAD_BYTES: usize = 300;
const WINDOW_BYTES: usize = 1 << 20;
const ROUNDS: usize = 5;
const PAGE_BYTES: usize = 4096;

type Way = fn(&mut Sender, offset: u64, len: usize) -> io::Result<()>;

const WAYS: [(&str, Way); 8] = [
    ("sendfile, asking nobody", plain_sendfile),
    ("map, mincore, sendfile", mincore_sendfile),
    ("map kept, mincore, sendfile", kept_mincore_sendfile),
    ("map, mincore, writev from map", mincore_write_map),
    ("map, populate, writev from map", populate_write_map),
    ("pread, writev", pread_write),
    ("preadv2 NOWAIT, writev", nowait_write),
    ("preadv2 NOWAIT 64 KiB, writev", nowait_write_small),
];

struct Sender {
    file: File,
    socket: TcpStream,
    scratch: Vec<u8>,
    resident: Vec<u8>,
    kept: Option<(u64, Mmap)>,
}

fn main() {
    let path = std::env::temp_dir().join(format!("moonfire-nvr-send-file-{}", std::process::id()));
    let mut file = File::create_new(&path).unwrap();
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i ^ i >> 8) as u8).collect();
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    println!(
        "{:32} {:>11} {:>11} {:>11} {:>11} {:>12}",
        "", "4 KiB, us", "16 KiB, us", "64 KiB, us", "1 MiB, us", "1 MiB, s/GB"
    );
    for (name, way) in WAYS {
        let us = [(4, 20_000), (16, 20_000), (64, 8_000), (1024, 2_000)]
            .map(|(kib, count)| median(|| measure(&path, way, kib << 10, count)));
        let gb = us[3] * 1e-6 * 1e9 / (1 << 20) as f64;
        let [a, b, c, d] = us;
        println!("{name:32} {a:11.1} {b:11.1} {c:11.1} {d:11.1} {gb:12.3}");
    }
    std::fs::remove_file(path).unwrap();
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2]
}

/// Microseconds of CPU time a range.
fn measure(path: &std::path::Path, way: Way, len: usize, count: usize) -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        let mut buf = vec![0; 1 << 20];
        for _ in 0..count {
            socket.write_all(b"?").unwrap();
            let mut left = HEAD_BYTES + len;
            while left > 0 {
                let most = left.min(buf.len());
                left -= socket.read(&mut buf[..most]).unwrap();
            }
        }
    });
    let (socket, _) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    let mut sender = Sender {
        file: File::open(path).unwrap(),
        socket,
        scratch: vec![0; WINDOW_BYTES],
        resident: vec![0; WINDOW_BYTES / PAGE_BYTES + 1],
        kept: None,
    };
    for at in (0..FILE_BYTES).step_by(WINDOW_BYTES) {
        let window = &mut sender.scratch[..];
        sender.file.read_exact_at(window, at as u64).unwrap();
    }
    let mut offset = 12_345;
    let before = cpu();
    for _ in 0..count {
        sender.socket.read_exact(&mut [0]).unwrap();
        way(&mut sender, offset, len).unwrap();
        offset = (offset + len as u64 * 7 + 4097) % (FILE_BYTES - len) as u64;
    }
    let took = cpu() - before;
    client.join().unwrap();
    took.as_secs_f64() * 1e6 / count as f64
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(us as u64)
}

const HEAD: [u8; HEAD_BYTES] = [b'h'; HEAD_BYTES];

fn plain_sendfile(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    s.socket.write_all(&HEAD)?;
    s.sendfile(offset, len)
}

fn mincore_sendfile(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    s.socket.write_all(&HEAD)?;
    let map = s.map(offset, len)?;
    s.look_whether_resident(&map);
    drop(map);
    s.sendfile(offset, len)
}

/// The map stays for as long as the ranges are within it: what sequential reading would cost.
fn kept_mincore_sendfile(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    s.socket.write_all(&HEAD)?;
    let map = match s.kept.take() {
        Some((_, map)) => map,
        None => s.map(offset, len)?,
    };
    s.look_whether_resident(&map);
    s.kept = Some((offset, map));
    s.sendfile(offset, len)
}

fn mincore_write_map(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    let map = s.map(offset, len)?;
    s.look_whether_resident(&map);
    write(&mut s.socket, &map[map.len() - len..])
}

fn populate_write_map(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    let map = s.map(offset, len)?;
    map.advise(Advice::PopulateRead)?;
    write(&mut s.socket, &map[map.len() - len..])
}

fn pread_write(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    s.file.read_exact_at(&mut s.scratch[..len], offset)?;
    write(&mut s.socket, &s.scratch[..len])
}

fn nowait_write(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    s.read_nowait(offset, len)?;
    write(&mut s.socket, &s.scratch[..len])
}

/// In pieces that stay in the cache.
fn nowait_write_small(s: &mut Sender, offset: u64, len: usize) -> io::Result<()> {
    for from in (0..len).step_by(64 << 10) {
        let piece = (len - from).min(64 << 10);
        s.read_nowait(offset + from as u64, piece)?;
        match from {
            0 => write(&mut s.socket, &s.scratch[..piece])?,
            _ => s.socket.write_all(&s.scratch[..piece])?,
        }
    }
    Ok(())
}

fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let sent = socket.write_vectored(&[IoSlice::new(&HEAD), IoSlice::new(bytes)])?;
    match sent.checked_sub(HEAD.len()) {
        Some(sent) => socket.write_all(&bytes[sent..]),
        None => Err(io::ErrorKind::WriteZero.into()),
    }
}

impl Sender {
    /// The pages that hold the range, whole in front; the last byte of the map is the range's.
    fn map(&self, offset: u64, len: usize) -> io::Result<Mmap> {
        let skip = (offset % PAGE_BYTES as u64) as usize;
        let mut options = MmapOptions::new();
        options.offset(offset - skip as u64).len(skip + len);
        // SAFETY: nobody else knows of the file, which does not shrink.
        unsafe { options.map(&self.file) }
    }

    fn look_whether_resident(&mut self, map: &Mmap) {
        let pages = map.len().div_ceil(PAGE_BYTES);
        let (address, result) = (map.as_ptr().cast_mut().cast(), self.resident.as_mut_ptr());
        // SAFETY: the range is mapped, and there is a byte for each of its pages.
        assert_eq!(unsafe { libc::mincore(address, map.len(), result) }, 0);
        std::hint::black_box(self.resident[..pages].iter().all(|b| b & 1 == 1));
    }

    fn sendfile(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let mut at = offset as i64;
        let end = at + len as i64;
        while at < end {
            let left = (end - at) as usize;
            sendfile64(&self.socket, &self.file, Some(&mut at), left)?;
        }
        Ok(())
    }

    fn read_nowait(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let slice = libc::iovec {
            iov_base: self.scratch.as_mut_ptr().cast(),
            iov_len: len,
        };
        let (fd, at) = (self.file.as_raw_fd(), offset as i64);
        // SAFETY: the buffer has `len` bytes and is not looked at meanwhile.
        let read = unsafe { libc::preadv64v2(fd, &slice, 1, at, libc::RWF_NOWAIT) };
        match usize::try_from(read) {
            Ok(n) if n == len => Ok(()),
            // The kernel has let go of a page meanwhile.
            _ => self.file.read_exact_at(&mut self.scratch[..len], offset),
        }
    }
}
