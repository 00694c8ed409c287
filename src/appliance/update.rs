//! Writing an update into the slot that is not running, trying it, and what came of that.
//!
//! The order keeps the card bootable at each moment: the parts, read back; the record; the firmware's line.

use super::apply::{BootWritable, write_durably};
use super::bundle::{BOOT, BundleError, Incoming, Manifest, Part, ROOT, Sink, hex};
use super::places::Places;
use super::protocol::{Refusal, RefusalKind};
use super::slots::{Records, Slot, State};
use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file in a slot's folder that says which version is there.
const VERSION_FILE: &str = "version";

/// The kernel's command line, in which the slot's letter is put.
const COMMAND_LINE: &str = "cmdline.txt";
const SLOT_MARK: &str = "@SLOT@";
const MAX_COMMAND_LINE_BYTES: usize = 4096;

/// Pieces in which what was written is read back.
const READ_BYTES: usize = 256 << 10;

/// What came of the last update. It lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    pub state: LastState,
    pub version: Option<String>,
    pub message: Option<String>,
    /// These were recorded when it was started: they have to be again.
    pub cameras: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LastState {
    #[default]
    None,
    Receiving,
    Written,
    Trying,
    Good,
    FellBack,
}

/// The card that this machine runs from.
pub struct Card {
    places: Places,
    /// As in `/dev/mmcblk0`, and what is between that and a partition's number.
    device: String,
    infix: &'static str,
    running: Slot,
}

fn failed(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed, message)
}

fn conflict(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Conflict, message)
}

impl Card {
    /// Finds it by what is mounted at the boot partition's place, and the slot by the kernel's command line.
    pub fn find(places: &Places) -> Result<Card, Refusal> {
        let none = || conflict("this machine does not run from a card with two slots");
        let mounts = fs::read_to_string(places.at("/proc/mounts")).map_err(|_| none())?;
        let source = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let source = words.next()?;
            (words.next() == Some("/boot/firmware")).then_some(source)
        });
        let device = source.and_then(|s| s.strip_suffix('1')).ok_or_else(none)?;
        let (device, infix) = match device.strip_suffix('p') {
            Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => (disk, "p"),
            _ => (device, ""),
        };
        let line = fs::read_to_string(places.at("/proc/cmdline")).map_err(|_| none())?;
        let mut words = line.split_ascii_whitespace();
        let running = words.find_map(|w| Slot::parse(w.strip_prefix("moonfire.slot=")?));
        Ok(Card {
            places: places.clone(),
            device: device.to_owned(),
            infix,
            running: running.ok_or_else(none)?,
        })
    }

    pub fn running(&self) -> Slot {
        self.running
    }

    fn root_of(&self, slot: Slot) -> PathBuf {
        let number = match slot {
            Slot::A => 2,
            Slot::B => 3,
        };
        self.places
            .at(&format!("{}{}{number}", self.device, self.infix))
    }

    fn boot_of(&self, slot: Slot, new: bool) -> PathBuf {
        let suffix = if new { ".new" } else { "" };
        self.places.boot().join(format!("slot_{slot}{suffix}"))
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.places.at(&self.device))
    }

    /// What is in force; where there is no record yet, what runs is good.
    pub fn state(&self) -> io::Result<State> {
        let state = Records(&self.open()?).read()?;
        Ok(state.unwrap_or(State {
            good: self.running,
            ..State::FIRST
        }))
    }

    fn set(&self, state: State) -> io::Result<()> {
        Records(&self.open()?).write(state)
    }

    /// Has the firmware boot a slot: the line is rewritten in place.
    fn point(&self, slot: Slot) -> io::Result<()> {
        let _writable = BootWritable::begin(&self.places)?;
        let path = self.places.boot().join("slot.txt");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.write_all(slot.firmware_line().as_bytes())?;
        file.sync_all()
    }

    fn version_of(&self, slot: Slot) -> Option<String> {
        let text = fs::read_to_string(self.boot_of(slot, false).join(VERSION_FILE)).ok()?;
        let text = text.trim();
        (!text.is_empty() && text.len() <= 64).then(|| text.to_owned())
    }

    pub fn to_json(&self) -> Value {
        let state = self.state().ok();
        let trial = state.and_then(|s| s.trial);
        json!({
            "running": self.running.as_str(),
            "good": state.map(|s| s.good.as_str()),
            "trying": trial.map(|(slot, _)| slot.as_str()),
            "triesLeft": trial.map_or(0, |(_, left)| left),
            "versions": { "a": self.version_of(Slot::A), "b": self.version_of(Slot::B) },
        })
    }

    /// What was written is to be booted, and tried.
    pub fn start(&self, cameras: Vec<String>) -> Result<(), Refusal> {
        let last = self.last();
        if last.state != LastState::Written {
            return Err(conflict("no update was written that could be started"));
        }
        self.try_other(Last {
            state: LastState::Trying,
            message: Some(
                "it is tried: it has to serve the page and record every camera again".to_owned(),
            ),
            cameras,
            ..last
        })
    }

    fn try_other(&self, last: Last) -> Result<(), Refusal> {
        let state = self.state().map_err(|e| failed(format!("the card: {e}")))?;
        if state.good != self.running || state.trial.is_some_and(|(_, left)| left > 0) {
            return Err(conflict(
                "what runs now is still on trial; wait until it is found good",
            ));
        }
        save_last(&self.places, &last)?;
        let switch = || {
            self.set(state.try_other())?;
            self.point(self.running.other())
        };
        switch().map_err(|e| failed(format!("the card: {e}")))
    }

    /// Whether what runs is on trial.
    pub fn is_tried(&self) -> bool {
        self.state()
            .is_ok_and(|s| s.trial.is_some_and(|(slot, _)| slot == self.running))
    }

    /// The same, and what has to be recorded.
    pub fn trial(&self) -> Value {
        let trying = self.is_tried();
        json!({ "trying": trying, "cameras": if trying { self.last().cameras } else { Vec::new() } })
    }

    pub fn mark_good(&self) -> Result<(), Refusal> {
        let state = self.state().map_err(|e| failed(format!("the card: {e}")))?;
        let tried = state.trial.is_some_and(|(slot, _)| slot == self.running);
        let good = state.mark_good().filter(|_| tried);
        let good = good.ok_or_else(|| conflict("nothing is on trial"))?;
        self.set(good)
            .map_err(|e| failed(format!("the card: {e}")))?;
        // It is of this start only: one that cannot be removed is of no consequence at the next.
        let _ = fs::remove_file(self.places.trial_mark());
        save_last(
            &self.places,
            &Last {
                state: LastState::Good,
                message: Some(
                    "it serves the page and records every camera that was recorded before"
                        .to_owned(),
                ),
                cameras: Vec::new(),
                ..self.last()
            },
        )
    }

    /// The trial is given up, or, where there is none, the other slot is tried again.
    pub fn fall_back(&self, why: &str) -> Result<(), Refusal> {
        let state = self.state().map_err(|e| failed(format!("the card: {e}")))?;
        if state.trial.is_none_or(|(slot, _)| slot != self.running) {
            let other = self.running.other();
            let version = self
                .version_of(other)
                .ok_or_else(|| conflict("the other slot is empty: there is no version before"))?;
            return self.try_other(Last {
                state: LastState::Trying,
                version: Some(version),
                message: Some(why.to_owned()),
                cameras: Vec::new(),
            });
        }
        save_last(
            &self.places,
            &Last {
                state: LastState::FellBack,
                message: Some(why.to_owned()),
                cameras: Vec::new(),
                ..self.last()
            },
        )?;
        let switch = || {
            self.set(state.give_up())?;
            self.point(state.good)
        };
        switch().map_err(|e| failed(format!("the card: {e}")))
    }

    /// What came of the last update. One that was tried, and is not what runs, fell back by itself.
    pub fn last(&self) -> Last {
        let mut last = load_last(&self.places);
        if last.state == LastState::Trying {
            let runs = self
                .state()
                .is_ok_and(|s| s.good == self.running && s.trial.is_none_or(|(_, left)| left == 0));
            if runs {
                last.state = LastState::FellBack;
                last.message =
                    Some("it did not start, or did not come as far as recording".to_owned());
            }
        }
        last
    }
}

fn last_file(places: &Places) -> PathBuf {
    places.data().join("update.json")
}

fn load_last(places: &Places) -> Last {
    let bytes = fs::read(last_file(places)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn save_last(places: &Places, last: &Last) -> Result<(), Refusal> {
    let bytes = serde_json::to_vec(last).map_err(|e| failed(e.to_string()))?;
    write_durably(&last_file(places), &bytes, 0o600)
        .map_err(|e| failed(format!("update.json: {e}")))
}

/// The key that updates of this machine are signed with.
pub fn public_key(places: &Places) -> Result<[u8; 32], Refusal> {
    let none = || conflict("this machine's image has no key for updates: it takes none");
    let text = fs::read_to_string(places.at("/etc/moonfire-nvr/update.pub")).map_err(|_| none())?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .map_err(|_| none())?;
    bytes.try_into().map_err(|_| none())
}

/// An update that is being written.
pub struct Writer {
    incoming: Option<Incoming>,
    files: Files,
    expected: u64,
    came: u64,
}

/// Where its parts go.
struct Files {
    card: Card,
    slot: Slot,
    /// The boot partition is writable while this lives.
    writable: Option<BootWritable>,
    open: Option<(String, File)>,
    command_line: Vec<u8>,
    /// What each file of the boot partition has to hold: length and digest.
    boot: BTreeMap<String, (u64, String)>,
}

impl Writer {
    /// Begins to write into the slot that is not running.
    pub fn begin(places: &Places, bytes: u64) -> Result<Writer, Refusal> {
        let card = Card::find(places)?;
        let state = card.state().map_err(|e| failed(format!("the card: {e}")))?;
        if state.trial.is_some_and(|(slot, _)| slot == card.running) {
            return Err(conflict(
                "what runs now is still on trial; wait until it is found good",
            ));
        }
        let key = public_key(places)?;
        Ok(Writer {
            incoming: Some(Incoming::new(key)),
            files: Files {
                slot: card.running.other(),
                card,
                writable: None,
                open: None,
                command_line: Vec::new(),
                boot: BTreeMap::new(),
            },
            expected: bytes,
            came: 0,
        })
    }

    /// More of the bundle. After an error the writer is of no use.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.came += bytes.len() as u64;
        let incoming = self
            .incoming
            .as_mut()
            .ok_or_else(|| conflict("no update is being written"))?;
        if self.came > self.expected {
            self.incoming = None;
            return Err(refusal(BundleError::Long));
        }
        let result = incoming.feed(bytes, &mut self.files);
        if result.is_err() {
            self.incoming = None;
        }
        result.map_err(refusal)
    }

    /// How much of it has come, in per cent.
    pub fn percent(&self) -> u8 {
        (self.came.saturating_mul(100) / self.expected.max(1)).min(100) as u8
    }

    /// All has come: what was written is read back, and may then be started.
    pub fn end(mut self) -> Result<String, Refusal> {
        let incoming = self
            .incoming
            .take()
            .ok_or_else(|| conflict("no update is being written"))?;
        let manifest = incoming.end().map_err(refusal)?;
        self.files
            .finish(&manifest)
            .map_err(|e| failed(format!("the card: {e}")))?;
        save_last(
            &self.files.card.places,
            &Last {
                state: LastState::Written,
                version: Some(manifest.version.clone()),
                message: Some("it is written and verified, and may be started".to_owned()),
                cameras: Vec::new(),
            },
        )?;
        Ok(manifest.version)
    }
}

/// Whose fault a wrong bundle is.
fn refusal(e: BundleError) -> Refusal {
    let kind = match e {
        BundleError::Sink(_) => RefusalKind::Failed,
        _ => RefusalKind::Bad,
    };
    Refusal::new(kind, e.to_string())
}

impl Sink for Files {
    fn begin(&mut self, manifest: &Manifest) -> Result<(), String> {
        let begin = || -> Result<BootWritable, Refusal> {
            // From here on the slot is no version that could be gone back to.
            save_last(
                &self.card.places,
                &Last {
                    state: LastState::Receiving,
                    version: Some(manifest.version.clone()),
                    ..Last::default()
                },
            )?;
            let io = |e: io::Error| failed(format!("the boot partition: {e}"));
            let writable = BootWritable::begin(&self.card.places).map_err(io)?;
            for new in [true, false] {
                remove_folder(&self.card.boot_of(self.slot, new)).map_err(io)?;
            }
            fs::create_dir(self.card.boot_of(self.slot, true)).map_err(io)?;
            Ok(writable)
        };
        self.writable = Some(begin().map_err(|refusal| refusal.message)?);
        Ok(())
    }

    fn write(&mut self, part: &Part, bytes: &[u8]) -> Result<(), String> {
        self.write_part(part, bytes)
            .map_err(|e| format!("the card cannot be written: {e}"))
    }
}

impl Files {
    fn write_part(&mut self, part: &Part, bytes: &[u8]) -> io::Result<()> {
        if part.name.strip_prefix(BOOT) == Some(COMMAND_LINE) {
            if self.command_line.len() + bytes.len() > MAX_COMMAND_LINE_BYTES {
                return Err(io::Error::other("its command line is too long"));
            }
            self.command_line.extend_from_slice(bytes);
            return Ok(());
        }
        if self
            .open
            .as_ref()
            .is_none_or(|(name, _)| *name != part.name)
        {
            self.close()?;
            let file = match part.name.strip_prefix(BOOT) {
                Some(name) => {
                    self.boot
                        .insert(name.to_owned(), (part.bytes, part.sha256.clone()));
                    File::create_new(self.card.boot_of(self.slot, true).join(name))?
                }
                None => OpenOptions::new()
                    .write(true)
                    .open(self.card.root_of(self.slot))?,
            };
            self.open = Some((part.name.clone(), file));
        }
        match &mut self.open {
            Some((_, file)) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some((_, file)) => file.sync_all(),
            None => Ok(()),
        }
    }

    fn finish(&mut self, manifest: &Manifest) -> io::Result<()> {
        self.close()?;
        let folder = self.card.boot_of(self.slot, true);
        let mut put = |name: &str, bytes: &[u8]| -> io::Result<()> {
            let mut file = File::create(folder.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.boot.insert(
                name.to_owned(),
                (bytes.len() as u64, hex(&Sha256::digest(bytes))),
            );
            Ok(())
        };
        if !self.command_line.is_empty() {
            let line = String::from_utf8_lossy(&self.command_line);
            put(
                COMMAND_LINE,
                line.replace(SLOT_MARK, self.slot.as_str()).as_bytes(),
            )?;
        }
        put(VERSION_FILE, format!("{}\n", manifest.version).as_bytes())?;
        for part in manifest.parts.iter().filter(|p| p.bytes == 0) {
            if let Some(name) = part.name.strip_prefix(BOOT) {
                put(name, b"")?;
            }
        }
        for (name, (bytes, sha256)) in &self.boot {
            check(&folder.join(name), *bytes, sha256)?;
        }
        for part in manifest.parts.iter().filter(|p| p.name == ROOT) {
            check(&self.card.root_of(self.slot), part.bytes, &part.sha256)?;
        }
        fs::rename(&folder, self.card.boot_of(self.slot, false))?;
        File::open(self.card.places.boot())?.sync_all()?;
        self.writable = None;
        Ok(())
    }
}

/// Reads back what was written, from the card rather than from memory.
fn check(path: &Path, bytes: u64, sha256: &str) -> io::Result<()> {
    let mut file = File::open(path)?;
    let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    // Where that is not known, it is read from wherever it is.
    let _ = nix::fcntl::posix_fadvise(&file, 0, 0, advice);
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        file.read_exact(&mut buffer[..most])?;
        digest.update(&buffer[..most]);
        left -= most as u64;
    }
    match hex(&digest.finalize()) == sha256 {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} does not hold what was written to it",
            path.display()
        ))),
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(in crate::appliance) mod tests {
    use super::*;
    use crate::appliance::bundle::tests::{bundle, key};
    use std::os::unix::fs::FileExt;

    fn card() -> (tempfile::TempDir, Places) {
        let temp = tempfile::TempDir::new().unwrap();
        let places = Places::new(temp.path(), None);
        make_card(&places);
        (temp, places)
    }

    /// A card with one version on it.
    pub fn make_card(places: &Places) {
        for folder in [
            "/proc",
            "/dev",
            "/etc/moonfire-nvr",
            "/boot/firmware/slot_a",
            "/data/moonfire-nvr",
        ] {
            fs::create_dir_all(places.at(folder)).unwrap();
        }
        fs::write(
            places.at("/proc/mounts"),
            "/dev/mmcblk0p1 /boot/firmware vfat ro 0 0\n",
        )
        .unwrap();
        boot(places, Slot::A);
        for name in ["mmcblk0", "mmcblk0p2", "mmcblk0p3"] {
            File::create(places.at("/dev").join(name))
                .unwrap()
                .set_len(1 << 20)
                .unwrap();
        }
        fs::write(places.boot().join("slot_a/version"), "0.1.0\n").unwrap();
        fs::write(places.boot().join("slot.txt"), Slot::A.firmware_line()).unwrap();
        let public = base64::engine::general_purpose::STANDARD.encode(key(1).1);
        fs::write(places.at("/etc/moonfire-nvr/update.pub"), public).unwrap();
    }

    /// What the firmware tells of the slot that it has started.
    pub fn boot(places: &Places, slot: Slot) {
        fs::write(
            places.at("/proc/cmdline"),
            format!("quiet moonfire.slot={slot} x=1\n"),
        )
        .unwrap();
    }

    pub fn update(version: &str) -> Vec<u8> {
        let root = vec![7u8; 300_000];
        bundle(
            version,
            &[
                (ROOT, &root),
                ("boot/vmlinuz", b"kernel"),
                ("boot/cmdline.txt", b"moonfire.slot=@SLOT@ quiet"),
                ("boot/empty", b""),
            ],
            &key(1).0,
        )
    }

    fn write(places: &Places, bytes: &[u8]) -> Result<String, Refusal> {
        let mut writer = Writer::begin(places, bytes.len() as u64)?;
        for piece in bytes.chunks(65_536) {
            writer.piece(piece)?;
        }
        writer.end()
    }

    #[test]
    fn an_update_is_written_tried_and_found_good() {
        let (_temp, places) = card();
        assert_eq!(write(&places, &update("0.2.0")).unwrap(), "0.2.0");
        let slot = places.boot().join("slot_b");
        assert_eq!(
            fs::read_to_string(slot.join("cmdline.txt")).unwrap(),
            "moonfire.slot=b quiet"
        );
        assert_eq!(fs::read_to_string(slot.join("vmlinuz")).unwrap(), "kernel");
        assert!(slot.join("empty").exists());
        let mut root = vec![0; 300_001];
        File::open(places.at("/dev/mmcblk0p3"))
            .unwrap()
            .read_exact_at(&mut root, 0)
            .unwrap();
        assert!(root[..300_000].iter().all(|b| *b == 7) && root[300_000] == 0);
        // Nothing is booted yet.
        let line = || fs::read_to_string(places.boot().join("slot.txt")).unwrap();
        assert_eq!(line(), "os_prefix=slot_a/\n");
        let card = Card::find(&places).unwrap();
        assert_eq!(card.trial()["trying"], json!(false));
        assert_eq!(card.mark_good().unwrap_err().kind, RefusalKind::Conflict);
        card.start(vec!["camera".to_owned()]).unwrap();
        assert_eq!(line(), "os_prefix=slot_b/\n");
        assert_eq!(
            card.start(Vec::new()).unwrap_err().kind,
            RefusalKind::Conflict
        );
        boot(&places, Slot::B);
        let card = Card::find(&places).unwrap();
        assert_eq!(
            card.trial(),
            json!({ "trying": true, "cameras": ["camera"] })
        );
        assert_eq!(
            Writer::begin(&places, 1).err().unwrap().kind,
            RefusalKind::Conflict
        );
        fs::create_dir_all(places.at("/run")).unwrap();
        fs::write(places.trial_mark(), "").unwrap();
        card.mark_good().unwrap();
        assert!(!places.trial_mark().exists());
        assert_eq!(
            (card.last().state, card.state().unwrap().good),
            (LastState::Good, Slot::B)
        );
        assert_eq!(
            card.to_json()["versions"],
            json!({ "a": "0.1.0", "b": "0.2.0" })
        );
        // And back to the version before, on trial as well.
        card.fall_back("an administrator asked for it").unwrap();
        assert_eq!(line(), "os_prefix=slot_a/\n");
        boot(&places, Slot::A);
        let card = Card::find(&places).unwrap();
        assert_eq!(card.trial()["trying"], json!(true));
    }

    #[test]
    fn one_that_does_not_record_or_start_goes_back() {
        let (_temp, places) = card();
        write(&places, &update("0.2.0")).unwrap();
        Card::find(&places).unwrap().start(Vec::new()).unwrap();
        boot(&places, Slot::B);
        Card::find(&places)
            .unwrap()
            .fall_back("camera driveway is not recorded")
            .unwrap();
        boot(&places, Slot::A);
        let card = Card::find(&places).unwrap();
        assert_eq!(card.last().state, LastState::FellBack);
        assert_eq!(card.state().unwrap().good, Slot::A);
        // It never comes as far: the initrd counts down, and goes back.
        write(&places, &update("0.2.1")).unwrap();
        card.start(Vec::new()).unwrap();
        let state = card.state().unwrap();
        card.set(State {
            serial: state.serial + 1,
            trial: Some((Slot::B, 0)),
            ..state
        })
        .unwrap();
        assert_eq!(card.last().state, LastState::FellBack);
        // And another update may be written and started.
        write(&places, &update("0.2.2")).unwrap();
        card.start(Vec::new()).unwrap();
    }

    #[test]
    fn what_is_no_good_update_changes_nothing_that_is_booted() {
        let (_temp, places) = card();
        let good = update("0.2.0");
        let mut damaged = good.clone();
        let at = damaged.len() - 100;
        damaged[at] ^= 1;
        let foreign = bundle("0.2.0", &[(ROOT, b"x")], &key(2).0);
        for (bytes, kind) in [
            (&good[..good.len() - 1], RefusalKind::Bad),
            (&damaged[..], RefusalKind::Bad),
            (&foreign[..], RefusalKind::Bad),
            (&b"nonsense"[..], RefusalKind::Bad),
            (&b""[..], RefusalKind::Bad),
        ] {
            assert_eq!(write(&places, bytes).unwrap_err().kind, kind);
            let card = Card::find(&places).unwrap();
            assert_eq!(
                card.start(Vec::new()).unwrap_err().kind,
                RefusalKind::Conflict
            );
            assert_eq!(
                fs::read_to_string(places.boot().join("slot.txt")).unwrap(),
                "os_prefix=slot_a/\n"
            );
        }
        // More comes than was told, and a card that is too small.
        let mut writer = Writer::begin(&places, 10).unwrap();
        assert!(writer.piece(&good[..11]).is_err() && writer.piece(&good[11..]).is_err());
        fs::remove_file(places.at("/dev/mmcblk0p3")).unwrap();
        assert_eq!(write(&places, &good).unwrap_err().kind, RefusalKind::Failed);
        fs::remove_file(places.at("/etc/moonfire-nvr/update.pub")).unwrap();
        assert_eq!(
            write(&places, &good).unwrap_err().kind,
            RefusalKind::Conflict
        );
        fs::write(places.at("/proc/cmdline"), "quiet").unwrap();
        assert_eq!(
            Card::find(&places).err().unwrap().kind,
            RefusalKind::Conflict
        );
    }
}
