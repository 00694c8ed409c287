//! The media of one session: which frame is due when, over which transport, with which faults.

use super::AccessUnit;
use super::misbehave::{Faults, Kind};
use super::packetize::{Packetizer, Style};
use super::server::{Config, ServerOutput, StreamConfig};
use crate::time::{Monotonic, Now, Wall90k};
use rand_core::RngCore;
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often a sender report is sent.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How many frames are sent at most in one go. A session that is so late leaves out what was
/// missed, as a camera does whose send buffer is full.
pub const MAX_CATCH_UP_FRAMES: u64 = 200;
/// An interleaved channel that no SETUP assigned.
const STRAY_CHANNEL: u8 = 99;

/// How packets reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Interleaved in the RTSP connection: the channels of RTP and RTCP.
    Interleaved(u8, u8),
    /// By UDP: the client's ports of RTP and RTCP.
    Udp(u16, u16),
}

/// What the player wants of the server after it has sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    GoOn,
    /// End the connection here.
    Close,
}

/// A stream that was set up.
#[derive(Debug)]
pub struct Player {
    config: Arc<Config>,
    /// Index in [`Config::streams`].
    pub stream: usize,
    pub transport: Transport,
    pub packetizer: Packetizer,
    rng: Pcg64Mcg,
    playing: Option<Playing>,
    /// Frames sent or deliberately withheld since the first PLAY.
    frames: u64,
    /// A packet that the next one overtakes.
    held_back: Option<Vec<u8>>,
    /// Added to the camera's time, for faults of the clock.
    shift_90k: i64,
    last_timestamp_90k: i64,
}

#[derive(Debug)]
struct Playing {
    /// The next frame to send and when it is due, where the player fetches them itself.
    next: Option<(u64, Monotonic)>,
    /// Frames that are handed in wait for a sync sample first.
    wait_for_sync: bool,
    next_report: Monotonic,
    /// The camera's time of the last frame sent and when that was.
    last_sent: Option<(i64, Monotonic)>,
}

impl Player {
    pub fn new(config: Arc<Config>, stream: usize, transport: Transport, rng: Pcg64Mcg) -> Player {
        let mut rng = rng;
        let base = match config.faults.get(Kind::TimestampWrap) {
            Some(secs) => (secs as u32).wrapping_mul(90_000).wrapping_neg(),
            None => rng.next_u32(),
        };
        let mut packetizer = Packetizer::new(
            rng.next_u32(),
            rng.next_u32() as u16,
            base,
            config.max_payload_bytes,
        );
        let has = |kind| config.faults.has(kind);
        packetizer.style = Style {
            no_marker: has(Kind::NoMarker),
            marker_always: has(Kind::MarkerAlways),
            padding: has(Kind::Padding),
            annex_b: has(Kind::AnnexB),
        };
        Player {
            config,
            stream,
            transport,
            packetizer,
            rng,
            playing: None,
            frames: 0,
            held_back: None,
            shift_90k: 0,
            last_timestamp_90k: 0,
        }
    }

    fn stream_config(&self) -> &StreamConfig {
        &self.config.streams[self.stream]
    }

    fn faults(&self) -> &Faults {
        &self.config.faults
    }

    /// Starts, at the next sync sample.
    pub fn play(&mut self, now: Now) {
        let camera = self.config.camera_time(now.monotonic);
        let first = self.stream_config().source.first_sync_from(camera);
        let next = first.and_then(|number| {
            // Begin within the GOP before its next sync sample.
            let late = self.faults().get(Kind::LateSync).unwrap_or(0);
            let number = number + u64::from(late > 0);
            Some((number, self.due(number)?))
        });
        self.playing = Some(Playing {
            next,
            wait_for_sync: !self.faults().has(Kind::LateSync),
            next_report: now.monotonic,
            last_sent: None,
        });
        let late_drift = self.faults().get(Kind::TimestampWrap).is_some();
        if late_drift && self.frames == 0 {
            // The wrap is counted from here, not from when the camera was switched on.
            let camera_90k = crate::time::Duration90k::from(camera).0;
            self.packetizer.timestamp_base = self
                .packetizer
                .timestamp_base
                .wrapping_sub(camera_90k as u32);
        }
    }

    pub fn pause(&mut self) {
        self.playing = None;
    }

    /// The RTP timestamp of the first frame to come, where it is known.
    pub fn first_rtp_timestamp(&self) -> Option<u32> {
        let (number, _) = self.playing.as_ref()?.next?;
        let frame = self.stream_config().source.frame(number)?;
        Some(self.packetizer.rtp_timestamp(frame.timestamp_90k))
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        let playing = self.playing.as_ref()?;
        let frame = playing.next.map(|(number, due)| {
            let group = self.burst();
            // A frame in a burst waits for the last of it.
            let last = number - number % group + group - 1;
            self.due(last).unwrap_or(due)
        });
        let report = (!self.stalled()).then_some(playing.next_report);
        match self.stalled() {
            true => None,
            false => frame.into_iter().chain(report).min(),
        }
    }

    fn burst(&self) -> u64 {
        self.faults()
            .get(Kind::Burst)
            .unwrap_or(1)
            .unsigned_abs()
            .max(1)
    }

    fn due(&self, number: u64) -> Option<Monotonic> {
        let elapsed = self.stream_config().source.due(number)?;
        Some(self.config.monotonic_of(elapsed))
    }

    fn stalled(&self) -> bool {
        self.reached(Kind::Stall)
    }

    /// As many frames were sent as the fault says.
    fn reached(&self, kind: Kind) -> bool {
        self.faults()
            .get(kind)
            .is_some_and(|n| self.frames >= n.unsigned_abs())
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut VecDeque<ServerOutput>) -> Wish {
        let mut sent = 0;
        while let Some((number, due)) = self.due_frame(now.monotonic) {
            if sent == MAX_CATCH_UP_FRAMES {
                self.skip_to(now.monotonic);
                break;
            }
            sent += 1;
            let Some(frame) = self.stream_config().source.frame(number) else {
                break;
            };
            if self.send(&frame, due, out) == Wish::Close {
                return Wish::Close;
            }
            let next = self.due(number + 1);
            if let Some(playing) = &mut self.playing {
                playing.next = next.map(|due| (number + 1, due));
            }
        }
        self.report(now, out);
        Wish::GoOn
    }

    /// The frame to send now, with its own due time.
    fn due_frame(&self, now: Monotonic) -> Option<(u64, Monotonic)> {
        let next = self.playing.as_ref()?.next?;
        let group = self.burst();
        let last = next.0 - next.0 % group + group - 1;
        let ready = group == 1 && next.1 <= now || group > 1 && self.due(last)? <= now;
        (ready && !self.stalled()).then_some(next)
    }

    fn skip_to(&mut self, now: Monotonic) {
        let camera = self.config.camera_time(now);
        let next = self
            .stream_config()
            .source
            .first_sync_from(camera)
            .and_then(|number| Some((number, self.due(number)?)));
        if let Some(playing) = &mut self.playing {
            playing.next = next;
        }
    }

    /// A frame was made by a live encoder.
    pub fn push(&mut self, now: Now, unit: &AccessUnit, out: &mut VecDeque<ServerOutput>) -> Wish {
        let Some(playing) = &mut self.playing else {
            return Wish::GoOn;
        };
        if playing.wait_for_sync && !unit.sync {
            return Wish::GoOn;
        }
        playing.wait_for_sync = false;
        if self.stalled() {
            return Wish::GoOn;
        }
        self.send(unit, now.monotonic, out)
    }

    /// Frame `number` was sent ahead of its time: go on with the one after it.
    pub fn skip_past(&mut self, number: u64) {
        let next = self.due(number + 1).map(|due| (number + 1, due));
        if let Some(playing) = &mut self.playing {
            playing.next = next;
        }
    }

    /// Whether live frames are wanted at all.
    pub fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    fn send(
        &mut self,
        unit: &AccessUnit,
        due: Monotonic,
        out: &mut VecDeque<ServerOutput>,
    ) -> Wish {
        self.frames += 1;
        if self
            .faults()
            .get(Kind::Close)
            .is_some_and(|n| self.frames > n.unsigned_abs())
        {
            return Wish::Close;
        }
        let withheld = self
            .faults()
            .get(Kind::LateSync)
            .unwrap_or(0)
            .unsigned_abs();
        if unit.sync && self.frames <= withheld {
            return Wish::GoOn;
        }
        let unit = self.disturb(unit);
        if let Some(playing) = &mut self.playing {
            playing.last_sent = Some((unit.timestamp_90k, due));
        }
        let with_parameters = unit.sync && !self.faults().has(Kind::SpropOnly);
        let packets = self.packetizer.packets(&unit, with_parameters);
        let cut = self.reached(Kind::CloseMidPacket);
        let last = packets.len().saturating_sub(1);
        for (i, packet) in packets.into_iter().enumerate() {
            if cut && i == last {
                self.cut(packet, out);
                return Wish::Close;
            }
            self.carry(packet, out);
        }
        if let (Transport::Interleaved(..), true) =
            (self.transport, self.faults().has(Kind::UnknownChannel))
        {
            out.push_back(interleaved(STRAY_CHANNEL, b"stray"));
        }
        Wish::GoOn
    }

    /// Faults that change a frame's time or the stream's RTP state.
    fn disturb(&mut self, unit: &AccessUnit) -> AccessUnit {
        let (config, frames) = (self.config.clone(), self.frames);
        let faults = &config.faults;
        let at = |kind: Kind| faults.get(kind).is_some_and(|n| frames == n.unsigned_abs());
        if at(Kind::TimestampJump) {
            self.shift_90k += 3 * 3600 * 90_000;
        }
        if at(Kind::TimestampBack) {
            self.shift_90k -= 2 * 90_000;
        }
        if at(Kind::SequenceJump) {
            self.packetizer.sequence = self.packetizer.sequence.wrapping_add(5000);
        }
        if at(Kind::SsrcChange) {
            self.packetizer.ssrc = self.rng.next_u32();
            self.packetizer.sequence = self.rng.next_u32() as u16;
            self.packetizer.timestamp_base = self.rng.next_u32();
        }
        let mut unit = unit.clone();
        unit.timestamp_90k = unit.timestamp_90k.wrapping_add(self.shift_90k);
        if let Some(n) = faults.get(Kind::TimestampStill) {
            if self.frames > 1 && self.frames % n.unsigned_abs().max(1) == 0 {
                unit.timestamp_90k = self.last_timestamp_90k;
            }
        }
        self.last_timestamp_90k = unit.timestamp_90k;
        unit
    }

    /// One RTP packet on its way, which may go wrong.
    fn carry(&mut self, packet: Vec<u8>, out: &mut VecDeque<ServerOutput>) {
        if self.strikes(Kind::Drop) {
            return;
        }
        let Transport::Udp(port, _) = self.transport else {
            self.carry_interleaved(packet, out);
            return;
        };
        let datagram = |bytes| ServerOutput::Datagram {
            rtcp: false,
            client_port: port,
            bytes,
        };
        if self.held_back.is_none() && self.strikes(Kind::Reorder) {
            self.held_back = Some(packet);
            return;
        }
        if self.strikes(Kind::Duplicate) {
            out.push_back(datagram(packet.clone()));
        }
        out.push_back(datagram(packet));
        out.extend(self.held_back.take().map(datagram));
    }

    fn carry_interleaved(&mut self, packet: Vec<u8>, out: &mut VecDeque<ServerOutput>) {
        let Transport::Interleaved(channel, _) = self.transport else {
            return;
        };
        if self.faults().has(Kind::StrayCrlf) && self.rng.next_u32() % 8 == 0 {
            out.push_back(ServerOutput::Send(b"\r".to_vec()));
        }
        out.push_back(interleaved(channel, &packet));
    }

    /// The first half of a packet, the last that is sent.
    fn cut(&self, packet: Vec<u8>, out: &mut VecDeque<ServerOutput>) {
        if let Transport::Interleaved(channel, _) = self.transport {
            if let ServerOutput::Send(mut bytes) = interleaved(channel, &packet) {
                bytes.truncate(bytes.len() / 2);
                out.push_back(ServerOutput::Send(bytes));
            }
        }
    }

    fn strikes(&mut self, kind: Kind) -> bool {
        match self.faults().get(kind) {
            Some(per_mille) => i64::from(self.rng.next_u32() % 1000) < per_mille,
            None => false,
        }
    }

    fn report(&mut self, now: Now, out: &mut VecDeque<ServerOutput>) {
        if self.stalled() {
            return;
        }
        let Some(playing) = &mut self.playing else {
            return;
        };
        if now.monotonic < playing.next_report {
            return;
        }
        let Some((timestamp, sent)) = playing.last_sent else {
            // Before the first frame there is nothing to report on.
            playing.next_report = now.monotonic + Duration::from_millis(100);
            return;
        };
        playing.next_report = now.monotonic + REPORT_INTERVAL;
        if self.config.faults.has(Kind::NoReports) {
            return;
        }
        let since = crate::time::Duration90k::from(now.monotonic.since(sent)).0;
        let mut wall: Option<Wall90k> = Some(now.wall);
        let mut cut = usize::MAX;
        if self.config.faults.has(Kind::WrongReports) {
            wall = None;
            if self.rng.next_u32() % 2 == 0 {
                cut = 18;
            }
        }
        let mut report = self
            .packetizer
            .sender_report(wall, timestamp.wrapping_add(since));
        report.truncate(cut);
        out.push_back(match self.transport {
            Transport::Interleaved(_, channel) => interleaved(channel, &report),
            Transport::Udp(_, client_port) => ServerOutput::Datagram {
                rtcp: true,
                client_port,
                bytes: report,
            },
        });
    }
}

/// A data message (RFC 2326 section 10.12).
fn interleaved(channel: u8, packet: &[u8]) -> ServerOutput {
    let mut bytes = Vec::with_capacity(packet.len() + 4);
    bytes.extend_from_slice(&[b'$', channel]);
    bytes.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    bytes.extend_from_slice(packet);
    ServerOutput::Send(bytes)
}
