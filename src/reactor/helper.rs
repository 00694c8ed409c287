//! The helper process as the loop sees it: requests in, answers out, and a thread between them.
//!
//! Starting a process, copying a picture and waiting for one all may block, so a thread of our own does
//! it ([`Keeper`]); it is started with the first request. The loop only minds the order: one request
//! at a time, passwords before pictures, and no more waiting than was agreed.

mod keeper;

pub use keeper::{
    CPU_LIMIT, FIRST_REST, IDLE_LIMIT, Keeper, LONGEST_REST, Limits, THIS_PROGRAM, TIME_LIMIT,
};

use crate::decoder::{Error, MAX_WAITING_PASSWORDS, MAX_WAITING_PICTURES, Reply, Request};
use crate::nvr::port::HelperId;
use mio::Waker;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// A thread that copies and waits needs little.
const STACK_BYTES: usize = 128 << 10;

/// What a request comes to.
type Outcome = Result<Reply, Error>;

/// The helper process, its thread, and what waits for it.
#[derive(Debug)]
pub(super) struct Helper {
    program: PathBuf,
    waker: Arc<Waker>,
    thread: Option<Link>,
    passwords: VecDeque<(HelperId, Request)>,
    pictures: VecDeque<(HelperId, Request)>,
    under_way: Option<HelperId>,
    refused: VecDeque<(HelperId, Error)>,
}

/// The ends of the thread's queues. There is never more than one request in them.
#[derive(Debug)]
struct Link {
    requests: SyncSender<Request>,
    replies: Receiver<Outcome>,
}

impl Helper {
    /// Nothing is started yet. `program` is what is started as the helper.
    pub(super) fn new(program: PathBuf, waker: Arc<Waker>) -> Helper {
        Helper {
            program,
            waker,
            thread: None,
            passwords: VecDeque::new(),
            pictures: VecDeque::new(),
            under_way: None,
            refused: VecDeque::new(),
        }
    }

    pub(super) fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Takes in a request; it is answered whatever happens.
    pub(super) fn submit(&mut self, id: HelperId, request: Request) {
        let (queue, most) = match request {
            Request::Picture { .. } => (&mut self.pictures, MAX_WAITING_PICTURES),
            Request::HashPassword(_) | Request::VerifyPassword { .. } => {
                (&mut self.passwords, MAX_WAITING_PASSWORDS)
            }
        };
        if queue.len() >= most {
            self.refused.push_back((id, Error::Busy));
            return;
        }
        queue.push_back((id, request));
        self.start_next();
    }

    /// The next answer, if there is one.
    pub(super) fn next_answer(&mut self) -> Option<(HelperId, Outcome)> {
        if let Some((id, error)) = self.refused.pop_front() {
            return Some((id, Err(error)));
        }
        let id = self.under_way?;
        let outcome = match self.thread.as_ref()?.replies.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                self.thread = None;
                Err(Error::Unavailable("its thread has ended".to_owned()))
            }
        };
        self.under_way = None;
        self.start_next();
        Some((id, outcome))
    }

    /// Whether there is an answer that no thread has woken the loop for.
    pub(super) fn has_answer(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Hands the thread what comes next, if it has nothing to do.
    fn start_next(&mut self) {
        while self.under_way.is_none() {
            let next = self.passwords.pop_front();
            let Some((id, request)) = next.or_else(|| self.pictures.pop_front()) else {
                return;
            };
            match self.hand_over(request) {
                Ok(()) => self.under_way = Some(id),
                Err(e) => {
                    let why = Error::Unavailable(format!("no thread for it: {e}"));
                    self.refused.push_back((id, why));
                }
            }
        }
    }

    fn hand_over(&mut self, request: Request) -> io::Result<()> {
        let link = match &self.thread {
            Some(link) => link,
            None => {
                let keeper = Keeper::new(self.program.clone(), Limits::default());
                self.thread.insert(start(keeper, self.waker.clone())?)
            }
        };
        let sent = link.requests.try_send(request);
        if sent.is_err() {
            self.thread = None;
            return Err(io::Error::other("it has ended"));
        }
        Ok(())
    }
}

/// Starts the thread. It ends, and the helper with it, when the loop's side is dropped.
fn start(keeper: Keeper, waker: Arc<Waker>) -> io::Result<Link> {
    let (requests, inbox) = sync_channel(1);
    let (outbox, replies) = sync_channel(1);
    thread::Builder::new()
        .name("helper".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || keep(keeper, &inbox, &outbox, &waker))?;
    Ok(Link { requests, replies })
}

fn keep(
    mut keeper: Keeper,
    inbox: &Receiver<Request>,
    outbox: &SyncSender<Outcome>,
    waker: &Waker,
) {
    loop {
        let request = match keeper.next_look() {
            Some(after) => inbox.recv_timeout(after),
            None => inbox.recv().map_err(RecvTimeoutError::from),
        };
        match request {
            Ok(request) => {
                let outcome = keeper.handle(request);
                if outbox.send(outcome).is_err() || waker.wake().is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => keeper.look(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
