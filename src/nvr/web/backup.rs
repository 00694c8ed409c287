//! `/api/backup`, `/api/restore` and `/api/support`: settings as a file, and what is told to those who are
//! asked for help.

use super::access::{require, require_own};
use super::form::{self, Password};
use super::refusal::{bad, unexpected};
use super::route::OfAppliance;
use super::task::{Need, Task};
use super::users::require_method;
use crate::access::{Permission, Principal};
use crate::appliance::protocol::{Answer, Request as Ask};
use crate::config::{Secret, Severity};
use crate::db::{self, Reply};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::Nvr;
use crate::nvr::log_book::Wanted;
use crate::time::Now;
use serde::Deserialize;
use serde_json::{Map, Value, json};

type Refused = Box<Response>;

/// So many lines of the log are told to those who help.
const SUPPORT_LINES: usize = 2_000;

/// Of what a machine tells, what is told to those who help: nothing that somebody typed.
const SUPPORT_KEYS: [&str; 12] = [
    "appliance",
    "board",
    "version",
    "uptimeSeconds",
    "temperatureCelsius",
    "underVoltage",
    "clockSynchronized",
    "cardWrites",
    "problems",
    "slots",
    "update",
    "job",
];

/// Words shorter than this are not searched for in what is told: they are in everything.
const MIN_SECRET_BYTES: usize = 3;

/// One of the three, and how far it has got.
pub enum BackupTask {
    /// The machine is to be asked, or was, and then the database.
    Backup {
        passphrase: Option<Secret>,
    },
    /// The database is to be asked.
    Ask(Box<db::Request>),
    /// It was.
    Asked,
    /// What was set of the machine is to be set there, or was; then it is answered.
    Settings {
        ask: Option<Ask>,
        answer: Value,
    },
    /// What is told, but for what the machine tells, and the words that must not be in it.
    Support {
        text: String,
        secrets: Vec<String>,
    },
    /// Somebody was asked.
    Waiting(Box<BackupTask>),
    Answered(Box<Response>),
}

impl BackupTask {
    pub fn need(&mut self) -> Need {
        match std::mem::replace(self, BackupTask::Asked) {
            task @ (BackupTask::Backup { .. } | BackupTask::Support { .. }) => {
                *self = BackupTask::Waiting(Box::new(task));
                Need::Steward(Ask::State, Vec::new())
            }
            BackupTask::Ask(request) => Need::Database(*request),
            BackupTask::Settings {
                ask: Some(ask),
                answer,
            } => {
                let rest = BackupTask::Settings { ask: None, answer };
                *self = BackupTask::Waiting(Box::new(rest));
                Need::Steward(ask, Vec::new())
            }
            BackupTask::Asked => Need::Recorded,
            BackupTask::Waiting(task) => {
                *self = BackupTask::Waiting(task);
                Need::Recorded
            }
            BackupTask::Settings { ask: None, answer } => {
                *self = BackupTask::Answered(Box::new(Response::json(Status::Ok, &answer)));
                Need::Nothing
            }
            BackupTask::Answered(response) => {
                *self = BackupTask::Answered(response);
                Need::Nothing
            }
        }
    }

    /// The steward has answered. Without one, the machine has nothing to tell.
    pub fn machine(&mut self, answer: Answer) {
        let BackupTask::Waiting(task) = std::mem::replace(self, BackupTask::Asked) else {
            return;
        };
        *self = match *task {
            BackupTask::Backup { passphrase } => {
                let machine = answer
                    .map(|state| settings_of(&state))
                    .unwrap_or(Value::Null);
                BackupTask::Ask(Box::new(db::Request::Backup {
                    passphrase,
                    machine,
                }))
            }
            BackupTask::Support { mut text, secrets } => {
                let state = answer.unwrap_or_default();
                let told = SUPPORT_KEYS
                    .iter()
                    .filter_map(|k| Some((*k, state.get(k)?.clone())));
                let told: Map<String, Value> = told.map(|(k, v)| (k.to_owned(), v)).collect();
                if !told.is_empty() {
                    text.push_str("\n== the machine ==\n");
                    text.push_str(&format!("{:#}\n", Value::Object(told)));
                }
                for secret in secrets.iter().filter(|s| s.len() >= MIN_SECRET_BYTES) {
                    text = text.replace(secret.as_str(), "***");
                }
                let response = Response::text(Status::Ok, &text);
                BackupTask::Answered(Box::new(attached(response, "moonfire-nvr-support.txt")))
            }
            BackupTask::Settings {
                answer: mut told, ..
            } => {
                if let (Err(refusal), Some(notes)) = (answer, told["notes"].as_array_mut()) {
                    notes.push(json!(format!("settings of the machine: {refusal}")));
                }
                BackupTask::Settings {
                    ask: None,
                    answer: told,
                }
            }
            other => other,
        };
    }

    /// The database has answered.
    pub fn take(&mut self, reply: Reply) {
        *self = match reply {
            Reply::Backup(text) => {
                let mut response = Response::text(Status::Ok, "");
                response.body = text.into_bytes().into();
                let name = "moonfire-nvr-settings.json";
                BackupTask::Answered(Box::new(attached(response, name)))
            }
            Reply::Restored(restored) => {
                let settings = match restored.machine {
                    Value::Object(map) if !map.is_empty() => Some(Ask::Change { settings: map }),
                    _ => None,
                };
                let answer = json!({
                    "cameras": restored.cameras,
                    "users": restored.users,
                    "notes": restored.notes,
                });
                BackupTask::Settings {
                    ask: settings,
                    answer,
                }
            }
            _ => BackupTask::Answered(Box::new(unexpected())),
        };
    }

    pub fn answer(self) -> Response {
        match self {
            BackupTask::Answered(response) => *response,
            _ => unexpected(),
        }
    }
}

/// What a page set of the machine, without what is secret or would take it off the network.
fn settings_of(state: &Value) -> Value {
    let all = state["settings"].as_object().cloned().unwrap_or_default();
    let of_page = all
        .into_iter()
        .filter(|(key, told)| told["from"] == json!("page") && key != "wifi" && key != "network");
    Value::Object(
        of_page
            .map(|(key, mut told)| (key, told["value"].take()))
            .collect(),
    )
}

/// Saved by a browser under this name.
fn attached(response: Response, name: &str) -> Response {
    response.field(
        "Content-Disposition",
        format!("attachment; filename=\"{name}\""),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupBody {
    csrf: Option<String>,
    passphrase: Option<Password>,
}

impl Nvr {
    pub(super) fn begin_backup(
        &mut self,
        now: Now,
        of: OfAppliance,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        require(who, Permission::Administer, None)?;
        let task = match of {
            OfAppliance::Backup => {
                require_method(request, &[Method::Post])?;
                let body: BackupBody = form::read(request)?;
                require_own(who, body.csrf.as_deref())?;
                let passphrase = body.passphrase.map(|p| p.0).filter(|p| !p.0.is_empty());
                BackupTask::Backup { passphrase }
            }
            OfAppliance::Restore => {
                require_method(request, &[Method::Put])?;
                require_own(who, request.header("x-csrf-token"))?;
                let passphrase = request.header("x-passphrase").filter(|p| !p.is_empty());
                let passphrase = passphrase.map(|text| {
                    let decoded = crate::config::values::percent_decode(text);
                    decoded
                        .map(Secret)
                        .ok_or_else(|| bad("X-Passphrase is not percent-encoded UTF-8"))
                });
                BackupTask::Ask(Box::new(db::Request::Restore {
                    file: request.body.clone(),
                    passphrase: passphrase.transpose()?,
                }))
            }
            _ => {
                require_method(request, &[Method::Get, Method::Head])?;
                BackupTask::Support {
                    text: self.support_text(now),
                    secrets: self.camera_secrets(),
                }
            }
        };
        Ok(Task::Backup(Box::new(task)))
    }

    /// What must not be told, if it should stand in a line of the log.
    fn camera_secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for camera in &self.cameras {
            secrets.push(camera.password.0.clone());
            secrets.push(camera.username.clone());
            // Cameras of some makes want user and password behind a question mark.
            let urls = camera.streams.iter().filter_map(|s| s.url.split_once('?'));
            let values = urls.flat_map(|(_, query)| query.split(['&', '=']));
            secrets.extend(values.map(str::to_owned));
        }
        secrets
    }

    fn support_text(&self, now: Now) -> String {
        let status = self.status(now);
        let mut text = format!(
            "moonfire-nvr {}, at {} of its clock ({})\n",
            env!("CARGO_PKG_VERSION"),
            status.now,
            if status.clock_trusted {
                "set"
            } else {
                "not set"
            },
        );
        if let Some(trouble) = &status.database_trouble {
            text.push_str(&format!("the database: {trouble}\n"));
        }
        text.push_str("\n== streams ==\n");
        for camera in &status.cameras {
            for s in &camera.streams {
                let gap = s.gap.as_ref().map(|(cause, detail, since)| {
                    format!("; {} since {since}: {detail}", cause.as_str())
                });
                text.push_str(&format!(
                    "{} {}: {}, {}{}; {} packets lost\n",
                    camera.name,
                    s.kind.as_str(),
                    if s.recording {
                        "recording"
                    } else {
                        "not recording"
                    },
                    s.state,
                    gap.unwrap_or_default(),
                    s.lost_packets,
                ));
            }
        }
        text.push_str("\n== disks ==\n");
        for d in &status.dirs {
            text.push_str(&format!(
                "{}: {}; {:?} of {:?} bytes free; {} errors; {}\n",
                d.path.display(),
                d.state,
                d.free_bytes,
                d.total_bytes,
                d.errors,
                d.trouble.as_deref().unwrap_or("no trouble"),
            ));
        }
        text.push_str("\n== log ==\n");
        let wanted = Wanted {
            after: 0,
            severity: Severity::Info,
            camera: None,
            text: None,
            limit: SUPPORT_LINES,
        };
        let (lines, _) = self.out.log_book.find(&wanted);
        for line in lines {
            // Who looked at what is nobody else's business.
            if line.record.event == crate::nvr::log_book::ACCESS {
                continue;
            }
            let camera = line.record.camera.as_deref().unwrap_or("-");
            let (severity, event) = (line.record.severity.as_str(), line.record.event);
            text.push_str(&format!(
                "{} {severity} {event} {camera}: {}\n",
                line.time, line.record.message
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site};
    use super::*;

    const SECRETS: [&str; 6] = [
        "planted-password",
        "planted-user",
        "planted-query",
        "planted-key",
        "planted-wifi",
        "planted-agent",
    ];

    fn camera() -> Value {
        json!({ "camera": {
            "shortName": "garden", "username": SECRETS[1], "password": SECRETS[0], "streams": {
                "main": { "url": format!("rtsp://192.0.2.7/main?auth={}", SECRETS[2]), "retainDays": 30 },
                "sub": { "url": "rtsp://192.0.2.7/sub", "record": false } } } })
    }

    fn restore(
        site: &mut Site,
        browser: &Browser,
        file: &str,
        passphrase: &str,
    ) -> super::super::client::Answer {
        let conn = site.connect(browser);
        let fields = format!(
            "X-CSRF-Token: {}\r\nX-Passphrase: {passphrase}\r\n",
            browser.csrf.as_deref().unwrap()
        );
        site.write(browser, conn, ("PUT", "/api/restore"), &fields, file);
        site.read(conn).unwrap()
    }

    #[test]
    fn what_is_backed_up_is_there_again_elsewhere() {
        let (mut site, anna, bert) = Site::with_users();
        site.change(&anna, "POST", "/api/cameras/", camera())
            .is(200);
        site.guards(("POST", "/api/backup"), &json!({}), &anna, Some(&bert));
        let machine = json!({ "settings": {
            "timeZone": { "value": "Europe/Zurich", "from": "page" },
            "hostname": { "value": "barn", "from": "bootFile" },
            "wifi": { "value": { "ssid": SECRETS[4] }, "from": "page" } } });
        site.steward_answers.push_back(Ok(machine));
        let body = json!({ "passphrase": "a few words" });
        let file = site.change(&anna, "POST", "/api/backup", body);
        file.is(200);
        assert!(
            file.field("Content-Disposition")
                .unwrap()
                .contains("moonfire-nvr-settings.json")
        );
        let text = file.body.clone();
        assert!(
            !text.contains(SECRETS[0]) && !text.contains("$sim$"),
            "{text}"
        );
        let open = site
            .change(&anna, "POST", "/api/backup", json!({}))
            .is(200)
            .json();
        assert_eq!(open["secrets"], Value::Null);
        site.change(
            &anna,
            "POST",
            "/api/backup",
            json!({ "passphrase": "short" }),
        )
        .refuses(400, "a passphrase has 8");

        let (mut other, admin, _) = Site::with_users();
        restore(&mut other, &admin, &text, "wrong%20words").refuses(400, "passphrase is wrong");
        restore(&mut other, &admin, "{}", "").refuses(400, "no backup");
        restore(
            &mut other,
            &admin,
            &text.replace("\"version\": 1", "\"version\": 2"),
            "",
        )
        .refuses(400, "later version");
        other.stewarded.clear();
        other.steward_answers.push_back(Ok(json!({})));
        let told = restore(&mut other, &admin, &text, "a%20few%20words");
        let told = told.is(200).json();
        // Its own camera is named by its file, and stays as that says.
        assert_eq!(told["users"], json!(2), "{told}");
        assert!(told["cameras"].as_u64() >= Some(1), "{told}");
        let settings = other.stewarded.iter().find_map(|(ask, _)| match ask {
            Ask::Change { settings } => Some(settings.clone()),
            _ => None,
        });
        assert_eq!(
            settings.unwrap(),
            *json!({ "timeZone": "Europe/Zurich" }).as_object().unwrap()
        );
        let cameras = other.get(&admin, "/api/cameras/").is(200).json();
        let all = cameras["cameras"].as_array().unwrap();
        let garden = all
            .iter()
            .find(|c| c["shortName"] == json!("garden"))
            .unwrap();
        assert_eq!(
            (&garden["username"], &garden["hasPassword"]),
            (&json!(SECRETS[1]), &json!(true))
        );
        assert_eq!(garden["streams"]["main"]["retainDays"], json!(30));
        assert_eq!(garden["streams"]["sub"]["record"], json!(false));
        let garden = other
            .nvr
            .cameras
            .iter()
            .find(|c| c.name == "garden")
            .unwrap();
        assert_eq!(garden.password.0, SECRETS[0]);
    }

    #[test]
    fn those_who_help_are_told_no_secret() {
        let (mut site, anna, bert) = Site::with_users();
        site.get(&bert, "/api/support").refuses(403, "you may not");
        site.change(&anna, "POST", "/api/cameras/", camera())
            .is(200);
        for (i, secret) in SECRETS[..3].iter().enumerate() {
            site.tell(crate::nvr::port::Event::Logged(Box::new(
                crate::nvr::port::LogRecord {
                    severity: Severity::Warning,
                    event: "planted",
                    camera: None,
                    stream: None,
                    message: format!("line {i} holds {secret} in its midst"),
                },
            )));
        }
        site.steward_answers.push_back(Ok(json!({
            "board": "Raspberry Pi 2", "settings": {
                "sshKeys": { "value": [SECRETS[3]], "from": "page" },
                "wifi": { "value": { "ssid": SECRETS[4] }, "from": "page" } } })));
        let told = site.get(&anna, "/api/support");
        let text = told.is(200).body.clone();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for there in [
            "Raspberry Pi 2",
            "garden main",
            "line 0 holds",
            "/sample",
            "moonfire-nvr 0.",
        ] {
            assert!(text.contains(there), "{there}: {text}");
        }
        let hash = super::super::client::hash(super::super::client::PASSWORD);
        for secret in [
            &hash.0,
            anna.cookie.as_ref().unwrap(),
            anna.csrf.as_ref().unwrap(),
        ] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
}
