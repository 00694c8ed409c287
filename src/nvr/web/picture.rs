//! `snapshot.jpg`: one sync sample as a JPEG, of now or of any recorded time. The helper process makes it.

use super::task::{Need, Place};
use super::uncommitted::Uncommitted;
use crate::db::{self, Reply, Which};
use crate::decoder::{self, SNAPSHOT_QUALITY, THUMBNAIL_QUALITY};
use crate::http::{Caching, Response, ResponseHead, Status};
use crate::recording::index;
use crate::recording::{StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::sync::Arc;

/// Pictures at most so wide are thumbnails: coarser, and kept.
const THUMBNAIL_WIDTH: u32 = 640;

/// How long before the asked-for time a picture may be: what was there then is better than nothing.
const EARLIER: Duration90k = Duration90k::from_secs(600);

/// A picture being made.
pub struct Picture {
    pub wanted: Wanted,
    uncommitted: Option<Vec<Uncommitted>>,
    state: State,
}

/// Which picture: also the name under which it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub stream: StreamId,
    /// `None`: the newest.
    pub at: Option<Wall90k>,
    /// Scaled down to this; `u32::MAX` for the full size.
    pub max_width: u32,
}

enum State {
    /// Which recording it is of is not known yet.
    New,
    /// The recording's index is wanted.
    Found(Box<Summary>),
    /// The sample is to be read.
    Placed {
        summary: Box<Summary>,
        range: Range<u32>,
        taken: Wall90k,
    },
    /// The helper is to make a picture of it.
    Read {
        summary: Box<Summary>,
        sample: Vec<u8>,
        taken: Wall90k,
    },
    Made {
        jpeg: Arc<Vec<u8>>,
        taken: Wall90k,
    },
    /// The helper works on it.
    Making {
        taken: Wall90k,
    },
}

fn gone(sentence: &str) -> Box<Response> {
    Box::new(Response::text(Status::NotFound, sentence))
}

fn failed(sentence: &str) -> Box<Response> {
    Box::new(Response::text(Status::ServiceUnavailable, sentence))
}

impl Picture {
    pub fn new(wanted: Wanted) -> Picture {
        Picture {
            wanted,
            uncommitted: None,
            state: State::New,
        }
    }

    /// One that was made before.
    pub fn made(wanted: Wanted, jpeg: Arc<Vec<u8>>, taken: Wall90k) -> Picture {
        Picture {
            wanted,
            uncommitted: None,
            state: State::Made { jpeg, taken },
        }
    }

    /// Whether what the database does not have is to be given with [`Self::begin`].
    pub fn is_new(&self) -> bool {
        self.uncommitted.is_none() && matches!(self.state, State::New)
    }

    /// The stream whose newest picture is wanted, as long as there is none.
    pub fn of_recorded(&self) -> Option<StreamId> {
        (self.is_new() && self.wanted.at.is_none()).then_some(self.wanted.stream)
    }

    /// `uncommitted` is what the database does not have at this moment.
    pub fn begin(&mut self, uncommitted: Vec<Uncommitted>) -> Result<(), Box<Response>> {
        let at = self.wanted.at;
        let chosen = uncommitted.iter().rev().find(|u| match at {
            Some(at) => u.summary.start <= at && at < u.summary.end() + EARLIER,
            None => true,
        });
        if let Some(u) = chosen {
            self.place(u.summary.clone(), &u.index.clone())?;
        }
        self.uncommitted = Some(uncommitted);
        Ok(())
    }

    /// What it still wants. Asked again only after that has come.
    pub fn need(&mut self) -> Need {
        match &mut self.state {
            State::New => Need::Database(db::Request::Summaries {
                stream: self.wanted.stream,
                which: Which::Overlapping {
                    span: match self.wanted.at {
                        Some(at) => at - EARLIER..at + Duration90k(1),
                        None => Wall90k(i64::MAX - 1)..Wall90k(i64::MAX),
                    },
                    after: None,
                },
                limit: db::MAX_SUMMARIES,
            }),
            State::Found(summary) => Need::Database(db::Request::Indexes(vec![summary.id])),
            State::Placed { summary, range, .. } => Need::Sample(Place {
                dir: summary.dir,
                id: summary.id,
                range: range.clone(),
            }),
            State::Read {
                summary,
                sample,
                taken,
            } => {
                let request = decoder::Request::Picture {
                    entry: summary.sample_entry.clone(),
                    sample: std::mem::take(sample),
                    max_width: self.wanted.max_width,
                    quality: match self.wanted.max_width <= THUMBNAIL_WIDTH {
                        true => THUMBNAIL_QUALITY,
                        false => SNAPSHOT_QUALITY,
                    },
                };
                let taken = *taken;
                self.state = State::Making { taken };
                Need::Helper(request)
            }
            State::Made { .. } | State::Making { .. } => Need::Nothing,
        }
    }

    /// The database has answered.
    pub fn take(&mut self, reply: Reply) -> Result<(), Box<Response>> {
        match (reply, &self.state) {
            (Reply::Summaries(mut found), State::New) => {
                let Some(last) = found.pop() else {
                    return Err(gone("nothing was recorded at that time"));
                };
                self.state = State::Found(Box::new(last));
            }
            (Reply::Indexes(indexes), State::Found(summary)) => {
                let summary = summary.as_ref().clone();
                let index = indexes.into_iter().find_map(|(_, index)| index);
                let index = index.ok_or_else(|| gone("the recording was deleted meanwhile"))?;
                self.place(summary, &index)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Finds the sync sample at or before the asked-for time.
    fn place(&mut self, summary: Summary, index: &[u8]) -> Result<(), Box<Response>> {
        let wanted = self.wanted.at.map_or(i64::MAX, |at| {
            let (wall, media) = (summary.wall_duration.0, summary.media_duration.0);
            let since = i128::from((at - summary.start).0.max(0));
            let scaled = since * i128::from(media) / i128::from(wall.max(1));
            i64::try_from(scaled).unwrap_or(i64::MAX)
        });
        let sync = index::samples(index)
            .map_while(Result::ok)
            .filter(|s| s.is_sync)
            .take_while(|s| s.media_start_90k <= wanted)
            .last();
        let sync = sync.ok_or_else(|| gone("the recording has no such frame"))?;
        self.state = State::Placed {
            taken: summary.start + Duration90k(sync.media_start_90k),
            range: sync.offset..sync.offset + sync.bytes,
            summary: Box::new(summary),
        };
        Ok(())
    }

    /// The sample was read, or not.
    pub fn read(&mut self, result: Result<Vec<u8>, String>) -> Result<(), Box<Response>> {
        let sample = result.map_err(|e| failed(&format!("the frame cannot be read: {e}")))?;
        if let State::Placed {
            summary,
            range,
            taken,
        } = &self.state
        {
            if sample.len() as u32 != range.end - range.start {
                return Err(failed("the frame's file is shorter than it should be"));
            }
            self.state = State::Read {
                summary: summary.clone(),
                sample,
                taken: *taken,
            };
        }
        Ok(())
    }

    /// The helper has answered.
    pub fn helped(
        &mut self,
        result: Result<decoder::Reply, decoder::Error>,
    ) -> Result<(), Box<Response>> {
        let State::Making { taken } = self.state else {
            return Ok(());
        };
        match result {
            Ok(decoder::Reply::Picture(jpeg)) => {
                let jpeg = Arc::new(jpeg);
                self.state = State::Made { jpeg, taken };
                Ok(())
            }
            Ok(_) => Err(failed("the picture could not be made")),
            Err(e) => Err(failed(&format!("the picture could not be made: {e}"))),
        }
    }

    /// The picture, to be kept if it is a thumbnail of the past.
    pub fn to_keep(&self) -> Option<(Wanted, Arc<Vec<u8>>, Wall90k)> {
        match &self.state {
            State::Made { jpeg, taken }
                if self.wanted.at.is_some() && self.wanted.max_width <= THUMBNAIL_WIDTH =>
            {
                Some((self.wanted, jpeg.clone(), *taken))
            }
            _ => None,
        }
    }

    pub fn answer(self) -> Response {
        let State::Made { jpeg, taken } = self.state else {
            return *failed("the picture is not ready");
        };
        let head = ResponseHead::new(Status::Ok)
            .content_type("image/jpeg")
            .caching(match self.wanted.at {
                Some(_) => Caching::Private,
                None => Caching::NoStore,
            })
            .field("X-Time-90k", taken.0.to_string());
        Response {
            head,
            body: jpeg.as_ref().clone().into(),
        }
    }
}

/// Thumbnails that were made.
#[derive(Default)]
pub struct Thumbnails {
    kept: Vec<(u64, Wanted, Arc<Vec<u8>>, Wall90k)>,
    bytes: usize,
    uses: u64,
}

/// Bytes of thumbnails that are kept: about 400 of a 320 pixels wide picture.
const MAX_THUMBNAIL_BYTES: usize = 4 << 20;

impl Thumbnails {
    pub fn get(&mut self, wanted: &Wanted) -> Option<(Arc<Vec<u8>>, Wall90k)> {
        self.uses += 1;
        let kept = self.kept.iter_mut().find(|(_, w, ..)| w == wanted)?;
        kept.0 = self.uses;
        Some((kept.2.clone(), kept.3))
    }

    /// Keeps one; those that were not asked for for longest go.
    pub fn insert(&mut self, (wanted, jpeg, taken): (Wanted, Arc<Vec<u8>>, Wall90k)) {
        if self.get(&wanted).is_some() {
            return;
        }
        self.bytes += jpeg.len();
        self.kept.push((self.uses, wanted, jpeg, taken));
        while self.bytes > MAX_THUMBNAIL_BYTES {
            let oldest = (0..self.kept.len()).min_by_key(|&i| self.kept[i].0);
            let Some(oldest) = oldest else { return };
            self.bytes -= self.kept.swap_remove(oldest).2.len();
        }
    }

    /// What a stream has recorded before a time is gone: so are the pictures of it.
    pub fn forget(&mut self, stream: StreamId, before: Wall90k) {
        self.kept
            .retain(|(_, w, _, taken)| w.stream != stream || *taken >= before);
        self.bytes = self.kept.iter().map(|(_, _, jpeg, _)| jpeg.len()).sum();
    }
}
