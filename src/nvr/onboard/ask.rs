//! Devices that are asked by ONVIF who they are and where their streams are, a few at a time.

use super::device::{Account, State};
use super::exchange::Exchange;
use crate::http::ClientResponse;
use crate::nvr::outbox::OfOnboard;
use crate::nvr::port::{Event, SocketError};
use crate::nvr::{Clock, Cx, Nvr, Phase, cx};
use crate::onvif::Interview;
use crate::onvif::soap::SoapError;
use crate::time::{Monotonic, Now, TICKS_PER_SECOND};
use rand_core::RngCore;
use std::net::SocketAddr;
use std::time::Duration;

/// Devices that are asked at a time; further ones wait.
pub const MAX_ASKED: usize = 4;

/// How long one answer may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How many answers are waited for: some calls are sent twice, to show who asks.
const MAX_CALLS: u32 = 30;

/// How often a device is shown an account that it neither takes nor refuses: its answer is lost, late or
/// cannot be read. Most lock an account after five wrong passwords or more.
pub const MAX_SHOWN_IN_VAIN: u32 = 3;

/// An interview under way.
pub struct Ask {
    pub account: Account,
    interview: Interview,
    exchange: Option<Exchange>,
    calls: u32,
}

impl Ask {
    /// How often the account was shown in vain, with what was before.
    pub fn shown_in_vain(&self, before: u32) -> u32 {
        match self.interview.is_proven() {
            true => 0,
            false => before + self.interview.shown_in_vain(),
        }
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.exchange.as_ref().map(|e| e.deadline)
    }
}

/// What an interview has come to.
enum Outcome {
    On,
    Done,
    Refused(String),
    Failed(String),
}

/// Seconds since 1970 by the recorder's clock.
pub fn unix_secs(cx: &Cx<'_>) -> i64 {
    cx.wall.0.div_euclid(TICKS_PER_SECOND)
}

impl Nvr {
    /// Begins with those that wait, as far as there is room.
    pub(super) fn ask_more(&mut self, now: Now) {
        loop {
            let devices = &self.onboard.devices;
            let asked = devices
                .values()
                .filter(|d| matches!(d.state, State::Asking(_)));
            if asked.count() >= MAX_ASKED {
                return;
            }
            let waiting = devices
                .values()
                .find(|d| matches!(d.state, State::Waiting(_)));
            let Some(id) = waiting.map(|d| d.id) else {
                return;
            };
            self.begin_to_ask(now, id);
        }
    }

    fn begin_to_ask(&mut self, now: Now, id: u32) {
        let seed = self.rng.next_u64();
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        let State::Waiting(account) = std::mem::replace(&mut device.state, State::Found) else {
            return;
        };
        let Some(service) = device.service.clone() else {
            return self.look_at_paths(now, id, account);
        };
        let interview = Interview::new(service, &account.username, &account.password, seed);
        device.state = State::Asking(Box::new(Ask {
            account,
            interview,
            exchange: None,
            calls: 0,
        }));
        self.ask_next(now, id);
    }

    /// Makes the next call, or looks at the streams once all is asked.
    fn ask_next(&mut self, now: Now, id: u32) {
        let secs = unix_secs(&cx!(self, now));
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        let State::Asking(ask) = &mut device.state else {
            return;
        };
        let shown = ask.shown_in_vain(device.shown_in_vain);
        let outcome = match ask.interview.next_request(secs) {
            // The request is not sent.
            Some(_) if shown >= MAX_SHOWN_IN_VAIN && ask.interview.is_about_to_show() => {
                let why = "it says neither yes nor no to this user name and password, which are not tried \
                           any more, lest it lock the account";
                Outcome::Failed(why.to_owned())
            }
            None => Outcome::Done,
            Some(_) if ask.calls >= MAX_CALLS => {
                Outcome::Failed("it never comes to an end".to_owned())
            }
            Some(request) => {
                let port = device.service.as_ref().and_then(|s| s.port()).unwrap_or(80);
                let to = SocketAddr::from((device.address, port));
                let of = OfOnboard::Ask(id);
                let out = &mut self.out;
                ask.calls += 1;
                let exchange = Exchange::begin(out, now.monotonic, of, to, &request, CALL_LIMIT);
                let deadline = exchange.deadline;
                ask.exchange = Some(exchange);
                self.wake_at(Some(deadline));
                Outcome::On
            }
        };
        self.asked(now, id, outcome);
    }

    /// Something happened to the connection of a call.
    pub(super) fn ask_event(&mut self, now: Now, id: u32, event: Event<'_>) {
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        let State::Asking(ask) = &mut device.state else {
            return;
        };
        let Some(exchange) = &mut ask.exchange else {
            return;
        };
        let result = match event {
            Event::Connected { conn } if conn == exchange.conn => {
                return exchange.connected(&mut self.out);
            }
            Event::Received { conn, bytes } if conn == exchange.conn => {
                exchange.received(&mut self.out, bytes)
            }
            Event::Closed { conn, reason } if conn == exchange.conn => {
                ask.exchange.take().map(|e| e.closed(reason))
            }
            _ => None,
        };
        if let Some(result) = result {
            ask.exchange = None;
            self.call_answered(now, id, result);
        }
    }

    fn call_answered(&mut self, now: Now, id: u32, result: Result<ClientResponse, String>) {
        let secs = unix_secs(&cx!(self, now));
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        let State::Asking(ask) = &mut device.state else {
            return;
        };
        let response = match result {
            Ok(response) => response,
            Err(why) => return self.asked(now, id, Outcome::Failed(why)),
        };
        match ask.interview.answered(&response, secs) {
            Ok(()) => self.ask_next(now, id),
            Err(SoapError::Refused) if ask.account.username.is_empty() => {
                let why = "it wants a user name and password".to_owned();
                self.asked(now, id, Outcome::Refused(why));
            }
            Err(SoapError::Refused) => {
                let why = "it refuses this user name and password. They were tried once and are \
                           not tried again, lest it lock the account";
                self.asked(now, id, Outcome::Refused(why.to_owned()));
            }
            Err(e) => self.asked(now, id, Outcome::Failed(e.to_string())),
        }
    }

    fn asked(&mut self, now: Now, id: u32, outcome: Outcome) {
        match outcome {
            Outcome::On => return,
            Outcome::Done => {
                let Some(device) = self.onboard.devices.get_mut(&id) else {
                    return;
                };
                if let State::Asking(ask) = std::mem::replace(&mut device.state, State::Found) {
                    device.shown_in_vain = ask.shown_in_vain(device.shown_in_vain);
                    let report = ask.interview.into_report();
                    device.told(&report);
                    self.look_at_offers(now, id, ask.account, report);
                }
            }
            Outcome::Refused(why) => self.settle(now, id, State::Refused(why)),
            Outcome::Failed(why) => self.settle(now, id, State::Failed(why)),
        }
        self.ask_more(now);
    }

    /// Calls that take too long.
    pub(super) fn ask_timeouts(&mut self, now: Now) {
        let due = |s: &State| match s {
            State::Asking(ask) => ask.next_timeout().is_some_and(|t| t <= now.monotonic),
            _ => false,
        };
        let devices = self.onboard.devices.values();
        let ids: Vec<u32> = devices.filter(|d| due(&d.state)).map(|d| d.id).collect();
        for id in ids {
            let Some(device) = self.onboard.devices.get_mut(&id) else {
                continue;
            };
            let State::Asking(ask) = &mut device.state else {
                continue;
            };
            if let Some(exchange) = ask.exchange.take() {
                exchange.abort(&mut self.out);
            }
            let why = format!("it does not answer ({})", SocketError::TimedOut);
            self.asked(now, id, Outcome::Failed(why));
        }
    }
}
