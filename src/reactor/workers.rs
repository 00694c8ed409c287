//! Threads for what may block: bounded requests in, replies out, and a wake-up for the loop.
//!
//! The database, name resolution, reading the configuration again and (without `io_uring`, or for
//! what it cannot do) the disk work this way. A thread that hangs holds up nobody but those who wait
//! for it; how long it has not moved is known ([`Workers::stuck_since`]).

use crate::time::Monotonic;
use mio::Waker;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// A thread needs little: no recursion, no large arrays. SQLite asks for the most.
const STACK_BYTES: usize = 512 << 10;

/// A few threads that answer requests of type `Q` with replies of type `R`.
///
/// Dropping it lets the threads finish what was accepted and end; it does not wait for them.
#[derive(Debug)]
pub(super) struct Workers<Q, R> {
    requests: SyncSender<Q>,
    replies: Receiver<R>,
    outstanding: usize,
    moved: Monotonic,
}

impl<Q: Send + 'static, R: Send + 'static> Workers<Q, R> {
    /// Starts one thread for each of `handlers`, of which each takes the next request that waits.
    /// At most `capacity` requests wait.
    pub(super) fn start<H>(
        name: &str,
        handlers: Vec<H>,
        capacity: usize,
        waker: &Arc<Waker>,
    ) -> io::Result<Workers<Q, R>>
    where
        H: FnMut(Q) -> R + Send + 'static,
    {
        let (requests, inbox) = sync_channel(capacity);
        let (outbox, replies) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for handler in handlers {
            let (inbox, outbox, waker) = (inbox.clone(), outbox.clone(), waker.clone());
            thread::Builder::new()
                .name(name.to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&inbox, &outbox, &waker, handler))?;
        }
        Ok(Workers {
            requests,
            replies,
            outstanding: 0,
            moved: Monotonic::default(),
        })
    }

    /// Hands over a request; gives it back if too many are waiting or the threads have died.
    pub(super) fn submit(&mut self, now: Monotonic, request: Q) -> Result<(), Q> {
        match self.requests.try_send(request) {
            Ok(()) => {
                if self.outstanding == 0 {
                    self.moved = now;
                }
                self.outstanding += 1;
                Ok(())
            }
            Err(TrySendError::Full(q) | TrySendError::Disconnected(q)) => Err(q),
        }
    }

    /// The next reply, if there is one.
    pub(super) fn next_reply(&mut self, now: Monotonic) -> Option<R> {
        let reply = self.replies.try_recv().ok()?;
        self.outstanding -= 1;
        self.moved = now;
        Some(reply)
    }

    /// Since when a request has waited without any being answered; `None` if none waits.
    pub(super) fn stuck_since(&self) -> Option<Monotonic> {
        (self.outstanding > 0).then_some(self.moved)
    }
}

fn work<Q, R>(
    inbox: &Mutex<Receiver<Q>>,
    outbox: &Sender<R>,
    waker: &Waker,
    mut handler: impl FnMut(Q) -> R,
) {
    loop {
        // One thread waits within the lock, the others for the lock: it comes to the same.
        let request = match inbox.lock() {
            Ok(inbox) => inbox.recv(),
            Err(_) => return,
        };
        let Ok(request) = request else { return };
        if outbox.send(handler(request)).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    const T0: Monotonic = Monotonic(1);
    const T1: Monotonic = Monotonic(2);

    #[test]
    fn requests_are_bounded_and_answered() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (open, gate) = sync_channel::<()>(8);
        let handler = move |n: u32| {
            gate.recv().unwrap();
            n * 2
        };
        let mut workers = Workers::start("test", vec![handler], 2, &waker).unwrap();
        assert_eq!(workers.stuck_since(), None);
        // One is in the thread's hands or waiting, and two more wait at most.
        let accepted = (0..10).filter(|n| workers.submit(T0, *n).is_ok()).count();
        assert!((2..=3).contains(&accepted), "{accepted}");
        assert_eq!(workers.stuck_since(), Some(T0));
        for _ in 0..accepted {
            open.send(()).unwrap();
        }
        let mut replies = Vec::new();
        let mut events = Events::with_capacity(4);
        while replies.len() < accepted {
            poll.poll(&mut events, Some(Duration::from_secs(10)))
                .unwrap();
            assert!(!events.is_empty(), "nobody woke us");
            while let Some(r) = workers.next_reply(T1) {
                replies.push(r);
            }
        }
        assert_eq!(replies[..2], [0, 2]);
        assert_eq!(workers.stuck_since(), None);
    }
}
