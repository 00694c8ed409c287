//! `/api/users/`: who there is, and what each may. Administrators see to it; everybody else may look at
//! itself, and change its own password and what a page remembers for it.

use super::Origin;
use super::access::{denied_response, require, require_own};
use super::exchange::Exchange;
use super::form::{self, Bare, Password, said};
use super::refusal::{bad, unexpected};
use super::route::OfUsers;
use super::task::Task;
use crate::access::{
    Cameras, Credential, Denied, Permission, Permissions, PermissionsPatch, Preferences, Principal,
    User, UserId, password,
};
use crate::config::Secret;
use crate::db::{self, NewUser, Reply, UserPatch, UserReply, UserRequest};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::Nvr;
use crate::time::Now;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Refused = Box<Response>;

/// A user to be made, or a change of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    csrf: Option<String>,
    #[serde(alias = "update")]
    user: Fields,
}

/// What is left out stays, or is as it is with a new user.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Fields {
    username: Option<String>,
    /// `null`: none, so that it cannot sign in.
    #[serde(deserialize_with = "said")]
    password: Option<Option<Password>>,
    preferences: Option<Map<String, Value>>,
    permissions: Option<PermissionsPatch>,
    /// `null`: all.
    #[serde(deserialize_with = "said")]
    cameras: Option<Option<Vec<Uuid>>>,
    disabled: Option<bool>,
}

impl Fields {
    fn is_of_administrators(&self) -> bool {
        let removes_password = matches!(self.password, Some(None));
        removes_password
            || self.username.is_some()
            || self.permissions.is_some()
            || self.cameras.is_some()
            || self.disabled.is_some()
    }

    /// The change, and the password that is to be hashed for it.
    fn patch(self) -> Result<(UserPatch, Option<Secret>), Refused> {
        let preferences = match self.preferences {
            Some(object) => {
                let json = Value::Object(object).to_string();
                Some(Preferences::parse(&json).map_err(|e| bad(&e.to_string()))?)
            }
            None => None,
        };
        let mut patch = UserPatch {
            name: self.username,
            password_hash: None,
            permissions: self.permissions.unwrap_or_default(),
            cameras: self.cameras.map(|cameras| match cameras {
                Some(only) => Cameras::Only(only.into_iter().collect()),
                None => Cameras::All,
            }),
            preferences,
            disabled: self.disabled,
        };
        let password = match self.password {
            Some(Some(Password(password))) => {
                password::check(&password.0).map_err(|e| bad(&e.to_string()))?;
                Some(password)
            }
            Some(None) => {
                patch.password_hash = Some(None);
                None
            }
            None => None,
        };
        Ok((patch, password))
    }
}

/// Whose users, sessions or tokens somebody may see to.
pub enum Reach {
    /// Everybody's: an administrator.
    All,
    /// Its own, by the session of its own: a token that was given to a program is no key to the user.
    Own(UserId),
}

impl Reach {
    pub fn of(who: &Principal) -> Result<Reach, Refused> {
        if who.may(Permission::Administer, None) {
            return Ok(Reach::All);
        }
        let denied = match who.user() {
            Some(who) => match &who.credential {
                Credential::Session { .. } => {
                    return Ok(Reach::Own(who.user.id));
                }
                Credential::Token(_) => Denied::Forbidden,
            },
            None => Denied::SignIn,
        };
        Err(Box::new(denied_response(denied)))
    }

    /// The one user that it reaches, if it is not all.
    pub fn only(&self) -> Option<UserId> {
        match self {
            Reach::All => None,
            Reach::Own(user) => Some(*user),
        }
    }

    fn require(&self, user: UserId) -> Result<(), Refused> {
        match self.only() {
            Some(own) if own != user => Err(Box::new(denied_response(Denied::Forbidden))),
            _ => Ok(()),
        }
    }
}

impl Nvr {
    /// What is asked about users, sessions and tokens, if it may be asked.
    pub(super) fn begin_of_users(
        &mut self,
        now: Now,
        origin: &Origin,
        of: OfUsers,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        let wall = self.at(now).wall;
        Ok(Task::Exchange(match of {
            OfUsers::Login => {
                require_method(request, &[Method::Post])?;
                let task = self.begin_sign_in(origin, request)?;
                return Ok(Task::SignIn(Box::new(task)));
            }
            OfUsers::Setup => {
                require_method(request, &[Method::Post])?;
                let task = self.begin_setup(origin, request)?;
                return Ok(Task::SignIn(Box::new(task)));
            }
            OfUsers::Logout => {
                require_method(request, &[Method::Post])?;
                return self.begin_sign_out(now, origin, request, who);
            }
            OfUsers::Users => all(request, who)?,
            OfUsers::User(id) => one(request, who, id)?,
            OfUsers::Sessions => super::sessions::sessions(request, who)?,
            OfUsers::Session(id) => super::sessions::end_session(request, who, id, wall)?,
            OfUsers::Tokens => super::sessions::tokens(request, who, wall)?,
            OfUsers::Token(id) => super::sessions::remove_token(request, who, id)?,
        }))
    }
}

/// Refuses other methods than these.
pub fn require_method(request: &Request, allowed: &[Method]) -> Result<(), Refused> {
    match allowed.contains(&request.method) {
        true => Ok(()),
        false => Err(Box::new(Response::method_not_allowed(allowed))),
    }
}

/// `/api/users/`.
fn all(request: &Request, who: &Principal) -> Result<Exchange, Refused> {
    require_method(request, &[Method::Get, Method::Head, Method::Post])?;
    require(who, Permission::Administer, None)?;
    if request.method != Method::Post {
        let ask = db::Request::Users(UserRequest::List);
        return Ok(Exchange::new(ask, tell_all));
    }
    let Body { csrf, user } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    let disabled = user.disabled;
    let (patch, password) = user.patch()?;
    if disabled == Some(true) {
        return Err(bad(
            "a user is disabled by changing it, not when it is made",
        ));
    }
    let new = NewUser {
        name: patch.name.ok_or_else(|| bad("a user needs a username"))?,
        password_hash: None,
        permissions: patch.permissions.apply(Permissions::NONE),
        cameras: patch.cameras.unwrap_or_default(),
        preferences: patch.preferences.unwrap_or_default(),
    };
    let make = db::Request::Users(UserRequest::Create(new));
    let exchange = Exchange::new(make, |reply| match reply {
        Reply::Users(UserReply::User(user)) => {
            Response::json(Status::Ok, &json!({ "id": user.id.0 }))
        }
        _ => unexpected(),
    });
    Ok(with_password(exchange, password))
}

fn with_password(exchange: Exchange, password: Option<Secret>) -> Exchange {
    match password {
        Some(password) => exchange.with_password(password),
        None => exchange,
    }
}

/// `/api/users/<id>`.
fn one(request: &Request, who: &Principal, id: UserId) -> Result<Exchange, Refused> {
    let methods = [Method::Get, Method::Head, Method::Patch, Method::Delete];
    require_method(request, &methods)?;
    match request.method {
        Method::Patch => patch(request, who, id),
        Method::Delete => {
            require(who, Permission::Administer, None)?;
            let Bare { csrf } = form::read(request)?;
            require_own(who, csrf.as_deref())?;
            let delete = db::Request::Users(UserRequest::Delete(id));
            Ok(Exchange::new(delete, |_| {
                Response::empty(Status::NoContent)
            }))
        }
        _ => {
            Reach::of(who)?.require(id)?;
            let ask = db::Request::Users(UserRequest::Get(id));
            Ok(Exchange::new(ask, |reply| match reply {
                Reply::Users(UserReply::User(user)) => Response::json(Status::Ok, &whole(&user)),
                _ => unexpected(),
            }))
        }
    }
}

fn patch(request: &Request, who: &Principal, id: UserId) -> Result<Exchange, Refused> {
    let reach = Reach::of(who)?;
    reach.require(id)?;
    let Body { csrf, user } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    if reach.only().is_some() && user.is_of_administrators() {
        let sentence = "of yourself you may change the password and the preferences only";
        return Err(Box::new(Response::text(Status::Forbidden, sentence)));
    }
    let (patch, password) = user.patch()?;
    let keep = who.user().and_then(|who| match &who.credential {
        Credential::Session { session, .. } => Some(session.id),
        Credential::Token(_) => None,
    });
    let change = db::Request::Users(UserRequest::Patch {
        user: id,
        patch: Box::new(patch),
        keep,
    });
    let exchange = Exchange::new(change, |_| Response::empty(Status::NoContent));
    Ok(with_password(exchange, password))
}

fn tell_all(reply: Reply) -> Response {
    let Reply::Users(UserReply::Users(users)) = reply else {
        return unexpected();
    };
    let users: Vec<Value> = users.iter().map(short).collect();
    Response::json(Status::Ok, &json!({ "users": users }))
}

/// A user as the list tells of it.
fn short(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "username": user.name,
        "permissions": user.permissions,
        "disabled": user.disabled,
        "hasPassword": user.has_password,
    })
}

/// All of a user that anybody is told.
fn whole(user: &User) -> Value {
    let mut value = short(user);
    let preferences = serde_json::from_str(user.preferences.as_json());
    value["preferences"] = preferences.unwrap_or(Value::Null);
    value["cameras"] = match &user.cameras {
        Cameras::All => Value::Null,
        Cameras::Only(set) => json!(set),
    };
    value
}
