//! From access units to RTP packets (RFC 3550, RFC 6184), and RTCP sender reports.

use super::AccessUnit;
use crate::time::Wall90k;

/// The usual RTP payload of a packet at most, in bytes: what fits an Ethernet frame.
pub const MAX_PAYLOAD_BYTES: usize = 1400;
/// The dynamic payload type that the SDP announces.
pub const PAYLOAD_TYPE: u8 = 96;
/// From 1900-01-01, NTP's start, to 1970-01-01, in seconds.
const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;

const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// What a packet header may have too much or too little of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub no_marker: bool,
    pub marker_always: bool,
    /// Padding, a header extension and a CSRC.
    pub padding: bool,
    /// Small NAL units of a sync sample in one packet with start codes between.
    pub annex_b: bool,
}

/// A stream's RTP state.
#[derive(Clone, Debug)]
pub struct Packetizer {
    pub ssrc: u32,
    /// The sequence number of the next packet.
    pub sequence: u16,
    /// Added to the camera's time.
    pub timestamp_base: u32,
    pub max_payload_bytes: usize,
    pub style: Style,
    packets: u32,
    payload_bytes: u32,
}

impl Packetizer {
    pub fn new(ssrc: u32, sequence: u16, timestamp_base: u32, max_payload_bytes: usize) -> Self {
        Packetizer {
            ssrc,
            sequence,
            timestamp_base,
            // Room for the FU headers and at least some bytes.
            max_payload_bytes: max_payload_bytes.max(16),
            style: Style::default(),
            packets: 0,
            payload_bytes: 0,
        }
    }

    /// The RTP timestamp of a point of the camera's time (1/90,000 s since it was switched on).
    pub fn rtp_timestamp(&self, timestamp_90k: i64) -> u32 {
        self.timestamp_base.wrapping_add(timestamp_90k as u32)
    }

    /// The packets of an access unit, in order; `with_parameters` sends its parameter sets first.
    pub fn packets(&mut self, unit: &AccessUnit, with_parameters: bool) -> Vec<Vec<u8>> {
        let timestamp = self.rtp_timestamp(unit.timestamp_90k);
        let payloads = self.payloads(unit, with_parameters);
        let last = payloads.len().saturating_sub(1);
        payloads
            .into_iter()
            .enumerate()
            .map(|(i, payload)| self.packet(&payload, timestamp, i == last))
            .collect()
    }

    /// RTP payloads: neighbouring small NAL units in a STAP-A (section 5.7.1), one alone as it is
    /// (section 5.6), large ones in FU-As (section 5.8).
    fn payloads(&self, unit: &AccessUnit, with_parameters: bool) -> Vec<Vec<u8>> {
        let sets = [&unit.parameters.sps, &unit.parameters.pps];
        let nals: Vec<&[u8]> = sets
            .into_iter()
            .filter(|_| with_parameters)
            .chain(&unit.nals)
            .map(Vec::as_slice)
            .filter(|n| !n.is_empty())
            .collect();
        let mut payloads = Vec::new();
        let mut small: Vec<&[u8]> = Vec::new();
        let mut small_bytes = 1;
        for nal in nals {
            if small_bytes + 2 + nal.len() <= self.max_payload_bytes {
                small_bytes += 2 + nal.len();
                small.push(nal);
                continue;
            }
            payloads.extend(self.gather(&small, unit.sync));
            small.clear();
            small_bytes = 1;
            if nal.len() <= self.max_payload_bytes {
                small_bytes += 2 + nal.len();
                small.push(nal);
            } else {
                payloads.extend(self.fragments(nal));
            }
        }
        payloads.extend(self.gather(&small, unit.sync));
        payloads
    }

    fn gather(&self, nals: &[&[u8]], sync: bool) -> Option<Vec<u8>> {
        match nals {
            [] => None,
            [nal] => Some(nal.to_vec()),
            _ if self.style.annex_b && sync => Some(nals.join(&[0, 0, 0, 1][..])),
            _ => {
                let importance = nals.iter().map(|n| n[0] & 0x60).max().unwrap_or(0);
                let mut payload = vec![importance | NAL_STAP_A];
                for nal in nals {
                    payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                    payload.extend_from_slice(nal);
                }
                Some(payload)
            }
        }
    }

    fn fragments<'a>(&self, nal: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        let (header, body) = (nal[0], &nal[1..]);
        let chunk = self.max_payload_bytes - 2;
        let count = body.len().div_ceil(chunk);
        body.chunks(chunk).enumerate().map(move |(i, part)| {
            let start = if i == 0 { 0x80 } else { 0 };
            let end = if i + 1 == count { 0x40 } else { 0 };
            let mut payload = vec![header & 0xe0 | NAL_FU_A, start | end | header & 0x1f];
            payload.extend_from_slice(part);
            payload
        })
    }

    /// One packet (RFC 3550 section 5.1).
    fn packet(&mut self, payload: &[u8], timestamp: u32, last: bool) -> Vec<u8> {
        let Style {
            no_marker,
            marker_always,
            padding,
            ..
        } = self.style;
        let marker = (last && !no_marker) || marker_always;
        // Version 2; padding, extension and one CSRC where asked for.
        let first = if padding {
            0x80 | 0x20 | 0x10 | 1
        } else {
            0x80
        };
        let mut p = Vec::with_capacity(payload.len() + 28);
        p.extend_from_slice(&[first, u8::from(marker) << 7 | PAYLOAD_TYPE]);
        p.extend_from_slice(&self.sequence.to_be_bytes());
        p.extend_from_slice(&timestamp.to_be_bytes());
        p.extend_from_slice(&self.ssrc.to_be_bytes());
        if padding {
            p.extend_from_slice(&[0, 0, 0, 1]); // a CSRC
            p.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]); // an extension of one word
        }
        p.extend_from_slice(payload);
        if padding {
            p.extend_from_slice(&[0, 0, 0, 4]);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(payload.len() as u32);
        p
    }

    /// A sender report with the camera's name (RFC 3550 sections 6.4.1 and 6.5).
    ///
    /// `timestamp_90k` is the camera's time at `wall`; `None` for a clock that was never set.
    pub fn sender_report(&self, wall: Option<Wall90k>, timestamp_90k: i64) -> Vec<u8> {
        let (secs, fraction) = match wall {
            None => (0, 0),
            Some(wall) => (
                wall.unix_secs().wrapping_add(NTP_TO_UNIX_SECS) as u32,
                ((u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000) as u32,
            ),
        };
        let mut p = vec![0x80, 200, 0, 6];
        for word in [
            self.ssrc,
            secs,
            fraction,
            self.rtp_timestamp(timestamp_90k),
            self.packets,
            self.payload_bytes,
        ] {
            p.extend_from_slice(&word.to_be_bytes());
        }
        let name = b"camera";
        p.extend_from_slice(&[0x81, 202, 0, 4]);
        p.extend_from_slice(&self.ssrc.to_be_bytes());
        p.extend_from_slice(&[1, name.len() as u8]);
        p.extend_from_slice(name);
        p.extend_from_slice(&[0; 4]); // the end of the list, to a whole word
        p
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParameterSets;
    use super::*;
    use std::sync::Arc;

    fn unit(sizes: &[usize]) -> AccessUnit {
        AccessUnit {
            number: 0,
            timestamp_90k: 3000,
            sync: true,
            parameters: Arc::new(ParameterSets {
                sps: vec![0x67, 1, 2],
                pps: vec![0x68, 3],
            }),
            nals: sizes
                .iter()
                .map(|n| {
                    std::iter::once(0x65)
                        .chain((1..*n).map(|i| i as u8))
                        .collect()
                })
                .collect(),
        }
    }

    /// NAL units out of payloads, the plain way.
    fn unpack(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut nals: Vec<Vec<u8>> = Vec::new();
        for p in packets {
            let payload = &p[12..];
            match payload[0] & 0x1f {
                NAL_STAP_A => {
                    let mut rest = &payload[1..];
                    while let [high, low, after @ ..] = rest {
                        let len = usize::from(u16::from_be_bytes([*high, *low]));
                        nals.push(after[..len].to_vec());
                        rest = &after[len..];
                    }
                }
                NAL_FU_A => {
                    if payload[1] & 0x80 != 0 {
                        nals.push(vec![payload[0] & 0xe0 | payload[1] & 0x1f]);
                    }
                    nals.last_mut().unwrap().extend_from_slice(&payload[2..]);
                }
                _ => nals.push(payload.to_vec()),
            }
        }
        nals
    }

    #[test]
    fn nal_units_come_out_as_they_went_in() {
        for sizes in [
            &[1][..],
            &[100],
            &[50, 20, 30],
            &[101],
            &[98],
            &[99],
            &[5000],
            &[10, 500, 10, 10, 300],
            &[197],
        ] {
            let unit = unit(sizes);
            let mut p = Packetizer::new(7, 65_534, 0xffff_ffff, 100);
            let packets = p.packets(&unit, true);
            let mut sent = vec![unit.parameters.sps.clone(), unit.parameters.pps.clone()];
            sent.extend(unit.nals.clone());
            assert_eq!(unpack(&packets), sent, "{sizes:?}");
            for (i, packet) in packets.iter().enumerate() {
                assert!(packet.len() <= 112);
                assert_eq!(packet[0], 0x80);
                assert_eq!(packet[1] & 0x80 != 0, i + 1 == packets.len());
                let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                assert_eq!(sequence, 65_534_u16.wrapping_add(i as u16));
                assert_eq!(packet[4..8], 2999_u32.to_be_bytes());
            }
        }
    }

    #[test]
    fn a_sender_report_tells_ntp_time() {
        let mut p = Packetizer::new(7, 0, 10, 100);
        p.packets(&unit(&[10]), false);
        let wall = Wall90k(Wall90k::from_unix_secs(0).0 + 45_000);
        let report = p.sender_report(Some(wall), 90_000);
        let word = |i: usize| u32::from_be_bytes(report[i * 4..i * 4 + 4].try_into().unwrap());
        assert_eq!(report[..4], [0x80, 200, 0, 6]);
        assert_eq!(
            [word(1), word(2), word(3), word(4), word(5), word(6)],
            [7, 2_208_988_800, 0x8000_0000, 90_010, 1, 10]
        );
        let sdes = &report[28..];
        assert_eq!(sdes.len(), 4 + usize::from(sdes[3]) * 4);
        assert_eq!(sdes[1], 202);
    }
}
