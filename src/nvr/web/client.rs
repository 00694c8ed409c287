//! For tests: the recorder with its database in memory, a helper that answers at once or when it is told
//! to, and those who ask over HTTP.

use crate::appliance::protocol;
use crate::config::{CameraConfig, Config, HttpConfig, Listen, Secret, StreamConfig};
use crate::db::{self, Database, Reply, UserReply, UserRequest};
use crate::decoder;
use crate::nvr::Nvr;
use crate::nvr::port::{Action, ConnId, Core, DbId, Event, HelperId, LogRecord};
use crate::time::{Duration90k, Monotonic, Now, Wall90k};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// 2026-11-22T10:00:00Z.
pub const START: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

/// A password that the tests give to whom they make.
pub const PASSWORD: &str = "correct horse";

/// Header fields that ask for a WebSocket (RFC 6455 section 4.1).
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The recorder, and the world around it.
pub struct Site {
    pub nvr: Nvr,
    pub database: Database,
    pub now: Now,
    /// What the helper was asked for; it answers at once unless it `naps`.
    pub helping: VecDeque<(HelperId, decoder::Request)>,
    pub naps: bool,
    /// What it fails with.
    pub fails: Option<decoder::Error>,
    /// All that it was ever asked for.
    pub helped: Vec<decoder::Request>,
    /// What the steward was asked for, with the bytes that it was brought, and what it answers next;
    /// without any, there is no steward.
    pub stewarded: Vec<(protocol::Request, Vec<u8>)>,
    pub steward_answers: VecDeque<protocol::Answer>,
    pub paused: BTreeSet<ConnId>,
    pub database_naps: bool,
    pub asked: VecDeque<(DbId, db::Request)>,
    pub flushes: Vec<db::Flush>,
    pub log: Vec<LogRecord>,
    /// Lookups and connections that were asked for, and nobody answers by itself.
    pub network: VecDeque<Action>,
    sent: BTreeMap<ConnId, Vec<u8>>,
    closed: BTreeSet<ConnId>,
}

/// Who asks, and what it shows.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The index of the address that it comes by.
    pub listener: usize,
    pub cookie: Option<String>,
    pub bearer: Option<String>,
    pub csrf: Option<String>,
    /// The last byte of its address.
    pub host: u8,
    /// By a UNIX socket, as this user.
    pub uid: Option<u32>,
    pub tls: bool,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|l| l.split_once(": "));
        fields
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
            .next()
    }

    /// Fails unless this is a refusal with a sentence that has these words.
    #[track_caller]
    pub fn refuses(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body.contains(words), "{words:?} is not in {self:?}");
        assert_eq!(
            self.field("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// An address where visitors may do nothing, for all networks.
pub fn public() -> HttpConfig {
    HttpConfig::new(Listen::Tcp("0.0.0.0:8080".parse().unwrap()))
}

impl Site {
    /// One with two cameras and these addresses.
    pub fn new(http: Vec<HttpConfig>) -> Site {
        let cameras = (0..2).map(|n| CameraConfig {
            name: format!("camera{n}"),
            main: Some(StreamConfig::new("rtsp://192.0.2.1/main")),
            ..CameraConfig::default()
        });
        let config = Config {
            sample_dirs: vec![PathBuf::from("/sample")],
            cameras: cameras.collect(),
            http,
            ..Config::default()
        };
        let mut nvr = Nvr::new(config, 1);
        nvr.set_own_uid(1000);
        let mut site = Site {
            nvr,
            database: db::memory(1).unwrap(),
            now: Now {
                monotonic: Monotonic(1_000_000_000),
                wall: START,
            },
            helping: VecDeque::new(),
            naps: false,
            fails: None,
            helped: Vec::new(),
            stewarded: Vec::new(),
            steward_answers: VecDeque::new(),
            paused: BTreeSet::new(),
            database_naps: false,
            asked: VecDeque::new(),
            flushes: Vec::new(),
            log: Vec::new(),
            network: VecDeque::new(),
            sent: BTreeMap::new(),
            closed: BTreeSet::new(),
        };
        site.tell(Event::Timeout);
        site
    }

    /// One with a public address, the administrator Anna, who is signed in, and Bert, who may watch.
    pub fn with_users() -> (Site, Browser, Browser) {
        let mut site = Site::new(vec![public()]);
        site.make_user(
            "anna",
            json!({ "administer": true, "configure": true, "viewLive": true }),
        );
        site.make_user("bert", json!({ "viewVideo": true }));
        let anna = site.sign_in("anna");
        let bert = site.sign_in("bert");
        // What every recorder asks at its start.
        site.stewarded.clear();
        (site, anna, bert)
    }

    /// Makes a user behind the recorder's back; its id.
    pub fn make_user(&mut self, name: &str, permissions: Value) -> i64 {
        let patch: crate::access::PermissionsPatch = serde_json::from_value(permissions).unwrap();
        let new = db::NewUser {
            name: name.to_owned(),
            password_hash: Some(hash(PASSWORD)),
            permissions: patch.apply(crate::access::Permissions::NONE),
            ..db::NewUser::default()
        };
        let create = db::Request::Users(UserRequest::Create(new));
        match self.database.handle(create).unwrap() {
            Reply::Users(UserReply::User(user)) => user.id.0,
            other => panic!("{other:?}"),
        }
    }

    /// Signs somebody in, with the CSRF value that its page gets.
    pub fn sign_in(&mut self, name: &str) -> Browser {
        let mut browser = Browser {
            host: 7,
            ..Browser::default()
        };
        let body = json!({ "username": name, "password": PASSWORD });
        let answer = self.send(&browser, "POST", "/api/login", &body.to_string());
        browser.cookie = Some(cookie(answer.is(204)));
        self.load_page(&mut browser);
        browser
    }

    /// Asks for what each page begins with.
    pub fn load_page(&mut self, browser: &mut Browser) {
        let top = self.get(browser, "/api/");
        let csrf = top.is(200).json()["user"]["session"]["csrf"].take();
        browser.csrf = csrf.as_str().map(str::to_owned);
    }

    pub fn tell(&mut self, event: Event<'_>) {
        self.nvr.handle(self.now, event);
        while let Some(action) = self.nvr.next_action() {
            match action {
                Action::Db { id, request } if self.database_naps => {
                    self.asked.push_back((id, request));
                }
                Action::Db { id, request } => self.answer_database(id, request),
                Action::Helper { id, request } => {
                    self.helped.push(request.clone());
                    self.helping.push_back((id, request));
                    if !self.naps {
                        self.wake_helper();
                    }
                }
                Action::Steward { id, request, bytes } => {
                    self.stewarded.push((*request, bytes));
                    let none = || {
                        let kind = protocol::RefusalKind::NoAppliance;
                        Err(protocol::Refusal::new(kind, "this machine is none"))
                    };
                    let result = self.steward_answers.pop_front().unwrap_or_else(none);
                    self.nvr.handle(self.now, Event::Steward { id, result });
                }
                Action::Pause { conn } => {
                    self.paused.insert(conn);
                }
                Action::Resume { conn } => {
                    self.paused.remove(&conn);
                }
                Action::Send { conn, bytes } => {
                    self.sent.entry(conn).or_default().extend(bytes);
                    self.nvr.handle(self.now, Event::Drained { conn });
                }
                Action::Close { conn, .. } => {
                    self.closed.insert(conn);
                }
                Action::Log(record) => self.log.push(record),
                Action::Lookup { .. }
                | Action::Connect { .. }
                | Action::BindGroup { .. }
                | Action::SendTo { .. } => self.network.push_back(action),
                _ => {}
            }
        }
    }

    fn answer_database(&mut self, id: DbId, request: db::Request) {
        if let db::Request::Flush(flush) = &request {
            self.flushes.push((**flush).clone());
        }
        let result = self.database.handle(request);
        self.nvr.handle(self.now, Event::Db { id, result });
    }

    /// The database answers what it was asked meanwhile.
    pub fn wake_database(&mut self) {
        self.database_naps = false;
        while let Some((id, request)) = self.asked.pop_front() {
            let result = self.database.handle(request);
            self.tell(Event::Db { id, result });
        }
    }

    /// The helper answers all that waits.
    pub fn wake_helper(&mut self) {
        while let Some((id, request)) = self.helping.pop_front() {
            let result = match (&self.fails, request) {
                (Some(error), _) => Err(error.clone()),
                (None, decoder::Request::HashPassword(Secret(password))) => {
                    Ok(decoder::Reply::Hash(hash(&password)))
                }
                (None, decoder::Request::VerifyPassword { password, hash: of }) => {
                    Ok(decoder::Reply::Verified(hash(&password.0) == of))
                }
                (None, other) => panic!("{other:?}"),
            };
            self.tell(Event::Helper { id, result });
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.monotonic = self.now.monotonic + time;
        self.now.wall = self.now.wall + Duration90k(time.as_millis() as i64 * 90);
        self.tell(Event::Timeout);
    }

    /// Somebody connects.
    pub fn connect(&mut self, browser: &Browser) -> ConnId {
        let conn = self.nvr.allocate_conn();
        let peer = ([192, 0, 2, browser.host], 40_000).into();
        self.tell(Event::Accepted {
            conn,
            listener: browser.listener,
            peer: browser.uid.is_none().then_some(peer),
            uid: browser.uid,
            tls: browser.tls,
        });
        conn
    }

    /// Sends a request with these further header fields, and leaves it at that.
    pub fn write(
        &mut self,
        browser: &Browser,
        conn: ConnId,
        (method, path): (&str, &str),
        fields: &str,
        body: &str,
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: nvr.local:8080\r\n{fields}");
        if let Some(cookie) = &browser.cookie {
            head += &format!("Cookie: s={cookie}\r\n");
        }
        if let Some(token) = &browser.bearer {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.tell(Event::Received {
            conn,
            bytes: head.as_bytes(),
        });
    }

    /// Opens a live view of the first camera.
    #[track_caller]
    pub fn watch(&mut self, browser: &Browser) -> ConnId {
        let conn = self.connect(browser);
        let path = self.live_path();
        self.write(browser, conn, ("GET", &path), UPGRADE, "");
        self.read(conn).unwrap().is(101);
        conn
    }

    pub fn live_path(&self) -> String {
        format!("/api/cameras/{}/main/live.m4s", self.nvr.cameras[0].uuid)
    }

    /// What was sent to a connection since it was last asked for.
    pub fn read(&mut self, conn: ConnId) -> Option<Answer> {
        let bytes = self.sent.remove(&conn)?;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Some(Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// What was sent to a connection that is no browser's.
    pub fn sent_to(&mut self, conn: ConnId) -> String {
        String::from_utf8(self.sent.remove(&conn).unwrap_or_default()).unwrap()
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }

    /// A request on a connection of its own, and its answer.
    #[track_caller]
    pub fn send(&mut self, browser: &Browser, method: &str, path: &str, body: &str) -> Answer {
        let conn = self.connect(browser);
        self.write(browser, conn, (method, path), "", body);
        let answer = self.read(conn).expect("an answer");
        self.tell(Event::Closed {
            conn,
            reason: Ok(()),
        });
        answer
    }

    #[track_caller]
    pub fn get(&mut self, browser: &Browser, path: &str) -> Answer {
        self.send(browser, "GET", path, "")
    }

    /// A change, with the CSRF value that the browser has.
    #[track_caller]
    pub fn change(
        &mut self,
        browser: &Browser,
        method: &str,
        path: &str,
        mut body: Value,
    ) -> Answer {
        if let Some(csrf) = &browser.csrf {
            body["csrf"] = json!(csrf);
        }
        self.send(browser, method, path, &body.to_string())
    }

    /// What is so of each route that changes something: nobody does it who has not signed in, who may
    /// not, whose page is another one, or whom nobody understands. `body` would be good of `may`.
    #[track_caller]
    pub fn guards(
        &mut self,
        (method, path): (&str, &str),
        body: &Value,
        may: &Browser,
        may_not: Option<&Browser>,
    ) {
        let visitor = Browser::default();
        let answer = self.change(&visitor, method, path, body.clone());
        answer.refuses(401, "sign in first");
        if let Some(may_not) = may_not {
            let answer = self.change(may_not, method, path, body.clone());
            answer.refuses(403, "you may not do that");
        }
        for csrf in [None, Some("AAAA".to_owned())] {
            let forged = Browser {
                csrf,
                ..may.clone()
            };
            let answer = self.change(&forged, method, path, body.clone());
            answer.refuses(403, "the csrf value is missing or wrong");
        }
        let csrf = may.csrf.as_deref().unwrap();
        for (bad, words) in [
            ("{", "the body cannot be read: EOF while parsing"),
            ("[1]", "the body cannot be read"),
            (
                &format!(r#"{{"csrf":"{csrf}","nonsense":1}}"#),
                "unknown field `nonsense`",
            ),
        ] {
            let answer = self.send(may, method, path, bad);
            answer.refuses(400, words);
        }
        let fields = "Origin: http://evil.example\r\n";
        let conn = self.connect(may);
        let mut good = body.clone();
        good["csrf"] = json!(csrf);
        self.write(may, conn, (method, path), fields, &good.to_string());
        let answer = self.read(conn).unwrap();
        answer.refuses(403, "a page of another site may not ask for this");
    }
}

/// The value of the cookie that is set.
pub fn cookie(answer: &Answer) -> String {
    let set = answer.field("set-cookie").expect("a cookie");
    let value = set.split(';').next().unwrap();
    value.strip_prefix("s=").unwrap().to_owned()
}

/// The hash that the helper of these tests makes.
pub fn hash(password: &str) -> Secret {
    Secret(format!("$fake${password}"))
}
