//! Receiving allocates nothing once it is under way: not for a packet, not for a frame, not for
//! parameter sets that are repeated, and not for packets that come out of order.

use moonfire_nvr::h264::annexb;
use moonfire_nvr::rtp::{Receiver, ReceiverConfig};
use moonfire_nvr::time::Monotonic;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const STREAM: &[u8] = include_bytes!("fixtures/h264/high_3slices.h264");

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing,
// because the thread-local cell is const-initialized and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(ptr, layout, new_size) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The stream as RTP packets, in fragments of up to 200 bytes, `sequence` being the first number.
fn packets(mut sequence: u16, mut timestamp: u32) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for nal in annexb::split(STREAM) {
        // An access unit delimiter begins each access unit of this stream.
        if nal[0] & 0x1f == 9 {
            timestamp += 9000;
        }
        let chunks: Vec<&[u8]> = nal[1..].chunks(200).collect();
        for (i, chunk) in chunks.iter().enumerate() {
            let start = if i == 0 { 0x80 } else { 0 };
            let end = if i + 1 == chunks.len() { 0x40 } else { 0 };
            let mut p = vec![0x80, 96];
            p.extend_from_slice(&sequence.to_be_bytes());
            p.extend_from_slice(&timestamp.to_be_bytes());
            p.extend_from_slice(&7u32.to_be_bytes());
            if chunks.len() == 1 {
                p.push(nal[0]);
            } else {
                p.extend_from_slice(&[nal[0] & 0xe0 | 28, start | end | nal[0] & 0x1f]);
            }
            p.extend_from_slice(chunk);
            out.push(p);
            sequence = sequence.wrapping_add(1);
        }
    }
    out
}

/// Plays the packets and returns how many access units came, and how many allocations it took.
fn play(receiver: &mut Receiver, packets: &[Vec<u8>], out: &mut Vec<u8>) -> (usize, u64) {
    let before = ALLOCATIONS.get();
    let mut units = 0;
    for packet in packets {
        receiver.push(Monotonic(0), packet, out).unwrap();
        while let Some(unit) = receiver.pull() {
            units += 1;
            out.drain(..unit.len as usize);
        }
    }
    (units, ALLOCATIONS.get() - before)
}

#[test]
fn nothing_is_allocated_once_under_way() {
    for reorder in [false, true] {
        let mut receiver = Receiver::new(ReceiverConfig {
            payload_type: 96,
            clock_rate: 90_000,
            sprop: None,
            ssrc: None,
            reorder,
        });
        let mut out = Vec::with_capacity(1 << 20);
        let mut sequence = 0u16;
        for round in 0..5 {
            let mut packets = packets(sequence, round * 180_000);
            sequence = sequence.wrapping_add(packets.len() as u16);
            if reorder {
                // The second of each pair first; the very first stays.
                packets[1..].chunks_exact_mut(2).for_each(|c| c.swap(0, 1));
            }
            let (units, allocations) = play(&mut receiver, &packets, &mut out);
            assert!(units >= 19);
            if round == 0 {
                assert!(allocations > 0, "the sample entry is made once");
            } else {
                assert_eq!(allocations, 0, "round {round}, reorder {reorder}");
            }
        }
        assert!(!reorder || receiver.stats().reordered > 100);
    }
}
