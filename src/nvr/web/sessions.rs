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
