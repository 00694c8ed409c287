//! Bringing the boot file and the page's settings into force, early at each boot and when they change.
//!
//! Nothing of it may keep the machine from booting: what cannot be read or written is one more problem
//! to be told. See `design/appliance.md`.

use super::boot_file::{BootFile, MAX_FILE_BYTES};
use super::places::{BOOT_FILE, FORGET, RECORDER_ID};
use super::{Places, Settings, disks, setup};
use crate::config::{self, Config, HttpConfig, Listen, Problem, TlsConfig};
use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// Something that is wrong with how the appliance is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The file's name.
    pub file: String,
    /// Both from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub message: String,
}

/// What the boot file and the page say together.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub boot: Settings,
    pub page: Settings,
    /// The recorder's configuration.
    pub config: Config,
    pub problems: Vec<Told>,
}

impl Loaded {
    /// What holds: the boot file's word, else the page's.
    pub fn settings(&self) -> Settings {
        self.boot.clone().or(self.page.clone())
    }
}

/// Reads what there is. A file that is not there says nothing.
pub fn load(places: &Places) -> Loaded {
    let mut problems = Vec::new();
    let page = page_settings(places).unwrap_or_else(|told| {
        problems.push(told);
        Settings::default()
    });
    let known = disks::Known::load(places).unwrap_or_else(|e| {
        problems.push(of_file(
            "disks.toml",
            format!("{e}; the disks that are plugged in are used"),
        ));
        disks::Known::default()
    });
    let mut defaults = default_config();
    defaults.sample_dirs = known.sample_dirs();
    if let Ok(zone) = config::time_zone(page.time_zone()) {
        defaults.time_zone = zone;
    }
    let boot = match read_bounded(&places.boot_file()) {
        Ok(Some(bytes)) => BootFile::parse(&bytes, &defaults),
        Ok(None) => BootFile::parse(b"", &defaults),
        Err(e) => {
            problems.push(of_file(
                BOOT_FILE,
                format!("cannot be read: {e}; the defaults hold"),
            ));
            BootFile::parse(b"", &defaults)
        }
    };
    let of_boot = boot.problems.iter().map(|problem| told(BOOT_FILE, problem));
    problems.splice(0..0, of_boot.collect::<Vec<_>>());
    Loaded {
        boot: boot.settings,
        page,
        config: boot.config,
        problems,
    }
}

/// The page's settings alone.
pub fn page_settings(places: &Places) -> Result<Settings, Told> {
    let wrong = |why: String| {
        let message = format!("{why}; what was set from the page does not hold");
        of_file("settings.toml", message)
    };
    let Some(bytes) = read_bounded(&places.settings()).map_err(|e| wrong(e.to_string()))? else {
        return Ok(Settings::default());
    };
    let text = String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    // Its `Display` quotes the line, which may hold a password.
    let settings: Settings = toml::from_str(&text).map_err(|e| wrong(e.message().to_owned()))?;
    settings.check().map_err(wrong)?;
    Ok(settings)
}

/// Writes the page's settings so that either the old or the new ones are there after a power cut.
pub fn save_page_settings(places: &Places, settings: &Settings) -> io::Result<()> {
    let text = toml::to_string(settings).map_err(io::Error::other)?;
    write_durably(&places.settings(), text.as_bytes(), 0o600)
}

/// Does all of it, and tells what is wrong in the three places where somebody may look.
pub fn apply(places: &Places) -> Loaded {
    let reset = reset(places);
    let mut loaded = load(places);
    if let Err(e) = reset {
        loaded.problems.push(of_file("reset", e.to_string()));
    }
    let settings = loaded.settings();
    if let Err(e) = fs::create_dir_all(places.run()) {
        loaded.problems.push(of_file("/run", format!("{e}")));
    }
    for output in setup::outputs(&settings) {
        let path = places.at(output.path);
        let done = match output.content {
            Some(text) => write(
                &path,
                text.as_bytes(),
                if output.secret { 0o600 } else { 0o644 },
                None,
            ),
            None => remove(&path),
        };
        if let Err(e) = done {
            loaded.problems.push(of_file(output.path, e.to_string()));
        }
    }
    if let Err(e) = link_zone(places, settings.time_zone()) {
        loaded
            .problems
            .push(of_file("/run/localtime", e.to_string()));
    }
    if places.is_real() {
        if let Err(e) = nix::unistd::sethostname(settings.hostname()) {
            loaded.problems.push(of_file("hostname", e.to_string()));
        }
    }
    if let Err(e) = write_config(places, &loaded.config) {
        loaded
            .problems
            .push(of_file("/run/moonfire-nvr/config.toml", e.to_string()));
    }
    tell(places, &mut loaded.problems);
    loaded
}

/// Forgets what was to be forgotten at this start, before anybody has it open. Where recordings are to stay, the
/// database does as well, and `appliance forget` empties it of the rest before the recorder starts. The disks that
/// are known are emptied when they are mounted the next time, if that was asked for.
fn reset(places: &Places) -> io::Result<()> {
    let note = match fs::read_to_string(places.reset()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    remove(&places.settings())?;
    // Who the machine says that it is: it is made anew.
    remove(&places.ssh_key())?;
    remove_folder(&places.data().join("tls"))?;
    if note.trim() == "everything" {
        let mut known = disks::Known::load(places).unwrap_or_default();
        known.erase_all();
        known.save(places)?;
        remove_folder(&places.db())?;
        remove(&places.emergency_image())?;
    } else if places.db().is_dir() {
        write_durably(&places.db().join(FORGET), b"", 0o644)?;
    }
    // Last: what a power cut leaves undone is done at the next start.
    remove(&places.reset())
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes the recorder's configuration; true if it is not what it was.
pub fn write_config(places: &Places, config: &Config) -> io::Result<bool> {
    let text = config::render(config);
    let path = places.config();
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    write(&path, text.as_bytes(), 0o640, Some(RECORDER_ID))?;
    Ok(true)
}

/// All problems as text for people, a line each.
pub fn as_text(problems: &[Told]) -> String {
    let mut out = String::new();
    for told in problems {
        out.push_str(&told.file);
        if let (Some(line), Some(column)) = (told.line, told.column) {
            out.push_str(&format!(", line {line}, column {column}"));
        }
        out.push_str(": ");
        out.push_str(&told.message);
        out.push('\n');
    }
    out
}

/// The recorder's configuration where nobody says anything.
pub fn default_config() -> Config {
    let listen =
        |port| HttpConfig::new(Listen::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))));
    Config {
        db_dir: "/var/lib/moonfire-nvr/db".into(),
        sample_dirs: disks::Known::default().sample_dirs(),
        http: vec![
            listen(80),
            HttpConfig {
                tls: Some(TlsConfig::Own),
                ..listen(443)
            },
        ],
        ..Config::default()
    }
}

fn tell(places: &Places, problems: &mut Vec<Told>) {
    let json = serde_json::to_vec(&problems).unwrap_or_default();
    if let Err(e) = write(&places.problems_json(), &json, 0o644, None) {
        problems.push(of_file("/run/moonfire-nvr/problems.json", e.to_string()));
    }
    if let Err(e) = tell_beside(places, problems) {
        problems.push(of_file(super::places::PROBLEMS_FILE, e.to_string()));
    }
}

/// Writes, or removes, the text file beside the boot file. A card is only written if that changes
/// something.
fn tell_beside(places: &Places, problems: &[Told]) -> io::Result<()> {
    let path = places.problems_text();
    let text = as_text(problems);
    // Editors of some systems know lines by this end only.
    let text = match text.is_empty() {
        true => None,
        false => Some(
            format!("What is wrong here does not hold; all else does.\n\n{text}")
                .replace('\n', "\r\n"),
        ),
    };
    let there = read_bounded(&path)?;
    if there.as_deref() == text.as_deref().map(str::as_bytes) {
        return Ok(());
    }
    let _writable = BootWritable::begin(places)?;
    match &text {
        Some(text) => write_durably(&path, text.as_bytes(), 0o644),
        None => remove(&path),
    }
}

/// While it lives, the card's first partition may be written.
pub struct BootWritable {
    /// What was made writable: nothing where it is not mounted apart, as in tests.
    remounted: Option<PathBuf>,
}

impl BootWritable {
    pub fn begin(places: &Places) -> io::Result<BootWritable> {
        let apart = places.is_real() && is_mount_point(places.boot());
        if apart {
            remount(places.boot(), MsFlags::empty())?;
        }
        Ok(BootWritable {
            remounted: apart.then(|| places.boot().to_owned()),
        })
    }
}

impl Drop for BootWritable {
    fn drop(&mut self) {
        let Some(boot) = &self.remounted else { return };
        nix::unistd::sync();
        if let Err(e) = remount(boot, MsFlags::MS_RDONLY) {
            // Somebody still writes; it goes with the next time.
            eprintln!("{} stays writable: {e}", boot.display());
        }
    }
}

fn remount(boot: &Path, flags: MsFlags) -> io::Result<()> {
    let options = MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    nix::mount::mount(
        None::<&str>,
        boot,
        None::<&str>,
        options | flags,
        None::<&str>,
    )?;
    Ok(())
}

fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    device(path).is_some() && device(path) != path.parent().and_then(device)
}

fn link_zone(places: &Places, zone: &str) -> io::Result<()> {
    let link = places.at("/run/localtime");
    let target = format!("/usr/share/zoneinfo/{zone}");
    if fs::read_link(&link).is_ok_and(|t| t == Path::new(&target)) {
        return Ok(());
    }
    let new = link.with_extension("new");
    remove(&new)?;
    symlink(target, &new)?;
    fs::rename(new, link)
}

/// Reads a file of at most [`MAX_FILE_BYTES`] and one byte more; `None` if it is not there.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a file into place at once, with its folder. `group` may read it too, where we are root.
fn write(path: &Path, bytes: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
    let new = new_file(path, bytes, mode)?;
    if let (Some(group), true) = (group, nix::unistd::geteuid().is_root()) {
        chown(&new, None, Some(group))?;
    }
    fs::rename(new, path)
}

/// The same so that it lasts.
pub(super) fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = new_file(path, bytes, mode)?;
    File::open(&new)?.sync_all()?;
    fs::rename(new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn new_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    remove(&new)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(new)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn told(file: &str, problem: &Problem) -> Told {
    Told {
        file: file.to_owned(),
        line: problem.at.map(|(line, _)| line),
        column: problem.at.map(|(_, column)| column),
        message: problem.message.clone(),
    }
}

fn of_file(file: &str, message: String) -> Told {
    Told {
        file: file.to_owned(),
        line: None,
        column: None,
        message,
    }
}

#[cfg(test)]
mod tests;
