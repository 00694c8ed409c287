//! `GET /api/log`: the newest lines of the log.

use super::refusal::bad;
use crate::config::Severity;
use crate::http::{Request, Response, Status};
use crate::nvr::log_book::{Line, LogBook, Wanted};
use serde_json::{Value, json};

/// So many lines are told unless more or fewer are asked for, and at most.
const LINES: usize = 500;
const MAX_LINES: usize = 5_000;

/// The lines that a request asks for.
pub fn answer(book: &LogBook, request: &Request) -> Result<Response, Box<Response>> {
    let wanted = wanted(request)?;
    let (lines, lost) = book.find(&wanted);
    let lines: Vec<Value> = lines.into_iter().map(line).collect();
    Ok(Response::json(
        Status::Ok,
        &json!({ "lines": lines, "last": book.last(), "incomplete": lost }),
    ))
}

fn wanted(request: &Request) -> Result<Wanted, Box<Response>> {
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
    Ok(wanted)
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
    use crate::nvr::web::client::{Browser, Site};
    use serde_json::json;

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
    fn malformed_wishes_are_refused() {
        let (mut site, admin, _) = Site::with_users();
        for (query, words) in [
            ("after=x", "after is a line's number"),
            ("limit=0", "limit is a number from 1 to 5000"),
            ("limit=5001", "limit is a number from 1 to 5000"),
            ("level=loud", "level is one of critical, error, warning"),
        ] {
            let answer = site.get(&admin, &format!("/api/log?{query}"));
            answer.refuses(400, words);
        }
    }
}
