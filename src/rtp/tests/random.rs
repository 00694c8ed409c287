//! Real streams in every packetization, through a network that loses, repeats and reorders.

use super::*;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;

/// An access unit as its encoder made it.
struct Source {
    nals: Vec<&'static [u8]>,
    timestamp: u32,
}

impl Source {
    /// What is to be stored of it.
    fn stored(&self) -> Vec<u8> {
        let kept: Vec<&[u8]> = (self.nals.iter().copied())
            .filter(|n| !matches!(nal::unit_type(n[0]), 7..=9))
            .collect();
        avc(&kept)
    }

    fn has_sei(&self) -> bool {
        self.nals
            .iter()
            .any(|n| nal::unit_type(n[0]) == unit_type::SEI)
    }

    fn is_sync(&self) -> bool {
        self.nals.iter().any(|n| nal::unit_type(n[0]) == 5)
    }
}

/// The access units of a stream in Annex B form, whose pictures are all frames.
fn access_units(stream: &'static [u8], first_timestamp: u32) -> Vec<Source> {
    let mut units: Vec<Source> = Vec::new();
    let mut had_slice = true;
    for nal in annexb::split(stream) {
        let is_slice = nal::is_slice(nal::unit_type(nal[0]));
        let begins = had_slice && (!is_slice || nal[1] & 0x80 != 0);
        if begins {
            units.push(Source {
                nals: Vec::new(),
                timestamp: first_timestamp.wrapping_add(units.len() as u32 * 9000),
            });
            had_slice = false;
        }
        units.last_mut().unwrap().nals.push(nal);
        had_slice |= is_slice;
    }
    units
}

struct Dice(Pcg64Mcg);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// Payloads of an access unit: single NAL units, aggregates, fragments, as the dice fall.
fn payloads(unit: &Source, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut nals = &unit.nals[..];
    while !nals.is_empty() {
        let together = 1 + dice.below(nals.len() as u32) as usize;
        if dice.one_in(3) {
            out.push(stap_a(&nals[..together]));
            nals = &nals[together..];
        } else {
            if dice.one_in(3) || nals[0].len() < 3 {
                out.push(nals[0].to_vec());
            } else {
                out.extend(fu_a(nals[0], 1 + dice.below(300) as usize));
            }
            nals = &nals[1..];
        }
    }
    out
}

struct Sent {
    packet: Vec<u8>,
    sequence: u16,
    /// The access unit that it is of.
    unit: usize,
}

fn packets(units: &[Source], markers: bool, dice: &mut Dice) -> Vec<Sent> {
    let mut sequence = dice.0.next_u32() as u16;
    let mut out = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let payloads = payloads(unit, dice);
        let last = payloads.len() - 1;
        for (j, payload) in payloads.iter().enumerate() {
            out.push(Sent {
                packet: rtp(
                    sequence,
                    unit.timestamp,
                    markers && j == last,
                    SSRC,
                    payload,
                ),
                sequence,
                unit: i,
            });
            sequence = sequence.wrapping_add(1);
        }
    }
    out
}

/// Checks what was delivered against the source. Returns how many access units did not come.
fn check(c: &Camera, units: &[Source]) -> usize {
    let mut next = 0;
    for got in &c.got {
        let is_it = |u: &Source| {
            // SEI messages ahead of the slices may be lost without harm to the picture.
            let stored = u.stored();
            let cut = got.unit.lost_packets > 0 && got.bytes[4] & 0x1f != unit_type::SEI;
            stored == got.bytes || cut && stored.ends_with(&got.bytes) && u.has_sei()
        };
        let found = units[next..].iter().position(is_it);
        let i = next + found.expect("what came is one of those that are left, byte for byte");
        assert_eq!(got.unit.len as usize, got.bytes.len());
        assert_eq!(got.unit.timestamp as u32, units[i].timestamp);
        assert_eq!(got.unit.is_sync, units[i].is_sync());
        assert!(!got.unit.discontinuity);
        if next > 0 && i > next {
            assert!(got.unit.lost_packets > 0, "what is missing is told");
        }
        next = i + 1;
    }
    let told: u64 = c.got.iter().map(|g| u64::from(g.unit.lost_packets)).sum();
    assert!(told <= c.stats().lost);
    assert_eq!(c.stats().access_units, c.got.len() as u64);
    assert_eq!(c.stats().bad, 0);
    units.len() - c.got.len()
}

fn dice(seed: u64) -> Dice {
    println!("seed {seed}");
    Dice(Pcg64Mcg::seed_from_u64(seed))
}

#[test]
fn every_packetization_gives_the_same_bytes() {
    for seed in 0..60 {
        let mut dice = dice(seed);
        for stream in [BASELINE, HIGH] {
            let units = access_units(stream, dice.0.next_u32());
            assert_eq!(units.len(), 20);
            let markers = !dice.one_in(3);
            let mut c = if dice.one_in(2) {
                Camera::tcp()
            } else {
                Camera::udp()
            };
            for sent in packets(&units, markers, &mut dice) {
                c.send_raw(&sent.packet);
            }
            assert_eq!(c.got.len(), if markers { 20 } else { 19 });
            assert!(c.got[0].unit.sample_entry.is_some());
            assert!(c.got[1..].iter().all(|g| g.unit.sample_entry.is_none()));
            assert!(c.got.iter().all(|g| g.unit.lost_packets == 0));
            check(&c, &units);
        }
    }
}

#[test]
fn loss_over_tcp_harms_only_what_it_hits() {
    for seed in 0..200 {
        let mut dice = dice(seed);
        let units = access_units(HIGH, dice.0.next_u32());
        let mut c = Camera::tcp();
        let (mut lost, mut harmed) = (0, BTreeSet::new());
        let sent = packets(&units, true, &mut dice);
        let last = sent.len() - 1;
        for (i, sent) in sent.iter().enumerate() {
            // Not the ends, where nobody can know.
            if i > 0 && i < last && dice.one_in(30) {
                lost += 1;
                harmed.insert(sent.unit);
            } else {
                c.send_raw(&sent.packet);
            }
        }
        assert_eq!(c.stats().lost, lost);
        let missing = check(&c, &units);
        // The one whose marker is not proven when a loss follows is not believed either.
        assert!(missing <= harmed.len() + 1, "{missing} of {}", harmed.len());
    }
}

#[test]
fn a_bad_network_over_udp() {
    for seed in 0..200 {
        let mut dice = dice(seed);
        let units = access_units(HIGH, dice.0.next_u32());
        let mut c = Camera::udp();
        let sent = packets(&units, true, &mut dice);
        let (mut lost, mut harmed) = (0, BTreeSet::new());
        // Each packet goes its way, some twice, with up to 8 ms of delay; one is sent a millisecond.
        let mut ways: Vec<(u64, &Sent)> = Vec::new();
        let last = sent.len() - 1;
        for (i, sent) in sent.iter().enumerate() {
            let at = 10 * i as u64;
            if i == 0 || i == last {
                ways.push((at + if i == last { 100 } else { 0 }, sent));
                continue;
            }
            if dice.one_in(40) {
                lost += 1;
                harmed.insert(sent.unit);
                continue;
            }
            for _ in 0..if dice.one_in(20) { 2 } else { 1 } {
                ways.push((at + u64::from(dice.below(80)) + 1, sent));
            }
        }
        ways.sort_by_key(|&(at, sent)| (at, sent.sequence));
        let copies = ways.len() as u64;
        let start = c.now;
        for (at, sent) in ways {
            c.now = start;
            c.pass_time(Duration::from_micros(at * 100));
            c.send_raw(&sent.packet);
        }
        c.pass_time(Duration::from_secs(1));
        assert_eq!(c.stats().packets, copies);
        assert_eq!(c.stats().lost, lost);
        assert_eq!(c.stats().duplicates, copies + lost - sent.len() as u64);
        let missing = check(&c, &units);
        // The one whose marker is not proven when a loss follows is not believed either.
        assert!(missing <= harmed.len() + 1, "{missing} of {}", harmed.len());
    }
}

#[test]
fn a_real_stream_without_idr() {
    // The second GOP of it begins with a recovery point.
    let units = access_units(RECOVERY_POINTS, 0);
    let mut c = Camera::tcp();
    let mut dice = dice(1);
    for sent in packets(&units[10..], true, &mut dice) {
        c.send_raw(&sent.packet);
    }
    let sync: Vec<bool> = c.got.iter().map(|g| g.unit.is_sync).collect();
    assert_eq!(sync.iter().filter(|&&s| s).count(), 1, "{sync:?}");
    // With the IDR picture before it, it does not count.
    let mut c = Camera::tcp();
    for sent in packets(&units, true, &mut dice) {
        c.send_raw(&sent.packet);
    }
    let sync: Vec<usize> = (0..c.got.len())
        .filter(|&i| c.got[i].unit.is_sync)
        .collect();
    assert_eq!(sync, [0]);
}

#[test]
fn noise_never_panics_nor_grows() {
    for seed in 0..300 {
        let mut dice = dice(seed);
        let units = access_units(HIGH, 0);
        let mut c = Camera::with(|c| c.reorder = seed % 2 == 0);
        for mut sent in packets(&units, true, &mut dice) {
            for _ in 0..dice.below(3) {
                let at = dice.below(sent.packet.len() as u32) as usize;
                // Not the payload type.
                if at != 1 {
                    sent.packet[at] = dice.0.next_u32() as u8;
                }
            }
            let keep = sent.packet.len() - dice.below(3) as usize;
            c.send_raw(&sent.packet[..keep]);
            c.pass_time(Duration::from_millis(10));
            let _ = c.receiver.rtcp(Now::default(), &sent.packet);
        }
        let stored: usize = c.got.iter().map(|g| g.bytes.len()).sum();
        assert!(stored + c.out.len() < 2 * HIGH.len() + 1000);
    }
}
