//! `/api/retention` and `/api/disks`: what is kept, how fast it grows and until when, and how the disks
//! fare. Limits are changed with their cameras; directories are in the configuration file.

use super::access::{require, require_own};
use super::exchange::Exchange;
use super::form::{self, Bare};
use super::refusal::unexpected;
use super::task::Task;
use super::users::require_method;
use crate::access::{Permission, Principal};
use crate::config::Reserve;
use crate::db::{self, DirUsage, Reply, StreamUsage, Usage};
use crate::http::{Method, Request, Response, Status as HttpStatus};
use crate::nvr::Nvr;
use crate::nvr::status::{DirStatus, Status, StreamStatus};
use crate::recording::forecast::{Growing, MEASURED, Measured, Room, rounded, wanted_bytes};
use crate::time::Now;
use serde_json::{Value, json};

type Refused = Box<Response>;

impl Nvr {
    /// `GET /api/retention`.
    pub(super) fn begin_retention(
        &self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        require_method(request, &[Method::Get, Method::Head])?;
        require(who, Permission::ReadCameraConfigs, None)?;
        let status = self.status(now);
        let reserve = self.config.reserve;
        Ok(self.ask_usage(now, move |usage| retention(&status, reserve, usage)))
    }

    /// `GET` and `POST /api/disks`.
    pub(super) fn begin_disks(
        &self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        require_method(request, &[Method::Get, Method::Head, Method::Post])?;
        if request.method == Method::Post {
            require(who, Permission::Configure, None)?;
            let Bare { csrf } = form::read(request)?;
            require_own(who, csrf.as_deref())?;
            return Err(self.told_elsewhere());
        }
        require(who, Permission::ReadCameraConfigs, None)?;
        let status = self.status(now);
        let reserve = self.config.reserve;
        let configured = self.config.sample_dirs.clone();
        Ok(self.ask_usage(now, move |usage| {
            let dirs = status.dirs.iter();
            let disks: Vec<Value> = dirs
                .map(|d| {
                    let mut value = disk(d, reserve, of_dir(usage, d));
                    value["inFile"] = json!(configured.contains(&d.path));
                    value
                })
                .collect();
            json!({ "disks": disks })
        }))
    }

    /// 409: a directory is a folder of the machine, which whoever has a shell there gives to the recorder.
    fn told_elsewhere(&self) -> Refused {
        let file = self.config.file.as_deref();
        let file = file.map_or("the configuration file".to_owned(), |f| {
            f.display().to_string()
        });
        let sentence = format!(
            "a sample directory is added in {file}, in `sample_dirs`, and taken in at a reload (`systemctl reload \
             moonfire-nvr`); or with `moonfire-nvr config`"
        );
        Box::new(Response::text(HttpStatus::Conflict, &sentence))
    }

    fn ask_usage(&self, now: Now, tell: impl FnOnce(&Usage) -> Value + 'static) -> Task {
        let since = self.at(now).wall - MEASURED;
        let ask = db::Request::Usage { since };
        Task::Exchange(Exchange::new(ask, move |reply| match reply {
            Reply::Usage(usage) => Response::json(HttpStatus::Ok, &tell(&usage)),
            _ => unexpected(),
        }))
    }
}

fn of_dir<'a>(usage: &'a Usage, dir: &DirStatus) -> Option<&'a DirUsage> {
    usage.dirs.iter().find(|u| u.dir == dir.id)
}

/// A sample directory and its disk.
fn disk(d: &DirStatus, reserve: Reserve, usage: Option<&DirUsage>) -> Value {
    json!({
        "id": d.id.0,
        "path": d.path,
        "state": d.state,
        "message": d.trouble,
        "since90k": d.since.map(|t| t.0),
        "totalBytes": d.total_bytes,
        "freeBytes": d.free_bytes,
        "reserveBytes": d.total_bytes.map(|n| reserve.bytes_of(n)),
        "usedBytes": usage.map_or(0, |u| u.bytes),
        "recordings": usage.map_or(0, |u| u.recordings),
        "oldestTime90k": usage.and_then(|u| u.oldest).map(|t| t.0),
        "bytesPerSecond": d.bytes_per_second,
        "errors": d.errors,
    })
}

fn retention(status: &Status, reserve: Reserve, usage: &Usage) -> Value {
    let mut streams = Vec::new();
    let mut growing = Vec::new();
    for camera in &status.cameras {
        for s in &camera.streams {
            let of_late = usage.streams.iter().find(|u| u.stream == s.id);
            let measured = of_late.map(|u| measured(status, u));
            let grows = grows(s, measured.as_ref());
            growing.push((s.dir, grows));
            streams.push(json!({
                "uuid": camera.uuid,
                "shortName": camera.name,
                "stream": s.kind.as_str(),
                "sampleDirId": s.dir.0,
                "record": s.record,
                "retainBytes": s.retain_bytes,
                "retainDays": s.retain_days,
                "usedBytes": grows.used_bytes,
                "minStartTime90k": s.totals.first_start.map(|t| t.0),
                "bitRate": measured.and_then(|m| m.bit_rate()),
                "bytesPerDay": measured.and_then(|m| m.bytes_per_day()),
                "daysUntilLimit": grows.days_until_limit().map(rounded),
                "daysKept": grows.days_kept().map(rounded),
            }));
        }
    }
    let disks: Vec<Value> = status
        .dirs
        .iter()
        .map(|d| {
            let ours = growing.iter().filter(|(dir, _)| *dir == d.id);
            let ours: Vec<Growing> = ours.map(|(_, g)| *g).collect();
            room(d, reserve, of_dir(usage, d), &ours)
        })
        .collect();
    json!({ "streams": streams, "disks": disks })
}

fn measured(status: &Status, usage: &StreamUsage) -> Measured {
    Measured::of(usage.bytes, usage.duration, status.now - usage.since)
}

fn grows(s: &StreamStatus, measured: Option<&Measured>) -> Growing {
    Growing {
        used_bytes: s.totals.sample_file_bytes,
        bytes_per_day: match s.record {
            true => measured.and_then(Measured::bytes_per_day).unwrap_or(0),
            false => 0,
        },
        retain_bytes: s.retain_bytes,
        retain_days: s.retain_days,
    }
}

/// What a disk has room for, and what the streams that are recorded to it want.
fn room(d: &DirStatus, reserve: Reserve, usage: Option<&DirUsage>, streams: &[Growing]) -> Value {
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let free = d.free_bytes.map(bytes);
    let reserve = d.total_bytes.map(|n| bytes(reserve.bytes_of(n)));
    let used = usage.map_or(0, |u| u.bytes);
    let room = Room {
        left_bytes: free.zip(reserve).map(|(free, reserve)| free - reserve),
        used_bytes: used,
    };
    json!({
        "id": d.id.0,
        "path": d.path,
        "totalBytes": d.total_bytes,
        "freeBytes": d.free_bytes,
        "reserveBytes": reserve,
        "usedBytes": used,
        "usableBytes": room.usable_bytes(),
        "wantedBytes": wanted_bytes(streams),
        "unlimitedStreams": streams.iter().filter(|s| s.wanted_bytes().is_none()).count(),
        "overcommittedBytes": room.overcommitted_bytes(streams),
        "bytesPerDay": streams.iter().map(|s| s.bytes_per_day).sum::<i64>(),
        "daysUntilFull": room.days_until_full(streams).map(rounded),
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site};
    use super::*;

    #[test]
    fn what_is_kept_is_told_to_those_who_set_up() {
        let (mut site, anna, bert) = Site::with_users();
        for path in ["/api/retention", "/api/disks"] {
            site.get(&Browser::default(), path)
                .refuses(401, "sign in first");
            site.get(&bert, path).refuses(403, "you may not");
        }
        let told = site.get(&anna, "/api/retention").is(200).json();
        let streams = told["streams"].as_array().unwrap();
        assert_eq!(streams.len(), 2);
        assert_eq!(
            (&streams[1]["shortName"], &streams[1]["stream"]),
            (&json!("camera1"), &json!("main"))
        );
        assert_eq!(
            (&streams[0]["usedBytes"], &streams[0]["bitRate"]),
            (&json!(0), &Value::Null)
        );
        let disk = &told["disks"][0];
        assert_eq!(
            (&disk["path"], &disk["unlimitedStreams"]),
            (&json!("/sample"), &json!(2))
        );
        // Nothing has answered for it yet.
        assert_eq!(
            (&disk["usableBytes"], &disk["daysUntilFull"]),
            (&Value::Null, &Value::Null)
        );
        let told = site.get(&anna, "/api/disks").is(200).json();
        let disk = &told["disks"][0];
        assert_eq!(
            (&disk["state"], &disk["inFile"]),
            (&json!("attaching"), &json!(true))
        );
        assert_eq!(
            (&disk["errors"], &disk["bytesPerSecond"]),
            (&json!(0), &json!(0))
        );
    }

    #[test]
    fn directories_are_the_files() {
        let (mut site, anna, bert) = Site::with_users();
        site.guards(("POST", "/api/disks"), &json!({}), &anna, Some(&bert));
        let answer = site.change(&anna, "POST", "/api/disks", json!({}));
        answer.refuses(409, "a sample directory is added in");
        let answer = site.change(&anna, "POST", "/api/disks", json!({}));
        answer.refuses(409, "or with `moonfire-nvr config`");
        site.send(&anna, "PUT", "/api/disks", "{}")
            .refuses(405, "only GET, HEAD, POST");
        site.send(&anna, "POST", "/api/retention", "{}")
            .refuses(405, "only GET, HEAD");
    }
}
