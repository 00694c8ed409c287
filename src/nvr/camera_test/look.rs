//! What is measured of a stream that somebody only has a look at. Nothing is kept but one key frame.

use crate::h264::VideoSampleEntry;
use crate::nvr::Cx;
use crate::nvr::buffers::Buffers;
use crate::nvr::sink::Sink;
use crate::rtp::AccessUnit;
use crate::time::{Duration90k, Monotonic, TICKS_PER_SECOND};
use std::sync::Arc;

/// A look of so much video shows enough, if two key frames are in it.
const ENOUGH: Duration90k = Duration90k::from_secs(2);

/// See the module.
#[derive(Default)]
pub struct Look {
    buffer: Vec<u8>,
    /// Bytes of it that are access units told already.
    told: usize,
    /// When the first frame came.
    pub first_at: Option<Monotonic>,
    pub entry: Option<Arc<VideoSampleEntry>>,
    /// The first key frame that can be decoded.
    pub key_frame: Option<Vec<u8>>,
    pub lost_packets: u64,
    frames: u32,
    bytes: u64,
    /// The earliest and the latest timestamp, in 1/90,000 s.
    span: Option<(i64, i64)>,
    last_bytes: u64,
    /// The timestamps of the first two key frames.
    first_sync: Option<i64>,
    second_sync: Option<i64>,
}

impl Look {
    /// How long it was watched without a second key frame, in seconds; `None` if there was one.
    pub fn without_key_frame(&self) -> Option<f64> {
        let alone = self.first_sync.is_some() && self.second_sync.is_none();
        alone.then(|| self.duration().as_secs_f64())
    }

    pub fn is_enough(&self) -> bool {
        self.second_sync.is_some() && self.duration() >= ENOUGH
    }

    fn duration(&self) -> Duration90k {
        Duration90k(self.span.map_or(0, |(first, last)| last - first))
    }

    /// Frames a second; `None` of less than two.
    pub fn frame_rate(&self) -> Option<f64> {
        let ticks = Some(self.duration().0).filter(|d| *d > 0)?;
        let rate = f64::from(self.frames.saturating_sub(1)) * TICKS_PER_SECOND as f64;
        Some((rate / ticks as f64 * 100.0).round() / 100.0)
    }

    /// Bits a second; `None` of less than two frames.
    pub fn bit_rate(&self) -> Option<u64> {
        let ticks = u64::try_from(self.duration().0).ok().filter(|d| *d > 0)?;
        // How long the last one lasts is not known.
        let bits = u128::from(self.bytes - self.last_bytes) * 8 * TICKS_PER_SECOND as u128;
        u64::try_from(bits / u128::from(ticks)).ok()
    }

    /// From one key frame to the next; `None` if there was one only.
    pub fn key_frame_interval(&self) -> Option<Duration90k> {
        Some(Duration90k(self.second_sync? - self.first_sync?))
    }
}

impl Sink for Look {
    fn buffer(&mut self, _: &mut Buffers) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn access_unit(&mut self, cx: &mut Cx<'_>, unit: AccessUnit) {
        self.first_at.get_or_insert(cx.now.monotonic);
        self.lost_packets += u64::from(unit.lost_packets);
        self.entry = unit.sample_entry.or(self.entry.take());
        let end = self.buffer.len().min(self.told + unit.len as usize);
        let bytes = &self.buffer[self.told.min(end)..end];
        self.told = end;
        if unit.is_sync {
            if self.key_frame.is_none() && self.entry.is_some() {
                self.key_frame = Some(bytes.to_vec());
            }
            match self.first_sync {
                None => self.first_sync = Some(unit.timestamp),
                Some(_) => {
                    self.second_sync.get_or_insert(unit.timestamp);
                }
            }
        }
        self.last_bytes = u64::from(unit.len);
        self.bytes += self.last_bytes;
        self.frames += 1;
        let (first, last) = self.span.unwrap_or((unit.timestamp, unit.timestamp));
        self.span = Some((first.min(unit.timestamp), last.max(unit.timestamp)));
    }

    fn received(&mut self, _: &mut Cx<'_>) {
        self.buffer.drain(..std::mem::take(&mut self.told));
    }
}
