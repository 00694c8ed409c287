//! The helper process of a simulated board: it takes its time, fails now and then, and answers with
//! what is quickly made up: a picture without pixels, a hash that is none.
//!
//! Its passwords hold together: the hash that it makes of one is the only one that it is right for.

use crate::access::password;
use crate::config::Secret;
use crate::decoder::{Error, MAX_WAITING_PASSWORDS, MAX_WAITING_PICTURES, Reply, Request};
use crate::nvr::port::HelperId;
use crate::sim::random::Random;
use crate::time::Monotonic;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64;

/// How often it fails unless the world is healed: once in so many requests.
pub const FAILS_ONE_IN: u64 = 12;

/// The usual times of a picture and of a password, in milliseconds: from, to.
const PICTURE_MS: (u64, u64) = (20, 500);
const PASSWORD_MS: (u64, u64) = (100, 900);

/// The helper, and what is asked of it.
pub struct Helper {
    waiting: VecDeque<(HelperId, Request)>,
    /// What was refused, with the time at which it is told.
    refused: VecDeque<HelperId>,
    /// When the first of `waiting` is answered.
    due: Option<Monotonic>,
    refused_due: Option<Monotonic>,
    /// Every so many requests fail by chance; 0 for never.
    pub fails_one_in: u64,
    random: Random,
    violations: Vec<String>,
    last_id: Option<HelperId>,
}

impl Helper {
    pub fn new(seed: u64) -> Helper {
        Helper {
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            due: None,
            refused_due: None,
            fails_one_in: FAILS_ONE_IN,
            random: Random::new(seed, "helper"),
            violations: Vec::new(),
            last_id: None,
        }
    }

    /// Takes what the core did that it never may.
    pub fn violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// When the next request is answered.
    pub fn next_wake(&self) -> Option<Monotonic> {
        [self.due, self.refused_due].into_iter().flatten().min()
    }

    /// Takes in a request.
    pub fn submit(&mut self, now: Monotonic, id: HelperId, request: Request) {
        if self.last_id.is_some_and(|last| last >= id) {
            self.violations
                .push(format!("{id:?} comes after {:?}", self.last_id));
        }
        self.last_id = Some(id);
        let is_picture = matches!(request, Request::Picture { .. });
        let of_its_kind =
            |(_, r): &&(HelperId, Request)| matches!(r, Request::Picture { .. }) == is_picture;
        let most = match is_picture {
            true => MAX_WAITING_PICTURES,
            false => MAX_WAITING_PASSWORDS,
        };
        if self.waiting.iter().filter(of_its_kind).count() >= most {
            self.refused.push_back(id);
            self.refused_due = Some(now);
            return;
        }
        self.waiting.push_back((id, request));
        if self.due.is_none() {
            self.schedule(now);
        }
    }

    fn schedule(&mut self, now: Monotonic) {
        // Passwords go before pictures, but nothing before what is under way.
        let password = |(_, r): &(HelperId, Request)| !matches!(r, Request::Picture { .. });
        if let Some(at) = self.waiting.iter().position(password) {
            if let Some(first) = self.waiting.remove(at) {
                self.waiting.push_front(first);
            }
        }
        self.due = self.waiting.front().map(|(_, request)| {
            let (from, to) = match request {
                Request::Picture { .. } => PICTURE_MS,
                Request::HashPassword(_) | Request::VerifyPassword { .. } => PASSWORD_MS,
            };
            now + self.random.millis(from..=to)
        });
    }

    /// Answers the next request if it is due.
    pub fn poll(&mut self, now: Monotonic) -> Option<(HelperId, Result<Reply, Error>)> {
        if let Some(id) = self.refused.pop_front() {
            return Some((id, Err(Error::Busy)));
        }
        self.refused_due = None;
        if self.due? > now {
            return None;
        }
        let (id, request) = self.waiting.pop_front()?;
        self.schedule(now);
        if self.fails_one_in > 0 && self.random.one_in(self.fails_one_in) {
            let failures = [Error::TimedOut(20), Error::Crashed("killed".to_owned())];
            let i = self.random.index(failures.len());
            return Some((id, Err(failures[i].clone())));
        }
        Some((id, answer(&request)))
    }

    /// The board or the program ends.
    pub fn end(&mut self) {
        self.waiting.clear();
        self.refused.clear();
        self.due = None;
        self.refused_due = None;
        self.last_id = None;
    }
}

fn answer(request: &Request) -> Result<Reply, Error> {
    match request {
        Request::Picture {
            entry,
            sample,
            max_width,
            quality,
        } => {
            let about = format!(
                "{}x{} in {max_width}, {quality}, {:016x}",
                entry.width,
                entry.height,
                xxh3_64(sample)
            );
            Ok(Reply::Picture(comment(&about)))
        }
        Request::HashPassword(password) => match password::check(&password.0) {
            Ok(()) => Ok(Reply::Hash(hash(password))),
            Err(unfit) => Err(Error::Unfit(unfit)),
        },
        Request::VerifyPassword { password, hash: of } => {
            Ok(Reply::Verified(hash(password) == *of))
        }
    }
}

/// A JPEG of nothing but a comment (ITU-T T.81 section B.2.4.5).
fn comment(about: &str) -> Vec<u8> {
    let len = (about.len() as u16 + 2).to_be_bytes();
    let start: &[u8] = &[0xff, 0xd8, 0xff, 0xfe];
    [start, &len, about.as_bytes(), &[0xff, 0xd9]].concat()
}

fn hash(password: &Secret) -> Secret {
    Secret(format!("$sim${:016x}", xxh3_64(password.0.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn password(text: &str) -> Request {
        Request::HashPassword(Secret(text.to_owned()))
    }

    fn picture() -> Request {
        let entry = crate::h264::VideoSampleEntry {
            width: 1920,
            height: 1080,
            pixel_h_spacing: 1,
            pixel_v_spacing: 1,
            rfc6381_codec: "avc1.4d401f".to_owned(),
            avcc: Vec::new(),
            reorder_frames: 0,
        };
        Request::Picture {
            entry: entry.into(),
            sample: b"sample".to_vec(),
            max_width: 320,
            quality: 70,
        }
    }

    fn run(helper: &mut Helper) -> Vec<(HelperId, Result<Reply, Error>)> {
        let mut answers = Vec::new();
        while let Some(at) = helper.next_wake() {
            answers.extend(helper.poll(at));
        }
        answers
    }

    #[test]
    fn passwords_hold_together_and_go_first() {
        let mut helper = Helper::new(1);
        helper.fails_one_in = 0;
        helper.submit(Monotonic(0), HelperId(1), picture());
        helper.submit(Monotonic(0), HelperId(2), picture());
        helper.submit(Monotonic(0), HelperId(3), password("correct horse"));
        let answers = run(&mut helper);
        let order: Vec<u64> = answers.iter().map(|(id, _)| id.0).collect();
        assert_eq!(order, [1, 3, 2]);
        let Ok(Reply::Hash(hash)) = &answers[1].1 else {
            panic!("{answers:?}");
        };
        assert_eq!(answers[0].1, answers[2].1);
        for (guess, right) in [("correct horse", true), ("correct horsf", false)] {
            let request = Request::VerifyPassword {
                password: Secret(guess.to_owned()),
                hash: hash.clone(),
            };
            helper.submit(Monotonic(0), HelperId(if right { 4 } else { 5 }), request);
            assert_eq!(run(&mut helper)[0].1, Ok(Reply::Verified(right)));
        }
        assert_eq!(helper.violations(), Vec::<String>::new());
    }

    #[test]
    fn it_fails_now_and_then_and_when_too_much_waits() {
        let mut helper = Helper::new(1);
        for id in 0..MAX_WAITING_PICTURES as u64 + 1 {
            helper.submit(Monotonic(0), HelperId(id), picture());
        }
        let first = helper.poll(Monotonic(0));
        assert_eq!(first.map(|(_, r)| r), Some(Err(Error::Busy)));
        run(&mut helper);
        let mut failed = 0;
        for id in 100..400 {
            helper.submit(Monotonic(0), HelperId(id), picture());
            let later = Monotonic(0) + Duration::from_secs(2);
            failed += usize::from(helper.poll(later).is_some_and(|(_, r)| r.is_err()));
        }
        assert!((10..50).contains(&failed), "{failed}");
    }
}
