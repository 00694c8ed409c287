//! What depacketizing costs: [`Receiver`] against a bare loop over the same bytes.
//!
//! The bare loop does what cannot be avoided: it finds interleaved packets, reads the FU-A headers and
//! copies the payload. The source is one stream of 1080p30 at 3.6 Mbit/s in 11 packets a frame.
//! `cargo bench --bench depacketize`

use moonfire_nvr::rtp::{Receiver, ReceiverConfig};
use moonfire_nvr::time::Monotonic;
use std::hint::black_box;
use std::time::{Duration, Instant};

const PACKETS_A_FRAME: usize = 11;
const PAYLOAD_BYTES: usize = 1364;
const FRAMES: usize = 600;
const ROUNDS: usize = 15;
/// Handed to the disk at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// FRAMES frames in FU-A, each packet behind an interleaved header (RFC 2326 section 10.12).
fn source(first_sequence: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sequence = first_sequence;
    for frame in 0..FRAMES {
        let slice_type = if frame % 60 == 0 { 5 } else { 1 };
        for i in 0..PACKETS_A_FRAME {
            let last = i + 1 == PACKETS_A_FRAME;
            let start = if i == 0 { 0x80 } else { 0 };
            let end = if last { 0x40 } else { 0 };
            out.extend_from_slice(&[b'$', 0]);
            out.extend_from_slice(&(14 + PAYLOAD_BYTES as u16).to_be_bytes());
            out.extend_from_slice(&[0x80, 96 | u8::from(last) << 7]);
            out.extend_from_slice(&sequence.to_be_bytes());
            out.extend_from_slice(&(frame as u32 * 3000).to_be_bytes());
            out.extend_from_slice(&7u32.to_be_bytes());
            out.extend_from_slice(&[0x7c, start | end | slice_type]);
            let filled = out.len() + PAYLOAD_BYTES;
            out.extend_from_slice(&[0x88, 0x84]);
            out.resize(filled, (frame + i) as u8 | 1);
            sequence = sequence.wrapping_add(1);
        }
    }
    out
}

fn packets(mut data: &[u8], mut each: impl FnMut(&[u8])) {
    while let Some((head, rest)) = data.split_at_checked(4) {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        each(&rest[..len]);
        data = &rest[len..];
    }
}

/// The bare loop.
fn bare(data: &[u8], out: &mut Vec<u8>) -> usize {
    let mut frames = 0;
    let mut nal = 0;
    packets(data, |packet| {
        let (header, payload) = packet.split_at(12);
        let fu = payload[1];
        if fu & 0x80 != 0 {
            nal = out.len();
            out.extend_from_slice(&[0, 0, 0, 0, payload[0] & 0xe0 | fu & 0x1f]);
        }
        out.extend_from_slice(&payload[2..]);
        if fu & 0x40 != 0 {
            let len = (out.len() - nal - 4) as u32;
            out[nal..nal + 4].copy_from_slice(&len.to_be_bytes());
        }
        if header[1] & 0x80 != 0 {
            frames += 1;
            if out.len() >= WRITE_BYTES {
                black_box(&mut *out).clear();
            }
        }
    });
    frames
}

fn receiver(receiver: &mut Receiver, data: &[u8], out: &mut Vec<u8>) -> usize {
    let mut frames = 0;
    let mut complete = 0;
    packets(data, |packet| {
        let _ = receiver.push(Monotonic(0), packet, out);
        while let Some(unit) = receiver.pull() {
            frames += 1;
            complete += unit.len as usize;
            if complete >= WRITE_BYTES {
                black_box(&mut *out).drain(..complete);
                complete = 0;
            }
        }
    });
    black_box(&mut *out).drain(..complete);
    frames
}

fn main() {
    let packets = FRAMES * PACKETS_A_FRAME;
    let mut out = Vec::with_capacity(4 * WRITE_BYTES);
    let mut best = [Duration::MAX; 2];
    for round in 0..ROUNDS {
        let data = source((round * packets) as u16);
        out.clear();
        let start = Instant::now();
        let frames = bare(&data, &mut out);
        best[0] = best[0].min(start.elapsed());
        assert_eq!(frames, FRAMES);

        out.clear();
        let mut r = Receiver::new(ReceiverConfig {
            payload_type: 96,
            clock_rate: 90_000,
            sprop: None,
            ssrc: None,
            reorder: false,
        });
        let start = Instant::now();
        let frames = receiver(&mut r, &data, &mut out);
        best[1] = best[1].min(start.elapsed());
        assert!(frames >= FRAMES - 1 && r.stats().bad == 0);
    }
    let ns = best.map(|d| d.as_nanos() as f64 / packets as f64);
    println!("bare loop  {:7.1} ns a packet", ns[0]);
    println!("Receiver   {:7.1} ns a packet", ns[1]);
    println!("ratio      {:7.2}", ns[1] / ns[0]);
}
