//! What ties it together: one stream's packets in, its access units out.

use super::depacketize::{AccessUnit, Before, Depacketizer, Input};
use super::packet::{Fault, Packet, PacketError, PacketErrorKind};
use super::reorder::{self, Arrival, Follow, ReorderWindow};
use super::rtcp::{self, Reception, SenderReport};
use crate::h264::{ParameterSets, SpropError, VideoSampleEntry};
use crate::time::{Monotonic, Now};
use std::sync::Arc;

/// What a stream's SETUP and SDP told.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The RTP payload type that carries the H.264; others are ignored.
    pub payload_type: u8,
    /// Ticks a second of the RTP timestamp; 90,000 by RFC 6184 section 8.2.1.
    pub clock_rate: u32,
    /// The value of `sprop-parameter-sets`, as it stands in the SDP.
    pub sprop: Option<String>,
    /// The SSRC that the camera announced. Others are taken too: announcements are often wrong.
    pub ssrc: Option<u32>,
    /// Packets may come in any order (UDP). Over TCP they are taken as they come.
    pub reorder: bool,
}

/// What has come and gone, counted since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP packets of the stream, lost and foreign ones not among them.
    pub packets: u64,
    /// Their bytes, with headers.
    pub bytes: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came after one with a later sequence number, in time (UDP).
    pub reordered: u64,
    /// Packets that came again, or too late.
    pub duplicates: u64,
    /// Packets that could not be used, or not whole.
    pub bad: u64,
    /// Packets of another payload type or a stranger's SSRC.
    pub foreign: u64,
    /// RTCP packets that could not be used, or not whole.
    pub bad_rtcp: u64,
    /// Sender reports of the stream.
    pub sender_reports: u64,
    /// Access units handed out.
    pub access_units: u64,
    /// Access units dropped because packets of them were lost or unusable, or they were cut short.
    pub dropped_access_units: u64,
    /// Times that SSRC or sequence number began anew.
    pub restarts: u64,
    /// Access units with [`AccessUnit::discontinuity`].
    pub discontinuities: u64,
}

/// See the [module](super).
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    sprop_error: Option<SpropError>,
    /// Whose packets are taken: the first one's, until another takes over.
    ssrc: Option<u32>,
    /// Another SSRC that has come once (UDP).
    ssrc_candidate: Option<u32>,
    /// The last packet, over TCP.
    last: Option<Imprint>,
    window: ReorderWindow,
    depacketizer: Depacketizer,
    reception: Reception,
    sender_report: Option<SenderReport>,
}

/// Enough of a packet to recognize the same one when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Imprint {
    sequence: u16,
    timestamp: u32,
    len: usize,
    last_bytes: [u8; 8],
}

impl Imprint {
    fn of(p: &Packet<'_>) -> Imprint {
        let last_bytes = p.payload.last_chunk().copied().unwrap_or_else(|| {
            let mut short = [0; 8];
            short[..p.payload.len()].copy_from_slice(p.payload);
            short
        });
        Imprint {
            sequence: p.sequence,
            timestamp: p.timestamp,
            len: p.payload.len(),
            last_bytes,
        }
    }
}

impl Receiver {
    /// A receiver for a stream that is about to play. A bad `sprop` is no error: the parameter sets
    /// in the stream are awaited instead. [`Self::sprop_error`] tells of it.
    pub fn new(config: ReceiverConfig) -> Receiver {
        let mut sets = ParameterSets::default();
        let sprop = config.sprop.as_deref().unwrap_or_default();
        let sprop_error = sets.put_sprop(sprop).err();
        Receiver {
            depacketizer: Depacketizer::new(config.clock_rate, sets),
            config,
            sprop_error,
            ssrc: None,
            ssrc_candidate: None,
            last: None,
            window: ReorderWindow::default(),
            reception: Reception::default(),
            sender_report: None,
        }
    }

    /// Takes one RTP packet and copies its NAL units once, straight to the end of `out`, in AVC form
    /// (4-byte lengths).
    ///
    /// `out` is the stream's write buffer. The bytes of access units that [`Self::pull`] returns are
    /// contiguous and in order from the first byte not yet handed out; after the completed ones
    /// there may be bytes of an unfinished access unit at the end of `out`. Between calls the owner
    /// may move the buffer's content to another `Vec`, dropping bytes of completed access units at
    /// the front; it leaves the end alone.
    ///
    /// Parameter sets, access unit delimiters and filler data are not stored; SEI messages, slices
    /// and all else are, byte for byte. The stream's first access unit comes with the packet after
    /// its last one, because nothing shows before that the camera sets marker bits where they belong.
    ///
    /// An error is about this packet alone. It is counted, and the stream goes on.
    pub fn push(
        &mut self,
        now: Monotonic,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let p = match Packet::parse(packet) {
            Ok(p) => p,
            Err(e) => {
                self.stats_mut().bad += 1;
                return Err(e);
            }
        };
        if p.payload_type != self.config.payload_type {
            self.stats_mut().foreign += 1;
            return Err(p.error(1, PacketErrorKind::PayloadType(p.payload_type)));
        }
        if self.ssrc != Some(p.ssrc) {
            self.change_ssrc(now, &p, out)?;
        }
        let stats = self.stats_mut();
        stats.packets += 1;
        stats.bytes += packet.len() as u64;
        if self.config.reorder {
            self.push_datagram(now, &p, packet, out)
        } else {
            self.push_in_order(now, &p, out)
        }
    }

    /// Completed access units, oldest first. To be called until `None` after each [`Self::push`] and
    /// [`Self::handle_timeout`].
    pub fn pull(&mut self) -> Option<AccessUnit> {
        self.depacketizer.pull()
    }

    /// When [`Self::handle_timeout`] has something to do: packets are held back for one that is missing.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.window.next_timeout()
    }

    /// Gives up waiting for packets that are missing for too long.
    pub fn handle_timeout(&mut self, now: Monotonic, out: &mut Vec<u8>) {
        // What is wrong with a packet that had to wait is counted.
        let _ = self.take_held(now, out);
    }

    /// Takes one RTCP packet (compound or not) and remembers the last sender report.
    pub fn rtcp(&mut self, now: Now, packet: &[u8]) -> Result<(), PacketError> {
        let (report, result) = rtcp::read(packet, self.ssrc, now);
        if report.is_some() {
            self.sender_report = report;
            self.stats_mut().sender_reports += 1;
        }
        result.map_err(|fault| {
            self.stats_mut().bad_rtcp += 1;
            PacketError {
                ssrc: self.ssrc.unwrap_or(0),
                sequence: 0,
                offset: fault.offset as u32,
                kind: fault.kind,
            }
        })
    }

    /// Appends an RTCP receiver report to `out`, to be sent every few seconds. Nothing is written
    /// while nothing has been received. What it tells of losses is since the report before.
    pub fn receiver_report(&mut self, now: Monotonic, out: &mut Vec<u8>) {
        if let Some(ssrc) = self.ssrc {
            let sender_report = self.sender_report.as_ref();
            self.reception.report(ssrc, sender_report, now, out);
        }
    }

    /// The camera's last sender report.
    pub fn sender_report(&self) -> Option<&SenderReport> {
        self.sender_report.as_ref()
    }

    /// What is wrong with the SDP's parameter sets.
    pub fn sprop_error(&self) -> Option<&SpropError> {
        self.sprop_error.as_ref()
    }

    /// The sample entry of the last access unit whose slices have begun to come, or of the SDP.
    pub fn sample_entry(&self) -> Option<&Arc<VideoSampleEntry>> {
        self.depacketizer.sample_entry()
    }

    /// Forgets the unfinished access unit and removes its bytes from `out`; what was completed stays.
    /// The stream goes on with the next access unit that begins.
    pub fn reset(&mut self, out: &mut Vec<u8>) {
        self.depacketizer.reset(out);
    }

    pub fn stats(&self) -> &Stats {
        &self.depacketizer.stats
    }

    /// What the stream was set up with.
    pub fn config(&self) -> &ReceiverConfig {
        &self.config
    }

    fn stats_mut(&mut self) -> &mut Stats {
        &mut self.depacketizer.stats
    }

    /// A packet of another SSRC than those before. Over TCP it is the camera's; over UDP it may be a
    /// stranger's, or an old session's, unless it was announced or the next one has it too.
    fn change_ssrc(
        &mut self,
        now: Monotonic,
        p: &Packet<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let is_first = self.ssrc.is_none();
        let is_believed = is_first
            || !self.config.reorder
            || self.config.ssrc == Some(p.ssrc)
            || self.ssrc_candidate == Some(p.ssrc);
        if !is_believed {
            self.ssrc_candidate = Some(p.ssrc);
            self.stats_mut().foreign += 1;
            return Err(p.error(8, PacketErrorKind::ForeignSsrc));
        }
        if !is_first {
            let _ = self.take_abandoned(now, out);
            self.depacketizer.restart(out);
            self.stats_mut().restarts += 1;
        }
        self.ssrc = Some(p.ssrc);
        self.ssrc_candidate = None;
        self.last = None;
        self.window = ReorderWindow::default();
        self.reception.restart(p.sequence);
        Ok(())
    }

    /// Over TCP packets come as they were sent, whatever their numbers say. A gap shows that the
    /// camera had to drop some.
    fn push_in_order(
        &mut self,
        now: Monotonic,
        p: &Packet<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let imprint = Imprint::of(p);
        let last = self.last.replace(imprint);
        let before = match reorder::follow(last.map(|l| l.sequence), p.sequence) {
            Follow::Next => Before::Nothing,
            Follow::Gap(n) => Before::Lost(n),
            Follow::Repeat if last == Some(imprint) => {
                self.stats_mut().duplicates += 1;
                return Ok(());
            }
            // Not the same packet: this camera cannot count.
            Follow::Repeat => Before::Nothing,
            Follow::Restart => Before::Unknown,
        };
        self.take(now, p, before, out)
    }

    fn push_datagram(
        &mut self,
        now: Monotonic,
        p: &Packet<'_>,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        self.ssrc_candidate = None;
        self.reception
            .arrived(now, p.timestamp, self.config.clock_rate);
        let waiting = self.window.is_waiting();
        let mut result = Ok(());
        match self.window.arrive(p.sequence) {
            Arrival::Next => {
                self.stats_mut().reordered += u64::from(waiting);
                result = self.take(now, p, Before::Nothing, out);
                if !waiting {
                    return result;
                }
            }
            Arrival::Early => {
                let reordered = self.window.hold(now, p.sequence, packet);
                self.stats_mut().reordered += u64::from(reordered);
            }
            Arrival::Late => self.stats_mut().duplicates += 1,
            Arrival::Far => {
                self.stats_mut().bad += 1;
                return Err(p.error(2, PacketErrorKind::ForeignSequence));
            }
            Arrival::Restart => {
                result = self.take_abandoned(now, out);
                self.window.restart(p.sequence);
                result = result.and(self.take(now, p, Before::Unknown, out));
            }
        }
        result.and(self.take_held(now, out))
    }

    /// Takes the packets that need wait no longer.
    fn take_held(&mut self, now: Monotonic, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let mut result = Ok(());
        while let Some((packet, lost)) = self.window.take_held(now) {
            result = result.and(self.take_after(now, &packet, lost, out));
            self.window.give_back(packet);
        }
        result
    }

    /// Takes the packets that wait, whatever is missing.
    fn take_abandoned(&mut self, now: Monotonic, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let mut result = Ok(());
        while let Some((packet, lost)) = self.window.take_abandoned() {
            result = result.and(self.take_after(now, &packet, lost, out));
            self.window.give_back(packet);
        }
        result
    }

    fn take_after(
        &mut self,
        now: Monotonic,
        packet: &[u8],
        lost: u16,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let p = Packet::parse(packet)?;
        let before = match lost {
            0 => Before::Nothing,
            n => Before::Lost(n),
        };
        self.take(now, &p, before, out)
    }

    /// Takes the next packet in order.
    fn take(
        &mut self,
        now: Monotonic,
        p: &Packet<'_>,
        before: Before,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        match before {
            Before::Nothing => self.reception.next(0),
            Before::Lost(n) => {
                self.reception.next(n);
                self.stats_mut().lost += u64::from(n);
            }
            Before::Unknown => {
                self.reception.restart(p.sequence);
                self.reception.next(0);
                self.stats_mut().restarts += 1;
            }
        }
        let input = Input {
            now,
            timestamp: p.timestamp,
            marker: p.marker,
            before,
            payload: p.payload,
        };
        self.depacketizer
            .push(input, out)
            .map_err(|Fault { offset, kind }| {
                self.depacketizer.stats.bad += 1;
                p.error(p.payload_offset + offset, kind)
            })
    }
}
