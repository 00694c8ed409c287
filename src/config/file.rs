//! From the file's text to a [`Config`], collecting all that is wrong with it.

use super::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The largest password file that is read, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// The longest name of a camera, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The most problems that are told at once.
const MAX_PROBLEMS: usize = 20;

/// Limits of `sync_interval`: below, a disk does little else; above, a power cut costs much.
const SYNC_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The keys of each section, for the check and for hints.
const SECTIONS: [(&str, &[&str]); 5] = [
    (
        TOP,
        &[
            "db_dir",
            "sample_dirs",
            "reserve",
            "sync_interval",
            "time_zone",
            "syslog",
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
];

const TOP: &str = "the part before the first [section]";
const STREAM: usize = 4;

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
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let config = match DeTable::parse(text) {
        // Its `Display` quotes the line, which may hold a password.
        Err(e) => {
            reader.problem(e.span().unwrap_or(0..0), e.message().to_owned());
            Config::default()
        }
        Ok(root) => reader.config(&root),
    };
    let mut problems = reader.problems;
    if problems.is_empty() {
        return Ok(Config {
            file: Some(path.to_owned()),
            ..config
        });
    }
    problems.sort_by_key(|p| p.at);
    problems.truncate(MAX_PROBLEMS);
    Err(ConfigError {
        path: path.to_owned(),
        problems,
    })
}

type Value<'i> = Spanned<DeValue<'i>>;

/// User and password.
type Credentials = (String, String);

/// A table, and which section of the file it is.
struct Section<'a, 'i> {
    kind: usize,
    /// As messages call it.
    name: String,
    table: &'a DeTable<'i>,
    span: Range<usize>,
}

impl<'a, 'i> Section<'a, 'i> {
    fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        debug_assert!(SECTIONS[self.kind].1.contains(&key), "{key}");
        self.table.get(key)
    }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, message: String) {
        let at = Some(self.line_and_column(span.start));
        self.problems.push(Problem { at, message });
    }

    /// Both from 1.
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    fn config(&mut self, root: &Spanned<DeTable>) -> Config {
        let top = self.section(0, TOP.into(), root.get_ref(), root.span());
        let db_dir = self.required(&top, "db_dir", values::path);
        let sample_dirs = self.sample_dirs(&top);
        if let (Some(db_dir), Some(value)) = (&db_dir, top.get("sample_dirs")) {
            if sample_dirs.contains(db_dir) {
                self.problem(
                    value.span(),
                    "`sample_dirs` names the folder of the database; give the frames one of their own"
                        .into(),
                );
            }
        }
        let cameras = self.cameras(&top, &sample_dirs);
        Config {
            file: None,
            db_dir: db_dir.unwrap_or_default(),
            reserve: self
                .optional(&top, "reserve", values::reserve)
                .unwrap_or_default(),
            sync_interval: self
                .optional(&top, "sync_interval", sync_interval)
                .unwrap_or(DEFAULT_SYNC_INTERVAL),
            time_zone: self
                .optional(&top, "time_zone", time_zone)
                .unwrap_or_else(system_time_zone),
            syslog: self.syslog(&top),
            http: self.http(&top),
            sample_dirs,
            cameras,
        }
    }

    /// Begins a section: tells of keys that it cannot have.
    fn section<'a, 'i>(
        &mut self,
        kind: usize,
        name: String,
        table: &'a DeTable<'i>,
        span: Range<usize>,
    ) -> Section<'a, 'i> {
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !SECTIONS[kind].1.contains(&word) {
                let hint = hint(kind, word);
                self.problem(key.span(), format!("unknown key `{word}` in {name}{hint}"));
            }
        }
        Section {
            kind,
            name,
            table,
            span,
        }
    }

    /// The text of `key`, understood by `parse`; `None` if it isn't there or is wrong.
    fn optional<T>(
        &mut self,
        section: &Section,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = section.get(key)?;
        self.value(key, value, parse)
    }

    fn value<T>(
        &mut self,
        key: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let result = match value.get_ref().as_str() {
            Some(text) => parse(text),
            None => Err(not_a(value, "text in quotes")),
        };
        result
            .map_err(|e| self.problem(value.span(), format!("`{key}`: {e}")))
            .ok()
    }

    /// Like [`Self::optional`], and tells if it isn't there.
    fn required<T>(
        &mut self,
        section: &Section,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if section.get(key).is_none() {
            self.missing(section, key);
        }
        self.optional(section, key, parse)
    }

    fn missing(&mut self, section: &Section, key: &str) {
        self.problem(
            section.span.clone(),
            format!("`{key}` is missing in {}", section.name),
        );
    }

    /// The texts of an array; other values in it are told and left out.
    fn texts<T>(
        &mut self,
        section: &Section,
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<(T, Range<usize>)> {
        let Some(value) = section.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let message = not_a(value, "a list in brackets, as in [\"...\"]");
            self.problem(value.span(), format!("`{key}`: {message}"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            if let Some(text) = self.value(key, item, &mut parse) {
                texts.push((text, item.span()));
            }
        }
        texts
    }

    /// The tables of `[[key]]`.
    fn tables<'a, 'i>(&mut self, top: &Section<'a, 'i>, key: &str) -> Vec<&'a Value<'i>> {
        let Some(value) = top.get(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(array) if array.iter().all(|v| v.get_ref().is_table()) => {
                array.iter().collect()
            }
            _ => {
                self.problem(
                    value.span(),
                    format!("write [[{key}]] with two brackets: there may be several"),
                );
                Vec::new()
            }
        }
    }

    /// The table of `[key]`.
    fn table<'a, 'i>(
        &mut self,
        within: &Section<'a, 'i>,
        key: &str,
        kind: usize,
        name: &str,
    ) -> Option<Section<'a, 'i>> {
        let value = within.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.section(kind, name.to_owned(), table, value.span())),
            _ => {
                self.problem(
                    value.span(),
                    format!("write {name} as a section of its own"),
                );
                None
            }
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
            let tls = self.tls(&section, listen.as_ref());
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
                owner_is_administrator: owner.unwrap_or(false),
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

    fn tls(&mut self, section: &Section, listen: Option<&Listen>) -> Option<TlsConfig> {
        let wanted = self.boolean(section, "tls");
        let certificate = self.optional(section, "certificate", values::path);
        let key = self.optional(section, "key", values::path);
        let given = |key| section.get(key).is_some();
        let message = match (wanted, given("certificate"), given("key")) {
            (None | Some(false), false, false) => return None,
            _ if matches!(listen, Some(Listen::Unix(_))) => {
                "nothing is encrypted on a UNIX socket; leave `tls`, `certificate` and `key` out"
            }
            (Some(true), false, false) => return Some(TlsConfig::Own),
            (Some(false), _, _) => {
                "`tls = false`, and files for it; leave out `tls`, or `certificate` and `key`"
            }
            // What is wrong with a path was told.
            (_, true, true) => {
                let files = certificate.zip(key);
                return files.map(|(certificate, key)| TlsConfig::Files { certificate, key });
            }
            (_, true, false) => "`certificate` needs its `key`; name the file that it is in",
            (_, false, true) => {
                "`key` needs its `certificate`; name its file, or write `tls = true` alone for a \
                 certificate that the recorder makes itself"
            }
        };
        self.problem(section.span.clone(), message.to_owned());
        None
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
            cameras.push(camera);
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

    /// A key that is true or false, if it is there.
    fn boolean(&mut self, section: &Section, key: &str) -> Option<bool> {
        let value = section.get(key)?;
        if value.get_ref().as_bool().is_none() {
            let message = not_a(value, "true or false, without quotes");
            self.problem(value.span(), format!("`{key}`: {message}"));
        }
        value.get_ref().as_bool()
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

/// What may have been meant by an unknown key.
fn hint(kind: usize, word: &str) -> String {
    let known = SECTIONS[kind].1;
    if let Some(near) = nearest(word, known) {
        return format!("; did you mean `{near}`?");
    }
    if let Some((home, _)) = SECTIONS.iter().find(|(_, keys)| keys.contains(&word)) {
        return format!("; it belongs in {home}");
    }
    format!("; there are {}", known.join(", "))
}

/// The one of `known` that `word` is a likely slip of.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word, k), *k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 5)
        .min()
        .map(|(_, k)| k)
}

/// The one of `all` whose word is `text`.
fn one_of<T: Copy>(text: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<T, String> {
    if let Some(found) = all.iter().find(|t| word(**t) == text) {
        return Ok(*found);
    }
    let words: Vec<String> = all.iter().map(|t| format!("\"{}\"", word(*t))).collect();
    Err(format!(
        "\"{text}\" is not known; write {}",
        words.join(" or ")
    ))
}

fn not_a(value: &Value, wanted: &str) -> String {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    format!("this is {found}; write {wanted}")
}

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

fn time_zone(text: &str) -> Result<TimeZone, String> {
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
