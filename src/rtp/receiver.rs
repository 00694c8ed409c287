//! What ties it together: one stream's packets in, its access units out.

use crate::h264::VideoSampleEntry;
use crate::time::{Monotonic, Now, Wall90k};
use std::collections::VecDeque;
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

/// One access unit: a picture with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Its bytes in the write buffer.
    pub len: u32,
    /// Presentation time in units of 1/90,000 s, unwrapped, whatever the stream's clock rate is.
    /// Counted from an arbitrary start; with B-frames it goes back and forth.
    pub timestamp: i64,
    /// Decoding can start here: an IDR picture, or, in a stream that has none, an intra picture
    /// with a recovery point SEI.
    pub is_sync: bool,
    /// What the sample entry is from this access unit on: `Some` where it changed, and on the first
    /// access unit for which one is known. Before that an access unit cannot be decoded.
    pub sample_entry: Option<Arc<VideoSampleEntry>>,
    /// Packets that were lost or unusable since the access unit before this one.
    pub lost_packets: u32,
    /// The timestamps jumped: no duration can be told from the access unit before this one.
    pub discontinuity: bool,
}

/// What was wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet {sequence} of SSRC {ssrc:08x}, byte {offset}: {kind}")]
pub struct PacketError {
    /// 0 where the packet does not reach that far.
    pub ssrc: u32,
    /// 0 where the packet does not reach that far, and for RTCP.
    pub sequence: u16,
    /// Where in the packet, in bytes from its start.
    pub offset: u32,
    pub kind: PacketErrorKind,
}

/// The kinds of [`PacketError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketErrorKind {
    #[error("the header is cut short or its padding is wrong")]
    Header,
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
    /// RTCP packets that could not be used.
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

/// The camera's last RTCP sender report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// NTP time as it was sent: seconds since 1900 and 1/2^32 s. May be anything.
    pub ntp: u64,
    /// The same as UTC, where it can be one: `None` for a clock that was never set.
    pub wall: Option<Wall90k>,
    /// The RTP timestamp of that moment, in the stream's clock rate.
    pub rtp_timestamp: u32,
    /// When the report came.
    pub received: Now,
}

/// See the [module](super).
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    queue: VecDeque<AccessUnit>,
    sample_entry: Option<Arc<VideoSampleEntry>>,
    sender_report: Option<SenderReport>,
    stats: Stats,
}

impl Receiver {
    /// A receiver for a stream that is about to play. A bad `sprop` is no error: the parameter sets
    /// in the stream are awaited instead.
    pub fn new(config: ReceiverConfig) -> Receiver {
        Receiver {
            config,
            queue: VecDeque::new(),
            sample_entry: None,
            sender_report: None,
            stats: Stats::default(),
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
    /// An error is about this packet alone. It is counted, and the stream goes on.
    pub fn push(
        &mut self,
        _now: Monotonic,
        packet: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        self.stats.packets += 1;
        self.stats.bytes += packet.len() as u64;
        Ok(())
    }

    /// Completed access units, oldest first. To be called until `None` after each [`Self::push`] and
    /// [`Self::handle_timeout`].
    pub fn pull(&mut self) -> Option<AccessUnit> {
        self.queue.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do: packets are held back for one that is missing.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        None
    }

    /// Gives up waiting for packets that are missing for too long.
    pub fn handle_timeout(&mut self, _now: Monotonic, _out: &mut Vec<u8>) {}

    /// Takes one RTCP packet (compound or not) and remembers the last sender report.
    pub fn rtcp(&mut self, _now: Now, _packet: &[u8]) -> Result<(), PacketError> {
        Ok(())
    }

    /// Appends an RTCP receiver report to `out`, to be sent every few seconds. Nothing is written
    /// while nothing has been received.
    pub fn receiver_report(&mut self, _now: Monotonic, _out: &mut Vec<u8>) {}

    /// The camera's last sender report.
    pub fn sender_report(&self) -> Option<&SenderReport> {
        self.sender_report.as_ref()
    }

    /// The sample entry as of the last access unit that was completed, or as of the SDP.
    pub fn sample_entry(&self) -> Option<&Arc<VideoSampleEntry>> {
        self.sample_entry.as_ref()
    }

    /// Forgets the unfinished access unit and removes its bytes from `out`; what was completed stays.
    pub fn reset(&mut self, _out: &mut Vec<u8>) {}

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What the stream was set up with.
    pub fn config(&self) -> &ReceiverConfig {
        &self.config
    }
}
