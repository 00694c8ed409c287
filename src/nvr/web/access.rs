//! Who asks, and whether it may: what [`crate::access`] and [`crate::http::origin`] say of one request.

use super::Origin;
use super::task::Task;
use crate::access::{At, Denied, Permission, Presented, Principal, SignedIn, Token, TokenKind};
use crate::config::HttpConfig;
use crate::db::{self, SessionRequest};
use crate::http::origin::{Names, Refused, Site};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::Nvr;
use crate::nvr::log_book::ACCESS;
use crate::nvr::port::{ConnId, Severity};
use crate::time::Now;
use std::net::IpAddr;
use uuid::Uuid;

/// The cookie of a session.
pub const COOKIE: &str = "s";

/// What the access log says of a request: who asked for what.
pub struct Line {
    address: Option<IpAddr>,
    user: String,
    method: Method,
    path: String,
}

/// What a request shows of who sends it.
pub enum Shown {
    /// Known already, or nothing was shown.
    Known(Principal),
    /// The database is to be asked.
    Unknown(Presented),
}

impl Nvr {
    /// The configuration of the address that a connection came to.
    pub(super) fn listener(&self, origin: &Origin) -> HttpConfig {
        let unknown = || HttpConfig::new(crate::config::Listen::Systemd(String::new()));
        let listener = self.config.http.get(origin.listener);
        listener.cloned().unwrap_or_else(unknown)
    }

    /// Refuses what another site's page may be behind, and tells who asks.
    pub(super) fn identify(
        &mut self,
        now: Now,
        origin: &Origin,
        request: &Request,
    ) -> Result<Shown, Box<Response>> {
        let listener = self.listener(origin);
        let site = site(request, origin, &listener);
        let names = Names::new(&listener.names);
        site.check(request, &names).map_err(|e| {
            let status = match e {
                Refused::Host => Status::MisdirectedRequest,
                Refused::Origin => Status::Forbidden,
            };
            Box::new(Response::text(status, &e.to_string()))
        })?;
        if listener.owner_is_administrator && origin.uid.is_some_and(|uid| self.is_owner(uid)) {
            return Ok(Shown::Known(Principal::owner()));
        }
        let visitor = || Shown::Known(Principal::visitor(&listener.allow_unauthenticated));
        let Some(presented) = presented(request) else {
            return Ok(visitor());
        };
        let at = self.at(now);
        match self.web.signed_in.get(now.monotonic, at, presented) {
            Some(who) => {
                let allowed = &listener.allow_unauthenticated;
                Ok(Shown::Known(Principal::signed_in(allowed, who)))
            }
            None => Ok(Shown::Unknown(presented)),
        }
    }

    /// The database has told whose session or token was shown.
    pub(super) fn identified(
        &mut self,
        now: Now,
        origin: &Origin,
        found: Option<Box<SignedIn>>,
    ) -> Principal {
        let allowed = self.listener(origin).allow_unauthenticated;
        match found {
            Some(who) => {
                let at = self.at(now);
                let who = self.web.signed_in.insert(now.monotonic, at, *who);
                Principal::signed_in(&allowed, who)
            }
            // One that is over is as good as none.
            None => Principal::visitor(&allowed),
        }
    }

    /// How to ask the database whose it is.
    pub(super) fn resume(&self, now: Now, presented: Presented) -> db::Request {
        let at = self.at(now);
        db::Request::Sessions(SessionRequest::Resume { presented, at })
    }

    /// The recorder's wall time, and whether its clock has been set.
    pub(super) fn at(&self, now: Now) -> At {
        At {
            wall: self.clock.as_ref().map_or(now.wall, |c| c.wall(now)),
            trusted: self
                .clock
                .as_ref()
                .is_some_and(super::super::Clock::is_trusted),
        }
    }

    /// Root, or the user that the recorder runs as.
    fn is_owner(&self, uid: u32) -> bool {
        uid == 0 || self.own_uid == Some(uid)
    }

    /// Notes what the access log will say once the request is answered.
    pub(super) fn note_access(&mut self, conn: ConnId, origin: &Origin, request: &Request) {
        let line = Line {
            address: self.client_address(origin, request),
            user: "-".to_owned(),
            method: request.method,
            path: request.path.clone(),
        };
        if let Some(client) = self.web.clients.get_mut(&conn) {
            client.access = Some(line);
        }
    }

    pub(super) fn note_user(&mut self, conn: ConnId, who: &Principal) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        client.who = who.user().cloned();
        if let Some(line) = &mut client.access {
            line.user = who.name().to_owned();
        }
    }

    /// A request is about to be answered: if somebody has signed in by it, that is who it was.
    pub(super) fn note_signed_in(&mut self, conn: ConnId, task: &Task) {
        let Task::SignIn(task) = task else {
            return;
        };
        let line = self.web.clients.get_mut(&conn);
        let line = line.and_then(|c| c.access.as_mut());
        if let (Some(line), Some(who)) = (line, task.signed_in()) {
            line.user.clone_from(&who.user.name);
        }
    }

    /// Writes the access log: what shows pictures, changes something or was refused. What a page asks
    /// for again and again is for those who debug.
    pub(super) fn log_access(&mut self, conn: ConnId, status: Status) {
        let client = self.web.clients.get_mut(&conn);
        let Some(line) = client.and_then(|c| c.access.take()) else {
            return;
        };
        let shows = line.path.starts_with("/api/cameras/")
            && ["/view.", "/live.", "/snapshot.", "/scrub."]
                .iter()
                .any(|p| line.path.contains(p));
        // A player asks for these again and again: the first one tells who watches.
        let shows = match ["/live.m3u8", "/segment.m4s"]
            .iter()
            .any(|p| line.path.ends_with(p))
        {
            true => self.web.hls.is_news(line.address, &line.user, &line.path),
            false => shows,
        };
        let severity = match shows || !line.method.is_safe() || status.code() >= 400 {
            true => Severity::Info,
            false => Severity::Debug,
        };
        let from = line
            .address
            .map_or_else(|| "local".to_owned(), |a| a.to_canonical().to_string());
        let message = format!(
            "{from} {} {} {} {}",
            line.user,
            line.method.as_str(),
            line.path,
            status.code()
        );
        self.out.log(severity, ACCESS, message);
    }

    /// Whether the browser knows the page as one got by TLS.
    pub(super) fn is_https(&self, origin: &Origin, request: &Request) -> bool {
        site(request, origin, &self.listener(origin)).https
    }

    /// The address that a request comes from, as far as proxies that are believed tell it.
    pub(super) fn client_address(&self, origin: &Origin, request: &Request) -> Option<IpAddr> {
        let listener = self.listener(origin);
        let forwarded = site(request, origin, &listener).forwarded_for;
        forwarded.or(origin.peer.map(|p| p.ip()))
    }
}

fn site<'a>(request: &'a Request, origin: &Origin, listener: &HttpConfig) -> Site<'a> {
    let proxy = match origin.peer {
        Some(peer) => listener.trusted_proxies.contains(&peer.ip().to_canonical()),
        // Who may connect to a UNIX socket is the file system's to say: a proxy, if there is one.
        None => !listener.trusted_proxies.is_empty(),
    };
    Site::of(request, origin.tls, proxy)
}

fn presented(request: &Request) -> Option<Presented> {
    let bearer = request.header("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        let token = Token::parse(TokenKind::Api, token.trim())?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let cookie = || Token::parse(TokenKind::Session, request.cookie(COOKIE)?);
    Some(bearer.or_else(cookie)?.presented())
}

/// Refuses who may not.
pub fn require(
    who: &Principal,
    permission: Permission,
    camera: Option<Uuid>,
) -> Result<(), Box<Response>> {
    who.check(permission, camera)
        .map_err(|denied| Box::new(denied_response(denied)))
}

/// Refuses a change that may be another site's doing.
pub fn require_own(who: &Principal, csrf: Option<&str>) -> Result<(), Box<Response>> {
    who.check_csrf(csrf)
        .map_err(|denied| Box::new(denied_response(denied)))
}

/// What somebody who may not is told.
pub fn denied_response(denied: Denied) -> Response {
    let status = match denied {
        Denied::SignIn => Status::Unauthorized,
        Denied::Forbidden | Denied::Csrf => Status::Forbidden,
    };
    Response::text(status, &denied.to_string())
}
