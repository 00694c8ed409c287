//! Which disks are recorded to. A disk is known by its file system's UUID, and mounted in a folder of
//! its own, so that one that comes back is where it was and one that takes its place is another.

use crate::appliance::Places;
use crate::appliance::apply::write_durably;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The most disks that are kept in mind.
const MAX_DISKS: usize = 16;

/// Where recordings would go if there were a disk. Nothing is ever mounted there.
pub const NO_DISK: &str = "/media/nvr/none/sample";

/// A file system on the card of a fixed size, for what is recorded while there is no disk.
pub const EMERGENCY: &str = "emergency";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Known {
    /// Their folders' names, in the order of coming.
    disks: Vec<String>,
    /// There is no disk: recordings go to the card for now.
    emergency: bool,
    /// Of these all recordings are to go when they are mounted the next time.
    erase: Vec<String>,
}

/// The name of the folder of a file system: the beginning of its UUID. `None` if that is none.
pub fn folder_name(uuid: &str) -> Option<String> {
    let name: String = uuid.chars().take(8).collect();
    let good = name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| name.to_ascii_lowercase())
}

impl Known {
    pub fn load(places: &Places) -> io::Result<Known> {
        let text = match fs::read_to_string(places.disks()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
            other => other?,
        };
        let mut known: Known =
            toml::from_str(&text).map_err(|e| io::Error::other(e.message().to_owned()))?;
        known
            .disks
            .retain(|name| folder_name(name).is_some_and(|n| n == *name));
        known.disks.truncate(MAX_DISKS);
        Ok(known)
    }

    pub fn save(&self, places: &Places) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        write_durably(&places.disks(), text.as_bytes(), 0o644)
    }

    /// A disk was mounted; `present` are all that are. One that is known changes nothing. With a new
    /// one, those that are away are given up for it: that is how a disk is swapped. True if it is new.
    pub fn came(&mut self, name: &str, present: &[String]) -> bool {
        let ended_emergency = std::mem::take(&mut self.emergency);
        if self.disks.iter().any(|d| d == name) {
            return ended_emergency;
        }
        self.disks.retain(|d| present.contains(d));
        self.disks.push(name.to_owned());
        if self.disks.len() > MAX_DISKS {
            self.disks.remove(0);
        }
        true
    }

    /// Those that are away are given up for those that are there, if any is. True if that changes something.
    pub fn keep(&mut self, present: &[String]) -> bool {
        let before = self.disks.len();
        if self.disks.iter().any(|d| present.contains(d)) {
            self.disks.retain(|d| present.contains(d));
        }
        self.disks.len() != before
    }

    /// No disk is mounted, and recording to the card is allowed or not. True if that changes something.
    pub fn none_is_there(&mut self, emergency: bool) -> bool {
        std::mem::replace(&mut self.emergency, emergency) != emergency
    }

    /// All that are known are to be emptied.
    pub fn erase_all(&mut self) {
        self.erase.clone_from(&self.disks);
        self.emergency = false;
    }

    /// Whether a disk is to be emptied.
    pub fn is_to_be_erased(&self, name: &str) -> bool {
        self.erase.iter().any(|d| d == name)
    }

    /// It was.
    pub fn erased(&mut self, name: &str) {
        self.erase.retain(|d| d != name);
    }

    pub fn is_emergency(&self) -> bool {
        self.emergency
    }

    /// Where recordings go. The streams of a folder that is not named move to one that is.
    pub fn sample_dirs(&self) -> Vec<PathBuf> {
        let dir = |name: &str| PathBuf::from(format!("/media/nvr/{name}/sample"));
        match (self.emergency, self.disks.is_empty()) {
            (true, _) => vec![dir(EMERGENCY)],
            (false, true) => vec![NO_DISK.into()],
            (false, false) => self.disks.iter().map(|name| dir(name)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_comes_back_changes_nothing_and_another_takes_its_place() {
        let mut known = Known::default();
        assert_eq!(known.sample_dirs(), [PathBuf::from(NO_DISK)]);
        assert!(known.came("aaaaaaaa", &["aaaaaaaa".to_owned()]));
        assert!(!known.came("aaaaaaaa", &["aaaaaaaa".to_owned()]));
        let both = ["aaaaaaaa".to_owned(), "bbbbbbbb".to_owned()];
        assert!(known.came("bbbbbbbb", &both));
        assert_eq!(known.sample_dirs().len(), 2);
        // Both are pulled out, and a third is plugged in.
        assert!(known.came("cccccccc", &["cccccccc".to_owned()]));
        assert_eq!(
            known.sample_dirs(),
            [PathBuf::from("/media/nvr/cccccccc/sample")]
        );
        assert!(known.came("aaaaaaaa", &["aaaaaaaa".to_owned(), "cccccccc".to_owned()]));
        assert_eq!(known.sample_dirs().len(), 2);
    }

    #[test]
    fn a_disk_that_stays_away_is_given_up_if_another_is_there() {
        let mut known = Known::default();
        let both = ["aaaaaaaa".to_owned(), "bbbbbbbb".to_owned()];
        known.came("aaaaaaaa", &both[..1]);
        known.came("bbbbbbbb", &both);
        assert!(!known.keep(&both));
        assert!(!known.keep(&[]));
        assert!(!known.keep(&["cccccccc".to_owned()]));
        assert_eq!(known.sample_dirs().len(), 2);
        assert!(known.keep(&both[1..]));
        assert_eq!(
            known.sample_dirs(),
            [PathBuf::from("/media/nvr/bbbbbbbb/sample")]
        );
        assert!(known.came("aaaaaaaa", &both));
        assert_eq!(known.sample_dirs().len(), 2);
    }

    #[test]
    fn without_a_disk_the_card_is_recorded_to_if_that_is_allowed() {
        let mut known = Known::default();
        known.came("aaaaaaaa", &[]);
        assert!(!known.none_is_there(false));
        assert!(known.none_is_there(true));
        assert_eq!(
            known.sample_dirs(),
            [PathBuf::from("/media/nvr/emergency/sample")]
        );
        assert!(known.came("aaaaaaaa", &[]));
        assert_eq!(
            known.sample_dirs(),
            [PathBuf::from("/media/nvr/aaaaaaaa/sample")]
        );
    }

    #[test]
    fn names_are_the_beginnings_of_uuids() {
        assert_eq!(folder_name("3B1A7D3E-40e2").as_deref(), Some("3b1a7d3e"));
        for bad in ["", "../../etc", "5A1C-33", "zzzzzzzz-"] {
            assert_eq!(folder_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_known_lasts() {
        let temp = tempfile::TempDir::new().unwrap();
        let places = Places::new(temp.path(), None);
        let mut known = Known::default();
        known.came("aaaaaaaa", &[]);
        known.save(&places).unwrap();
        assert_eq!(Known::load(&places).unwrap(), known);
        let text = "disks = [\"../../etc\", \"aaaaaaaa\"]";
        fs::write(places.disks(), text).unwrap();
        assert_eq!(Known::load(&places).unwrap(), known);
        fs::write(places.disks(), "disks = 3").unwrap();
        assert!(Known::load(&places).is_err());
    }
}
