//! From the file's text to a [`Config`], collecting all that is wrong with it.

use super::reader::{Reader, Section, one_of};
use super::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The largest password file that is read, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// The longest name of a camera, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Limits of `sync_interval`: below, a disk does little else; above, a power cut costs much.
const SYNC_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The keys of each section, for the check and for hints.
pub(crate) const SECTIONS: [(&str, &[&str]); 6] = [
    (
        TOP,
        &[
            "db_dir",
            "sample_dirs",
            "reserve",
            "sync_interval",
            "time_zone",
            "syslog",
            "onboard",
            "http",
            "camera",
        ],
    ),
    ("[syslog]", &["to", "level"]),
    (
        "[[http]]",
        &[
            "listen",
            "allow_unauthenticated",
            "tls",
            "certificate",
            "key",
            "names",
            "trusted_proxies",
            "owner_is_administrator",
        ],
    ),
    (
        "[[camera]]",
        &[
            "name",
            "description",
            "username",
            "password",
            "password_file",
            "main",
            "sub",
        ],
    ),
    (
        "[camera.main] or [camera.sub]",
        &["url", "transport", "record", "retain", "sample_dir"],
    ),
    (
        "[onboard]",
        &[
            "discover",
            "interfaces",
            "scan",
            "events",
            "auto",
            "username",
            "password",
            "password_file",
            "max_cameras",
            "only",
            "retain",
            "sub_retain",
        ],
    ),
];

const TOP: &str = "the part before the first [section]";
const STREAM: usize = 4;
const ONBOARD: usize = 5;

/// The most that `max_cameras` may allow.
const MAX_MAX_CAMERAS: i64 = 200;

pub(super) fn load(path: &Path) -> Result<Config, ConfigError> {
    let fail = |message| ConfigError {
        path: path.to_owned(),
        problems: vec![Problem { at: None, message }],
    };
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(fail(
            "there is no such file; write one (a sample is in etc/moonfire-nvr.toml) \
             or name another with --config"
                .into(),
        )),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(fail(
            "this user may not read it: run it as the recorder's, \
             `sudo -u moonfire-nvr moonfire-nvr ...`"
                .into(),
        )),
        Err(e) => Err(fail(format!("cannot be read: {e}"))),
        Ok(_) if text.len() as u64 > MAX_FILE_BYTES => {
            Err(fail(format!("is larger than {MAX_FILE_BYTES} bytes")))
        }
        Ok(_) => parse(path, &text),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let mut reader = Reader::new(text, &SECTIONS);
    let config = match DeTable::parse(text) {
        Err(e) => {
            reader.syntax(&e);
            Config::default()
        }
        Ok(root) => reader.config(&root, None),
    };
    let problems = reader.into_problems();
    if problems.is_empty() {
        return Ok(Config {
            file: Some(path.to_owned()),
            ..config
        });
    }
    Err(ConfigError {
        path: path.to_owned(),
        problems,
    })
}

/// User and password.
type Credentials = (String, String);

impl Reader<'_> {
    /// With `defaults`, nothing has to be there, and what is wrong is told and left out: what is left is
    /// a configuration that is valid in itself.
    pub(crate) fn config(&mut self, root: &Spanned<DeTable>, defaults: Option<&Config>) -> Config {
        let top = self.section(0, TOP.into(), root.get_ref(), root.span());
        let (db_dir, mut sample_dirs) = match defaults {
            Some(_) => (
                self.optional(&top, "db_dir", values::path),
                match top.get("sample_dirs") {
                    Some(_) => self.sample_dirs(&top),
                    None => Vec::new(),
                },
            ),
            None => (
                self.required(&top, "db_dir", values::path),
                self.sample_dirs(&top),
            ),
        };
        let db_dir = db_dir.or(defaults.map(|d| d.db_dir.clone()));
        if let (Some(db_dir), Some(value)) = (&db_dir, top.get("sample_dirs")) {
            if sample_dirs.contains(db_dir) {
                self.problem(
                    value.span(),
                    "`sample_dirs` names the folder of the database; give the frames one of their own"
                        .into(),
                );
            }
        }
        if let Some(defaults) = defaults {
            sample_dirs.retain(|dir| Some(dir) != db_dir.as_ref());
            if sample_dirs.is_empty() {
                sample_dirs.clone_from(&defaults.sample_dirs);
            }
        }
        let cameras = self.cameras(&top, &sample_dirs);
        let mut http = self.http(&top);
        if let (Some(defaults), true) = (defaults, http.is_empty()) {
            http.clone_from(&defaults.http);
        }
        let time_zone = self.optional(&top, "time_zone", time_zone);
        let syslog = match (defaults, top.get("syslog")) {
            (Some(defaults), None) => defaults.syslog.clone(),
            _ => self.syslog(&top),
        };
        Config {
            file: None,
            db_dir: db_dir.unwrap_or_default(),
            reserve: self
                .optional(&top, "reserve", values::reserve)
                .unwrap_or_default(),
            sync_interval: self
                .optional(&top, "sync_interval", sync_interval)
                .unwrap_or(DEFAULT_SYNC_INTERVAL),
            time_zone: time_zone
                .or(defaults.map(|d| d.time_zone.clone()))
                .unwrap_or_else(system_time_zone),
            syslog,
            onboard: self.onboard(&top),
            http,
            sample_dirs,
            cameras,
        }
    }

    fn sample_dirs(&mut self, top: &Section) -> Vec<PathBuf> {
        let Some(value) = top.get("sample_dirs") else {
            self.missing(top, "sample_dirs");
            return Vec::new();
        };
        let found = self.texts(top, "sample_dirs", values::path);
        if value.get_ref().as_array().is_some_and(|a| a.is_empty()) {
            self.problem(
                value.span(),
                "`sample_dirs`: name at least one folder, as in [\"/media/nvr/sample\"]".into(),
            );
        }
        let mut dirs: Vec<PathBuf> = Vec::new();
        for (dir, span) in found {
            if dirs.contains(&dir) {
                let message = format!("`sample_dirs` names {} twice; remove one", dir.display());
                self.problem(span, message);
            } else {
                dirs.push(dir);
            }
        }
        dirs
    }

    fn syslog(&mut self, top: &Section) -> SyslogConfig {
        let Some(section) = self.table(top, "syslog", 1, "[syslog]") else {
            return SyslogConfig::default();
        };
        SyslogConfig {
            to: self
                .optional(&section, "to", values::log_target)
                .unwrap_or(LogTarget::Unix("/dev/log".into())),
            level: self
                .optional(&section, "level", |text| {
                    one_of(text, &LEVELS, |level| level.as_str())
                })
                .unwrap_or(Severity::Info),
        }
    }

    fn onboard(&mut self, top: &Section) -> OnboardConfig {
        let default = OnboardConfig::default();
        let Some(section) = self.table(top, "onboard", ONBOARD, "[onboard]") else {
            return default;
        };
        let text = |s: &str| Ok(s.to_owned());
        let username = self.optional(&section, "username", text);
        let mut password = self.optional(&section, "password", text);
        if let Some(file) = section.get("password_file") {
            let from_file = self.value("password_file", file, password_file);
            if section.get("password").is_some() {
                let message = "both `password` and `password_file` are given; remove one";
                self.problem(file.span(), message.to_owned());
            }
            password = password.or(from_file);
        }
        let discover = self.boolean(&section, "discover");
        let auto = self.boolean(&section, "auto");
        if let (Some(false), Some(true), Some(value)) = (discover, auto, section.get("auto")) {
            let message = "`auto` needs `discover`: what is not looked for is not found";
            self.problem(value.span(), message.to_owned());
        }
        if let (Some(true), None, Some(value)) = (auto, &username, section.get("auto")) {
            let message = "`auto` needs the `username` and `password` to try, once on each camera; \
                           write username = \"\" for cameras that want none";
            self.problem(value.span(), message.to_owned());
        }
        OnboardConfig {
            discover: discover.unwrap_or(default.discover),
            interfaces: self
                .texts(&section, "interfaces", text)
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            scan: self.boolean(&section, "scan").unwrap_or(default.scan),
            events: self.boolean(&section, "events").unwrap_or(default.events),
            auto: auto.unwrap_or(default.auto),
            username: username.unwrap_or_default(),
            password: Secret(password.unwrap_or_default()),
            max_cameras: self.max_cameras(&section).unwrap_or(default.max_cameras),
            only: self
                .texts(&section, "only", values::subnet)
                .into_iter()
                .map(|(subnet, _)| subnet)
                .collect(),
            retain: self
                .optional(&section, "retain", values::retain)
                .unwrap_or_default(),
            sub_retain: self
                .optional(&section, "sub_retain", values::retain)
                .unwrap_or_default(),
        }
    }

    fn max_cameras(&mut self, section: &Section) -> Option<u32> {
        let value = section.get("max_cameras")?;
        let number = match value.get_ref() {
            DeValue::Integer(n) => i64::from_str(n.as_str()).ok(),
            _ => None,
        };
        let good = number.filter(|n| (0..=MAX_MAX_CAMERAS).contains(n));
        if good.is_none() {
            let message = format!("`max_cameras`: write a number from 0 to {MAX_MAX_CAMERAS}");
            self.problem(value.span(), message);
        }
        u32::try_from(good?).ok()
    }

    fn http(&mut self, top: &Section) -> Vec<HttpConfig> {
        let mut all: Vec<HttpConfig> = Vec::new();
        for value in self.tables(top, "http") {
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            let section = self.section(2, "[[http]]".into(), table, value.span());
            let listen = self.required(&section, "listen", values::listen);
            let permissions = self.texts(&section, "allow_unauthenticated", |text| {
                one_of(text, &Permission::OF_VISITORS, |p| p.as_str())
            });
            let names = self.texts(&section, "names", values::host_name);
            let proxies = self.texts(&section, "trusted_proxies", values::ip_address);
            let owner = self.boolean(&section, "owner_is_administrator");
            // What was to be encrypted is not served in the clear for a slip.
            let Ok(tls) = self.tls(&section, listen.as_ref()) else {
                continue;
            };
            let Some(listen) = listen else { continue };
            if all.iter().any(|h| h.listen == listen) {
                let message = format!("two [[http]] sections listen on {listen}; remove one");
                self.problem(section.span, message);
                continue;
            }
            let is_unix = matches!(listen, Listen::Unix(_) | Listen::Systemd(_));
            all.push(HttpConfig {
                allow_unauthenticated: permissions.into_iter().map(|(p, _)| p).collect(),
                names: names.into_iter().map(|(n, _)| n).collect(),
                trusted_proxies: proxies.into_iter().map(|(p, _)| p).collect(),
                owner_is_administrator: owner.unwrap_or(false) && is_unix,
                tls,
                ..HttpConfig::new(listen)
            });
            if owner == Some(true) && !is_unix {
                let message = "owner_is_administrator is for UNIX sockets only: by TCP nobody can \
                               tell who connects";
                self.problem(section.span, message.to_owned());
            }
        }
        all
    }

    /// How it is encrypted, if at all; an error was told.
    fn tls(&mut self, section: &Section, listen: Option<&Listen>) -> Result<Option<TlsConfig>, ()> {
        let wanted = self.boolean(section, "tls");
        let certificate = self.optional(section, "certificate", values::path);
        let key = self.optional(section, "key", values::path);
        let given = |key| section.get(key).is_some();
        let message = match (wanted, given("certificate"), given("key")) {
            (None | Some(false), false, false)
                if section.get("tls").is_none() || wanted.is_some() =>
            {
                return Ok(None);
            }
            // It is neither, which was told.
            (None, false, false) => return Err(()),
            _ if matches!(listen, Some(Listen::Unix(_))) => {
                "nothing is encrypted on a UNIX socket; leave `tls`, `certificate` and `key` out"
            }
            (Some(true), false, false) => return Ok(Some(TlsConfig::Own)),
            (Some(false), _, _) => {
                "`tls = false`, and files for it; leave out `tls`, or `certificate` and `key`"
            }
            // What is wrong with a path was told.
            (_, true, true) => {
                let files = certificate.zip(key);
                let files = files.map(|(certificate, key)| TlsConfig::Files { certificate, key });
                return files.map(Some).ok_or(());
            }
            (_, true, false) => "`certificate` needs its `key`; name the file that it is in",
            (_, false, true) => {
                "`key` needs its `certificate`; name its file, or write `tls = true` alone for a \
                 certificate that the recorder makes itself"
            }
        };
        self.problem(section.span.clone(), message.to_owned());
        Err(())
    }

    fn cameras(&mut self, top: &Section, sample_dirs: &[PathBuf]) -> Vec<CameraConfig> {
        let mut cameras = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for value in self.tables(top, "camera") {
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            let section = self.section(3, "[[camera]]".into(), table, value.span());
            let camera = self.camera(&section, sample_dirs);
            let at = section.get("name").map_or(section.span, |v| v.span());
            let (line, _) = self.line_and_column(at.start);
            if camera.name.is_empty() {
                continue;
            }
            if let Some(first) = lines.get(&camera.name) {
                let message = format!(
                    "two cameras are named \"{}\" (lines {first} and {line}); rename one",
                    camera.name
                );
                self.problem(at, message);
                continue;
            }
            lines.insert(camera.name.clone(), line);
            if camera.main.is_some() || camera.sub.is_some() {
                cameras.push(camera);
            }
        }
        cameras
    }

    fn camera(&mut self, section: &Section, sample_dirs: &[PathBuf]) -> CameraConfig {
        let text = |s: &str| Ok(s.to_owned());
        let name = self
            .required(section, "name", camera_name)
            .unwrap_or_default();
        let description = self.optional(section, "description", text);
        let mut username = self.optional(section, "username", text);
        let mut password = self.optional(section, "password", text);
        if let Some(file) = section.get("password_file") {
            let from_file = self.value("password_file", file, password_file);
            if section.get("password").is_some() {
                self.problem(
                    file.span(),
                    "both `password` and `password_file` are given; remove one".into(),
                );
            }
            password = password.or(from_file);
        }
        let mut streams = [None, None];
        for (i, key) in ["main", "sub"].into_iter().enumerate() {
            let name = format!("[camera.{key}]");
            let Some(stream) = self.table(section, key, STREAM, &name) else {
                continue;
            };
            let (config, credentials) = self.stream(&stream, sample_dirs);
            streams[i] = config;
            let Some((user, secret)) = credentials else {
                continue;
            };
            if username.as_ref().is_some_and(|u| *u != user)
                || password.as_ref().is_some_and(|p| *p != secret)
            {
                self.problem(
                    stream.span.clone(),
                    format!(
                        "the URL in {name} has another user or password than the camera has elsewhere; \
                         give them once, by the keys `username` and `password` of [[camera]]"
                    ),
                );
            }
            username = Some(user);
            password = Some(secret);
        }
        let [main, sub] = streams;
        if section.get("main").is_none() && section.get("sub").is_none() {
            self.problem(
                section.span.clone(),
                format!(
                    "camera \"{name}\" has no stream; add a section [camera.main] with its `url`"
                ),
            );
        }
        CameraConfig {
            name,
            description: description.unwrap_or_default(),
            username: username.unwrap_or_default(),
            password: Secret(password.unwrap_or_default()),
            main,
            sub,
        }
    }

    fn stream(
        &mut self,
        section: &Section,
        sample_dirs: &[PathBuf],
    ) -> (Option<StreamConfig>, Option<Credentials>) {
        let url = self.required(section, "url", values::camera_url);
        let transport = self.optional(section, "transport", |text| {
            one_of(text, &[Transport::Tcp, Transport::Udp], |t| t.as_str())
        });
        let record = self.boolean(section, "record");
        let retain = self.optional(section, "retain", values::retain);
        let sample_dir = self.sample_dir(section, sample_dirs);
        let Some(values::CameraUrl { url, credentials }) = url else {
            return (None, None);
        };
        let config = StreamConfig {
            url,
            transport: transport.unwrap_or_default(),
            record: record.unwrap_or(true),
            retain: retain.unwrap_or_default(),
            sample_dir,
        };
        (Some(config), credentials)
    }

    /// By its path, or by its place in `sample_dirs`, counted from 1.
    fn sample_dir(&mut self, section: &Section, sample_dirs: &[PathBuf]) -> Option<PathBuf> {
        let value = section.get("sample_dir")?;
        let found = match value.get_ref() {
            DeValue::Integer(n) => usize::from_str(n.as_str())
                .ok()
                .and_then(|n| sample_dirs.get(n.checked_sub(1)?))
                .cloned(),
            DeValue::String(text) => values::path(text).ok().filter(|p| sample_dirs.contains(p)),
            _ => None,
        };
        if found.is_none() {
            self.problem(
                value.span(),
                "`sample_dir`: there is no such one in `sample_dirs`; \
                 write one of those paths, or its place there (the first is 1)"
                    .into(),
            );
        }
        found
    }
}

const LEVELS: [Severity; 6] = [
    Severity::Critical,
    Severity::Error,
    Severity::Warning,
    Severity::Notice,
    Severity::Info,
    Severity::Debug,
];

/// What a camera may be known by. An error is a part of a sentence that ends with the mend.
pub fn camera_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty; write what the camera looks at, as in \"driveway\"".into());
    }
    if text.chars().count() > MAX_NAME_CHARS {
        return Err(format!(
            "the name is longer than {MAX_NAME_CHARS} characters; shorten it"
        ));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(
            "the name begins or ends with a space, or has a control character in it; leave it out"
                .into(),
        );
    }
    Ok(text.to_owned())
}

fn password_file(text: &str) -> Result<String, String> {
    let path = values::path(text)?;
    let mut password = String::new();
    let read = std::fs::File::open(&path).and_then(|file| {
        file.take(MAX_PASSWORD_BYTES + 1)
            .read_to_string(&mut password)
    });
    match read {
        Err(e) => Err(format!(
            "{} cannot be read ({e}); make it, readable for the recorder's user",
            path.display()
        )),
        Ok(_) if password.len() as u64 > MAX_PASSWORD_BYTES => Err(format!(
            "{} is larger than {MAX_PASSWORD_BYTES} bytes; write the password and nothing else into it",
            path.display()
        )),
        Ok(_) => Ok(password.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

fn sync_interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    match SYNC_INTERVALS.contains(&interval) {
        true => Ok(interval),
        false => Err("write something from \"100 ms\" to \"60 s\"".into()),
    }
}

pub(crate) fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        let lower = text.to_lowercase();
        let near = jiff::tz::db()
            .available()
            .map(|name| name.to_string())
            .min_by_key(|name| strsim::damerau_levenshtein(&lower, &name.to_lowercase()));
        let example = near.unwrap_or_else(|| "Europe/Berlin".to_owned());
        format!("there is no time zone \"{text}\"; did you mean \"{example}\"?")
    })
}
