//! The helper process as the loop sees it: requests in, answers out.

use crate::decoder::{Error, Reply, Request};
use crate::nvr::port::HelperId;
use crate::time::Monotonic;
use std::collections::VecDeque;

/// The helper process.
#[derive(Debug, Default)]
pub struct Helper {
    answers: VecDeque<(HelperId, Result<Reply, Error>)>,
}

impl Helper {
    /// Takes in a request.
    pub(super) fn submit(&mut self, _: Monotonic, id: HelperId, _: Request) {
        let why = Error::Unavailable("not built yet".to_owned());
        self.answers.push_back((id, Err(why)));
    }

    /// The next answer, if there is one.
    pub(super) fn next_answer(&mut self) -> Option<(HelperId, Result<Reply, Error>)> {
        self.answers.pop_front()
    }

    /// Whether there is an answer that no thread has woken the loop for.
    pub(super) fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }
}
