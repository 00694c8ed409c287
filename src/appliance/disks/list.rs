//! What is plugged in, as lsblk(8) tells it.

use super::folder_name;
use crate::appliance::places::{Places, SAMPLE_LABEL};
use crate::appliance::system::System;
use crate::recording::RecordingId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Files of recordings that are counted at most in a folder.
const MAX_COUNTED: usize = 2_000_000;

const COLUMNS: &str = "NAME,TYPE,SIZE,MODEL,SERIAL,TRAN,FSTYPE,LABEL,UUID,MOUNTPOINTS,FSAVAIL,RO";

/// How long udev is waited for.
const UDEV_LIMIT: &str = "--timeout=5";

/// Where the system's own file systems are mounted.
const OF_SYSTEM: [&str; 5] = ["/", "/boot", "/boot/firmware", "/data", "/usr"];

/// A disk or a part of one.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Device {
    pub name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    tran: Option<String>,
    #[serde(default)]
    pub fstype: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub uuid: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    fsavail: Option<Value>,
    #[serde(default)]
    ro: bool,
    #[serde(default)]
    children: Vec<Device>,
}

#[derive(Deserialize)]
struct Listing {
    blockdevices: Vec<Device>,
}

/// All disks that there are.
pub fn list(system: &dyn System) -> Result<Vec<Device>, String> {
    // What was plugged in a moment ago seems empty and nameless until udev has looked at it. If that takes longer, it is
    // listed as it is: whoever then formats it has to repeat a name that it no longer has.
    let _ = system.run("udevadm", &["settle", UDEV_LIMIT]);
    let out = system.run("lsblk", &["--json", "--bytes", "--output", COLUMNS])?;
    let listing: Listing =
        serde_json::from_slice(&out).map_err(|e| format!("lsblk cannot be understood: {e}"))?;
    let disks = listing.blockdevices.into_iter();
    Ok(disks
        .filter(|d| d.kind == "disk" && d.size.unwrap_or(0) > 0 && !d.name.starts_with("zram"))
        .collect())
}

/// The device of this name, whole or part, and the disk that it is of.
pub fn find<'a>(disks: &'a [Device], name: &str) -> Option<(&'a Device, &'a Device)> {
    disks
        .iter()
        .find_map(|disk| disk.find(name).map(|device| (disk, device)))
}

impl Device {
    /// It or a part of it.
    fn find(&self, name: &str) -> Option<&Device> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|c| c.find(name))
    }

    /// Its parts, or itself if it has none.
    pub fn parts(&self) -> Vec<&Device> {
        match self.children.is_empty() {
            true => vec![self],
            false => self.children.iter().flat_map(Device::parts).collect(),
        }
    }

    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    pub fn mounted_at(&self) -> Option<&str> {
        self.mountpoints.iter().flatten().map(String::as_str).next()
    }

    /// Where it is mounted as a sample disk: the folder's name.
    pub fn mounted_as(&self) -> Option<String> {
        let all = self.mountpoints.iter().flatten();
        let mut names = all.filter_map(|p| p.strip_prefix("/media/nvr/"));
        names.find(|n| !n.contains('/')).map(str::to_owned)
    }

    pub fn is_sample(&self) -> bool {
        self.fstype.as_deref() == Some("ext4")
            && self.label.as_deref() == Some(SAMPLE_LABEL)
            && self
                .uuid
                .as_deref()
                .is_some_and(|u| folder_name(u).is_some())
    }

    /// The machine runs from it.
    pub fn is_system(&self) -> bool {
        let of_system = |d: &Device| {
            d.mountpoints
                .iter()
                .flatten()
                .any(|p| OF_SYSTEM.contains(&p.as_str()) || p == "[SWAP]")
        };
        of_system(self) || self.children.iter().any(Device::is_system)
    }

    pub fn is_read_only(&self) -> bool {
        self.ro
    }

    /// What has to be repeated so that this very disk is formatted.
    pub fn confirm(&self) -> String {
        let of = |text: &Option<String>| text.as_deref().unwrap_or("").trim().to_owned();
        let words = [of(&self.model), of(&self.serial)];
        let words: Vec<String> = words.into_iter().filter(|w| !w.is_empty()).collect();
        match words.is_empty() {
            true => format!("{} {}", self.name, self.size.unwrap_or(0)),
            false => words.join(" "),
        }
    }

    fn state(&self) -> &'static str {
        let parts = self.parts();
        let any = |f: fn(&&Device) -> bool| parts.iter().any(f);
        if self.is_system() {
            "system"
        } else if self.ro {
            "readOnly"
        } else if any(|p| p.is_sample() && p.mounted_as().is_some()) {
            "inUse"
        } else if any(|p| p.is_sample()) {
            "ready"
        } else if self.children.is_empty() && self.fstype.is_none() {
            "empty"
        } else {
            "other"
        }
    }

    /// For the page.
    pub fn to_json(&self, places: &Places) -> Value {
        let text = |text: &Option<String>| text.as_deref().map(str::trim).map(str::to_owned);
        let parts: Vec<Value> = self
            .parts()
            .into_iter()
            .map(|p| {
                let recordings = p
                    .mounted_as()
                    .and_then(|name| count_recordings(&places.media().join(name).join("sample")));
                let free = p
                    .fsavail
                    .as_ref()
                    .and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
                json!({
                    "id": p.name,
                    "sizeBytes": p.size,
                    "fileSystem": p.fstype,
                    "label": p.label,
                    "uuid": p.uuid,
                    "mountedAt": p.mounted_at(),
                    "freeBytes": free,
                    "sampleDisk": p.is_sample(),
                    "recordings": recordings,
                })
            })
            .collect();
        let transport = self
            .tran
            .as_deref()
            .unwrap_or(match self.name.starts_with("mmc") {
                true => "mmc",
                false => "",
            });
        json!({
            "id": self.name,
            "model": text(&self.model),
            "serial": text(&self.serial),
            "sizeBytes": self.size,
            "transport": if transport.is_empty() { None } else { Some(transport) },
            "system": self.is_system(),
            "state": self.state(),
            "confirm": self.confirm(),
            "partitions": parts,
        })
    }
}

/// How many recordings a sample directory holds; `None` if it cannot be told.
pub fn count_recordings(folder: &Path) -> Option<usize> {
    let entries = std::fs::read_dir(folder).ok()?;
    let names = entries
        .take(MAX_COUNTED)
        .filter_map(|e| e.ok()?.file_name().into_string().ok());
    Some(
        names
            .filter(|n| RecordingId::from_file_name(n).is_some())
            .count(),
    )
}
