//! RTCP (RFC 3550 section 6): sender reports that come, receiver reports that go.

use super::packet::{Fault, PacketErrorKind};
use crate::time::{Monotonic, Now, TICKS_PER_SECOND, Wall90k};
use rtcp_types::{
    CompoundBuilder, ReceiverReport, ReportBlock, RtcpPacket, RtcpPacketParser,
    RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport as WireSenderReport,
};
use std::time::Duration;

/// The name that receiver reports go under (RFC 3550 section 6.5.1). It tells nothing about the board.
const CNAME: &str = "moonfire-nvr";

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;

/// 2001-01-01: a clock before that was never set.
const EARLIEST_PLAUSIBLE_UNIX_SECS: i64 = 978_307_200;

/// The NTP seconds wrap in 2036.
const NTP_ERA_SECS: i64 = 1 << 32;

/// The camera's last RTCP sender report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// NTP time as it was sent: seconds since 1900 and 1/2^32 s. May be anything.
    pub ntp: u64,
    /// The same as UTC, where it can be one: `None` for a clock that was never set. Cameras also
    /// send local time: nothing here shows that.
    pub wall: Option<Wall90k>,
    /// The RTP timestamp of that moment, in the stream's clock rate.
    pub rtp_timestamp: u32,
    /// When the report came.
    pub received: Now,
}

/// Reads one RTCP packet, compound or not. Returns the last sender report of `ssrc` in it, or of
/// anyone while the stream's SSRC is not known.
///
/// A length that is wrong ends the reading with an error, but what came before counts.
pub(super) fn read(
    packet: &[u8],
    ssrc: Option<u32>,
    now: Now,
) -> (Option<SenderReport>, Result<(), Fault>) {
    let mut report = None;
    let mut at = 0;
    while let Some(rest) = packet.get(at..).filter(|r| !r.is_empty()) {
        let fault = |kind| (report, Err(Fault { offset: at, kind }));
        let &[first, packet_type, len_high, len_low, ..] = rest else {
            return fault(PacketErrorKind::RtcpHeader);
        };
        if first >> 6 != WireSenderReport::VERSION {
            return fault(PacketErrorKind::RtcpHeader);
        }
        if packet_type == WireSenderReport::PACKET_TYPE {
            let found = read_sender_report(rest, now);
            if found.is_some_and(|r| ssrc.is_none_or(|s| s == r.ssrc)) {
                report = found;
            }
        }
        // In words, without the first.
        let len = 4 * (usize::from(u16::from_be_bytes([len_high, len_low])) + 1);
        if len > rest.len() {
            return (
                report,
                Err(Fault {
                    offset: at,
                    kind: PacketErrorKind::Truncated {
                        need: len as u32,
                        have: rest.len() as u32,
                    },
                }),
            );
        }
        at += len;
    }
    (report, Ok(()))
}

/// Reads the fixed part of a sender report, whatever its header says about its length and blocks.
fn read_sender_report(data: &[u8], now: Now) -> Option<SenderReport> {
    let mut fixed = [0u8; WireSenderReport::MIN_PACKET_LEN];
    fixed.copy_from_slice(data.get(..WireSenderReport::MIN_PACKET_LEN)?);
    fixed[0] = WireSenderReport::VERSION << 6;
    fixed[2] = 0;
    fixed[3] = (WireSenderReport::MIN_PACKET_LEN / 4 - 1) as u8;
    let wire = WireSenderReport::parse(&fixed).ok()?;
    Some(SenderReport {
        ssrc: wire.ssrc(),
        ntp: wire.ntp_timestamp(),
        wall: plausible_wall(wire.ntp_timestamp(), now.wall),
        rtp_timestamp: wire.rtp_timestamp(),
        received: now,
    })
}

/// NTP time as UTC. `None` for what no clock that was ever set can say: cameras count from 1900 or
/// 1970, or send seconds since 1970 where those since 1900 belong.
fn plausible_wall(ntp: u64, now: Wall90k) -> Option<Wall90k> {
    let mut secs = (ntp >> 32) as i64 - NTP_TO_UNIX_SECS;
    // Only a recorder that knows that it is late enough takes low numbers for the next era.
    if now.unix_secs() > NTP_ERA_SECS - NTP_TO_UNIX_SECS - 86_400 && secs < 0 {
        secs += NTP_ERA_SECS;
    }
    if secs < EARLIEST_PLAUSIBLE_UNIX_SECS {
        return None;
    }
    let fraction = ((ntp & 0xffff_ffff) * TICKS_PER_SECOND as u64) >> 32;
    Some(Wall90k(secs * TICKS_PER_SECOND + fraction as i64))
}

/// What is counted for receiver reports (RFC 3550 appendix A.3 and A.8).
#[derive(Clone, Debug, Default)]
pub(super) struct Reception {
    /// The first sequence number, and the highest with its wraps above the lower 16 bits.
    base: u32,
    highest: u32,
    received: u32,
    /// As of the last report.
    expected_prior: u32,
    received_prior: u32,
    /// In timestamp units times 16, and the transit time that it is told from.
    jitter: u32,
    transit: Option<u32>,
}

impl Reception {
    /// The numbering begins anew: `sequence` is to come.
    pub fn restart(&mut self, sequence: u16) {
        *self = Reception {
            base: u32::from(sequence),
            highest: u32::from(sequence).wrapping_sub(1),
            ..Reception::default()
        };
    }

    /// The next packet came, after so many that did not.
    pub fn next(&mut self, lost: u16) {
        self.highest = self.highest.wrapping_add(u32::from(lost) + 1);
        self.received = self.received.wrapping_add(1);
    }

    /// Takes a packet's arrival for the interarrival jitter, appendix A.8.
    pub fn arrived(&mut self, now: Monotonic, rtp_timestamp: u32, clock_rate: u32) {
        let arrival = u128::from(now.0) * u128::from(clock_rate) / 1_000_000_000;
        let transit = (arrival as u32).wrapping_sub(rtp_timestamp);
        if let Some(before) = self.transit {
            let d = (transit.wrapping_sub(before) as i32).unsigned_abs();
            let decayed = self.jitter - ((self.jitter + 8) >> 4);
            self.jitter = decayed.saturating_add(d.min(1 << 24));
        }
        self.transit = Some(transit);
    }

    /// Appends a compound packet to `out`: a receiver report about `ssrc`, and a source description.
    pub fn report(
        &mut self,
        ssrc: u32,
        sender_report: Option<&SenderReport>,
        now: Monotonic,
        out: &mut Vec<u8>,
    ) {
        let expected = self.highest.wrapping_sub(self.base).wrapping_add(1);
        let expected_here = expected.wrapping_sub(self.expected_prior);
        let received_here = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_here = expected_here.saturating_sub(received_here);
        let fraction = (u64::from(lost_here) * 256)
            .checked_div(u64::from(expected_here))
            .unwrap_or(0);
        // 24 bits with a sign; packets that come twice are not counted here, so it is never negative.
        let lost = expected.saturating_sub(self.received).min(0x7f_ffff);
        let mut block = ReportBlock::builder(ssrc)
            .fraction_lost(fraction.min(255) as u8)
            .cumulative_lost(lost)
            .extended_sequence_number(self.highest)
            .interarrival_jitter(self.jitter >> 4);
        if let Some(sr) = sender_report.filter(|sr| sr.ssrc == ssrc) {
            block = block
                .last_sender_report_timestamp((sr.ntp >> 16) as u32)
                .delay_since_last_sender_report_timestamp(units_of_65536th(
                    now.since(sr.received.monotonic),
                ));
        }
        // Any SSRC but the camera's will do.
        let own = !ssrc;
        let compound = CompoundBuilder::default()
            .add_packet(ReceiverReport::builder(own).add_report_block(block))
            .add_packet(Sdes::builder().add_chunk(
                SdesChunk::builder(own).add_item(SdesItem::builder(SdesItem::CNAME, CNAME)),
            ));
        let start = out.len();
        out.resize(start + MAX_REPORT_BYTES, 0);
        let written = compound.write_into(&mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }
}

/// More than a report takes: 32 bytes of report, 4 + 4 + 2 + 12 + padding of description.
const MAX_REPORT_BYTES: usize = 64;

fn units_of_65536th(d: Duration) -> u32 {
    u32::try_from((d.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcp_types::{Compound, Packet};

    const SSRC: u32 = 0xabcd_ef01;
    const NOW: Now = Now {
        monotonic: Monotonic(5_000_000_000),
        wall: Wall90k::from_unix_secs(1_795_341_600),
    };

    fn sender_report(ntp: u64) -> Vec<u8> {
        let builder = WireSenderReport::builder(SSRC)
            .ntp_timestamp(ntp)
            .rtp_timestamp(777);
        let mut out = vec![0; 28];
        builder.write_into(&mut out).unwrap();
        out
    }

    fn ntp(unix_secs: i64) -> u64 {
        ((unix_secs + NTP_TO_UNIX_SECS) as u64) << 32
    }

    fn wall(ntp: u64) -> Option<Wall90k> {
        let (report, result) = read(&sender_report(ntp), Some(SSRC), NOW);
        result.unwrap();
        report.unwrap().wall
    }

    #[test]
    fn a_sender_report_that_knows_the_time() {
        let sent = ntp(1_795_341_600) | 0x8000_0000;
        let (report, result) = read(&sender_report(sent), Some(SSRC), NOW);
        assert_eq!(result, Ok(()));
        let report = report.unwrap();
        assert_eq!(report.ntp, sent);
        assert_eq!(report.rtp_timestamp, 777);
        assert_eq!(report.wall, Some(Wall90k(1_795_341_600 * 90_000 + 45_000)));
    }

    #[test]
    fn sender_reports_of_1900_and_1970_tell_no_time() {
        assert_eq!(wall(0), None, "1900");
        assert_eq!(wall(123 << 32), None, "since start, counted from 1900");
        assert_eq!(wall(ntp(0)), None, "1970");
        assert_eq!(wall(ntp(86_400)), None, "a day after 1970");
        assert_eq!(wall(1_795_341_600 << 32), None, "counted from 1970");
    }

    #[test]
    fn the_next_ntp_era() {
        let late = 2_240_000_000;
        let sent = ((late + NTP_TO_UNIX_SECS - NTP_ERA_SECS) as u64) << 32;
        assert_eq!(plausible_wall(sent, NOW.wall), None);
        let now = Wall90k::from_unix_secs(late);
        assert_eq!(plausible_wall(sent, now), Some(now));
    }

    #[test]
    fn rtcp_of_an_unknown_ssrc_is_passed_over() {
        let packet = sender_report(ntp(1_795_341_600));
        assert_eq!(read(&packet, Some(1), NOW), (None, Ok(())));
        assert!(read(&packet, None, NOW).0.is_some());
    }

    #[test]
    fn rtcp_with_the_wrong_length() {
        // One word too long, as if the first were counted; and a block that is not there.
        let mut packet = sender_report(ntp(1_795_341_600));
        packet[3] += 1;
        packet[0] |= 1;
        let (report, result) = read(&packet, Some(SSRC), NOW);
        assert!(report.is_some());
        let kind = PacketErrorKind::Truncated { need: 32, have: 28 };
        assert_eq!(result, Err(Fault { offset: 0, kind }));
        // Too short: the rest looks like another packet, and a bad one.
        let mut packet = sender_report(0);
        packet[3] -= 1;
        let (report, result) = read(&packet, Some(SSRC), NOW);
        assert!(report.is_some());
        let kind = PacketErrorKind::RtcpHeader;
        assert_eq!(result, Err(Fault { offset: 24, kind }));
        // Cut short.
        for len in 1..28 {
            let (report, result) = read(&sender_report(0)[..len], Some(SSRC), NOW);
            assert!(report.is_none() && result.is_err());
        }
        assert_eq!(read(&[], None, NOW), (None, Ok(())));
    }

    #[test]
    fn a_compound_packet_with_unknown_parts() {
        let mut packet = vec![0x80, 250, 0, 1, 1, 2, 3, 4];
        packet.extend(sender_report(ntp(1_795_341_600)));
        packet.extend([0x81, 203, 0, 1, 1, 2, 3, 4]);
        let (report, result) = read(&packet, Some(SSRC), NOW);
        assert!(report.is_some());
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn receiver_reports_tell_what_was_lost() {
        let mut reception = Reception::default();
        reception.restart(65_534);
        reception.next(0);
        reception.next(0);
        reception.next(2);
        let sr = SenderReport {
            ssrc: SSRC,
            ntp: 0x1111_2222_3333_4444,
            wall: None,
            rtp_timestamp: 0,
            received: NOW,
        };
        let mut out = b"before".to_vec();
        let later = NOW.monotonic + Duration::from_millis(1500);
        reception.report(SSRC, Some(&sr), later, &mut out);
        let mut packets = Compound::parse(&out[6..]).unwrap();
        let Some(Ok(Packet::Rr(rr))) = packets.next() else {
            panic!("no receiver report");
        };
        assert_ne!(rr.ssrc(), SSRC);
        let block = rr.report_blocks().next().unwrap();
        assert_eq!(block.ssrc(), SSRC);
        assert_eq!(block.extended_sequence_number(), 65_536 + 2);
        assert_eq!(block.cumulative_lost(), 2);
        assert_eq!(block.fraction_lost(), (2 * 256 / 5) as u8);
        assert_eq!(block.last_sender_report_timestamp(), 0x2222_3333);
        assert_eq!(block.delay_since_last_sender_report_timestamp(), 3 << 15);
        let Some(Ok(Packet::Sdes(sdes))) = packets.next() else {
            panic!("no source description");
        };
        let chunk = sdes.chunks().next().unwrap();
        assert_eq!(chunk.items().next().unwrap().value(), CNAME.as_bytes());
        assert!(packets.next().is_none());

        // Nothing lost since.
        reception.next(0);
        let mut out = Vec::new();
        reception.report(SSRC, None, later, &mut out);
        let mut packets = Compound::parse(&out).unwrap();
        let Some(Ok(Packet::Rr(rr))) = packets.next() else {
            panic!("no receiver report");
        };
        let block = rr.report_blocks().next().unwrap();
        assert_eq!((block.fraction_lost(), block.cumulative_lost()), (0, 2));
    }

    #[test]
    fn jitter_settles_at_the_spread_of_arrivals() {
        let mut reception = Reception::default();
        for i in 0..1000u64 {
            // Every second packet is 10 ms late.
            let at = Monotonic((i * 40 + (i % 2) * 10) * 1_000_000);
            reception.arrived(at, i as u32 * 3600, 90_000);
        }
        let jitter = reception.jitter >> 4;
        assert!((890..=910).contains(&jitter), "{jitter}");
    }
}
