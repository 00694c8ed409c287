//! A receiver with a camera in front of it that does as it is told.

mod losses;
mod packets;
mod pictures;
mod random;

use super::*;
use crate::h264::annexb;
use crate::h264::nal::{self, unit_type};
use crate::time::{Monotonic, Now, Wall90k};
use std::time::Duration;

const BASELINE: &[u8] = include_bytes!("../../../tests/fixtures/h264/baseline.h264");
const HIGH: &[u8] = include_bytes!("../../../tests/fixtures/h264/high_3slices.h264");
const RECOVERY_POINTS: &[u8] = include_bytes!("../../../tests/fixtures/h264/recovery_points.h264");

const SSRC: u32 = 0x1234_5678;
const PAYLOAD_TYPE: u8 = 96;

/// The first NAL unit of a type.
fn first(stream: &'static [u8], unit_type: u8) -> &'static [u8] {
    annexb::split(stream)
        .find(|n| nal::unit_type(n[0]) == unit_type)
        .unwrap()
}

fn sps() -> &'static [u8] {
    first(HIGH, unit_type::SPS)
}

fn pps() -> &'static [u8] {
    first(HIGH, unit_type::PPS)
}

/// A slice NAL unit: `first_mb` 0 with `begins`, else 1; an intra slice of PPS 0.
fn slice(header: u8, begins: bool, fill: &[u8]) -> Vec<u8> {
    let start: &[u8] = if begins { &[0x88, 0x80] } else { &[0x42, 0x30] };
    [&[header], start, fill].concat()
}

fn idr(fill: &[u8]) -> Vec<u8> {
    slice(0x65, true, fill)
}

fn idr_rest(fill: &[u8]) -> Vec<u8> {
    slice(0x65, false, fill)
}

/// A slice of type P (0), which is not intra: first_mb 1, slice_type 1, pps_id 1.
fn p(fill: &[u8]) -> Vec<u8> {
    [&[0x41, 0b1110_0000][..], fill].concat()
}

/// NAL units in AVC form.
fn avc(nals: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for nal in nals {
        out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        out.extend_from_slice(nal);
    }
    out
}

fn stap_a(nals: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0x78];
    for nal in nals {
        out.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        out.extend_from_slice(nal);
    }
    out
}

/// A NAL unit as FU-A payloads with up to `size` bytes of it in each.
fn fu_a(nal: &[u8], size: usize) -> Vec<Vec<u8>> {
    let chunks: Vec<&[u8]> = nal[1..].chunks(size).collect();
    let last = chunks.len() - 1;
    let fragment = |(i, chunk): (usize, &&[u8])| {
        let start = if i == 0 { 0x80 } else { 0 };
        let end = if i == last { 0x40 } else { 0 };
        let header = [nal[0] & 0xe0 | 28, start | end | nal[0] & 0x1f];
        [&header, *chunk].concat()
    };
    chunks.iter().enumerate().map(fragment).collect()
}

fn rtp(sequence: u16, timestamp: u32, marker: bool, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, PAYLOAD_TYPE | u8::from(marker) << 7];
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// An access unit and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    unit: AccessUnit,
    bytes: Vec<u8>,
}

struct Camera {
    receiver: Receiver,
    out: Vec<u8>,
    got: Vec<Got>,
    errors: Vec<PacketErrorKind>,
    now: Monotonic,
    sequence: u16,
    ssrc: u32,
}

impl Camera {
    fn with(change: impl FnOnce(&mut ReceiverConfig)) -> Camera {
        let mut config = ReceiverConfig {
            payload_type: PAYLOAD_TYPE,
            clock_rate: 90_000,
            sprop: None,
            ssrc: None,
            reorder: false,
        };
        change(&mut config);
        Camera {
            receiver: Receiver::new(config),
            out: Vec::new(),
            got: Vec::new(),
            errors: Vec::new(),
            now: Monotonic(1_000_000_000),
            sequence: 100,
            ssrc: SSRC,
        }
    }

    fn tcp() -> Camera {
        Camera::with(|_| {})
    }

    fn udp() -> Camera {
        Camera::with(|c| c.reorder = true)
    }

    /// A camera whose marker bits have proven right, and that has shown its parameter sets.
    fn proven() -> Camera {
        let mut c = Camera::tcp();
        c.send(0, false, sps());
        c.send(0, false, pps());
        c.send(0, true, &idr(b"proof"));
        c.send(3000, true, &p(b"proof"));
        assert_eq!(c.take().len(), 2);
        c
    }

    /// Sends the next packet.
    fn send(&mut self, timestamp: u32, marker: bool, payload: &[u8]) {
        self.send_as(self.sequence, timestamp, marker, payload);
    }

    /// Sends a packet with a sequence number of its own; the next one follows it.
    fn send_as(&mut self, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) {
        self.sequence = sequence.wrapping_add(1);
        self.send_raw(&rtp(sequence, timestamp, marker, self.ssrc, payload));
    }

    fn send_raw(&mut self, packet: &[u8]) {
        if let Err(e) = self.receiver.push(self.now, packet, &mut self.out) {
            self.errors.push(e.kind);
        }
        self.pull();
    }

    /// Sends the fragments of a NAL unit, the marker on the last.
    fn send_fu_a(&mut self, timestamp: u32, marker: bool, nal: &[u8], size: usize) {
        let fragments = fu_a(nal, size);
        let last = fragments.len() - 1;
        for (i, payload) in fragments.iter().enumerate() {
            self.send(timestamp, marker && i == last, payload);
        }
    }

    fn lose_packets(&mut self, n: u16) {
        self.sequence = self.sequence.wrapping_add(n);
    }

    fn pass_time(&mut self, d: Duration) {
        self.now = self.now + d;
        if self.receiver.next_timeout().is_some_and(|t| t <= self.now) {
            self.receiver.handle_timeout(self.now, &mut self.out);
            assert!(self.receiver.next_timeout().is_none_or(|t| t > self.now));
        }
        self.pull();
    }

    fn pull(&mut self) {
        while let Some(unit) = self.receiver.pull() {
            let bytes = self.out.drain(..unit.len as usize).collect();
            self.got.push(Got { unit, bytes });
        }
    }

    /// What has come since the last time.
    fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    fn take_bytes(&mut self) -> Vec<Vec<u8>> {
        self.take().into_iter().map(|g| g.bytes).collect()
    }

    fn stats(&self) -> &Stats {
        self.receiver.stats()
    }

    /// Sends something that ends the access unit before, in good order.
    fn end(&mut self, timestamp: u32) -> Vec<Got> {
        self.send(timestamp, false, &p(b"end"));
        let got = self.take();
        self.receiver.reset(&mut self.out);
        assert!(self.out.is_empty());
        got
    }
}
