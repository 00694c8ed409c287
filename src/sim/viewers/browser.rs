//! A viewer's browser: what it asks for next, how it takes what comes, and what it finds fault with.

use super::answer::{self, Answer, Reader};
use super::seen::{self, Seen};
use super::websocket::{self, Message};
use super::wish::{self, Ask, FileWish, Place, Wish};
use crate::nvr::port::ConnId;
use crate::sim::monitor::Broken;
use crate::sim::random::Random;
use crate::sim::witness::{FrameId, StreamKey, Witness};
use crate::time::Monotonic;
use std::collections::VecDeque;
use std::time::Duration;

/// How it takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it comes.
    Fast,
    /// So many bytes ten times a second.
    Slow(usize),
    /// As it comes, but after so many bytes nothing for a while.
    Rests(usize, Duration),
    /// As it comes, but nothing any more after so many bytes.
    Stops(usize),
}

/// How it goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    Close,
    Reset,
    /// Without a word: what is sent to it is answered by nobody.
    Vanish,
}

/// How it behaves on one connection.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    pub pace: Pace,
    /// It goes away after so many bytes, whatever it has asked for.
    pub leaves: Option<(usize, Leaving)>,
    /// It asks for the next thing before it has the one before.
    pub asks_ahead: bool,
    /// It says that it will ask no more as soon as it has asked for everything.
    pub says_so: bool,
    /// Its requests come in small parts.
    pub dribbles: bool,
    /// How much of the kernel's memory there is for what it is sent.
    pub room: usize,
}

impl Habit {
    /// One that takes everything as it comes and waits for it.
    pub const GOOD: Habit = Habit {
        pace: Pace::Fast,
        leaves: None,
        asks_ahead: false,
        says_so: false,
        dribbles: false,
        room: 64 << 10,
    };

    fn draw(r: &mut Random) -> Habit {
        let some = |r: &mut Random| r.within(0..=400_000) as usize;
        let pace = match r.below(10) {
            0 => Pace::Slow(r.within(600..=8_000) as usize),
            1 => Pace::Rests(some(r), r.millis(1_000..=100_000)),
            2 => Pace::Stops(some(r)),
            _ => Pace::Fast,
        };
        let leavings = [Leaving::Close, Leaving::Reset, Leaving::Vanish];
        Habit {
            pace,
            leaves: r.percent(25).then(|| (some(r), r.pick(&leavings))),
            asks_ahead: r.percent(15),
            says_so: r.percent(10),
            dribbles: r.percent(10),
            room: r.pick(&[4 << 10, 32 << 10, 64 << 10, 256 << 10]),
        }
    }

    /// It takes all that it asked for, and without long rests.
    pub fn is_steady(&self) -> bool {
        self.leaves.is_none() && matches!(self.pace, Pace::Fast | Pace::Slow(_))
    }
}

/// A request that is to be answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub wish: Wish,
    pub at: Monotonic,
    pub serial: u64,
    if_range: Option<String>,
}

/// It has become a viewer of what is live.
#[derive(Debug)]
struct Watching {
    place: Place,
    bytes: Vec<u8>,
    last: Option<FrameId>,
    frames: u64,
    is_new: bool,
}

/// What all viewers know together.
pub struct Knowledge<'a> {
    pub now: Monotonic,
    pub seen: &'a mut Seen,
    pub witness: &'a Witness,
}

/// See the module.
pub struct Browser {
    pub random: Random,
    pub habit: Habit,
    pub conn: Option<ConnId>,
    /// When it does the next thing of its own.
    pub acts_at: Monotonic,
    /// Bytes that came on this connection.
    pub came: usize,
    /// When the last of them came.
    pub progress: Monotonic,
    /// It looks whether everybody is served when everything is healed, and is through with it.
    pub examines: bool,
    watches_only: bool,
    pub is_done: bool,
    wishes: VecDeque<Wish>,
    asked: VecDeque<Asked>,
    serial: u64,
    reader: Reader,
    live: Option<Watching>,
    places: Vec<Place>,
    /// It was told that the connection ends after the last answer.
    last_answer: bool,
    /// Streams that somebody is to watch, too, as an examiner has found out.
    pub to_watch: Vec<Place>,
    /// What an examiner was told to be no more, though it was in a list.
    gone: Vec<(StreamKey, u64)>,
}

/// How much of one stream an examiner may find gone that was in a list just before: retention goes on, and
/// one commit gives up recordings of many streams.
const MOST_GONE: usize = 3;

impl Browser {
    pub fn new(random: Random) -> Browser {
        Browser {
            random,
            habit: Habit::GOOD,
            conn: None,
            acts_at: Monotonic(0),
            came: 0,
            progress: Monotonic(0),
            examines: false,
            watches_only: false,
            is_done: false,
            wishes: VecDeque::new(),
            asked: VecDeque::new(),
            serial: 0,
            reader: Reader::default(),
            live: None,
            places: Vec::new(),
            last_answer: false,
            to_watch: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// One that looks whether everybody is served.
    pub fn examiner(random: Random) -> Browser {
        Browser {
            examines: true,
            ..Browser::new(random)
        }
    }

    /// Begins anew with a connection that is going to be made.
    pub fn sit_down(&mut self) {
        self.habit = match self.examines {
            true => Habit::GOOD,
            false => Habit::draw(&mut self.random),
        };
        self.came = 0;
        self.reader = Reader::default();
        self.live = None;
        self.asked.clear();
        self.last_answer = false;
        self.wishes.clear();
        if let (true, Some(place)) = (self.watches_only, self.places.first()) {
            self.wishes.push_back(Wish::Live(place.clone()));
        } else if self.examines || self.places.is_empty() || self.random.percent(20) {
            self.wishes.push_back(Wish::Top);
        } else {
            self.think();
        }
    }

    /// What it wants next.
    pub fn think(&mut self) {
        let Some(place) = self.places.get(self.random.index(self.places.len())) else {
            self.wishes.push_back(Wish::Top);
            return;
        };
        let place = place.clone();
        let wish = match self.random.below(20) {
            0 => Wish::Plain(format!("{}/gaps", place.path)),
            1 => Wish::Plain(self.random.pick(&["/metrics", "/healthz", "/"]).to_owned()),
            2 => Wish::Picture(place),
            3 => Wish::File(FileWish {
                stream: place.stream,
                url: format!("{}/scrub.mp4?every90k=180000", place.path),
                ask: Ask::Whole,
                if_range: false,
            }),
            4 | 5 => Wish::Playlist(place, "live.m3u8"),
            6 => Wish::Playlist(place, "vod.m3u8"),
            7..11 => Wish::Live(place),
            _ => Wish::List(place),
        };
        self.wishes.push_back(wish);
    }

    pub fn is_watching(&self) -> bool {
        self.live.is_some()
    }

    /// It has begun to watch; told once.
    pub fn begins_to_watch(&mut self) -> bool {
        let live = self.live.as_mut();
        live.is_some_and(|l| std::mem::take(&mut l.is_new))
    }

    /// It has all that it wanted.
    pub fn is_satisfied(&self) -> bool {
        self.asked.is_empty() && self.wishes.is_empty() && self.live.is_none()
    }

    /// It has asked for everything, and says so: nothing more is asked for on this connection.
    pub fn says_so(&mut self) -> bool {
        let live = |a: &Asked| matches!(a.wish, Wish::Live(_));
        let is_over = self.wishes.is_empty() && !self.asked.iter().any(live);
        self.last_answer |= self.habit.says_so && is_over;
        self.habit.says_so && is_over
    }

    /// What it waits for the longest.
    pub fn first_asked(&self) -> Option<&Asked> {
        self.asked.front()
    }

    /// Its next requests.
    pub fn requests(&mut self, know: &mut Knowledge<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.live.is_none()
            && !self.last_answer
            && (self.asked.is_empty() || self.habit.asks_ahead)
        {
            let Some(wish) = self.wishes.pop_front() else {
                break;
            };
            let tag = know.seen.tag(&wish.url()).map(|(tag, _)| tag.as_str());
            bytes.extend(wish.request(tag));
            let is_live = matches!(wish, Wish::Live(_));
            self.serial += 1;
            self.asked.push_back(Asked {
                if_range: tag.map(str::to_owned),
                wish,
                at: know.now,
                serial: self.serial,
            });
            if is_live {
                break;
            }
        }
        bytes
    }

    /// Takes in what came; gives back what it says to that.
    pub fn receive(&mut self, bytes: &[u8], know: &mut Knowledge<'_>) -> Result<Vec<u8>, Broken> {
        self.came += bytes.len();
        self.progress = know.now;
        if let Some(live) = &mut self.live {
            live.bytes.extend_from_slice(bytes);
            return self.watch(know);
        }
        self.reader.push(bytes);
        while let Some(asked) = self.asked.front() {
            let head_only = asked.wish.is_head();
            let answer = self.reader.next(head_only);
            let malformed = |e| Broken::new("served-whole", format!("{:?}: {e}", asked.wish));
            let Some(answer) = answer.map_err(malformed)? else {
                return Ok(Vec::new());
            };
            let closes = answer.field("connection").is_some_and(|v| v == "close");
            self.last_answer |= closes;
            if let Some(asked) = self.asked.pop_front() {
                self.look_at(asked, &answer, know)?;
            }
            if self.live.is_some() {
                return self.watch(know);
            }
        }
        match self.reader.is_empty() {
            true => Ok(self.requests(know)),
            false => Err(Broken::new("served-whole", "more came than was asked for")),
        }
    }

    /// What it makes of an answer.
    fn look_at(
        &mut self,
        asked: Asked,
        answer: &Answer,
        know: &mut Knowledge<'_>,
    ) -> Result<(), Broken> {
        let status = answer.status;
        let told = |what: String| Broken::new("served-whole", format!("{:?}: {what}", asked.wish));
        let is_fine =
            status < 500 || matches!(status, 503 | 507) || matches!(asked.wish, Wish::Picture(_));
        if !is_fine || matches!(status, 401 | 403 | 405 | 413..=415 | 421 | 431) {
            let sentence = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(told(format!("answered by {status}: {sentence}")));
        }
        match &asked.wish {
            Wish::Top if status == 200 => {
                self.places = wish::places(answer).map_err(told)?;
                if self.examines {
                    self.plan_examination();
                } else {
                    self.think();
                }
            }
            Wish::List(place) if status == 200 => {
                let rows = wish::rows(answer).map_err(told)?;
                let has = |id| rows.iter().any(|r| (r.first..=r.last).contains(id));
                let gone = self.gone.iter().filter(|(s, _)| *s == place.stream);
                if let Some((_, id)) = gone.into_iter().find(|(_, id)| has(id)) {
                    let what = format!("{place:?}: {id} is listed, and was told to be no more");
                    return Err(Broken::new("served-again", what));
                }
                self.choose(place, &rows, know.seen);
            }
            Wish::File(file) => self.look_at_file(file, &asked, answer, know)?,
            Wish::Playlist(place, _) if status == 200 => {
                for url in wish::addresses(place, answer) {
                    // Of the other stream, or of no stream's frames: an initialization segment.
                    if url.starts_with(&place.path) && self.random.percent(60) {
                        self.wishes.push_back(Wish::File(FileWish {
                            stream: place.stream,
                            url,
                            ask: Ask::Whole,
                            if_range: false,
                        }));
                    }
                    self.wishes.truncate(6);
                }
            }
            Wish::Live(place) if status == 101 => {
                self.live = Some(Watching {
                    place: place.clone(),
                    bytes: std::mem::take(&mut self.reader).into_rest(),
                    last: None,
                    frames: 0,
                    is_new: true,
                });
            }
            _ => (),
        }
        Ok(())
    }

    fn look_at_file(
        &mut self,
        file: &FileWish,
        asked: &Asked,
        answer: &Answer,
        know: &mut Knowledge<'_>,
    ) -> Result<(), Broken> {
        let fail = |rule, what: String| Err(Broken::new(rule, format!("{file:?}: {what}")));
        if !matches!(answer.status, 200 | 206) {
            if !self.examines {
                return Ok(());
            }
            let stream = file.stream;
            self.gone.extend(file.first().map(|id| (stream, id)));
            let list = self.places.iter().find(|p| p.stream == stream);
            let list = list.cloned().map(Wish::List);
            let is_new = list.as_ref().is_none_or(|l| !self.wishes.contains(l));
            self.wishes.extend(list.filter(|_| is_new));
            let gone = self.gone.iter().filter(|(s, _)| *s == stream).count();
            return match answer.status == 404 && gone <= MOST_GONE {
                true => Ok(()),
                false => fail("served-again", format!("answered by {}", answer.status)),
            };
        }
        if file.ask == Ask::Head {
            return Ok(());
        }
        if answer.status == 206 {
            let tag = answer.field("etag");
            if file.if_range && asked.if_range.is_some() && asked.if_range.as_deref() != tag {
                return fail("served-bytes", format!("a part of another file: {tag:?}"));
            }
            let parts = answer::parts(answer);
            let (length, parts) =
                parts.map_err(|e| Broken::new("served-bytes", format!("{file:?}: {e}")))?;
            let whole = |(from, bytes): &answer::Part<'_>| (*from, from + bytes.len() as u64);
            let expected = file.ask.expects(length);
            let is_it = |e| matches!(parts.as_slice(), [part] if whole(part) == e);
            if expected.is_some_and(|e| !is_it(e)) {
                let parts: Vec<_> = parts.iter().map(whole).collect();
                return fail("served-bytes", format!("of {length}: {parts:?}"));
            }
        }
        match answer.field("etag") {
            Some(_) => know.seen.file(&file.url, file.stream, answer, know.witness),
            None => seen::frames(&answer.body, file.stream, know.witness, None)
                .map(drop)
                .or_else(|e| fail("served-bytes", e)),
        }
    }

    /// Chooses something of a list to look at.
    fn choose(&mut self, place: &Place, rows: &[wish::Row], seen: &Seen) {
        let stream = place.stream;
        let mut want = |url: String, ask: Ask, if_range: bool| {
            self.wishes.push_back(Wish::File(FileWish {
                stream,
                url,
                ask,
                if_range,
            }));
        };
        if self.examines {
            let ends = [rows.first(), rows.last().filter(|_| rows.len() > 1)];
            for row in ends.into_iter().flatten() {
                let url = format!("{}/view.mp4?s={}@{}", place.path, row.first, row.open);
                want(url, Ask::Whole, false);
            }
            return;
        }
        let Some(url) = wish::choose(place, rows, &mut self.random) else {
            return;
        };
        let length = seen.tag(&url).map_or(100_000, |(_, length)| *length);
        for _ in 0..self.random.within(1..=6) {
            let if_range = self.random.percent(30);
            want(url.clone(), Ask::draw(length, &mut self.random), if_range);
        }
    }

    /// What an examiner looks at: of each stream a list, the oldest and the newest recording; one that
    /// watches, a stream that is live.
    fn plan_examination(&mut self) {
        self.wishes = self.places.iter().cloned().map(Wish::List).collect();
        self.to_watch.clone_from(&self.places);
    }

    /// The same, of a stream that is live.
    pub fn for_live(mut self, place: Place) -> Browser {
        self.places = vec![place];
        self.watches_only = true;
        self
    }

    /// Frames that it has seen live on this connection.
    pub fn frames_watched(&self) -> u64 {
        self.live.as_ref().map_or(0, |l| l.frames)
    }

    /// Looks at what came by WebSocket.
    fn watch(&mut self, know: &mut Knowledge<'_>) -> Result<Vec<u8>, Broken> {
        let Some(live) = &mut self.live else {
            return Ok(Vec::new());
        };
        let mut replies = Vec::new();
        let fail =
            |place: &Place, e: String| Broken::new("served-bytes", format!("{place:?}: {e}"));
        while let Some(message) =
            websocket::take(&mut live.bytes).map_err(|e| fail(&live.place, e))?
        {
            match message {
                Message::Ping(payload) => replies.extend(websocket::pong(&payload)),
                Message::Binary(bytes) => {
                    let found = live.look_at(&bytes, know);
                    know.seen.frames += found.map_err(|e| fail(&live.place, e))?;
                }
                Message::Text(_) | Message::Close => (),
            }
        }
        Ok(replies)
    }

    /// The connection has ended. Returns what it still waited for, if that is a fault of the other side's.
    pub fn ended(&mut self, know: &mut Knowledge<'_>) -> Result<Option<Asked>, Broken> {
        self.conn = None;
        let asked = std::mem::take(&mut self.asked);
        let reader = std::mem::take(&mut self.reader);
        self.live = None;
        let Some(first) = asked.into_iter().next() else {
            return Ok(None);
        };
        if let (Some(part), Wish::File(file)) = (reader.broken_off(), &first.wish) {
            if matches!(part.status, 200 | 206) && part.field("etag").is_some() {
                know.seen
                    .file(&file.url, file.stream, &part, know.witness)?;
            }
        }
        Ok(Some(first).filter(|_| !self.last_answer))
    }

    /// The recorder is gone, and the connection with it.
    pub fn cut_off(&mut self) {
        self.conn = None;
        self.asked.clear();
        self.reader = Reader::default();
        self.live = None;
    }
}

impl Watching {
    fn look_at(&mut self, message: &[u8], know: &Knowledge<'_>) -> Result<u64, String> {
        let end = message.windows(4).position(|w| w == b"\r\n\r\n");
        let segment = &message[end.ok_or("a message without a head")? + 4..];
        let of = self.place.stream;
        let frames = seen::frames(segment, of, know.witness, self.last)?;
        let log = know.witness.streams.get(&of);
        if let (0, Some(first), Some(log)) = (self.frames, frames.first(), log) {
            if !log.is_sync(*first) && !log.loses_packets {
                return Err(format!("it begins with {first:?}, which is no sync sample"));
            }
        }
        self.last = frames.last().copied().or(self.last);
        self.frames += frames.len() as u64;
        Ok(frames.len() as u64)
    }
}
