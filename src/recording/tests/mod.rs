//! Tests that span several of the module's files.

mod drift;
mod journal;
mod memory_directory;
mod power_cut;
mod recovery;
mod writer;

use super::writer::{NewSample, Run, Start, Writer};
use super::{OpenId, RecordingId, StreamId};
use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, Wall90k};
use std::sync::Arc;

const T0: Wall90k = Wall90k::from_unix_secs(1_795_341_600);
const FRAME_90K: i64 = 3_000;

fn entry(reorder_frames: u8) -> Arc<VideoSampleEntry> {
    Arc::new(VideoSampleEntry {
        width: 1920,
        height: 1080,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        rfc6381_codec: "avc1.4d401f".into(),
        avcc: vec![1, 0x4d, 0x40, 0x1f, 0xff],
        reorder_frames,
    })
}

fn id(stream: i32, sequence: u32) -> RecordingId {
    RecordingId {
        stream: StreamId(stream),
        sequence,
    }
}

fn start(id: RecordingId, run: Run) -> Writer {
    Writer::start(Start {
        id,
        open: OpenId(1),
        run,
        sample_entry: entry(0),
        clock_untrusted: false,
    })
}

fn sample(pts: i64, bytes: u32, is_sync: bool) -> NewSample {
    NewSample {
        pts,
        bytes,
        is_sync,
        arrival: T0 + Duration90k(pts),
    }
}
