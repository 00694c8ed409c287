//! Signing in and out, and making the first administrator.
//!
//! Signing in asks the database what the password is to be verified against, the helper whether it is
//! that, and the database for a session. Whether there is such a user shows neither in what is
//! answered nor in how long it takes.

use super::Origin;
use super::access::{COOKIE, denied_response, require_own};
use super::exchange::Exchange;
use super::form::{self, Bare, Password};
use super::refusal::{bad, later, refused_by_database, unexpected};
use super::task::{Need, Task};
use crate::access::{
    At, Attempt, Credential, Denied, Outcome, Permissions, Principal, SESSION_LONGEST, SignedIn,
    Token, TooMany, UserId, check_name, password,
};
use crate::config::{HttpConfig, Listen, Secret};
use crate::db::{
    self, Credentials, NewUser, Reply, SessionReply, SessionRequest, UserError, UserReply,
    UserRequest,
};
use crate::decoder;
use crate::http::cookie::{SameSite, SetCookie};
use crate::http::{Request, Response, Status};
use crate::nvr::Nvr;
use crate::nvr::port::Severity;
use crate::time::{Now, TICKS_PER_SECOND};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

/// What a wrong password and an unknown name are told alike.
const WRONG: &str = "the user name or the password is wrong";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    username: String,
    password: Password,
}

/// Somebody signs in, or makes the first administrator and is signed in by that.
pub struct SignIn {
    step: Step,
    name: String,
    password: Secret,
    address: Option<IpAddr>,
    user_agent: String,
    /// The browser is asked to show the cookie by TLS only.
    secure: bool,
}

/// How far it has got.
enum Step {
    /// The database is to be asked what the password is to be verified against.
    Credentials,
    /// The helper is to verify it; against a decoy if nobody of that name can sign in.
    Verify(Option<Credentials>),
    /// The database is to be asked whether there is an administrator.
    First,
    /// The helper is to hash the first administrator's password.
    Hash,
    /// The database is to make the first administrator.
    Create(Secret),
    /// It is to begin a session; the hash is the one that was verified.
    Start(UserId, Secret),
    /// What was asked last is waited for.
    Asked(Waiting),
    Started(Token, Box<SignedIn>),
}

/// What a sign-in waits for.
enum Waiting {
    Credentials,
    Verified(Option<Credentials>),
    First,
    Hash,
    Created(Secret),
    Started,
}

impl SignIn {
    /// What is still wanted. `begin` notes that a password is about to be tried, if it may be.
    fn need(
        &mut self,
        at: At,
        begin: impl FnOnce(&str, Option<IpAddr>) -> Result<Attempt, TooMany>,
    ) -> Result<Need, Box<Response>> {
        let step = std::mem::replace(&mut self.step, Step::Asked(Waiting::Started));
        let (waiting, need) = match step {
            Step::Credentials => {
                let name = self.name.clone();
                let request = UserRequest::Credentials { name };
                (
                    Waiting::Credentials,
                    Need::Database(db::Request::Users(request)),
                )
            }
            Step::Verify(found) => {
                let attempt = begin(&self.name, self.address).map_err(too_many)?;
                let verify = self.verify(found.as_ref());
                (Waiting::Verified(found), Need::Verify(verify, attempt))
            }
            Step::First => {
                let request = UserRequest::AnyAdministrator;
                (Waiting::First, Need::Database(db::Request::Users(request)))
            }
            Step::Hash => {
                let hash = decoder::Request::HashPassword(self.password.clone());
                (Waiting::Hash, Need::Helper(hash))
            }
            Step::Create(hash) => {
                let request = UserRequest::CreateFirst(NewUser {
                    name: self.name.clone(),
                    password_hash: Some(hash.clone()),
                    permissions: Permissions::all(),
                    ..NewUser::default()
                });
                (
                    Waiting::Created(hash),
                    Need::Database(db::Request::Users(request)),
                )
            }
            Step::Start(user, verified) => {
                let request = SessionRequest::Start {
                    user,
                    verified,
                    at,
                    user_agent: self.user_agent.clone(),
                    address: self.address.map_or_else(String::new, |a| a.to_string()),
                };
                (
                    Waiting::Started,
                    Need::Database(db::Request::Sessions(request)),
                )
            }
            step @ (Step::Asked(_) | Step::Started(..)) => {
                self.step = step;
                return Ok(Need::Nothing);
            }
        };
        self.step = Step::Asked(waiting);
        Ok(need)
    }

    fn verify(&self, found: Option<&Credentials>) -> decoder::Request {
        let decoy = || Secret(password::DECOY.to_owned());
        decoder::Request::VerifyPassword {
            password: match self.is_possible() {
                true => self.password.clone(),
                false => Secret::default(),
            },
            hash: found.map_or_else(decoy, |c| c.password_hash.clone()),
        }
    }

    /// Whether anybody can have this password: a longer one is not looked at, but takes its time.
    fn is_possible(&self) -> bool {
        self.password.0.len() <= password::MAX_BYTES
    }

    /// The database has answered.
    pub fn take(&mut self, result: Result<Reply, db::Error>) -> Result<(), Box<Response>> {
        let reply = match result {
            // The password was right, and is no more.
            Err(db::Error::User(UserError::Changed | UserError::UnknownUser)) => {
                return Err(Box::new(Response::text(Status::Forbidden, WRONG)));
            }
            result => result.map_err(|e| refused_by_database(&e))?,
        };
        let step = std::mem::replace(&mut self.step, Step::Asked(Waiting::Started));
        self.step = match (step, reply) {
            (Step::Asked(Waiting::Credentials), Reply::Users(UserReply::Credentials(found))) => {
                Step::Verify(found.filter(|_| self.is_possible()))
            }
            (Step::Asked(Waiting::First), Reply::Users(UserReply::AnyAdministrator(false))) => {
                Step::Hash
            }
            (Step::Asked(Waiting::First), Reply::Users(UserReply::AnyAdministrator(true))) => {
                let there = db::Error::User(UserError::AdministratorExists);
                return Err(refused_by_database(&there));
            }
            (Step::Asked(Waiting::Created(hash)), Reply::Users(UserReply::User(user))) => {
                Step::Start(user.id, hash)
            }
            (
                Step::Asked(Waiting::Started),
                Reply::Sessions(SessionReply::Started { token, who }),
            ) => Step::Started(token, who),
            _ => return Err(Box::new(unexpected())),
        };
        Ok(())
    }

    /// The helper has answered.
    pub fn take_help(&mut self, reply: decoder::Reply) -> Result<(), Box<Response>> {
        let step = std::mem::replace(&mut self.step, Step::Asked(Waiting::Started));
        self.step = match (step, reply) {
            (Step::Asked(Waiting::Verified(found)), decoder::Reply::Verified(right)) => {
                match found.filter(|_| right) {
                    Some(found) => Step::Start(found.user, found.password_hash),
                    None => return Err(Box::new(Response::text(Status::Forbidden, WRONG))),
                }
            }
            (Step::Asked(Waiting::Hash), decoder::Reply::Hash(hash)) => Step::Create(hash),
            _ => return Err(Box::new(unexpected())),
        };
        Ok(())
    }

    /// Who has signed in, once it has.
    pub fn signed_in(&self) -> Option<&SignedIn> {
        match &self.step {
            Step::Started(_, who) => Some(who),
            _ => None,
        }
    }
}

impl Nvr {
    /// `POST /api/login`.
    pub(super) fn begin_sign_in(
        &self,
        origin: &Origin,
        request: &Request,
    ) -> Result<SignIn, Box<Response>> {
        let Body { username, password } = form::read(request)?;
        Ok(self.sign_in(Step::Credentials, origin, request, username, password))
    }

    /// `POST /api/setup`.
    pub(super) fn begin_setup(
        &self,
        origin: &Origin,
        request: &Request,
    ) -> Result<SignIn, Box<Response>> {
        if !self.offers_setup(origin) {
            let sentence = "the first administrator is not made here: run `moonfire-nvr login` on \
                            the recorder";
            return Err(Box::new(Response::text(Status::Forbidden, sentence)));
        }
        let Body { username, password } = form::read(request)?;
        check_name(&username).map_err(|e| bad(&e.to_string()))?;
        password::check(&password.0.0).map_err(|e| bad(&e.to_string()))?;
        Ok(self.sign_in(Step::First, origin, request, username, password))
    }

    fn sign_in(
        &self,
        step: Step,
        origin: &Origin,
        request: &Request,
        name: String,
        Password(password): Password,
    ) -> SignIn {
        SignIn {
            step,
            name,
            password,
            address: self.client_address(origin, request),
            user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
            secure: self.is_https(origin, request),
        }
    }

    /// Whether somebody who comes by this address may make the first administrator, while there is none:
    /// where the address is not of this machine alone, and would show nothing until then.
    pub(super) fn offers_setup(&self, origin: &Origin) -> bool {
        let listener: HttpConfig = self.listener(origin);
        let public = match listener.listen {
            Listen::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            // What it is bound to, systemd's unit says; where the peer is tells enough.
            Listen::Systemd(_) => origin
                .peer
                .is_some_and(|p| !p.ip().to_canonical().is_loopback()),
            Listen::Unix(_) => false,
        };
        public
            && Principal::visitor(&listener.allow_unauthenticated)
                .permissions()
                .is_empty()
    }

    pub(super) fn need_of_sign_in(
        &mut self,
        now: Now,
        task: &mut SignIn,
    ) -> Result<Need, Box<Response>> {
        let at = self.at(now);
        let attempts = &mut self.web.attempts;
        task.need(at, |name, address| {
            attempts.begin(now.monotonic, name, address)
        })
    }

    /// The helper has answered whether a password is right, or could not.
    pub(super) fn attempt_ended(
        &mut self,
        attempt: Attempt,
        result: &Result<decoder::Reply, decoder::Error>,
    ) {
        let outcome = match result {
            Ok(decoder::Reply::Verified(true)) => Outcome::Right,
            Ok(decoder::Reply::Verified(false)) => Outcome::Wrong,
            Ok(_) => Outcome::Unknown,
            Err(e) => {
                let message = format!("a password could not be verified: {e}");
                self.out.log(Severity::Error, "helper", message);
                Outcome::Unknown
            }
        };
        self.web.attempts.end(attempt, outcome);
    }

    /// 204 and the cookie, once the session has begun.
    pub(super) fn finish_sign_in(&mut self, now: Now, task: SignIn) -> Response {
        let Step::Started(token, who) = task.step else {
            return unexpected();
        };
        let at = self.at(now);
        self.web.signed_in.insert(now.monotonic, at, *who);
        let age = Duration::from_secs((SESSION_LONGEST.0 / TICKS_PER_SECOND).unsigned_abs());
        with_cookie(&token.to_text(), age, task.secure)
    }

    /// `POST /api/logout`: the session ends, and the browser forgets it.
    pub(super) fn begin_sign_out(
        &self,
        now: Now,
        origin: &Origin,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Box<Response>> {
        let secure = self.is_https(origin, request);
        let Bare { csrf } = form::read(request)?;
        require_own(who, csrf.as_deref())?;
        let session = match who.user().map(|who| &who.credential) {
            Some(Credential::Session { session, .. }) => session.id,
            Some(Credential::Token(_)) => {
                return Err(bad("an API token is no session: remove it at /api/tokens/"));
            }
            // It is over already.
            None => return Ok(Task::Whole(with_cookie("", Duration::ZERO, secure))),
        };
        let of = who.user().map(|who| who.user.id);
        let at = self.at(now).wall;
        let revoke = db::Request::Sessions(SessionRequest::Revoke { session, of, at });
        Ok(Task::Exchange(Exchange::new(revoke, move |_| {
            with_cookie("", Duration::ZERO, secure)
        })))
    }
}

/// 204 with the session's cookie; an empty one that lives no time removes it.
fn with_cookie(value: &str, max_age: Duration, secure: bool) -> Response {
    let cookie = SetCookie {
        name: COOKIE,
        value,
        max_age: Some(max_age),
        secure,
        // The page is the same for everybody, and what it then asks for is its own: links to it work.
        same_site: SameSite::Strict,
    };
    match cookie.field_value() {
        Ok(value) => Response::empty(Status::NoContent).field("Set-Cookie", value),
        Err(_) => unexpected(),
    }
}

fn too_many(TooMany { retry_after }: TooMany) -> Box<Response> {
    let sentence = "too many attempts to sign in: wait a little";
    later(Status::TooManyRequests, sentence, retry_after)
}

/// What somebody who must sign in is told where the first administrator can be made.
pub fn ask_for_setup() -> Exchange {
    let ask = db::Request::Users(UserRequest::AnyAdministrator);
    Exchange::new(ask, |reply| match reply {
        Reply::Users(UserReply::AnyAdministrator(false)) => Response::json(
            Status::Unauthorized,
            &json!({
                "setup": true,
                "message": "make the first administrator, on the page or by POST /api/setup",
            }),
        ),
        _ => denied_response(Denied::SignIn),
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, PASSWORD, Site, cookie, hash, public};
    use super::*;
    use crate::config::Permission;
    use crate::nvr::port::Event;
    use serde_json::Value;

    const NOBODY: Browser = Browser {
        listener: 0,
        cookie: None,
        bearer: None,
        csrf: None,
        host: 1,
        uid: None,
        tls: false,
    };

    fn credentials(name: &str, password: &str) -> String {
        json!({ "username": name, "password": password }).to_string()
    }

    fn login(site: &mut Site, browser: &Browser, name: &str, password: &str) -> u16 {
        let body = credentials(name, password);
        site.send(browser, "POST", "/api/login", &body).status
    }

    #[test]
    fn signing_in_and_out() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({ "administer": true }));
        site.get(&NOBODY, "/api/").refuses(401, "sign in first");
        let answer = site.send(
            &NOBODY,
            "POST",
            "/api/login",
            &credentials("Anna", PASSWORD),
        );
        let set = answer.is(204).field("set-cookie").unwrap();
        let (_, attributes) = set.split_once(';').unwrap();
        let expected = " Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000";
        assert_eq!(attributes, expected);
        assert_eq!(answer.body, "");
        let line = &site.log.last().unwrap().message;
        assert_eq!(line, "192.0.2.1 anna POST /api/login 204");

        let mut anna = Browser {
            cookie: Some(cookie(&answer)),
            ..NOBODY
        };
        site.load_page(&mut anna);
        let user = &site.get(&anna, "/api/").json()["user"];
        assert_eq!(user["name"], "anna");
        assert!(user["session"]["csrf"].is_string());

        // Signing out ends the session and takes the cookie away.
        let forged = Browser {
            csrf: Some("AAAA".to_owned()),
            ..anna.clone()
        };
        let answer = site.change(&forged, "POST", "/api/logout", json!({}));
        answer.refuses(403, "the csrf value is missing or wrong");
        site.get(&anna, "/api/").is(200);
        let answer = site.change(&anna, "POST", "/api/logout", json!({}));
        let set = answer.is(204).field("set-cookie").unwrap();
        assert_eq!(set, "s=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        site.get(&anna, "/api/").refuses(401, "sign in first");
        // Once more: it is over, and that is what was wanted.
        site.change(&anna, "POST", "/api/logout", json!({})).is(204);
        site.get(&anna, "/api/logout").is(405);
    }

    #[test]
    fn a_browser_that_came_by_tls_shows_its_cookie_there_only() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({}));
        let tls = Browser {
            tls: true,
            ..NOBODY
        };
        let answer = site.send(&tls, "POST", "/api/login", &credentials("anna", PASSWORD));
        assert!(answer.field("set-cookie").unwrap().ends_with("; Secure"));
    }

    #[test]
    fn a_wrong_password_and_an_unknown_name_look_alike() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({ "administer": true }));
        let long = "x".repeat(password::MAX_BYTES + 1);
        let mut told = Vec::new();
        for (name, wrong) in [
            ("anna", "wrong horse"),
            ("nobody", "wrong horse"),
            ("anna", ""),
            ("anna", &long),
            ("nobody", password::DECOY),
        ] {
            let body = credentials(name, wrong);
            let answer = site.send(&NOBODY, "POST", "/api/login", &body);
            answer.refuses(403, WRONG);
            assert_eq!(answer.field("set-cookie"), None);
            told.push((answer.head, answer.body));
        }
        assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
        // Each time the helper had as much to do, of no more than it takes.
        assert_eq!(site.helped.len(), 5);
        let against: Vec<&str> = site
            .helped
            .iter()
            .map(|r| match r {
                decoder::Request::VerifyPassword { password, hash } => {
                    assert!(password.0.len() <= password::MAX_BYTES);
                    &*hash.0
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let (own, decoy) = (hash(PASSWORD).0, password::DECOY);
        assert_eq!(against, [&*own, decoy, &own, decoy, decoy]);
        let logged = format!("{:?}", site.log);
        assert!(!logged.contains("horse") && !logged.contains("nobody"));
    }

    #[test]
    fn who_tries_too_often_waits() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({ "administer": true }));
        for _ in 0..5 {
            assert_eq!(login(&mut site, &NOBODY, "anna", "wrong horse"), 403);
        }
        let helped = site.helped.len();
        let body = credentials("anna", PASSWORD);
        let answer = site.send(&NOBODY, "POST", "/api/login", &body);
        answer.refuses(429, "too many attempts");
        assert_eq!(answer.field("retry-after"), Some("1"));
        assert_eq!(site.helped.len(), helped, "nothing was tried");
        // Others need not wait, and neither does it for ever.
        let other = Browser { host: 2, ..NOBODY };
        assert_eq!(login(&mut site, &other, "anna", PASSWORD), 204);
        site.pass(Duration::from_secs(1));
        assert_eq!(login(&mut site, &NOBODY, "anna", PASSWORD), 204);
    }

    #[test]
    fn attempts_end_with_the_helpers_answer_whoever_still_waits() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({ "administer": true }));
        site.naps = true;
        let mut conns = Vec::new();
        for host in 0..4 {
            let browser = Browser { host, ..NOBODY };
            let conn = site.connect(&browser);
            let body = credentials("anna", PASSWORD);
            site.write(&browser, conn, ("POST", "/api/login"), "", &body);
            assert!(site.read(conn).is_none());
            conns.push(conn);
        }
        let fifth = Browser { host: 5, ..NOBODY };
        assert_eq!(login(&mut site, &fifth, "anna", PASSWORD), 429);
        for conn in &conns {
            let reason = Ok(());
            site.tell(Event::Closed {
                conn: *conn,
                reason,
            });
        }
        // Gone they are, but the helper is still at it.
        assert_eq!(login(&mut site, &fifth, "anna", PASSWORD), 429);
        site.naps = false;
        site.wake_helper();
        assert!(conns.iter().all(|c| site.read(*c).is_none()));
        assert_eq!(login(&mut site, &fifth, "anna", PASSWORD), 204);
        assert!(site.nvr.web.trying.is_empty() && site.nvr.web.helping.is_empty());
    }

    #[test]
    fn a_helper_that_fails_is_nobodys_wrong_guess() {
        let mut site = Site::new(vec![public()]);
        site.make_user("anna", json!({ "administer": true }));
        for error in [
            decoder::Error::Busy,
            decoder::Error::BadHash,
            decoder::Error::Crashed("signal 9".to_owned()),
        ] {
            site.fails = Some(error);
            for name in ["anna", "nobody"] {
                let body = credentials(name, PASSWORD);
                let answer = site.send(&NOBODY, "POST", "/api/login", &body);
                answer.refuses(503, "passwords cannot be looked at now");
                assert_eq!(answer.field("retry-after"), Some("2"));
            }
        }
        assert!(site.log.iter().any(|l| l.event == "helper"));
        site.fails = None;
        assert_eq!(login(&mut site, &NOBODY, "anna", PASSWORD), 204);
    }

    #[test]
    fn a_password_that_was_changed_meanwhile_lets_nobody_in() {
        let mut site = Site::new(vec![public()]);
        let id = site.make_user("anna", json!({ "administer": true }));
        site.naps = true;
        let conn = site.connect(&NOBODY);
        let body = credentials("anna", PASSWORD);
        site.write(&NOBODY, conn, ("POST", "/api/login"), "", &body);
        let patch = db::UserPatch {
            password_hash: Some(Some(hash("another one"))),
            ..db::UserPatch::default()
        };
        let change = db::Request::Users(UserRequest::Patch {
            user: UserId(id),
            patch: Box::new(patch),
            keep: None,
        });
        site.database.handle(change).unwrap();
        site.wake_helper();
        site.read(conn).unwrap().refuses(403, WRONG);
    }

    #[test]
    fn a_log_in_that_nobody_understands() {
        let mut site = Site::new(vec![public()]);
        for (body, words) in [
            ("", "missing field `username`"),
            ("{}", "missing field `username`"),
            ("username=anna", "the body cannot be read: expected value"),
            (
                r#"{"username":"anna","password":1234}"#,
                "a password is a string",
            ),
            (
                r#"{"username":"anna","password":"x","a":1}"#,
                "unknown field `a`",
            ),
        ] {
            let answer = site.send(&NOBODY, "POST", "/api/login", body);
            answer.refuses(400, words);
            assert!(!answer.body.contains("1234"));
        }
        let answer = site.get(&NOBODY, "/api/login");
        answer.refuses(405, "only POST");
    }

    #[test]
    fn the_first_administrator_is_made_on_the_page() {
        let mut site = Site::new(vec![public()]);
        let told = site.get(&NOBODY, "/api/");
        assert_eq!(told.is(401).json()["setup"], Value::Bool(true));
        let setup = |site: &mut Site, name: &str, password: &str| {
            let body = credentials(name, password);
            site.send(&NOBODY, "POST", "/api/setup", &body)
        };
        setup(&mut site, "", PASSWORD).refuses(400, "a user needs a name");
        setup(&mut site, "anna", "short").refuses(400, "at least 8 characters");
        site.send(&NOBODY, "POST", "/api/setup", "{")
            .refuses(400, "cannot be read");
        site.get(&NOBODY, "/api/setup").is(405);
        assert!(site.helped.is_empty());
        let answer = setup(&mut site, "anna", PASSWORD);
        let anna = Browser {
            cookie: Some(cookie(answer.is(204))),
            ..NOBODY
        };
        let top = site.get(&anna, "/api/").is(200).json();
        assert_eq!(top["permissions"]["administer"], true);
        // Once.
        let answer = setup(&mut site, "eve", PASSWORD);
        answer.refuses(409, "there is an administrator already");
        assert_eq!(site.helped.len(), 1);
        site.get(&NOBODY, "/api/").refuses(401, "sign in first");
        assert_eq!(login(&mut site, &NOBODY, "anna", PASSWORD), 204);
    }

    #[test]
    fn of_two_first_administrators_one_is_made() {
        let mut site = Site::new(vec![public()]);
        site.naps = true;
        let conns = ["anna", "eve"].map(|name| {
            let conn = site.connect(&NOBODY);
            let body = credentials(name, PASSWORD);
            site.write(&NOBODY, conn, ("POST", "/api/setup"), "", &body);
            conn
        });
        site.wake_helper();
        let answers = conns.map(|c| site.read(c).unwrap());
        answers[0].is(204);
        answers[1].refuses(409, "there is an administrator already");
    }

    #[test]
    fn setup_is_offered_to_the_network_where_nothing_is_shown() {
        let visitors = HttpConfig {
            allow_unauthenticated: vec![Permission::ViewLive],
            ..public()
        };
        let at = |listen: &str| HttpConfig::new(Listen::Tcp(listen.parse().unwrap()));
        let systemd = || HttpConfig::new(Listen::Systemd("http".to_owned()));
        let unix = HttpConfig::new(Listen::Unix("/run/nvr.sock".into()));
        let local = Browser {
            uid: Some(1000),
            ..NOBODY
        };
        for (listener, from, offered) in [
            (public(), &NOBODY, true),
            (at("[::]:80"), &NOBODY, true),
            (systemd(), &NOBODY, true),
            (systemd(), &local, false),
            (at("127.0.0.1:80"), &NOBODY, false),
            (at("[::1]:80"), &NOBODY, false),
            (unix, &local, false),
            (visitors, &NOBODY, false),
        ] {
            let what = format!("{}", listener.listen);
            let mut site = Site::new(vec![listener]);
            let told = site.get(from, "/api/");
            assert_eq!(told.body.contains("setup"), offered, "{what}");
            let body = credentials("anna", PASSWORD);
            let answer = site.send(from, "POST", "/api/setup", &body);
            assert_eq!(answer.status, if offered { 204 } else { 403 }, "{what}");
        }
    }
}
