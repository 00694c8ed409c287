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

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, PASSWORD, Site, public};
    use super::*;
    use crate::config::{HttpConfig, Listen};

    fn id_of(site: &mut Site, admin: &Browser, name: &str) -> i64 {
        let list = site.get(admin, "/api/users/").json();
        let users = list["users"].as_array().unwrap().iter();
        let mut found = users.filter(|u| u["username"] == name);
        found.next().unwrap()["id"].as_i64().unwrap()
    }

    fn new_user(name: &str) -> Value {
        json!({ "user": { "username": name, "password": PASSWORD } })
    }

    #[test]
    fn an_administrator_sees_to_users() {
        let (mut site, anna, bert) = Site::with_users();
        site.guards(
            ("POST", "/api/users/"),
            &new_user("carl"),
            &anna,
            Some(&bert),
        );
        let all = site.get(&anna, "/api/users/").is(200).json();
        assert_eq!(all["users"].as_array().unwrap().len(), 2);
        let camera = site.nvr.cameras[0].uuid;
        let answer = site.change(
            &anna,
            "POST",
            "/api/users/",
            json!({ "user": {
                "username": "carl",
                "password": PASSWORD,
                "preferences": { "theme": "dark" },
                "permissions": { "viewVideo": true },
                "cameras": [camera],
            }}),
        );
        let path = format!("/api/users/{}", answer.is(200).json()["id"]);
        let carl = site.get(&anna, &path).is(200).json();
        assert_eq!(carl["username"], "carl");
        assert_eq!(carl["preferences"], json!({ "theme": "dark" }));
        assert_eq!(carl["cameras"], json!([camera]));
        assert_eq!(carl["permissions"]["viewRecordings"], true);
        assert_eq!(carl["permissions"]["adminUsers"], false);
        assert_eq!(carl["disabled"], false);
        assert_eq!(carl["hasPassword"], true);
        assert!(!carl.to_string().contains("fake"), "{carl}");
        // What he may counts at once, for his camera only.
        let his = site.sign_in("carl");
        let cameras = site.get(&his, "/api/").json()["cameras"].take();
        assert_eq!(cameras.as_array().unwrap().len(), 1);

        let change = json!({ "user": { "cameras": null, "username": "Karl" } });
        site.guards(("PATCH", &path), &change, &anna, Some(&bert));
        let answer = site.change(&anna, "PATCH", &path, change);
        assert_eq!(answer.is(204).body, "");
        let carl = site.get(&anna, &path).json();
        assert_eq!(
            (&carl["username"], &carl["cameras"]),
            (&json!("Karl"), &Value::Null)
        );
        let cameras = site.get(&his, "/api/").json()["cameras"].take();
        assert_eq!(cameras.as_array().unwrap().len(), 2);

        site.guards(("DELETE", &path), &json!({}), &anna, Some(&bert));
        site.change(&anna, "DELETE", &path, json!({})).is(204);
        site.get(&his, "/api/").refuses(401, "sign in first");
        site.get(&anna, &path).refuses(404, "there is no such user");
    }

    #[test]
    fn reading_about_users() {
        let (mut site, anna, bert) = Site::with_users();
        let nobody = Browser::default();
        let annas = format!("/api/users/{}", id_of(&mut site, &anna, "anna"));
        let berts = format!("/api/users/{}", id_of(&mut site, &anna, "bert"));
        for path in ["/api/users/", "/api/users", &annas, &berts] {
            site.get(&nobody, path).refuses(401, "sign in first");
            site.get(&anna, path).is(200);
        }
        site.get(&bert, "/api/users/").refuses(403, "you may not");
        site.get(&bert, &annas).refuses(403, "you may not");
        let own = site.get(&bert, &berts).is(200).json();
        assert_eq!(own["username"], "bert");
        let other = site.send(&anna, "PUT", &berts, "{}");
        other.refuses(405, "only GET, HEAD, PATCH, DELETE");
        let head = site.send(&anna, "HEAD", "/api/users/", "");
        assert_eq!((head.status, &*head.body), (200, ""));
    }

    #[test]
    fn of_oneself_one_changes_the_password_and_the_preferences() {
        let (mut site, anna, bert) = Site::with_users();
        let elsewhere = site.sign_in("bert");
        let path = format!("/api/users/{}", id_of(&mut site, &anna, "bert"));
        let preferences = json!({ "user": { "preferences": { "a": 1 } } });
        site.guards(("PATCH", &path), &preferences, &bert, None);
        site.change(&bert, "PATCH", &path, preferences).is(204);
        let user = site.get(&bert, "/api/").json()["user"].take();
        assert_eq!(user["preferences"], json!({ "a": 1 }));

        for more in [
            json!({ "username": "robert" }),
            json!({ "permissions": { "administer": true } }),
            json!({ "permissions": {} }),
            json!({ "cameras": null }),
            json!({ "disabled": false }),
            json!({ "password": null }),
            json!({ "password": "a new password", "disabled": false }),
        ] {
            let answer = site.change(&bert, "PATCH", &path, json!({ "user": more }));
            answer.refuses(403, "you may change the password and the preferences only");
        }
        let annas = format!("/api/users/{}", id_of(&mut site, &anna, "anna"));
        let body = json!({ "user": { "password": "a new password" } });
        let answer = site.change(&bert, "PATCH", &annas, body.clone());
        answer.refuses(403, "you may not");
        site.change(&bert, "DELETE", &path, json!({}))
            .refuses(403, "you may not");

        // As older programs say it. Who changes it stays, all others are out.
        let body = json!({ "update": body["user"] });
        site.change(&bert, "PATCH", &path, body).is(204);
        site.get(&bert, "/api/").is(200);
        site.get(&elsewhere, "/api/").refuses(401, "sign in first");
        let login = |site: &mut Site, password: &str| {
            let body = json!({ "username": "bert", "password": password });
            let browser = Browser::default();
            let answer = site.send(&browser, "POST", "/api/login", &body.to_string());
            answer.status
        };
        assert_eq!(login(&mut site, PASSWORD), 403);
        assert_eq!(login(&mut site, "a new password"), 204);
    }

    #[test]
    fn changes_that_are_refused_say_why() {
        let (mut site, anna, _) = Site::with_users();
        let annas = format!("/api/users/{}", id_of(&mut site, &anna, "anna"));
        for (method, path, user, status, words) in [
            (
                "POST",
                "/api/users/",
                json!({ "username": "BERT" }),
                409,
                "that name already",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": " x" }),
                400,
                "no space at its begin",
            ),
            ("POST", "/api/users/", json!({}), 400, "needs a username"),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "disabled": true }),
                400,
                "disabled by changing it",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "password": "short" }),
                400,
                "at least 8 characters",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "password": 12345678 }),
                400,
                "a password is a string",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "permissions": { "viewAll": true } }),
                400,
                "unknown field `viewAll`",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "cameras": ["front door"] }),
                400,
                "UUID parsing failed",
            ),
            (
                "POST",
                "/api/users/",
                json!({ "username": "x", "preferences": [] }),
                400,
                "expected a map",
            ),
            (
                "PATCH",
                &annas,
                json!({ "cameras": [] }),
                400,
                "an administrator cannot be restricted",
            ),
            (
                "PATCH",
                &annas,
                json!({ "permissions": { "adminUsers": false } }),
                409,
                "the last administrator",
            ),
            (
                "PATCH",
                &annas,
                json!({ "password": null }),
                409,
                "the last administrator",
            ),
            (
                "PATCH",
                "/api/users/99",
                json!({ "password": PASSWORD }),
                404,
                "no such user",
            ),
        ] {
            let answer = site.change(&anna, method, path, json!({ "user": user }));
            answer.refuses(status, words);
        }
        site.change(&anna, "DELETE", &annas, json!({}))
            .refuses(409, "the last administrator");
        site.get(&anna, "/api/").is(200);
        let answer = site.get(&anna, "/api/users/x");
        answer.refuses(404, "nothing by that name");
        site.fails = Some(crate::decoder::Error::Busy);
        let answer = site.change(&anna, "POST", "/api/users/", new_user("x"));
        answer.refuses(503, "passwords cannot be looked at now");
    }

    #[test]
    fn the_owner_at_a_unix_socket_is_an_administrator() {
        let socket = HttpConfig {
            owner_is_administrator: true,
            ..HttpConfig::new(Listen::Unix("/run/nvr.sock".into()))
        };
        let mut site = Site::new(vec![public(), socket]);
        let by = |uid| Browser {
            listener: 1,
            uid: Some(uid),
            ..Browser::default()
        };
        let owner = by(1000);
        let made = site.change(&owner, "POST", "/api/users/", new_user("anna"));
        made.is(200);
        site.get(&owner, "/api/users/1").is(200);
        site.get(&owner, "/api/sessions/").is(200);
        site.get(&by(1001), "/api/users/").refuses(401, "sign in");
        let token = json!({ "token": { "name": "x", "permissions": {} } });
        let answer = site.change(&owner, "POST", "/api/tokens/", token);
        answer.refuses(400, "userId");
    }
}
