//! Packets of a camera that may do anything, over TCP and UDP. What comes out is always access units
//! in AVC form that fill the buffer without a gap.
//!
//! The input is a byte of settings and then steps of a few bytes each, so that mutations soon reach
//! what is behind the RTP header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::rtp::{MAX_ACCESS_UNIT_BYTES, Receiver, ReceiverConfig};
use moonfire_nvr::time::{Monotonic, Now};

/// The bytes of the input, one after another; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let settings = input.byte();
    let mut receiver = Receiver::new(ReceiverConfig {
        payload_type: 96,
        clock_rate: if settings & 2 == 0 { 90_000 } else { 1000 },
        sprop: None,
        ssrc: None,
        reorder: settings & 1 != 0,
    });
    let mut out = Vec::new();
    let mut now = Monotonic(0);
    let (mut sequence, mut timestamp, mut ssrc) = (0u16, 0u32, 7u32);
    while !input.0.is_empty() {
        let op = input.byte();
        sequence = sequence.wrapping_add(1);
        if op & 1 != 0 {
            timestamp = timestamp.wrapping_add(3000);
        }
        match op >> 4 {
            0 => sequence = sequence.wrapping_add(u16::from(input.byte())),
            1 => sequence = sequence.wrapping_sub(u16::from(input.byte())),
            2 => sequence = u16::from_be_bytes([input.byte(), 0]),
            3 => timestamp = timestamp.wrapping_add(u32::from(input.byte()) << 24),
            4 => ssrc = u32::from(input.byte()),
            5 => now.0 += u64::from(input.byte()) * 10_000_000,
            6 => receiver.reset(&mut out),
            7 => {
                let len = usize::from(input.byte());
                let _ = receiver.rtcp(Now::default(), input.bytes(len));
                receiver.receiver_report(now, &mut Vec::new());
            }
            8 => receiver.handle_timeout(now, &mut out),
            _ => {}
        }
        let len = usize::from(input.byte());
        let mut packet = vec![0x80, 96 | (op & 2) << 6];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(input.bytes(len));
        if op & 0xfc == 0xfc {
            packet[0] = input.byte();
        }
        let _ = receiver.push(now, &packet, &mut out);
        if op & 4 == 0 {
            pull(&mut receiver, &mut out);
        }
    }
    receiver.handle_timeout(Monotonic(u64::MAX), &mut out);
    assert_eq!(receiver.next_timeout(), None);
    pull(&mut receiver, &mut out);
    receiver.reset(&mut out);
    assert!(out.is_empty(), "nothing is left of what was unfinished");
});

fn pull(receiver: &mut Receiver, out: &mut Vec<u8>) {
    while let Some(unit) = receiver.pull() {
        let len = unit.len as usize;
        assert!(len > 0 && len <= MAX_ACCESS_UNIT_BYTES);
        let bytes: Vec<u8> = out.drain(..len).collect();
        let mut rest = &bytes[..];
        while let Some((head, after)) = rest.split_first_chunk() {
            let (nal, after) = after.split_at(u32::from_be_bytes(*head) as usize);
            assert!(!nal.is_empty());
            assert!(!matches!(nal[0] & 0x1f, 0 | 7..=9 | 12 | 13 | 24..));
            rest = after;
        }
        assert!(rest.is_empty());
    }
    assert!(out.len() <= MAX_ACCESS_UNIT_BYTES);
}
