//! H.264 out of RTP payloads (RFC 6184), and access units out of NAL units.
//!
//! A [`Depacketizer`] gets payloads in order, is told of each loss, and writes NAL units in AVC form
//! to the end of the stream's write buffer. It believes as little as it can: where an access unit
//! ends is told by the timestamp, by an access unit delimiter, by a slice that begins a picture, and
//! by the marker bit only after the marker has proven right once.

use super::packet::{Fault, PacketErrorKind};
use super::receiver::Stats;
use super::timeline::Timeline;
use crate::h264::nal::{self, SliceStart, unit_type};
use crate::h264::{ParameterSets, VideoSampleEntry, annexb};
use crate::time::{Monotonic, TICKS_PER_SECOND};
use std::collections::VecDeque;
use std::sync::Arc;

/// The largest access unit, in bytes. A larger one is dropped: 1080p at 30 Mbit/s has I pictures of
/// about 1 MiB.
pub const MAX_ACCESS_UNIT_BYTES: usize = 8 << 20;

/// How many completed access units wait to be taken. Further ones are dropped; it takes a packet
/// made for it to get there.
const MAX_QUEUED: usize = 128;

/// Room for access units that are waiting, from the start.
const QUEUED_AT_FIRST: usize = 8;

/// Recovery points count as sync samples if no IDR picture has been seen for so long (media time): as
/// long as a recording is.
const IDR_FORGOTTEN_AFTER_90K: i64 = 60 * TICKS_PER_SECOND;

/// Whatever decoding may be begun with counts if nothing better has come for so long (media time): a
/// camera that refreshes its picture bit by bit is recorded, too.
const BETTER_AWAITED_90K: i64 = 5 * TICKS_PER_SECOND;

/// The length in front of each NAL unit in the buffer (ISO/IEC 14496-15 section 5.3.2).
const LENGTH_BYTES: usize = 4;

/// One access unit: a picture with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Its bytes in the write buffer.
    pub len: u32,
    /// Presentation time in units of 1/90,000 s, unwrapped, whatever the stream's clock rate is.
    /// Counted from an arbitrary start; with B-frames it goes back and forth.
    pub timestamp: i64,
    /// Decoding can start here: an IDR picture; in a stream that has none, an intra picture with a
    /// recovery point SEI; and in one that has not even those, any recovery point or intra picture, after
    /// which the picture may take some frames to become right.
    pub is_sync: bool,
    /// What the sample entry is from this access unit on: `Some` where it changed, and on the first
    /// access unit for which one is known. Before that an access unit cannot be decoded.
    pub sample_entry: Option<Arc<VideoSampleEntry>>,
    /// Packets that were lost or unusable since the access unit before this one.
    pub lost_packets: u32,
    /// The timestamps jumped: no duration can be told from the access unit before this one.
    pub discontinuity: bool,
}

/// What came before a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing is missing.
    Nothing,
    /// So many packets are missing.
    Lost(u16),
    /// The sequence numbers began anew; nothing tells whether something is missing.
    Unknown,
}

/// A payload with what its packet's header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    pub now: Monotonic,
    pub timestamp: u32,
    pub marker: bool,
    pub before: Before,
    pub payload: &'a [u8],
}

/// How far the next access unit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// None of its bytes have come.
    Between,
    /// Bytes of it are at the end of the buffer.
    Within,
    /// As `Within`, and its marker has come. But no marker of this camera has proven right yet:
    /// the next packet tells whether this was its end.
    Marked,
    /// Packets of it are missing or unusable. Nothing of it is in the buffer, and nothing is taken
    /// but parameter sets until the next one begins.
    Damaged,
}

/// Whether the marker bit ends access units, as RFC 6184 section 5.1 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    /// Not known yet: an access unit is held until the next packet shows that it is over.
    Unproven,
    /// It does: an access unit is complete as soon as its marker has come.
    Trusted,
    /// It has come in the midst of an access unit: it means nothing.
    Ignored,
}

/// A NAL unit of which fragments (FU-A) are coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragment {
    None,
    /// So many bytes of it are at the end of the buffer, behind room for their length.
    Taken(usize),
    /// It is passed over.
    Skipped,
}

/// What is known of the access unit that is coming.
#[derive(Clone, Copy, Debug)]
struct Unit {
    timestamp: u32,
    /// When its first slice came.
    arrived: Monotonic,
    /// Its bytes at the end of the buffer.
    len: usize,
    /// Where those NAL units begin that follow the last slice: they belong to the next access unit
    /// if that has the same timestamp.
    tail: Option<usize>,
    has_slice: bool,
    has_idr: bool,
    /// The frames after which decoding that begins here is right, of a recovery point.
    recovery_frames: Option<u32>,
    /// All of its slices are intra.
    is_intra: bool,
}

impl Unit {
    fn new(timestamp: u32) -> Unit {
        Unit {
            timestamp,
            arrived: Monotonic(0),
            len: 0,
            tail: None,
            has_slice: false,
            has_idr: false,
            recovery_frames: None,
            is_intra: true,
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Depacketizer {
    state: State,
    unit: Unit,
    fragment: Fragment,
    /// Something may be missing before the next slice: it must begin a picture.
    unsure: bool,
    /// The access unit before ended by its marker, and had the timestamp that `unit` has.
    ended_by_marker: bool,
    marker: Marker,
    /// This camera puts start codes into packets: they are looked for in slices too.
    annexb: bool,
    sets: ParameterSets,
    /// The sample entry that was told last.
    told_entry: Option<Arc<VideoSampleEntry>>,
    timeline: Timeline,
    last_idr: Option<i64>,
    /// Since when an IDR picture, or an intra picture that is a recovery point, is awaited.
    awaited_since: Option<i64>,
    /// When the packet at hand came.
    now: Monotonic,
    /// To be told with the next access unit.
    lost: u32,
    discontinuity: bool,
    queue: VecDeque<AccessUnit>,
    /// For NAL units that must be taken apart again.
    scratch: Vec<u8>,
    pub stats: Stats,
}

impl Depacketizer {
    pub fn new(clock_rate: u32, mut sets: ParameterSets) -> Depacketizer {
        sets.entry_for(None);
        Depacketizer {
            state: State::Between,
            unit: Unit::new(0),
            fragment: Fragment::None,
            unsure: true,
            ended_by_marker: false,
            marker: Marker::Unproven,
            annexb: false,
            sets,
            told_entry: None,
            timeline: Timeline::new(clock_rate),
            last_idr: None,
            awaited_since: None,
            now: Monotonic(0),
            lost: 0,
            discontinuity: false,
            queue: VecDeque::with_capacity(QUEUED_AT_FIRST),
            scratch: Vec::new(),
            stats: Stats::default(),
        }
    }

    pub fn pull(&mut self) -> Option<AccessUnit> {
        self.queue.pop_front()
    }

    pub fn sample_entry(&self) -> Option<&Arc<VideoSampleEntry>> {
        self.sets.entry()
    }

    /// Takes the next payload. An error leaves what was good in it.
    pub fn push(&mut self, input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let payload = input.payload;
        self.now = input.now;
        let missing = match input.before {
            Before::Nothing => 0,
            Before::Lost(n) => u32::from(n),
            // Some cameras count parameter sets and slices each on their own. If the timestamp goes
            // on, so does the access unit.
            Before::Unknown => u32::from(input.timestamp != self.unit.timestamp),
        };
        if missing > 0 {
            self.lose(missing, out);
        } else if self.fragment != Fragment::None && continues_fragment(payload) {
            // The usual case. A timestamp that changes within a NAL unit means nothing.
            self.more_of_fragment(payload, out)?;
            return self.end_by_marker(input.marker, out);
        }
        // A fragment that is not continued is over: some cameras never set the end bit.
        let mut result = self.finish_fragment(out);
        if input.timestamp != self.unit.timestamp {
            result = result.and(self.turn_to(input.timestamp, out));
        }
        result = result.and(self.take_payload(payload, out));
        result.and(self.end_by_marker(input.marker, out))
    }

    /// Packets were lost, so many, right before the next one.
    fn lose(&mut self, packets: u32, out: &mut Vec<u8>) {
        self.lost = self.lost.saturating_add(packets);
        self.unsure = true;
        self.ended_by_marker = false;
        if self.unit.has_slice || self.fragment != Fragment::None {
            self.damage(out);
        }
    }

    /// The stream goes on from another source: what is unfinished stays so.
    pub fn restart(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Marked && self.fragment == Fragment::None {
            // Its end was told, and nothing speaks against it. A full queue is counted.
            let _ = self.complete(out, false);
        }
        self.reset(out);
        self.timeline.restart();
    }

    /// Forgets the unfinished access unit and removes its bytes from `out`.
    pub fn reset(&mut self, out: &mut Vec<u8>) {
        if self.unit.has_slice {
            self.stats.dropped_access_units += 1;
        }
        self.drop_bytes(out);
        self.state = State::Between;
        self.unsure = true;
        self.ended_by_marker = false;
    }

    /// Drops what has come of the access unit; the rest of it is passed over.
    fn damage(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Damaged {
            self.stats.dropped_access_units += 1;
        }
        self.drop_bytes(out);
        self.state = State::Damaged;
        self.unsure = true;
    }

    fn drop_bytes(&mut self, out: &mut Vec<u8>) {
        out.truncate(out.len().saturating_sub(self.unit.len));
        self.fragment = Fragment::None;
        self.unit = Unit::new(self.unit.timestamp);
    }

    /// Something in a packet cannot be used: its access unit cannot either.
    fn unusable(&mut self, offset: usize, kind: PacketErrorKind, out: &mut Vec<u8>) -> Fault {
        self.lose(1, out);
        Fault { offset, kind }
    }

    /// A packet has another timestamp than the one before: the access unit is over.
    fn turn_to(&mut self, timestamp: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut result = Ok(());
        match self.state {
            State::Within | State::Marked if self.unit.has_slice => {
                if self.state == State::Marked {
                    self.marker = Marker::Trusted;
                }
                result = self.complete(out, false);
            }
            // SEI messages that were sent ahead of their picture stay with it.
            State::Between | State::Within | State::Marked => {}
            State::Damaged => self.state = State::Between,
        }
        self.unit.timestamp = timestamp;
        self.ended_by_marker = false;
        result
    }

    /// Ends the access unit by the marker bit of the packet that was just taken, if it counts.
    fn end_by_marker(&mut self, marker: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        // It means nothing on parameter sets and SEI messages, nor within a NAL unit.
        if !marker || !self.unit.has_slice || self.fragment != Fragment::None {
            return Ok(());
        }
        match (self.state, self.marker) {
            (State::Within, Marker::Trusted) => {
                let result = self.complete(out, false);
                self.ended_by_marker = true;
                result
            }
            (State::Within, Marker::Unproven) => {
                self.state = State::Marked;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_payload(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(&header) = payload.first() else {
            return Ok(());
        };
        match nal::unit_type(header) {
            STAP_A => self.take_aggregate(payload, out),
            FU_A => self.take_fragment(payload, out),
            t => {
                if self.may_hold_start_code(t) && annexb::has_start_code(payload) {
                    self.annexb = true;
                    return self.take_each(annexb::split(payload), out);
                }
                self.take_nal(payload, 0, out)
            }
        }
    }

    /// Takes NAL units in Annex B form: RFC 6184 knows nothing of it, some cameras do.
    fn take_each(&mut self, units: annexb::Split<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut result = Ok(());
        for nal in units {
            result = result.and(self.take_nal(nal, 0, out));
        }
        result
    }

    /// Whether start codes are looked for in a packet that begins like this type. Looking into every
    /// slice would cost as much as copying it, so slices wait for other packets to show the quirk;
    /// SEI messages do as well, because some cameras forget to escape what is in them.
    fn may_hold_start_code(&self, t: u8) -> bool {
        self.annexb
            || matches!(
                t,
                0 | unit_type::SPS | unit_type::PPS | unit_type::ACCESS_UNIT_DELIMITER
            )
    }

    /// STAP-A, RFC 6184 section 5.7.1.
    fn take_aggregate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut result = Ok(());
        let mut at = 1;
        while let Some(&[high, low]) = payload.get(at..at + 2) {
            let size = u16::from_be_bytes([high, low]);
            at += 2;
            let Some(nal) = payload.get(at..at + usize::from(size)) else {
                let kind = PacketErrorKind::Aggregate {
                    need: size,
                    have: (payload.len() - at) as u32,
                };
                return result.and(Err(self.unusable(at, kind, out)));
            };
            result = result.and(self.take_nal(nal, at, out));
            at += usize::from(size);
        }
        result
    }

    /// Takes one whole NAL unit, found at `offset` of the payload. An empty one is passed over.
    fn take_nal(&mut self, nal: &[u8], offset: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(&header) = nal.first() else {
            return Ok(());
        };
        let t = nal::unit_type(header);
        if ParameterSets::takes(t) {
            return self.take_parameter_set(nal, offset);
        }
        if !(1..=unit_type::LAST).contains(&t) {
            let kind = PacketErrorKind::PacketType(t);
            // STAP-B, MTAP and FU-B carry slices; the others never carried anything.
            if (STAP_A..=FU_B).contains(&t) {
                return Err(self.unusable(offset, kind, out));
            }
            return Err(Fault { offset, kind });
        }
        if !self.begin(nal, out)? {
            return Ok(());
        }
        self.append(nal, offset, out)?;
        if t == unit_type::SEI {
            self.look_at_sei(nal);
        }
        Ok(())
    }

    /// Copies a NAL unit that was begun and is to be taken.
    fn append(&mut self, nal: &[u8], offset: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.make_sure_it_fits(LENGTH_BYTES + nal.len(), offset, out)?;
        out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        out.extend_from_slice(nal);
        self.unit.len += LENGTH_BYTES + nal.len();
        Ok(())
    }

    fn make_sure_it_fits(
        &mut self,
        bytes: usize,
        offset: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.unit.len + bytes > MAX_ACCESS_UNIT_BYTES {
            return Err(self.unusable(offset, PacketErrorKind::AccessUnitTooLarge, out));
        }
        Ok(())
    }

    fn take_parameter_set(&mut self, nal: &[u8], offset: usize) -> Result<(), Fault> {
        self.sets.put(nal).map_err(|e| Fault {
            offset,
            kind: PacketErrorKind::ParameterSet(e),
        })
    }

    /// A NAL unit other than a parameter set begins, of which `start` has come: ends the access unit
    /// before, if this shows that it is over. Returns whether the NAL unit is to be taken.
    fn begin(&mut self, start: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        let t = nal::unit_type(start[0]);
        match t {
            unit_type::ACCESS_UNIT_DELIMITER => {
                self.end_before_picture(out)?;
                return Ok(false);
            }
            unit_type::FILLER_DATA => return Ok(false),
            _ if nal::is_slice(t) => return self.begin_slice(start, out),
            _ => {}
        }
        match self.state {
            State::Between => self.state = State::Within,
            State::Within | State::Marked => {
                if self.unit.has_slice && self.unit.tail.is_none() && precedes_slices(t) {
                    self.unit.tail = Some(self.unit.len);
                }
            }
            State::Damaged => return Ok(false),
        }
        Ok(true)
    }

    fn begin_slice(&mut self, start: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        if begins_picture(start) {
            if let Err(fault) = self.end_before_picture(out) {
                // The caller stops here, so this slice is lost as well: nothing of its picture is begun.
                self.lose(1, out);
                return Err(fault);
            }
        } else if self.state == State::Marked {
            self.marker = Marker::Ignored;
        } else if self.ended_by_marker {
            // The access unit that was handed out had lacked this. It happens once.
            self.marker = Marker::Ignored;
            self.lose(1, out);
            self.damage(out);
        } else if self.unsure && !self.unit.has_slice && self.state != State::Damaged {
            self.damage(out);
        }
        if self.state == State::Damaged {
            return Ok(false);
        }
        self.state = State::Within;
        self.unsure = false;
        self.ended_by_marker = false;
        self.unit.tail = None;
        let slice = SliceStart::parse(start);
        if !self.unit.has_slice {
            self.unit.has_slice = true;
            self.unit.arrived = self.now;
            self.sets.entry_for(slice.map(|s| s.pps_id));
        }
        self.unit.has_idr |= nal::unit_type(start[0]) == unit_type::IDR_SLICE;
        self.unit.is_intra &= slice.is_some_and(|s| s.is_intra());
        Ok(true)
    }

    /// A picture begins: the access unit before is over, although it had the same timestamp.
    fn end_before_picture(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.sets.has_fields() {
            // It may be the second field of the same frame, which shares its sample.
            return Ok(());
        }
        match self.state {
            State::Between => {
                self.ended_by_marker = false;
                Ok(())
            }
            State::Within | State::Marked => {
                if !self.unit.has_slice {
                    return Ok(());
                }
                if self.state == State::Marked {
                    self.marker = Marker::Trusted;
                }
                self.complete(out, true)
            }
            State::Damaged => {
                self.state = State::Between;
                Ok(())
            }
        }
    }

    /// FU-A, RFC 6184 section 5.8, where it does not continue a fragment that is known.
    fn take_fragment(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let &[indicator, fu, ref data @ ..] = payload else {
            return Err(self.unusable(1, PacketErrorKind::FragmentHeader, out));
        };
        let has_start = fu & FU_START != 0;
        if data.is_empty() {
            // What follows goes for the start.
            return Ok(());
        }
        if !has_start && (self.unsure || self.state == State::Damaged) {
            // The middle of something whose start was lost, or never seen.
            self.damage(out);
            self.fragment = Fragment::Skipped;
        } else {
            // Where nothing was lost a start bit is only missing.
            let header = indicator & 0xe0 | fu & 0x1f;
            if !(1..=unit_type::LAST).contains(&nal::unit_type(header)) {
                let kind = PacketErrorKind::PacketType(nal::unit_type(header));
                return Err(self.unusable(1, kind, out));
            }
            let mut start = [0u8; SLICE_START_BYTES];
            let len = data.len().min(SLICE_START_BYTES - 1);
            start[0] = header;
            start[1..=len].copy_from_slice(&data[..len]);
            let take =
                ParameterSets::takes(nal::unit_type(header)) || self.begin(&start[..=len], out)?;
            self.fragment = Fragment::Skipped;
            if take {
                self.make_sure_it_fits(LENGTH_BYTES + 1 + data.len(), 2, out)?;
                out.extend_from_slice(&[0; LENGTH_BYTES]);
                out.push(header);
                out.extend_from_slice(data);
                self.unit.len += LENGTH_BYTES + 1 + data.len();
                self.fragment = Fragment::Taken(1 + data.len());
            }
        }
        if fu & FU_END != 0 {
            return self.finish_fragment(out);
        }
        Ok(())
    }

    /// The next fragment of one that is known.
    fn more_of_fragment(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let data = &payload[2..];
        if let Fragment::Taken(len) = self.fragment {
            self.make_sure_it_fits(data.len(), 2, out)?;
            self.fragment = Fragment::Taken(len + data.len());
            self.unit.len += data.len();
            out.extend_from_slice(data);
        }
        if payload[1] & FU_END != 0 {
            return self.finish_fragment(out);
        }
        Ok(())
    }

    /// The NAL unit that came in fragments is whole: it is at the end of `out`.
    fn finish_fragment(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Fragment::Taken(len) = std::mem::replace(&mut self.fragment, Fragment::None) else {
            return Ok(());
        };
        let at = out.len() - len;
        let t = nal::unit_type(out[at]);
        if self.may_hold_start_code(t) && annexb::has_start_code(&out[at..]) {
            return self.take_apart(len, out);
        }
        if ParameterSets::takes(t) {
            let result = self.take_parameter_set(&out[at..], 0);
            out.truncate(at - LENGTH_BYTES);
            self.unit.len -= LENGTH_BYTES + len;
            return result;
        }
        out[at - LENGTH_BYTES..at].copy_from_slice(&(len as u32).to_be_bytes());
        if t == unit_type::SEI {
            self.look_at_sei(&out[at..]);
        }
        Ok(())
    }

    /// Takes the last `len` bytes of `out` away again and takes the NAL units in them one by one.
    fn take_apart(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.annexb = true;
        let mut scratch = std::mem::take(&mut self.scratch);
        let at = out.len() - len;
        scratch.clear();
        scratch.extend_from_slice(&out[at..]);
        out.truncate(at - LENGTH_BYTES);
        self.unit.len -= LENGTH_BYTES + len;
        let mut units = annexb::split(&scratch);
        let mut result = Ok(());
        if nal::is_slice(nal::unit_type(scratch[0])) {
            // The first one was begun when its first fragment came.
            if let Some(nal) = units.next() {
                result = self.append(nal, 0, out);
            }
        }
        result = result.and(self.take_each(units, out));
        self.scratch = scratch;
        result
    }

    fn look_at_sei(&mut self, sei: &[u8]) {
        if let Some(frames) = nal::recovery_point(sei) {
            self.unit.recovery_frames = Some(frames);
        }
    }

    /// Hands out the access unit at the end of `out`; without its tail if `before_tail`, which is
    /// then the beginning of the next.
    fn complete(&mut self, out: &mut Vec<u8>, before_tail: bool) -> Result<(), Fault> {
        let unit = self.unit;
        let len = match unit.tail {
            Some(tail) if before_tail => tail,
            _ => unit.len,
        };
        self.unit = Unit::new(unit.timestamp);
        self.unit.len = unit.len - len;
        self.state = if self.unit.len > 0 {
            State::Within
        } else {
            State::Between
        };
        let place = self.timeline.place(unit.timestamp, unit.arrived);
        self.discontinuity |= place.discontinuity;
        if self.queue.len() >= MAX_QUEUED {
            let end = out.len() - self.unit.len;
            out.drain(end - len..end);
            self.lost = self.lost.saturating_add(1);
            self.stats.dropped_access_units += 1;
            return Err(Fault {
                offset: 0,
                kind: PacketErrorKind::QueueFull,
            });
        }
        let is_sync = self.is_sync(&unit, place.timestamp);
        let entry = self.sets.entry();
        let told = entry.map(Arc::as_ptr) == self.told_entry.as_ref().map(Arc::as_ptr);
        let sample_entry = if told { None } else { entry.cloned() };
        if sample_entry.is_some() {
            self.told_entry.clone_from(&sample_entry);
        }
        self.stats.access_units += 1;
        self.stats.discontinuities += u64::from(self.discontinuity);
        self.queue.push_back(AccessUnit {
            len: len as u32,
            timestamp: place.timestamp,
            is_sync,
            sample_entry,
            lost_packets: std::mem::take(&mut self.lost),
            discontinuity: std::mem::take(&mut self.discontinuity),
        });
        Ok(())
    }

    /// Whether decoding can begin with an access unit, which depends on what the stream has had.
    fn is_sync(&mut self, unit: &Unit, timestamp: i64) -> bool {
        let since = |t: i64| timestamp.saturating_sub(t).saturating_abs();
        if unit.has_idr {
            self.last_idr = Some(timestamp);
            self.awaited_since = None;
            return true;
        }
        match self.last_idr {
            Some(last) if since(last) <= IDR_FORGOTTEN_AFTER_90K => return false,
            _ => self.last_idr = None,
        }
        if unit.recovery_frames == Some(0) && unit.is_intra {
            self.awaited_since = None;
            return true;
        }
        let awaited = since(*self.awaited_since.get_or_insert(timestamp));
        let may_do = unit.recovery_frames.is_some() || unit.is_intra;
        may_do && awaited > BETTER_AWAITED_90K
    }
}

/// Packet types of RFC 6184 section 5.2, Table 1.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Bits of the FU header, RFC 6184 section 5.8. The third one is reserved, and some cameras set it.
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// Enough of a slice for [`SliceStart::parse`], emulation prevention bytes included.
const SLICE_START_BYTES: usize = 16;

/// A fragment that is not the first of its NAL unit.
fn continues_fragment(payload: &[u8]) -> bool {
    matches!(payload, &[indicator, fu, ..]
        if nal::unit_type(indicator) == FU_A && fu & FU_START == 0)
}

/// True if a slice, of which the beginning is given, is the first of its picture: its `first_mb_in_slice`
/// is 0, which is the code `1`.
fn begins_picture(start: &[u8]) -> bool {
    let has_slice_header = !matches!(
        nal::unit_type(start[0]),
        unit_type::PARTITION_B | unit_type::PARTITION_C
    );
    has_slice_header && start.get(1).is_some_and(|b| b & 0x80 != 0)
}

/// The types that begin an access unit if they follow a slice, ITU-T H.264 section 7.4.1.2.3.
fn precedes_slices(unit_type: u8) -> bool {
    matches!(unit_type, unit_type::SEI | unit_type::PREFIX..=18)
}
