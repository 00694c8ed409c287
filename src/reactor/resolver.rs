//! Names to addresses: `getaddrinfo`, which blocks for as long as it likes, on threads of its own.

use super::workers::Workers;
use crate::nvr::port::LookupId;
use crate::time::Monotonic;
use mio::Waker;
use std::collections::VecDeque;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

/// Two, so that one name server that hangs does not hold up every camera.
const THREADS: usize = 2;

/// Lookups that wait; further ones fail at once.
const MAX_WAITING: usize = 256;

/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Core(LookupId),
    Log,
}

/// An answer.
pub(super) type Answer = (Asker, Result<Vec<IpAddr>, String>);

/// Resolves names. Its threads start with the first that is not a plain address.
#[derive(Debug)]
pub(super) struct Resolver {
    waker: Arc<Waker>,
    workers: Option<Workers<(Asker, String), Answer>>,
    known: VecDeque<Answer>,
}

impl Resolver {
    pub(super) fn new(waker: Arc<Waker>) -> Resolver {
        Resolver {
            waker,
            workers: None,
            known: VecDeque::new(),
        }
    }

    /// Asks for the addresses of `host`: a name, an IPv4 address, or an IPv6 address with or without
    /// brackets.
    pub(super) fn ask(&mut self, now: Monotonic, asker: Asker, host: String) {
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(&host);
        if let Ok(addr) = bare.parse() {
            self.known.push_back((asker, Ok(vec![addr])));
            return;
        }
        let host = bare.to_owned();
        if self.workers.is_none() {
            let handlers = vec![|(asker, host): (Asker, String)| (asker, resolve(&host)); THREADS];
            self.workers = Workers::start("resolver", handlers, MAX_WAITING, &self.waker).ok();
        }
        let refused = match &mut self.workers {
            Some(workers) => workers.submit(now, (asker, host)).err(),
            None => Some((asker, host)),
        };
        if let Some((asker, host)) = refused {
            let why = format!("{host}: too many names to resolve");
            self.known.push_back((asker, Err(why)));
        }
    }

    pub(super) fn next_answer(&mut self, now: Monotonic) -> Option<Answer> {
        self.known
            .pop_front()
            .or_else(|| self.workers.as_mut()?.next_reply(now))
    }

    /// Whether [`Self::next_answer`] has one that no wake-up will tell of.
    pub(super) fn has_answer(&self) -> bool {
        !self.known.is_empty()
    }
}

fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let mut addrs: Vec<IpAddr> = Vec::new();
    let found = (host, 0).to_socket_addrs().map_err(|e| e.to_string())?;
    for ip in found.map(|a| a.ip()) {
        if !addrs.contains(&ip) && addrs.len() < MAX_ADDRESSES {
            addrs.push(ip);
        }
    }
    match addrs.is_empty() {
        true => Err(format!("{host} has no address")),
        false => Ok(addrs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    #[test]
    fn addresses_need_no_thread_and_names_do() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        let now = Monotonic(0);
        let id = |n| Asker::Core(LookupId(n));
        for (n, host, addr) in [
            (1, "192.0.2.7", "192.0.2.7"),
            (2, "2001:db8::1", "2001:db8::1"),
            (3, "[2001:db8::1]", "2001:db8::1"),
        ] {
            resolver.ask(now, id(n), host.into());
            let expected = (id(n), Ok(vec![addr.parse().unwrap()]));
            assert_eq!(resolver.next_answer(now), Some(expected));
        }
        assert!(resolver.workers.is_none());

        resolver.ask(now, id(4), "localhost".into());
        resolver.ask(now, id(5), "no such name".into());
        let mut events = Events::with_capacity(4);
        let mut answers = Vec::new();
        while answers.len() < 2 {
            poll.poll(&mut events, Some(Duration::from_secs(60)))
                .unwrap();
            assert!(!events.is_empty(), "no answer");
            while let Some(answer) = resolver.next_answer(now) {
                answers.push(answer);
            }
        }
        for (asker, result) in answers {
            match result {
                Ok(addrs) => {
                    assert_eq!(asker, id(4));
                    assert!(addrs.iter().all(|a| a.is_loopback()));
                }
                Err(_) => assert_eq!(asker, id(5)),
            }
        }
    }
}
