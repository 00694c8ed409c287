use super::*;
use crate::nvr::port::{Action, LookupId, SocketError};
use crate::nvr::web::client::{Answer, Browser, Site};
use std::net::IpAddr;

const TEST: &str = "/api/cameras/test";

/// A site whose own cameras have been seen to, and somebody who sets up cameras.
fn site() -> (Site, Browser) {
    let (mut site, anna, _) = Site::with_users();
    site.pass(Duration::from_secs(2));
    site.network.clear();
    (site, anna)
}

fn camera() -> Value {
    json!({ "camera": {
        "username": "admin",
        "password": "hunter2!",
        "streams": {
            "main": { "url": "rtsp://camera.example/main" },
            "sub": { "url": "rtsp://camera.example/sub" },
        },
    }})
}

/// Asks for a look, whose answer comes later.
fn ask(site: &mut Site, who: &Browser, mut body: Value) -> ConnId {
    body["csrf"] = json!(who.csrf);
    let conn = site.connect(who);
    site.write(who, conn, ("POST", TEST), "", &body.to_string());
    conn
}

fn lookup(site: &mut Site, wanted: &str) -> LookupId {
    match site.network.pop_front() {
        Some(Action::Lookup { lookup, host }) if host == wanted => lookup,
        other => panic!("{other:?}"),
    }
}

fn resolve(site: &mut Site) {
    let lookup = lookup(site, "camera.example");
    let result = Ok(vec![IpAddr::from([192, 0, 2, 7])]);
    site.tell(Event::Resolved { lookup, result });
}

fn connecting(site: &mut Site) -> ConnId {
    match site.network.pop_front() {
        Some(Action::Connect { conn, .. }) => conn,
        other => panic!("{other:?}"),
    }
}

/// The camera answers the newest request with this status line and these fields.
fn reply(site: &mut Site, conn: ConnId, status: &str, fields: &str) -> String {
    let request = site.sent_to(conn);
    let cseq = request
        .lines()
        .find_map(|l| l.strip_prefix("CSeq: "))
        .unwrap();
    let text = format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{fields}\r\n");
    let bytes = text.as_bytes();
    site.tell(Event::Received { conn, bytes });
    request
}

fn errors(answer: &Answer) -> Vec<(String, String)> {
    let streams = answer.is(200).json()["streams"].take();
    let kind = |s: &Value| s["error"]["kind"].as_str().unwrap_or("ok").to_owned();
    let all = streams.as_object().unwrap().iter();
    all.map(|(name, s)| (name.clone(), kind(s))).collect()
}

fn both(kind: &str) -> Vec<(String, String)> {
    ["main", "sub"]
        .map(|s| (s.to_owned(), kind.to_owned()))
        .into()
}

#[test]
fn only_who_sets_cameras_up_may_ask() {
    let (mut site, anna, bert) = Site::with_users();
    site.guards(("POST", TEST), &camera(), &anna, Some(&bert));
    site.get(&anna, TEST).refuses(405, "only POST");
    for (body, words) in [
        (json!({}), "say which stream"),
        (
            json!({ "camera": { "streams": { "main": {} } } }),
            "the main stream needs a url",
        ),
        (
            json!({ "camera": { "streams": { "main": { "url": "x" } } } }),
            "url of main",
        ),
    ] {
        let answer = site.change(&anna, "POST", TEST, body);
        answer.refuses(400, words);
    }
    let body = json!({ "uuid": Uuid::from_u128(1) });
    let answer = site.change(&anna, "POST", TEST, body);
    answer.refuses(404, "nothing by that name");
    assert!(site.nvr.web.tests.running.is_empty());
}

#[test]
fn a_name_that_nobody_knows_is_looked_up_once() {
    let (mut site, anna) = site();
    let conn = ask(&mut site, &anna, camera());
    let lookup = lookup(&mut site, "camera.example");
    let result = Err("no such host".to_owned());
    site.tell(Event::Resolved { lookup, result });
    let answer = site.read(conn).unwrap();
    assert_eq!(errors(&answer), both("name"));
    assert!(answer.body.contains("nobody knows the name camera.example"));
    assert!(site.network.is_empty());
}

#[test]
fn a_port_where_nothing_listens() {
    let (mut site, anna) = site();
    let conn = ask(&mut site, &anna, camera());
    resolve(&mut site);
    let to_camera = connecting(&mut site);
    let reason = Err(SocketError::Refused);
    site.tell(Event::Closed {
        conn: to_camera,
        reason,
    });
    let answer = site.read(conn).unwrap();
    assert_eq!(errors(&answer), both("refused"));
    assert!(
        answer.body.contains("nothing listens on its port 554"),
        "{answer:?}"
    );
    assert!(site.network.is_empty());
    assert!(site.nvr.web.tests.running.is_empty());
}

#[test]
fn a_wrong_password_is_tried_once() {
    let (mut site, anna) = site();
    let conn = ask(&mut site, &anna, camera());
    resolve(&mut site);
    let to_camera = connecting(&mut site);
    site.tell(Event::Connected { conn: to_camera });
    let wants = "WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n";
    let mut tried = 0;
    for _ in 0..8 {
        if site.is_closed(to_camera) {
            break;
        }
        let request = reply(&mut site, to_camera, "401 Unauthorized", wants);
        tried += usize::from(request.contains("Authorization: "));
    }
    assert_eq!(tried, 1);
    let answer = site.read(conn).unwrap();
    assert_eq!(errors(&answer), both("password"));
    assert!(answer.body.contains("They were tried once"), "{answer:?}");
    assert!(!answer.body.contains("hunter2"));
    // Nor was the sub stream asked for.
    assert!(site.network.is_empty());
}

#[test]
fn a_path_that_is_not_there_says_nothing_of_the_other() {
    let (mut site, anna) = site();
    let conn = ask(&mut site, &anna, camera());
    for _ in 0..2 {
        resolve(&mut site);
        let to_camera = connecting(&mut site);
        site.tell(Event::Connected { conn: to_camera });
        while !site.is_closed(to_camera) {
            reply(&mut site, to_camera, "404 Not Found", "");
        }
    }
    let answer = site.read(conn).unwrap();
    assert_eq!(errors(&answer), both("path"));
}

#[test]
fn one_that_says_nothing_is_given_up() {
    let (mut site, anna) = site();
    let conn = ask(&mut site, &anna, camera());
    resolve(&mut site);
    let to_camera = connecting(&mut site);
    site.tell(Event::Connected { conn: to_camera });
    for _ in 0..25 {
        site.pass(Duration::from_secs(1));
        if let Some(Action::Lookup { .. }) = site.network.front() {
            resolve(&mut site);
        }
    }
    let answer = site.read(conn).unwrap();
    assert_eq!(errors(&answer)[0], ("main".to_owned(), "silent".to_owned()));
    assert!(site.nvr.web.tests.running.is_empty());
}

#[test]
fn few_looks_at_a_time_and_none_for_those_who_went_away() {
    let (mut site, anna) = site();
    let waiting: Vec<ConnId> = (0..MAX_TESTS)
        .map(|_| ask(&mut site, &anna, camera()))
        .collect();
    let answer = site.change(&anna, "POST", TEST, camera());
    answer.refuses(503, "other cameras are being tested");
    assert_eq!(answer.field("retry-after"), Some("5"));
    for conn in waiting {
        let reason = Ok(());
        site.tell(Event::Closed { conn, reason });
    }
    assert!(site.nvr.web.tests.running.is_empty());
    // What comes for them is nobody's.
    resolve(&mut site);
    site.network.clear();
    ask(&mut site, &anna, camera());
    lookup(&mut site, "camera.example");
}

#[test]
fn a_stored_password_goes_to_no_other_host() {
    let (mut site, anna) = site();
    let mut made = camera();
    made["camera"]["shortName"] = json!("garden");
    let made = site
        .change(&anna, "POST", "/api/cameras/", made)
        .is(200)
        .json();
    let elsewhere = json!({ "main": { "url": "rtsp://evil.example/main" } });
    let mut body = json!({ "uuid": made["uuid"], "camera": { "streams": elsewhere } });
    let answer = site.change(&anna, "POST", TEST, body.clone());
    answer.refuses(400, "another host than the password was given for");
    body["camera"]["password"] = json!("another");
    site.pass(Duration::from_secs(2));
    site.network.clear();
    ask(&mut site, &anna, body);
    lookup(&mut site, "evil.example");
}
