//! The source of the bytes: an RTSP server that sends the same prepared video to whoever asks.
//!
//! A floor says `RAW` and gets the packets at once; a recorder goes through RTSP. What follows is the
//! same: each connection gets 30 frames a second, each at its own phase. In the place of its number each
//! frame has the time of its sending.

use moonfire_nvr::simulated_camera::packetize::Packetizer;
use moonfire_nvr::simulated_camera::synthetic::{Synthetic, find_number};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const FRAME_RATE: u32 = 30;
const GOP: u32 = 60;
/// Ahead of the number in its SEI message.
const SEI_UUID_BYTES: usize = 16;

/// The source as a process of its own.
pub struct Source {
    child: Child,
    pub address: String,
}

impl Source {
    pub fn start() -> Source {
        let exe = std::env::current_exe().expect("this program's path");
        let mut child = Command::new(exe)
            .arg("source")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the source starts");
        let mut address = String::new();
        let stdout = child.stdout.as_mut().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("its address");
        Source {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GOP, ready to be sent but for sequence numbers and timestamps.
struct Video {
    sps_pps: (Vec<u8>, Vec<u8>),
    /// Interleaved packets of each frame.
    frames: Vec<Vec<u8>>,
    /// Where each frame's number is in its packets: when it is sent is put there.
    stamps: Vec<usize>,
}

/// The machine's monotonic clock, the same for all processes.
pub fn monotonic_nanoseconds() -> u64 {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    let now = nix::time::clock_gettime(clock).expect("a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn video() -> Video {
    let synthetic = Synthetic {
        seed: 1,
        width: 1920,
        height: 1080,
        frame_rate: FRAME_RATE,
        gop_frames: GOP,
        sync_bytes: 100_000,
        other_bytes: 13_800,
        change_at: None,
    };
    let mut packetizer = Packetizer::new(0x1234_5678, 0, 0, 1400);
    let frames: Vec<Vec<u8>> = (0..u64::from(GOP))
        .map(|i| {
            let unit = synthetic.frame(i);
            let mut bytes = Vec::new();
            for packet in packetizer.packets(&unit, unit.sync) {
                bytes.extend_from_slice(&[b'$', 0]);
                bytes.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                bytes.extend_from_slice(&packet);
            }
            bytes
        })
        .collect();
    let sets = synthetic.parameters(0);
    Video {
        sps_pps: (sets.sps, sets.pps),
        stamps: frames.iter().map(|f| stamp_at(f)).collect(),
        frames,
    }
}

fn stamp_at(frame: &[u8]) -> usize {
    let (at, _) = find_number(frame).expect("a number in each frame");
    at + SEI_UUID_BYTES
}

/// The source's process.
pub fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("its address"));
    let video = Arc::new(video());
    for (n, stream) in listener.incoming().enumerate() {
        let video = video.clone();
        let stream = stream.expect("a connection");
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                // A receiver that leaves ends its thread.
                let _ = serve(stream, &video, n);
            })
            .expect("a thread");
    }
}

fn serve(mut stream: TcpStream, video: &Video, n: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            request.push_str(&line);
        }
        let method = request
            .split(' ')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        if method == "RAW" {
            break;
        }
        let cseq = request
            .lines()
            .find_map(|l| l.strip_prefix("CSeq: "))
            .unwrap_or("0")
            .to_owned();
        let (headers, body) = reply(&method, video);
        write!(
            stream,
            "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        if method == "PLAY" {
            break;
        }
    }
    // Whatever it says from now on is read and not answered.
    std::thread::spawn(move || {
        let mut sink = [0; 4096];
        while matches!(reader.read(&mut sink), Ok(n) if n > 0) {}
    });
    send(&mut stream, video, n)
}

fn reply(method: &str, video: &Video) -> (String, String) {
    use base64::Engine;
    let encode = |b: &[u8]| base64::engine::general_purpose::STANDARD.encode(b);
    match method {
        "OPTIONS" => (
            "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".into(),
            String::new(),
        ),
        "DESCRIBE" => (
            "Content-Type: application/sdp\r\n".into(),
            format!(
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                 a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={},{}\r\n\
                 a=control:video\r\n",
                encode(&video.sps_pps.0),
                encode(&video.sps_pps.1)
            ),
        ),
        "SETUP" => (
            "Session: 1;timeout=3600\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n".into(),
            String::new(),
        ),
        _ => ("Session: 1\r\n".into(), String::new()),
    }
}

/// Sends frames for ever, on time, each connection at its own phase.
fn send(stream: &mut TcpStream, video: &Video, n: usize) -> std::io::Result<()> {
    let period = Duration::from_secs(1) / FRAME_RATE;
    let phase = period * (n as u32 * 7 % 30) / 30;
    let begin = Instant::now() + phase;
    let mut sequence = 0u16;
    let mut buffer = Vec::new();
    for i in 0u32.. {
        let due = begin + period * i;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Not all connections have their large frames in the same moment.
        let frame = (i as usize + n * 13) % video.frames.len();
        let frame = if i == 0 { 0 } else { frame };
        buffer.clear();
        buffer.extend_from_slice(&video.frames[frame]);
        let mut at = 0;
        while at + 12 < buffer.len() {
            let len = usize::from(u16::from_be_bytes([buffer[at + 2], buffer[at + 3]]));
            buffer[at + 6..at + 8].copy_from_slice(&sequence.to_be_bytes());
            buffer[at + 8..at + 12].copy_from_slice(&(i.wrapping_mul(3000)).to_be_bytes());
            sequence = sequence.wrapping_add(1);
            at += 4 + len;
        }
        let stamp = video.stamps[frame];
        let digits = format!("{:016x}", monotonic_nanoseconds());
        buffer[stamp..stamp + digits.len()].copy_from_slice(digits.as_bytes());
        stream.write_all(&buffer)?;
    }
    Ok(())
}
