//! The order of packets: sequence numbers over TCP, and the reordering window over UDP.

use crate::time::Monotonic;
use std::time::Duration;

/// A gap in the sequence numbers up to this is a loss, a wider one a new start (RFC 3550
/// appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3000;

/// A sequence number up to so far back is a packet that comes again or too late (RFC 3550
/// appendix A.1, MAX_MISORDER is 100; duplicates of a burst come later than that).
const MAX_MISORDER: u16 = 1000;

/// How many packets may wait for a missing one. At the limit the missing one is given up.
const MAX_HELD_PACKETS: usize = 64;

/// How many bytes may wait for a missing packet. At the limit it is given up.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// How long a missing packet is waited for.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// A buffer larger than this is not kept for the next packet that has to wait.
const MAX_KEPT_BUFFER_BYTES: usize = 4096;

/// So many packets in succession with far-off sequence numbers are a new start (RFC 3550
/// appendix A.1: two), and so many that seem to come too late.
const RESTART_AFTER_FAR: u32 = 2;
const RESTART_AFTER_LATE: u32 = 16;

/// What a packet's sequence number says over TCP, where packets come as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    Next,
    /// So many are missing before it: the camera did not send them.
    Gap(u16),
    /// The same number again.
    Repeat,
    /// The numbers have begun anew.
    Restart,
}

/// How `sequence` follows `last`, the number before it.
pub fn follow(last: Option<u16>, sequence: u16) -> Follow {
    let Some(last) = last else {
        return Follow::Next;
    };
    match sequence.wrapping_sub(last) {
        0 => Follow::Repeat,
        1 => Follow::Next,
        step if step <= MAX_DROPOUT => Follow::Gap(step - 1),
        _ => Follow::Restart,
    }
}

/// What to do with a packet that came over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one: take it, and then those of [`ReorderWindow::take_held`].
    Next,
    /// [`ReorderWindow::hold`] it, then look at [`ReorderWindow::take_held`].
    Early,
    /// It came before, or it was given up.
    Late,
    /// Its number is far off: drop it.
    Far,
    /// As `Late` or `Far`, but so many in succession that the numbers must have begun anew:
    /// [`ReorderWindow::restart`], then take it.
    Restart,
}

/// Puts UDP packets in order. What comes in order passes by without being copied.
#[derive(Debug, Default)]
pub struct ReorderWindow {
    /// The sequence number to come.
    next: Option<u16>,
    held: Vec<Held>,
    held_bytes: usize,
    /// Buffers for packets to hold, so that holding one seldom allocates.
    free: Vec<Vec<u8>>,
    /// Where a new start would go on, and how many packets speak for it.
    restart_at: u16,
    restart_votes: u32,
}

#[derive(Debug)]
struct Held {
    sequence: u16,
    arrived: Monotonic,
    packet: Vec<u8>,
}

impl ReorderWindow {
    /// Tells what to do with a packet.
    pub fn arrive(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(*self.next.get_or_insert(sequence));
        let votes_needed = match ahead {
            0 => {
                self.passed(sequence);
                return Arrival::Next;
            }
            1..=MAX_DROPOUT => {
                if !self.is_held(sequence) {
                    self.restart_votes = 0;
                    return Arrival::Early;
                }
                return Arrival::Late;
            }
            _ if ahead >= 0u16.wrapping_sub(MAX_MISORDER) => RESTART_AFTER_LATE,
            _ => RESTART_AFTER_FAR,
        };
        let votes = match self.restart_votes {
            votes if votes > 0 && sequence == self.restart_at => votes + 1,
            _ => 1,
        };
        self.restart_votes = votes;
        self.restart_at = sequence.wrapping_add(1);
        if votes >= votes_needed {
            Arrival::Restart
        } else if votes_needed == RESTART_AFTER_LATE {
            Arrival::Late
        } else {
            Arrival::Far
        }
    }

    /// Keeps a copy of a packet that is [`Arrival::Early`]. True if it fills part of a gap: one with
    /// a later number has come before it.
    pub fn hold(&mut self, now: Monotonic, sequence: u16, packet: &[u8]) -> bool {
        let next = self.next.unwrap_or(sequence);
        let ahead = sequence.wrapping_sub(next);
        let reordered = (self.held.iter()).any(|h| h.sequence.wrapping_sub(next) > ahead);
        let mut copy = self.free.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(packet);
        self.held_bytes += copy.len();
        self.held.push(Held {
            sequence,
            arrived: now,
            packet: copy,
        });
        reordered
    }

    /// The next packet that has waited long enough, and how many are given up before it. To be
    /// called until `None`; the buffer goes back by [`Self::give_back`].
    pub fn take_held(&mut self, now: Monotonic) -> Option<(Vec<u8>, u16)> {
        let next = self.next?;
        let (at, ahead) = (self.held.iter().enumerate())
            .map(|(i, h)| (i, h.sequence.wrapping_sub(next)))
            .min_by_key(|&(_, ahead)| ahead)?;
        let over = self.held.len() > MAX_HELD_PACKETS || self.held_bytes > MAX_HELD_BYTES;
        if ahead > 0 && !over && self.next_timeout().is_none_or(|t| t > now) {
            return None;
        }
        Some((self.take(at), ahead))
    }

    /// Begins anew with `sequence`, which is taken by the caller. Yields what was held, in order,
    /// by [`Self::take_abandoned`] before that.
    pub fn restart(&mut self, sequence: u16) {
        self.passed(sequence);
    }

    /// The next held packet, whatever is missing before it.
    pub fn take_abandoned(&mut self) -> Option<(Vec<u8>, u16)> {
        let next = self.next?;
        let (at, ahead) = (self.held.iter().enumerate())
            .map(|(i, h)| (i, h.sequence.wrapping_sub(next)))
            .min_by_key(|&(_, ahead)| ahead)?;
        Some((self.take(at), ahead))
    }

    /// Takes back a buffer of [`Self::take_held`].
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= MAX_KEPT_BUFFER_BYTES && self.free.len() < MAX_HELD_PACKETS {
            self.free.push(buffer);
        }
    }

    /// When the packet that is missing is given up.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.held.iter().map(|h| h.arrived + MAX_WAIT).min()
    }

    /// True while packets wait for a missing one.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    fn is_held(&self, sequence: u16) -> bool {
        self.held.iter().any(|h| h.sequence == sequence)
    }

    fn passed(&mut self, sequence: u16) {
        self.next = Some(sequence.wrapping_add(1));
        self.restart_votes = 0;
    }

    fn take(&mut self, at: usize) -> Vec<u8> {
        let held = self.held.swap_remove(at);
        self.held_bytes -= held.packet.len();
        self.passed(held.sequence);
        held.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Feeds sequence numbers at the given milliseconds and returns those that come out, with the
    /// number given up before each.
    fn run(arrivals: &[(u64, u16)]) -> Vec<(u16, u16)> {
        let mut w = ReorderWindow::default();
        let mut out = Vec::new();
        for &(ms, sequence) in arrivals {
            let now = Monotonic(ms * MS);
            match w.arrive(sequence) {
                Arrival::Next => out.push((sequence, 0)),
                Arrival::Early => {
                    w.hold(now, sequence, &sequence.to_be_bytes());
                }
                Arrival::Restart => {
                    while let Some((p, lost)) = w.take_abandoned() {
                        out.push((u16::from_be_bytes([p[0], p[1]]), lost));
                    }
                    w.restart(sequence);
                    out.push((sequence, u16::MAX));
                }
                Arrival::Late | Arrival::Far => {}
            }
            while let Some((p, lost)) = w.take_held(now) {
                out.push((u16::from_be_bytes([p[0], p[1]]), lost));
                w.give_back(p);
            }
        }
        out
    }

    #[test]
    fn in_order_and_across_the_wrap() {
        let arrivals: Vec<(u64, u16)> = (0..10).map(|i| (0, 65_530u16.wrapping_add(i))).collect();
        assert_eq!(run(&arrivals).len(), 10);
        assert!(run(&arrivals).iter().all(|&(_, lost)| lost == 0));
    }

    #[test]
    fn reordered_packets_come_out_in_order() {
        assert_eq!(
            run(&[(0, 1), (0, 4), (0, 3), (1, 2), (2, 5)]),
            [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]
        );
    }

    #[test]
    fn duplicates_come_out_once() {
        assert_eq!(
            run(&[(0, 1), (0, 1), (0, 3), (0, 3), (0, 2), (0, 2), (0, 3)]),
            [(1, 0), (2, 0), (3, 0)]
        );
    }

    #[test]
    fn a_missing_packet_is_given_up_after_its_time() {
        assert_eq!(run(&[(0, 1), (0, 3), (199, 4)]), [(1, 0)]);
        assert_eq!(
            run(&[(0, 1), (0, 3), (200, 4), (201, 2)]),
            [(1, 0), (3, 1), (4, 0)]
        );
    }

    #[test]
    fn the_window_is_bounded() {
        let mut arrivals = vec![(0, 0u16)];
        arrivals.extend((0..65).map(|i| (0, 10 + i)));
        let out = run(&arrivals);
        assert_eq!(out.len(), 66);
        assert_eq!(out[1], (10, 9));

        let mut w = ReorderWindow::default();
        assert_eq!(w.arrive(0), Arrival::Next);
        for sequence in 2..6 {
            assert_eq!(w.arrive(sequence), Arrival::Early);
            w.hold(Monotonic(0), sequence, &[0; 60_000]);
            assert!(w.take_held(Monotonic(0)).is_none());
        }
        w.hold(Monotonic(0), 6, &[0; 60_000]);
        assert!(w.take_held(Monotonic(0)).is_some_and(|(_, lost)| lost == 1));
    }

    #[test]
    fn numbers_that_begin_anew_far_off() {
        assert_eq!(
            run(&[
                (0, 100),
                (0, 40_000),
                (0, 101),
                (0, 7000),
                (0, 7001),
                (0, 7002)
            ]),
            [(100, 0), (101, 0), (7001, u16::MAX), (7002, 0)]
        );
    }

    #[test]
    fn numbers_that_begin_anew_a_little_lower() {
        let mut arrivals = vec![(0, 500), (0, 502)];
        arrivals.extend((0..20).map(|i| (0, 100 + i)));
        let out = run(&arrivals);
        assert_eq!(out[..3], [(500, 0), (502, 1), (115, u16::MAX)]);
        assert_eq!(out.last(), Some(&(119, 0)));
    }

    #[test]
    fn following_over_tcp() {
        assert_eq!(follow(None, 9), Follow::Next);
        assert_eq!(follow(Some(65_535), 0), Follow::Next);
        assert_eq!(follow(Some(65_535), 5), Follow::Gap(5));
        assert_eq!(follow(Some(7), 7), Follow::Repeat);
        assert_eq!(follow(Some(7), 6), Follow::Restart);
        assert_eq!(follow(Some(7), 7 + 3000), Follow::Gap(2999));
        assert_eq!(follow(Some(7), 7 + 3001), Follow::Restart);
    }
}
