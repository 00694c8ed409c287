//! Laying a file out segment by segment, for a caller that has something else to do in between.

use super::fragment::{MAX_DECODE_TIME, mdat_fits};
use super::plan::Plan;
use super::subtitles::Subtitles;
use super::{Error, File, Segment, etag};
use jiff::tz::TimeZone;

/// Makes a movie or a media segment: add the segments in their order, then finish it. A month has 43,200 of
/// them, and finishing takes the same time for any number.
pub struct Builder {
    kind: Kind,
    plan: Plan,
    tag: etag::Hasher,
    subtitles: Option<Subtitles>,
}

enum Kind {
    Movie,
    MediaSegment { decode_time: u64 },
}

impl Builder {
    /// Of [`File::movie`].
    pub fn movie(zone: Option<&TimeZone>) -> Builder {
        Builder {
            kind: Kind::Movie,
            plan: Plan::default(),
            tag: etag::Hasher::new("movie"),
            subtitles: zone.map(Subtitles::new),
        }
    }

    /// Of [`File::media_segment`].
    pub fn media_segment(decode_time: u64) -> Builder {
        let mut tag = etag::Hasher::new("media segment");
        tag.u64(decode_time);
        Builder {
            kind: Kind::MediaSegment { decode_time },
            plan: Plan::default(),
            tag,
            subtitles: None,
        }
    }

    /// Adds what is to be played next. It must have its index if it needs one.
    pub fn add(&mut self, segment: &Segment) -> Result<(), Error> {
        if let Kind::MediaSegment { .. } = self.kind {
            mdat_fits(u64::from(segment.summary.sample_file_bytes))?;
        }
        self.plan
            .push(segment, &mut self.tag, self.subtitles.as_mut())?;
        match self.kind {
            Kind::MediaSegment { .. } if self.plan.entries.len() > 1 => Err(Error::SeveralEntries),
            _ => Ok(()),
        }
    }

    /// The file.
    pub fn finish(mut self) -> Result<File, Error> {
        if self.plan.laid.is_empty() {
            return Err(Error::Empty);
        }
        self.plan.runs.sort();
        match self.kind {
            Kind::Movie => File::movie_of(self.plan, self.subtitles, self.tag),
            Kind::MediaSegment { decode_time } if decode_time > MAX_DECODE_TIME => {
                Err(Error::TooLong("the decoding time is too late"))
            }
            Kind::MediaSegment { decode_time } => {
                Ok(File::media_segment_of(self.plan, decode_time, self.tag))
            }
        }
    }

    /// Adds all of them and finishes.
    pub(super) fn all(mut self, segments: &[Segment]) -> Result<File, Error> {
        segments.iter().try_for_each(|s| self.add(s))?;
        self.finish()
    }
}
