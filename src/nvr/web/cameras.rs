//! `/api/cameras/`: how cameras are set up, and setting them up: new ones, changes, removing. What the
//! configuration file names is changed there and nowhere else, so that the file stays true.
//!
//! The database makes a change; the core takes it in as it does a reload ([`crate::nvr::cameras`]).

use super::access::{require, require_own};
use super::exchange::Exchange;
use super::form::{self, Bare, Password, said};
use super::not_found;
use super::refusal::{bad, unexpected};
use super::route::OfSetup;
use super::task::Task;
use super::users::require_method;
use crate::access::{Permission, Principal};
use crate::config::{self, MAX_RETAIN_DAYS, Secret, Transport};
use crate::db::{
    self, CameraPatch, CameraRequest, Removed, Reply, StreamChange, StreamKind, StreamPatch,
};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::Nvr;
use crate::recording::DirId;
use crate::time::Now;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Refused = Box<Response>;

/// A camera to be made, or a change of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    csrf: Option<String>,
    camera: Fields,
}

/// What is left out stays, or is as in a configuration file that leaves it out.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fields {
    short_name: Option<String>,
    description: Option<String>,
    /// `null`: none.
    #[serde(deserialize_with = "said")]
    username: Option<Option<String>>,
    #[serde(deserialize_with = "said")]
    password: Option<Option<Password>>,
    streams: Streams,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Streams {
    /// `null`: there is none any more.
    #[serde(deserialize_with = "said")]
    main: Option<Option<StreamFields>>,
    #[serde(deserialize_with = "said")]
    sub: Option<Option<StreamFields>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct StreamFields {
    url: Option<String>,
    transport: Option<String>,
    record: Option<bool>,
    /// `null`: as much as there is room for.
    #[serde(deserialize_with = "said")]
    retain_bytes: Option<Option<i64>>,
    #[serde(deserialize_with = "said")]
    retain_days: Option<Option<u32>>,
    sample_dir_id: Option<i32>,
}

impl Fields {
    /// The change, if all of it is good.
    pub fn patch(self) -> Result<CameraPatch, Refused> {
        if let Some(name) = &self.short_name {
            config::camera_name(name).map_err(|e| bad(&format!("shortName: {e}")))?;
        }
        let mut patch = CameraPatch {
            name: self.short_name,
            description: self.description,
            username: self.username.map(Option::unwrap_or_default),
            password: self
                .password
                .map(|p| p.map_or_else(Secret::default, |Password(secret)| secret)),
            ..CameraPatch::default()
        };
        patch.main = stream_change(StreamKind::Main, self.streams.main, &mut patch)?;
        patch.sub = stream_change(StreamKind::Sub, self.streams.sub, &mut patch)?;
        patch.check().map_err(|e| bad(&e))?;
        Ok(patch)
    }
}

/// What becomes of a stream. User and password in its URL go to the camera.
fn stream_change(
    kind: StreamKind,
    said: Option<Option<StreamFields>>,
    patch: &mut CameraPatch,
) -> Result<StreamChange, Refused> {
    let fields = match said {
        None => return Ok(StreamChange::Nothing),
        Some(None) => return Ok(StreamChange::End),
        Some(Some(fields)) => fields,
    };
    let of = |what: &str, sentence: &str| bad(&format!("{what} of {}: {sentence}", kind.as_str()));
    let url = match fields.url {
        Some(text) => Some(patch.take_url(&text).map_err(|e| of("url", &e))?),
        None => None,
    };
    let transport = match fields.transport.as_deref() {
        None => None,
        Some("tcp") => Some(Transport::Tcp),
        Some("udp") => Some(Transport::Udp),
        Some(_) => return Err(of("transport", "it is \"tcp\" or \"udp\"")),
    };
    if fields.retain_bytes.flatten().is_some_and(|n| n < 0) {
        return Err(of("retainBytes", "it is not below 0"));
    }
    if fields
        .retain_days
        .flatten()
        .is_some_and(|n| n > MAX_RETAIN_DAYS)
    {
        return Err(of("retainDays", "that is longer than anybody waits"));
    }
    Ok(StreamChange::Put(StreamPatch {
        url,
        transport,
        record: fields.record,
        retain_bytes: fields.retain_bytes,
        retain_days: fields.retain_days,
        dir: fields.sample_dir_id.map(DirId),
    }))
}

impl Nvr {
    /// What is asked about setting up cameras and disks, if it may be asked.
    pub(super) fn begin_of_setup(
        &mut self,
        now: Now,
        of: OfSetup,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        match of {
            OfSetup::Cameras => {
                require_method(request, &[Method::Get, Method::Head, Method::Post])?;
                match request.method {
                    Method::Post => make(request, who).map(Task::Exchange),
                    _ => self.camera_list(who).map(Task::Whole),
                }
            }
            OfSetup::Test => self.begin_camera_test(now, request, who),
            OfSetup::Retention => self.begin_retention(now, request, who),
            OfSetup::Disks => self.begin_disks(now, request, who),
        }
    }

    /// `GET /api/cameras/`.
    fn camera_list(&self, who: &Principal) -> Result<Response, Refused> {
        let may = |c: &&db::Camera| who.may(Permission::ReadCameraConfigs, Some(c.uuid));
        let all: Vec<Value> = self.cameras.iter().filter(may).map(camera_json).collect();
        if all.is_empty() {
            require(who, Permission::ReadCameraConfigs, None)?;
        }
        Ok(Response::json(Status::Ok, &json!({ "cameras": all })))
    }

    /// `PATCH` and `DELETE /api/cameras/<uuid>/`.
    pub(super) fn begin_camera_change(
        &mut self,
        camera: Uuid,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        let methods = [Method::Get, Method::Head, Method::Patch, Method::Delete];
        require_method(request, &methods)?;
        require(who, Permission::Configure, Some(camera))?;
        let change = match request.method {
            Method::Delete => {
                let Bare { csrf } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                CameraRequest::Remove {
                    camera,
                    recordings: recordings(request)?,
                }
            }
            _ => {
                let Body { csrf, camera: said } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                CameraRequest::Change {
                    camera,
                    patch: Box::new(said.patch()?),
                }
            }
        };
        self.require_not_in_file(camera)?;
        Ok(Task::Exchange(Exchange::new(
            db::Request::Cameras(change),
            |_| Response::empty(Status::NoContent),
        )))
    }

    /// What the file names is changed there. The database would refuse it too, but cannot tell where.
    fn require_not_in_file(&self, camera: Uuid) -> Result<(), Refused> {
        let found = self.cameras.iter().find(|c| c.uuid == camera);
        let camera = found.ok_or_else(|| Box::new(not_found()))?;
        if !camera.in_file {
            return Ok(());
        }
        Err(self.in_file(&format!(
            "its [[camera]] section, name = \"{}\"",
            camera.name
        )))
    }

    /// 409: the configuration file says it, in this place.
    pub(super) fn in_file(&self, place: &str) -> Refused {
        let file = match &self.config.file {
            Some(path) => path.display().to_string(),
            None => "the configuration file".to_owned(),
        };
        let sentence = format!(
            "{file} names it: change it there, in {place}, and reload \
             (`systemctl reload moonfire-nvr`)"
        );
        Box::new(Response::text(Status::Conflict, &sentence))
    }
}

/// `POST /api/cameras/`.
fn make(request: &Request, who: &Principal) -> Result<Exchange, Refused> {
    require(who, Permission::Configure, None)?;
    let Body { csrf, camera } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    let patch = Box::new(camera.patch()?);
    let make = db::Request::Cameras(CameraRequest::Make(patch));
    Ok(Exchange::new(make, |reply| match reply {
        Reply::Cameras(reply) => {
            let made = reply.snapshot.cameras.iter();
            let made = made.filter(|c| c.uuid == reply.camera).map(|c| c.id).next();
            let told = json!({ "uuid": reply.camera, "id": made });
            Response::json(Status::Ok, &told)
        }
        _ => unexpected(),
    }))
}

/// `recordings=keep` or `delete`: never guessed.
fn recordings(request: &Request) -> Result<Removed, Refused> {
    let mut said = request.query_pairs();
    match said.find(|(name, _)| name == "recordings") {
        Some((_, value)) if value == "keep" => Ok(Removed::Kept),
        Some((_, value)) if value == "delete" => Ok(Removed::Deleting),
        _ => Err(bad(
            "say what becomes of the camera's recordings: ?recordings=keep, or ?recordings=delete",
        )),
    }
}

/// All of a camera that those are told who may read its settings.
fn camera_json(camera: &db::Camera) -> Value {
    let mut value = settings(camera);
    value["uuid"] = json!(camera.uuid);
    value["id"] = json!(camera.id);
    value["shortName"] = json!(camera.name);
    value["description"] = json!(camera.description);
    value["removed"] = json!(camera.removed.is_some());
    value
}

/// How a camera is reached and recorded, without its password.
pub fn settings(camera: &db::Camera) -> Value {
    let streams = camera.streams.iter().filter(|s| !s.url.is_empty());
    let streams: Map<String, Value> = streams
        .map(|s| {
            let value = json!({
                "id": s.id.0,
                "url": s.url,
                "transport": s.transport.as_str(),
                "record": s.record,
                "retainBytes": s.retain_bytes,
                "retainDays": s.retain_days,
                "sampleDirId": s.dir.0,
            });
            (s.kind.as_str().to_owned(), value)
        })
        .collect();
    json!({
        "username": camera.username,
        "hasPassword": !camera.password.0.is_empty(),
        "inFile": camera.in_file,
        "streams": streams,
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site};
    use super::*;

    fn garden() -> Value {
        json!({ "camera": {
            "shortName": "garden",
            "description": "the shed",
            "username": "admin",
            "password": "hunter2!",
            "streams": {
                "main": { "url": "rtsp://192.0.2.7/main", "retainBytes": 1_000_000_000_000_i64 },
                "sub": { "url": "rtsp://192.0.2.7/sub", "retainDays": 7, "transport": "udp" },
            },
        }})
    }

    fn camera(site: &mut Site, who: &Browser, name: &str) -> Value {
        let list = site.get(who, "/api/cameras/").is(200).json();
        let all = list["cameras"].as_array().unwrap().clone();
        let found = all.into_iter().find(|c| c["shortName"] == name);
        found.unwrap_or(Value::Null)
    }

    #[test]
    fn a_camera_is_made_changed_and_removed() {
        let (mut site, anna, bert) = Site::with_users();
        site.guards(("POST", "/api/cameras/"), &garden(), &anna, Some(&bert));
        let made = site.change(&anna, "POST", "/api/cameras/", garden());
        let made = made.is(200).json();
        let path = format!("/api/cameras/{}/", made["uuid"].as_str().unwrap());
        let told = camera(&mut site, &anna, "garden");
        assert_eq!(told["uuid"], made["uuid"]);
        assert_eq!(told["id"], made["id"]);
        assert_eq!(told["hasPassword"], true);
        assert!(!told.to_string().contains("hunter2"), "{told}");
        let sub = &told["streams"]["sub"];
        assert_eq!(sub["url"], "rtsp://192.0.2.7/sub");
        assert_eq!(
            (&sub["retainDays"], &sub["transport"]),
            (&json!(7), &json!("udp"))
        );
        assert_eq!(
            (&sub["record"], &sub["retainBytes"]),
            (&json!(true), &Value::Null)
        );
        // It is at work at once.
        assert_eq!(site.nvr.streams.len(), 4);
        let wanted = site.get(&anna, &path).is(200).json();
        assert_eq!(wanted["streams"]["main"]["record"], true);
        assert_eq!(site.nvr.cameras[2].password.0, "hunter2!");

        let change = json!({ "camera": {
            "description": "the new shed",
            "streams": { "main": { "retainBytes": null, "record": false }, "sub": null },
        }});
        site.guards(("PATCH", &path), &change, &anna, Some(&bert));
        let answer = site.change(&anna, "PATCH", &path, change);
        assert_eq!(answer.is(204).body, "");
        let told = camera(&mut site, &anna, "garden");
        assert_eq!(told["description"], "the new shed");
        assert_eq!(told["username"], "admin");
        assert_eq!(told["hasPassword"], true);
        assert_eq!(told["streams"]["sub"], Value::Null);
        let main = &told["streams"]["main"];
        assert_eq!(
            (&main["retainBytes"], &main["record"]),
            (&Value::Null, &json!(false))
        );
        assert_eq!(site.nvr.cameras[2].password.0, "hunter2!");
        let none = json!({ "camera": { "username": null, "password": null } });
        site.change(&anna, "PATCH", &path, none).is(204);
        let told = camera(&mut site, &anna, "garden");
        assert_eq!(
            (&told["username"], &told["hasPassword"]),
            (&json!(""), &json!(false))
        );

        let remove = format!("{path}?recordings=delete");
        site.guards(("DELETE", &remove), &json!({}), &anna, Some(&bert));
        let answer = site.change(&anna, "DELETE", &path, json!({}));
        answer.refuses(400, "?recordings=keep, or ?recordings=delete");
        site.change(&anna, "DELETE", &remove, json!({})).is(204);
        assert_eq!(camera(&mut site, &anna, "garden"), Value::Null);
        site.get(&anna, &path).refuses(404, "nothing by that name");
        site.change(&anna, "DELETE", &remove, json!({}))
            .refuses(404, "nothing by that name");
    }

    #[test]
    fn a_removed_camera_shows_what_it_recorded() {
        let (mut site, anna, _) = Site::with_users();
        let made = site.change(&anna, "POST", "/api/cameras/", garden());
        let path = format!("/api/cameras/{}/", made.json()["uuid"].as_str().unwrap());
        let remove = format!("{path}?recordings=keep");
        site.change(&anna, "DELETE", &remove, json!({})).is(204);
        let told = camera(&mut site, &anna, "garden");
        assert_eq!(
            (&told["removed"], &told["streams"]),
            (&json!(true), &json!({}))
        );
        let list = format!("{path}main/recordings");
        let mut who = anna.clone();
        let user = json!({ "user": { "permissions": { "viewRecordings": true } } });
        site.change(&anna, "PATCH", "/api/users/1", user).is(204);
        site.load_page(&mut who);
        site.get(&who, &list).is(200);
        // By its name it is the same camera again.
        let again = site.change(&who, "POST", "/api/cameras/", garden()).json();
        assert_eq!(
            path,
            format!("/api/cameras/{}/", again["uuid"].as_str().unwrap())
        );
    }

    #[test]
    fn what_the_file_names_is_the_files() {
        let (mut site, anna, _) = Site::with_users();
        let uuid = site.nvr.cameras[0].uuid;
        let path = format!("/api/cameras/{uuid}/");
        assert_eq!(camera(&mut site, &anna, "camera0")["inFile"], true);
        let change = json!({ "camera": { "description": "x" } });
        let words = "its [[camera]] section, name = \"camera0\", and reload";
        site.change(&anna, "PATCH", &path, change)
            .refuses(409, words);
        let remove = format!("{path}?recordings=delete");
        site.change(&anna, "DELETE", &remove, json!({}))
            .refuses(409, words);
        assert!(site.nvr.cameras[0].in_file);
        site.send(&anna, "PUT", &path, "{}")
            .refuses(405, "only GET, HEAD, PATCH, DELETE");
        site.send(&anna, "PUT", "/api/cameras/", "{}")
            .refuses(405, "only GET, HEAD, POST");
    }

    #[test]
    fn who_may_see_some_cameras_sees_those() {
        let (mut site, anna, bert) = Site::with_users();
        site.get(&bert, "/api/cameras/").refuses(403, "you may not");
        site.get(&Browser::default(), "/api/cameras/")
            .refuses(401, "sign in first");
        let uuids: Vec<Uuid> = site.nvr.cameras.iter().map(|c| c.uuid).collect();
        let user = json!({ "user": {
            "cameras": [uuids[1]],
            "permissions": { "configure": true },
        }});
        site.change(&anna, "PATCH", "/api/users/2", user).is(204);
        let list = site.get(&bert, "/api/cameras/").is(200).json();
        assert_eq!(list["cameras"].as_array().unwrap().len(), 1);
        assert_eq!(list["cameras"][0]["uuid"], json!(uuids[1]));
        let of_both = site.get(&bert, "/api/?cameraConfigs=true").json();
        let configs: Vec<bool> = of_both["cameras"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["config"].is_object())
            .collect();
        assert_eq!(configs, [true]);
        // Making more is for who sets up the recorder as a whole.
        let answer = site.change(&bert, "POST", "/api/cameras/", garden());
        answer.refuses(403, "you may not");
        let path = format!("/api/cameras/{}/", uuids[0]);
        let change = json!({ "camera": { "description": "x" } });
        site.change(&bert, "PATCH", &path, change.clone())
            .refuses(403, "you may not");
        let own = format!("/api/cameras/{}/", uuids[1]);
        site.change(&bert, "PATCH", &own, change)
            .refuses(409, "reload");
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        let (mut site, anna, _) = Site::with_users();
        let main = |stream: Value| json!({ "shortName": "x", "streams": { "main": stream } });
        let url = "rtsp://192.0.2.7/main";
        for (camera, words) in [
            (json!({}), "needs a shortName"),
            (json!({ "shortName": "x" }), "a camera needs a stream"),
            (
                json!({ "shortName": "", "streams": {} }),
                "shortName: the name is empty",
            ),
            (
                json!({ "shortName": "x", "password": 7 }),
                "a password is a string",
            ),
            (
                json!({ "shortName": "x", "username": "a\nb" }),
                "the username has a control",
            ),
            (
                json!({ "shortName": "x", "description": "x".repeat(1_001) }),
                "longer than 1000",
            ),
            (
                json!({ "shortName": "x", "streams": { "third": {} } }),
                "unknown field `third`",
            ),
            (main(json!({})), "the main stream needs a url"),
            (
                main(json!({ "url": "http://192.0.2.7/" })),
                "url of main: the URL begins with http",
            ),
            (
                main(json!({ "url": url, "transport": "sctp" })),
                "transport of main",
            ),
            (
                main(json!({ "url": url, "retainBytes": -1 })),
                "retainBytes of main",
            ),
            (
                main(json!({ "url": url, "retainDays": 200_000 })),
                "retainDays of main",
            ),
            (
                main(json!({ "url": url, "sampleDirId": 7 })),
                "no sample directory 7",
            ),
        ] {
            let body = json!({ "camera": camera });
            let answer = site.change(&anna, "POST", "/api/cameras/", body);
            answer.refuses(400, words);
        }
        let mut two = garden();
        two["camera"]["streams"]["sub"]["url"] = json!("rtsp://root:other@192.0.2.7/sub");
        let answer = site.change(&anna, "POST", "/api/cameras/", two);
        answer.refuses(400, "another user or password than the camera");
        assert!(!answer.body.contains("other@"), "{answer:?}");
        let mut taken = garden();
        taken["camera"]["shortName"] = json!("camera1");
        let answer = site.change(&anna, "POST", "/api/cameras/", taken);
        answer.refuses(409, "a camera of that name already");
        assert_eq!(site.nvr.cameras.len(), 2);
    }

    #[test]
    fn a_user_in_a_url_is_the_cameras() {
        let (mut site, anna, _) = Site::with_users();
        let body = json!({ "camera": {
            "shortName": "x",
            "streams": { "main": { "url": "rtsp://root:pass%21@192.0.2.7/main" } },
        }});
        site.change(&anna, "POST", "/api/cameras/", body).is(200);
        let told = camera(&mut site, &anna, "x");
        assert_eq!(told["streams"]["main"]["url"], "rtsp://192.0.2.7/main");
        assert_eq!(
            (&told["username"], &told["hasPassword"]),
            (&json!("root"), &json!(true))
        );
        assert_eq!(site.nvr.cameras[2].password.0, "pass!");
        // It is sent nowhere else by who does not know it.
        let path = format!("/api/cameras/{}/", told["uuid"].as_str().unwrap());
        let body = json!({ "camera": { "streams": { "main": { "url": "rtsp://192.0.2.66/" } } } });
        let answer = site.change(&anna, "PATCH", &path, body);
        answer.refuses(400, "another host than the password was given for");
    }
}
