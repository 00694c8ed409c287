//! `/api/sessions/` and `/api/tokens/`: by what users are signed in. Each sees to its own, an
//! administrator to all.

use super::access::require_own;
use super::exchange::Exchange;
use super::form::{self, Bare};
use super::refusal::{bad, unexpected};
use super::users::{Reach, require_method};
use crate::access::{
    ApiToken, CredentialId, Permissions, PermissionsPatch, Principal, Session, SessionId, TokenId,
    UserId,
};
use crate::db::{self, Reply, SessionReply, SessionRequest};
use crate::http::{Method, Request, Response, Status};
use crate::time::Wall90k;
use serde::Deserialize;
use serde_json::{Value, json};

type Refused = Box<Response>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeToken {
    csrf: Option<String>,
    token: NewToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewToken {
    /// For people: what it is used for.
    name: String,
    /// What of its user's permissions it has.
    permissions: PermissionsPatch,
    /// Another user than oneself, for administrators.
    user_id: Option<i64>,
}

/// `GET /api/sessions/`.
pub fn sessions(request: &Request, who: &Principal) -> Result<Exchange, Refused> {
    require_method(request, &[Method::Get, Method::Head])?;
    let of = Reach::of(who)?.only();
    let current = who.user().map(|who| who.id());
    let ask = db::Request::Sessions(SessionRequest::List { of });
    Ok(Exchange::new(ask, move |reply| match reply {
        Reply::Sessions(SessionReply::Sessions(all)) => {
            let all: Vec<Value> = all.iter().map(|s| session(s, current)).collect();
            Response::json(Status::Ok, &json!({ "sessions": all }))
        }
        _ => unexpected(),
    }))
}

/// `DELETE /api/sessions/<id>`.
pub fn end_session(
    request: &Request,
    who: &Principal,
    session: SessionId,
    at: Wall90k,
) -> Result<Exchange, Refused> {
    let of = reach_to_remove(request, who)?;
    let revoke = db::Request::Sessions(SessionRequest::Revoke { session, of, at });
    Ok(Exchange::new(revoke, |_| {
        Response::empty(Status::NoContent)
    }))
}

/// `/api/tokens/`.
pub fn tokens(request: &Request, who: &Principal, at: Wall90k) -> Result<Exchange, Refused> {
    require_method(request, &[Method::Get, Method::Head, Method::Post])?;
    let of = Reach::of(who)?.only();
    if request.method == Method::Post {
        return make_token(request, who, of, at);
    }
    let ask = db::Request::Sessions(SessionRequest::ListTokens { of });
    Ok(Exchange::new(ask, |reply| match reply {
        Reply::Sessions(SessionReply::Tokens(all)) => {
            let all: Vec<Value> = all.iter().map(token).collect();
            Response::json(Status::Ok, &json!({ "tokens": all }))
        }
        _ => unexpected(),
    }))
}

/// `DELETE /api/tokens/<id>`.
pub fn remove_token(
    request: &Request,
    who: &Principal,
    token: TokenId,
) -> Result<Exchange, Refused> {
    let of = reach_to_remove(request, who)?;
    let remove = db::Request::Sessions(SessionRequest::RemoveToken { token, of });
    Ok(Exchange::new(remove, |_| {
        Response::empty(Status::NoContent)
    }))
}

/// Whose sessions or tokens may be removed by this request: of all users if `None`.
fn reach_to_remove(request: &Request, who: &Principal) -> Result<Option<UserId>, Refused> {
    require_method(request, &[Method::Delete])?;
    let reach = Reach::of(who)?;
    let Bare { csrf } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    Ok(reach.only())
}

fn make_token(
    request: &Request,
    who: &Principal,
    of: Option<UserId>,
    at: Wall90k,
) -> Result<Exchange, Refused> {
    let MakeToken { csrf, token: new } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    let own = who.user().map(|who| who.user.id);
    let user = match new.user_id.map(UserId).or(own) {
        Some(user) if of.is_none_or(|of| of == user) => user,
        Some(_) => {
            let sentence = "only an administrator makes tokens for others";
            return Err(Box::new(Response::text(Status::Forbidden, sentence)));
        }
        None => return Err(bad("say whose token it is to be: userId")),
    };
    if new.name.trim().is_empty() {
        return Err(bad("a token needs a name that tells what it is used for"));
    }
    let make = db::Request::Sessions(SessionRequest::MakeToken {
        user,
        name: new.name,
        mask: new.permissions.apply(Permissions::NONE),
        at,
    });
    Ok(Exchange::new(make, |reply| match reply {
        Reply::Sessions(SessionReply::TokenMade {
            token: secret,
            made,
        }) => {
            let mut told = token(&made);
            told["token"] = json!(secret.to_text());
            Response::json(Status::Ok, &told)
        }
        _ => unexpected(),
    }))
}

fn session(s: &Session, current: Option<CredentialId>) -> Value {
    json!({
        "id": s.id.0,
        "userId": s.user.0,
        "createdTime90k": s.created.0,
        "lastUseTime90k": s.last_use.0,
        "expiresTime90k": s.expires.0,
        "clockUntrusted": s.clock_untrusted,
        "userAgent": s.user_agent,
        "address": s.address,
        "revokedTime90k": s.revoked.map(|t| t.0),
        "current": current == Some(CredentialId::Session(s.id)),
    })
}

fn token(t: &ApiToken) -> Value {
    json!({
        "id": t.id.0,
        "userId": t.user.0,
        "name": t.name,
        "permissions": t.mask,
        "createdTime90k": t.created.0,
        "lastUseTime90k": t.last_use.map(|t| t.0),
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site};
    use super::*;
    use crate::recording::{Gap, GapCause, StreamId};
    use crate::time::Duration90k;

    fn list(site: &mut Site, browser: &Browser, what: &str) -> Vec<Value> {
        let path = format!("/api/{what}/");
        let mut told = site.get(browser, &path).is(200).json();
        let all = told[what].as_array_mut().unwrap();
        std::mem::take(all)
    }

    #[test]
    fn one_sees_and_ends_ones_own_sessions() {
        let (mut site, anna, bert) = Site::with_users();
        let elsewhere = site.sign_in("bert");
        let nobody = Browser::default();
        let answer = site.get(&nobody, "/api/sessions/");
        answer.refuses(401, "sign in first");
        assert_eq!(list(&mut site, &anna, "sessions").len(), 3);
        let own = list(&mut site, &bert, "sessions");
        assert_eq!(own.len(), 2);
        let current: Vec<&Value> = own.iter().filter(|s| s["current"] == true).collect();
        assert_eq!(current.len(), 1);
        assert_eq!(current[0]["address"], "192.0.2.7");
        assert_eq!(current[0]["revokedTime90k"], Value::Null);
        let other = own.iter().find(|s| s["current"] == false).unwrap();
        let path = format!("/api/sessions/{}", other["id"]);
        site.guards(("DELETE", &path), &json!({}), &bert, None);
        site.get(&elsewhere, "/api/").is(200);
        site.change(&bert, "DELETE", &path, json!({})).is(204);
        site.get(&elsewhere, "/api/").refuses(401, "sign in first");
        site.get(&bert, &path).refuses(405, "only DELETE");

        // Not others', which are not even there for him; an administrator any.
        let all = list(&mut site, &anna, "sessions");
        let annas = all.iter().find(|s| s["current"] == true).unwrap();
        let path = format!("/api/sessions/{}", annas["id"]);
        let answer = site.change(&bert, "DELETE", &path, json!({}));
        answer.refuses(404, "no such session");
        site.get(&anna, "/api/").is(200);
        let path = format!("/api/sessions/{}", current[0]["id"]);
        site.change(&anna, "DELETE", &path, json!({})).is(204);
        site.get(&bert, "/api/").refuses(401, "sign in first");
    }

    #[test]
    fn what_ended_is_over_though_nobody_waits_for_the_answer() {
        let (mut site, anna, bert) = Site::with_users();
        let all = list(&mut site, &anna, "sessions");
        let berts = all.iter().find(|s| s["current"] == false).unwrap();
        let path = format!("/api/sessions/{}", berts["id"]);
        site.get(&bert, "/api/").is(200);
        site.database_naps = true;
        let conn = site.connect(&anna);
        let body = json!({ "csrf": anna.csrf }).to_string();
        site.write(&anna, conn, ("DELETE", &path), "", &body);
        assert!(site.read(conn).is_none());
        site.tell(crate::nvr::port::Event::Closed {
            conn,
            reason: Ok(()),
        });
        site.wake_database();
        assert!(site.read(conn).is_none());
        site.get(&bert, "/api/").refuses(401, "sign in first");
    }

    #[test]
    fn whoever_watches_by_a_right_that_ends_is_cut_off() {
        let (mut site, anna, bert) = Site::with_users();
        let elsewhere = site.sign_in("bert");
        let views = [&anna, &bert, &elsewhere].map(|b| site.watch(b));
        let closed = |site: &Site| views.map(|c| site.is_closed(c));
        let bert_id = site.get(&bert, "/api/").json()["user"]["id"].take();
        let path = format!("/api/users/{bert_id}");
        let preferences = json!({ "user": { "preferences": { "a": 1 } } });
        site.change(&bert, "PATCH", &path, preferences).is(204);
        assert_eq!(closed(&site), [false, false, false]);
        // What is refused ends nothing.
        let all = list(&mut site, &anna, "sessions");
        let annas = all.iter().find(|s| s["current"] == true).unwrap();
        let annas = format!("/api/sessions/{}", annas["id"]);
        site.change(&bert, "DELETE", &annas, json!({})).is(404);
        assert_eq!(closed(&site), [false, false, false]);
        site.change(&elsewhere, "POST", "/api/logout", json!({}))
            .is(204);
        assert_eq!(closed(&site), [false, false, true]);
        let disable = json!({ "user": { "disabled": true } });
        site.change(&anna, "PATCH", &path, disable).is(204);
        assert_eq!(closed(&site), [false, true, true]);
    }

    #[test]
    fn a_token_is_told_once_and_may_what_it_was_given() {
        let (mut site, anna, bert) = Site::with_users();
        let body = json!({ "token": {
            "name": "doorbell",
            "permissions": { "viewLive": true, "administer": true },
        }});
        site.guards(("POST", "/api/tokens/"), &body, &bert, None);
        let made = site.change(&bert, "POST", "/api/tokens/", body);
        let made = made.is(200).json();
        let secret = made["token"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("mnvr_"));
        assert_eq!(made["name"], "doorbell");
        let told = list(&mut site, &bert, "tokens");
        assert_eq!(told.len(), 1);
        assert!(!json!(told).to_string().contains(&secret));
        assert_eq!(told[0]["lastUseTime90k"], Value::Null);

        // Bert's, but for what he may not himself; and no way to the rest of what is Bert's.
        let program = Browser {
            bearer: Some(secret),
            ..Browser::default()
        };
        let top = site.get(&program, "/api/").is(200).json();
        assert_eq!(top["permissions"]["viewLive"], true);
        assert_eq!(top["permissions"]["viewRecordings"], false);
        assert_eq!(top["user"]["session"], Value::Null);
        let berts = format!("/api/users/{}", top["user"]["id"]);
        let password = json!({ "user": { "password": "a new password" } });
        for (method, path, body) in [
            ("PATCH", &*berts, password),
            ("GET", &berts, json!({})),
            ("GET", "/api/users/", json!({})),
            ("GET", "/api/sessions/", json!({})),
            ("GET", "/api/tokens/", json!({})),
            (
                "POST",
                "/api/tokens/",
                json!({ "token": { "name": "x", "permissions": {} } }),
            ),
        ] {
            let answer = site.change(&program, method, path, body);
            answer.refuses(403, "you may not");
        }
        let answer = site.change(&program, "POST", "/api/logout", json!({}));
        answer.refuses(400, "no session");

        let path = format!("/api/tokens/{}", made["id"]);
        let answer = site.change(&anna, "GET", &path, json!({}));
        answer.refuses(405, "only DELETE");
        site.guards(("DELETE", &path), &json!({}), &bert, None);
        site.change(&bert, "DELETE", &path, json!({})).is(204);
        site.get(&program, "/api/").refuses(401, "sign in first");
        let answer = site.change(&bert, "DELETE", &path, json!({}));
        answer.refuses(404, "no such API token");
    }

    #[test]
    fn an_administrator_makes_tokens_for_others() {
        let (mut site, anna, bert) = Site::with_users();
        let id = |site: &mut Site, b: &Browser| site.get(b, "/api/").json()["user"]["id"].take();
        let (annas, berts) = (id(&mut site, &anna), id(&mut site, &bert));
        let body = |user: &Value| {
            json!({ "token": {
                "name": "x", "userId": user, "permissions": { "viewLive": true },
            }})
        };
        let answer = site.change(&bert, "POST", "/api/tokens/", body(&annas));
        answer.refuses(403, "only an administrator makes tokens for others");
        let answer = site.change(&anna, "POST", "/api/tokens/", body(&berts));
        assert_eq!(answer.is(200).json()["userId"], berts);
        let answer = site.change(&anna, "POST", "/api/tokens/", body(&json!(99)));
        answer.refuses(404, "no such user");
        assert_eq!(list(&mut site, &bert, "tokens").len(), 1);
        for (bad, words) in [
            (json!({ "name": "x" }), "missing field `permissions`"),
            (json!({ "name": " ", "permissions": {} }), "needs a name"),
        ] {
            let answer = site.change(&bert, "POST", "/api/tokens/", json!({ "token": bad }));
            answer.refuses(400, words);
        }
    }

    #[test]
    fn uses_are_written_along_with_a_commit() {
        let (mut site, anna, _) = Site::with_users();
        let written = |site: &Site| site.flushes.iter().flat_map(|f| &f.uses).count();
        // Something to commit, each minute for an hour and a little more; Anna is there all the time.
        for minute in 0..62 {
            let at = site.now.wall;
            site.nvr.commit.add_gap(Gap {
                stream: StreamId(1),
                start: at,
                end: at + Duration90k::from_secs(61),
                clock_untrusted: false,
                cause: GapCause::Disk,
                detail: format!("{minute}"),
            });
            site.pass(std::time::Duration::from_secs(61));
            site.get(&anna, "/healthz").is(200);
            assert!(minute > 57 || written(&site) == 0, "minute {minute}");
        }
        assert_eq!(site.flushes.len(), 62);
        assert_eq!(written(&site), 1);
        let last = list(&mut site, &anna, "sessions");
        let annas = last.iter().find(|s| s["current"] == true).unwrap();
        assert!(annas["lastUseTime90k"].as_i64() > annas["createdTime90k"].as_i64());
    }
}
