//! Where what a session receives goes: to a stream's recorder, or to whoever only has a look.

use super::Cx;
use super::buffers::Buffers;
use super::directory::SampleDirectory;
use super::recorder::Recorder;
use crate::rtp::AccessUnit;

/// Takes a stream's frames.
pub trait Sink {
    /// Where the depacketizer appends; see [`crate::rtp::Receiver::push`].
    fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8>;

    /// An access unit is complete.
    fn access_unit(&mut self, cx: &mut Cx<'_>, unit: AccessUnit);

    /// All access units that have come so far were told.
    fn received(&mut self, cx: &mut Cx<'_>);
}

/// The recorder, with the directory that it records to.
pub struct ToRecorder<'a> {
    pub recorder: &'a mut Recorder,
    pub dir: &'a mut SampleDirectory,
}

impl Sink for ToRecorder<'_> {
    fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        self.recorder.buffer(buffers)
    }

    fn access_unit(&mut self, cx: &mut Cx<'_>, unit: AccessUnit) {
        self.recorder.access_unit(cx, self.dir, unit);
    }

    fn received(&mut self, cx: &mut Cx<'_>) {
        self.recorder.received(cx, self.dir);
    }
}
