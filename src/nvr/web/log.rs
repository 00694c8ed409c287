//! `GET /api/log`: the newest lines of the log, and those to come.

use super::refusal::bad;
use super::task::{Need, Task};
use super::{Doing, Stage};
use crate::config::Severity;
use crate::http::{Request, Response, Status};
use crate::nvr::Nvr;
use crate::nvr::log_book::{Line, Wanted};
use crate::nvr::port::ConnId;
use crate::time::{Monotonic, Now};
use serde_json::{Value, json};
use std::time::Duration;

/// So many lines are told unless more or fewer are asked for, and at most.
const LINES: usize = 500;
const MAX_LINES: usize = 5_000;

/// The longest that lines to come are waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Somebody who asks for lines.
pub struct LogTask {
    wanted: Wanted,
    /// Up to when a line may still come, if none is there.
    until: Option<Monotonic>,
}

impl LogTask {
    pub fn new(now: Now, request: &Request) -> Result<LogTask, Box<Response>> {
        let (wanted, wait) = wanted(request)?;
        let until = wait.map(|wait| now.monotonic + wait);
        Ok(LogTask { wanted, until })
    }

    pub fn waits_until(&self) -> Option<Monotonic> {
        self.until
    }
}

impl Nvr {
    pub(super) fn need_of_log(&mut self, now: Now, task: &LogTask) -> Need {
        let book = &mut self.out.log_book;
        let over = task.until.is_none_or(|t| now.monotonic >= t);
        if over || !book.find(&task.wanted).0.is_empty() {
            return Need::Nothing;
        }
        book.await_next();
        self.wake_at(task.until);
        Need::Recorded
    }

    pub(super) fn finish_log(&self, task: &LogTask) -> Response {
        let book = &self.out.log_book;
        let (lines, lost) = book.find(&task.wanted);
        let lines: Vec<Value> = lines.into_iter().map(line).collect();
        Response::json(
            Status::Ok,
            &json!({ "lines": lines, "last": book.last(), "incomplete": lost }),
        )
    }

    /// Looks whether lines have come that somebody waits for. Called after each event.
    pub(in crate::nvr) fn tell_lines(&mut self, now: Now) {
        if !self.out.log_book.take_news() {
            return;
        }
        let waits = |doing: &Doing| match doing {
            Doing::Asking(asking) => matches!(asking.stage, Stage::Working(Task::Log(_))),
            _ => false,
        };
        let waiting = self.web.clients.iter().filter(|(_, c)| waits(&c.doing));
        let waiting: Vec<ConnId> = waiting.map(|(conn, _)| *conn).collect();
        for conn in waiting {
            self.look_into(now, conn);
        }
    }
}

fn wanted(request: &Request) -> Result<(Wanted, Option<Duration>), Box<Response>> {
    let mut wait = None;
    let mut wanted = Wanted {
        after: 0,
        severity: Severity::Info,
        camera: None,
        text: None,
        limit: LINES,
    };
    for (name, value) in request.query_pairs() {
        match &*name {
            "after" => {
                let number = value.parse();
                wanted.after =
                    number.map_err(|_| bad("the query parameter after is a line's number"))?;
            }
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=MAX_LINES).contains(n));
                wanted.limit = limit.ok_or_else(|| {
                    bad(&format!(
                        "the query parameter limit is a number from 1 to {MAX_LINES}"
                    ))
                })?;
            }
            "wait" => {
                let seconds = value.parse().map(Duration::from_secs);
                let seconds = seconds
                    .map_err(|_| bad("the query parameter wait is seconds, a whole number"))?;
                wait = Some(seconds.min(LONGEST_WAIT));
            }
            "level" => {
                let mut all = Severity::ALL.into_iter();
                wanted.severity = all.find(|s| s.as_str() == value).ok_or_else(|| {
                    let words = Severity::ALL.map(Severity::as_str).join(", ");
                    bad(&format!("the query parameter level is one of {words}"))
                })?;
            }
            "camera" => wanted.camera = Some(value.into_owned()),
            "text" => wanted.text = Some(value.into_owned()),
            _ => {}
        }
    }
    Ok((wanted, wait))
}

fn line(line: &Line) -> Value {
    let r = &line.record;
    json!({
        "number": line.number,
        "time90k": line.time.0,
        "level": r.severity.as_str(),
        "event": r.event,
        "camera": r.camera,
        "stream": r.stream,
        "message": r.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvr::port::{Event, LogRecord};
    use crate::nvr::web::client::{Browser, Site};

    fn events(answer: &serde_json::Value) -> Vec<&str> {
        let lines = answer["lines"].as_array().unwrap();
        lines.iter().map(|l| l["event"].as_str().unwrap()).collect()
    }

    #[test]
    fn administrators_read_the_log() {
        let (mut site, admin, viewer) = Site::with_users();
        site.get(&viewer, "/api/log").is(403);
        site.get(&Browser::default(), "/api/log").is(401);
        let before = site.get(&admin, "/api/log").is(200).json();
        let last = before["last"].as_u64().unwrap();
        assert!(last > 0 && before["incomplete"] == json!(false));
        assert!(events(&before).contains(&"access"), "{before}");
        // The refusals are news, looking at the log is none.
        site.get(&viewer, "/api/log").is(403);
        let after = format!("/api/log?after={last}");
        let fresh = site.get(&admin, &after).json();
        assert_eq!(events(&fresh), ["access"]);
        let line = &fresh["lines"][0];
        assert_eq!(line["number"], json!(last + 1));
        assert!(line["message"].as_str().unwrap().ends_with("/api/log 403"));
        let worse = site.get(&admin, &format!("{after}&level=warning")).json();
        assert!(events(&worse).is_empty());
    }

    #[test]
    fn lines_to_come_are_waited_for() {
        let (mut site, admin, viewer) = Site::with_users();
        let last = site.get(&admin, "/api/log").json()["last"]
            .as_u64()
            .unwrap();
        let ask = |last: u64| format!("/api/log?after={last}&wait=3600&level=warning");
        let conn = site.connect(&admin);
        site.write(&admin, conn, ("GET", &ask(last)), "", "");
        // A line that is not wanted, and looking at the log.
        site.get(&viewer, "/api/log").is(403);
        site.get(&admin, "/api/log").is(200);
        assert!(site.read(conn).is_none());
        let record = LogRecord {
            severity: Severity::Warning,
            event: "slow-turn",
            camera: None,
            stream: None,
            message: "a turn took long".to_owned(),
        };
        site.tell(Event::Logged(Box::new(record)));
        let told = site.read(conn).unwrap().json();
        assert_eq!(events(&told), ["slow-turn"]);
        assert_eq!(told["last"], json!(last + 2));

        site.write(&admin, conn, ("GET", &ask(last + 2)), "", "");
        site.pass(LONGEST_WAIT - Duration::from_millis(1));
        assert!(site.read(conn).is_none());
        site.pass(Duration::from_millis(1));
        let none = site.read(conn).unwrap().json();
        assert!(events(&none).is_empty());
    }

    #[test]
    fn malformed_wishes_are_refused() {
        let (mut site, admin, _) = Site::with_users();
        for (query, words) in [
            ("after=x", "after is a line's number"),
            ("limit=0", "limit is a number from 1 to 5000"),
            ("limit=5001", "limit is a number from 1 to 5000"),
            ("wait=-1", "wait is seconds"),
            ("level=loud", "level is one of critical, error, warning"),
        ] {
            let answer = site.get(&admin, &format!("/api/log?{query}"));
            answer.refuses(400, words);
        }
    }
}
