//! Updates on USB sticks: found in a stick's root, and installed from there.

use super::job::Step;
use crate::appliance::Places;
use crate::appliance::disks::list::{self, Device};
use crate::appliance::protocol::{MAX_PIECE_BYTES, Refusal, RefusalKind};
use crate::appliance::system::System;
use crate::appliance::update::Writer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What the names of updates end with.
const SUFFIX: &str = ".update";

/// So many entries of a stick's root are looked at, and so many updates told.
const MAX_ENTRIES: usize = 4096;
const MAX_FILES: usize = 16;

/// File systems that sticks have.
const OF_STICKS: [&str; 3] = ["vfat", "exfat", "ext4"];

/// A stick's partition, and its file system's UUID.
type Key = (String, Option<String>);

/// What was found on the sticks that are plugged in: names and lengths. Each is looked at once.
#[derive(Default)]
pub struct Sticks {
    seen: BTreeMap<Key, Vec<(String, u64)>>,
}

impl Sticks {
    pub fn look(&mut self, system: &dyn System, places: &Places) {
        let disks = list::list(system).unwrap_or_default();
        let others = disks.iter().filter(|d| !d.is_system());
        let parts: Vec<&Device> = others
            .flat_map(Device::parts)
            .filter(|p| is_stick(p))
            .collect();
        let key = |p: &Device| (p.name.clone(), p.uuid.clone());
        self.seen
            .retain(|seen, _| parts.iter().any(|p| key(p) == *seen));
        for part in parts {
            self.seen.entry(key(part)).or_insert_with(|| {
                let found = with_mounted(system, places, part, |folder| Ok(files(folder)));
                found.unwrap_or_default()
            });
        }
    }

    /// For the page.
    pub fn files(&self) -> Vec<Value> {
        let all = self.seen.iter().flat_map(|((part, _), files)| {
            files.iter().map(move |(name, bytes)| {
                let rest = name.strip_prefix("moonfire-nvr-");
                let version = rest.and_then(|n| n.rsplit_once('-')).map(|(v, _)| v);
                json!({ "file": format!("{part}/{name}"), "version": version, "sizeBytes": bytes })
            })
        });
        all.take(MAX_FILES).collect()
    }
}

fn is_stick(part: &Device) -> bool {
    let known = part
        .fstype
        .as_deref()
        .is_some_and(|t| OF_STICKS.contains(&t));
    known && !part.is_sample() && part.mounted_at().is_none()
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let found = entries.take(MAX_ENTRIES).filter_map(|e| {
        let entry = e.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let bytes = entry.metadata().ok().filter(fs::Metadata::is_file)?.len();
        is_update(&name).then_some((name, bytes))
    });
    found.take(MAX_FILES).collect()
}

/// A name without a path that is one of an update.
fn is_update(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    name.len() <= 128 && name.ends_with(SUFFIX) && name.bytes().all(good) && !name.starts_with('.')
}

/// Mounts a stick for reading, for as long as `work` takes.
fn with_mounted<T>(
    system: &dyn System,
    places: &Places,
    part: &Device,
    work: impl FnOnce(&Path) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let failed = |e: String| Refusal::new(RefusalKind::Failed, e);
    let folder = places.run().join(format!("stick-{}", part.name));
    fs::create_dir_all(&folder).map_err(|e| failed(format!("{}: {e}", folder.display())))?;
    let target = folder.to_string_lossy().into_owned();
    let kind = part.fstype.as_deref().unwrap_or("auto");
    let options = "ro,nosuid,nodev,noexec";
    let arguments = ["-t", kind, "-o", options, &part.path(), &target];
    system.run("mount", &arguments).map_err(failed)?;
    let result = work(&folder);
    if let Err(e) = system.run("umount", &[&target]) {
        eprintln!("{e}");
    }
    let _ = fs::remove_dir(&folder);
    result
}

/// Writes an update from a stick into the spare slot.
pub fn install(
    system: &dyn System,
    places: &Places,
    file: &str,
    step: Step<'_>,
) -> Result<String, Refusal> {
    let not_found = || {
        Refusal::new(
            RefusalKind::NotFound,
            format!("there is no update {file:?}"),
        )
    };
    let (part, name) = file.split_once('/').ok_or_else(not_found)?;
    if !is_update(name) {
        return Err(not_found());
    }
    let disks = list::list(system).map_err(|e| Refusal::new(RefusalKind::Failed, e))?;
    let (disk, part) = list::find(&disks, part).ok_or_else(not_found)?;
    if disk.is_system() || !is_stick(part) {
        return Err(not_found());
    }
    with_mounted(system, places, part, |folder| {
        let io = |e: std::io::Error| Refusal::new(RefusalKind::Failed, format!("{name}: {e}"));
        let mut file = File::open(folder.join(name)).map_err(io)?;
        let mut writer = Writer::begin(places, file.metadata().map_err(io)?.len())?;
        let mut buffer = vec![0; MAX_PIECE_BYTES];
        loop {
            step("writing it to the spare slot", Some(writer.percent()));
            match file.read(&mut buffer).map_err(io)? {
                0 => break,
                n => writer.piece(&buffer[..n])?,
            }
        }
        step("reading it back", None);
        let version = writer.end()?;
        Ok(format!("version {version} is written, and may be started"))
    })
}
