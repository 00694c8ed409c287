//! Simulated disks: every [`DiskRequest`] with latency, out of order, over file systems that lose
//! what was not synced.
//!
//! A disk can be slow, freeze, be full, fail, be pulled out and come back. While it is away, its path
//! shows what lies beneath it: nothing, an empty folder of the root file system, or a strange disk.
//! Requests that no correct core makes (an id used twice, a write after a close) are noted in
//! [`Disks::violations`].

pub mod file_system;

use crate::nvr::port::{DiskError, DiskReply, DiskRequest, FileId, OpId, Space};
use crate::recording::recovery::{self, AttachError, AttachRequest};
use crate::recording::{DirId, DirIdentity};
use crate::sim::agenda::Agenda;
use crate::sim::random::Random;
use crate::time::Monotonic;
use file_system::{FileSystem, InodeId, Mark, NoSpace, View};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// More disk operations under way than this at once mean that the core has no bound of its own.
pub const MAX_OPERATIONS: usize = 256;

/// A disk in order answers within this time.
const IN_ORDER: Duration = Duration::from_millis(500);

/// What one sees at the disk's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The disk.
    Here,
    /// Not even a folder.
    Missing,
    /// The empty folder on the root file system that it is mounted over.
    EmptyFolder,
    /// A disk of another recorder.
    Stranger,
}

/// How a disk fares.
#[derive(Clone, Debug)]
pub struct Health {
    /// The usual time of an operation, in milliseconds: from, to.
    pub latency_ms: (u64, u64),
    /// Nothing is answered before this time.
    pub frozen_until: Monotonic,
    /// Every operation fails with EIO.
    pub fails: bool,
    /// So many of the coming operations fail with EIO.
    pub fails_next: u32,
}

impl Health {
    pub fn good() -> Health {
        Health {
            latency_ms: (0, 20),
            frozen_until: Monotonic(0),
            fails: false,
            fails_next: 0,
        }
    }
}

/// A disk and the path at which it is mounted.
pub struct Disk {
    pub path: PathBuf,
    pub file_system: FileSystem,
    pub health: Health,
    presence: Presence,
    /// The root file system's folder at the path.
    beneath: FileSystem,
    stranger: FileSystem,
    strangers_own: Vec<String>,
    /// Counted up each time it goes: what was opened before is dead.
    era: u32,
}

impl Disk {
    fn new(path: &Path, capacity: u64) -> Disk {
        Disk {
            path: path.to_owned(),
            file_system: FileSystem::new(capacity),
            health: Health::good(),
            presence: Presence::Here,
            beneath: FileSystem::new(STRANGE_CAPACITY),
            stranger: FileSystem::new(STRANGE_CAPACITY),
            strangers_own: Vec::new(),
            era: 0,
        }
    }

    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// Files that were put where the disk belongs while it was away.
    pub fn strays(&self) -> Vec<String> {
        let beneath = self.beneath.names();
        let stranger = self
            .stranger
            .names()
            .filter(|n| !self.strangers_own.iter().any(|o| o == n));
        beneath.chain(stranger).map(str::to_owned).collect()
    }

    fn mark_stranger(&mut self, random: &mut Random) {
        let identity = DirIdentity {
            database: Uuid::from_u64_pair(random.next_u64(), random.next_u64()),
            directory: Uuid::from_u64_pair(random.next_u64(), random.next_u64()),
        };
        let request = AttachRequest {
            identity,
            may_create: true,
            read_only: false,
            committed: BTreeMap::new(),
        };
        let _ = recovery::attach(&View::new(&mut self.stranger), &request);
        self.strangers_own = self.stranger.names().map(str::to_owned).collect();
    }
}

/// The size of what lies beneath a disk.
const STRANGE_CAPACITY: u64 = 64 << 20;

#[derive(Clone, Debug)]
struct Handle {
    disk: usize,
    era: u32,
    /// `None` until it is open.
    inode: Option<InodeId>,
    name: String,
    writable: bool,
    /// Its closing was asked for.
    closing: bool,
    /// When the last operation that was asked for ends: operations on one file keep their order.
    busy_until: Monotonic,
}

/// A file that so many ranges are still to be sent of.
struct Held {
    disk: usize,
    era: u32,
    inode: InodeId,
    ranges: usize,
}

struct Pending {
    op: OpId,
    request: DiskRequest,
    /// What the syncing of a directory covers.
    mark: Mark,
    asked: Monotonic,
    /// It takes longer than a disk in order does.
    hangs: bool,
    /// The directory that it is about, as it was when it was asked for: disk and era.
    place: Option<(usize, u32)>,
}

/// What ended.
#[derive(Debug)]
pub struct Completion {
    pub op: OpId,
    pub result: Result<DiskReply, DiskError>,
    pub buffer: Option<Vec<u8>>,
}

/// All disks of the board.
pub struct Disks {
    disks: Vec<Disk>,
    dirs: BTreeMap<DirId, (usize, u32)>,
    attaching: BTreeSet<DirId>,
    files: BTreeMap<FileId, Handle>,
    /// Files that connections still send from, whoever has closed them.
    held: BTreeMap<FileId, Held>,
    most_open_for_reading: usize,
    ops_used: HashSet<OpId>,
    files_used: HashSet<FileId>,
    files_failed: HashSet<FileId>,
    pending: Agenda<Pending>,
    random: Random,
    violations: Vec<String>,
    most_operations: usize,
}

impl Disks {
    pub fn new(seed: u64) -> Disks {
        Disks {
            disks: Vec::new(),
            dirs: BTreeMap::new(),
            attaching: BTreeSet::new(),
            files: BTreeMap::new(),
            held: BTreeMap::new(),
            most_open_for_reading: 0,
            ops_used: HashSet::new(),
            files_used: HashSet::new(),
            files_failed: HashSet::new(),
            pending: Agenda::default(),
            random: Random::new(seed, "disks"),
            violations: Vec::new(),
            most_operations: 0,
        }
    }

    /// Adds a disk of `capacity` bytes, mounted at `path`.
    pub fn add(&mut self, path: &Path, capacity: u64) {
        let mut disk = Disk::new(path, capacity);
        disk.mark_stranger(&mut self.random);
        self.disks.push(disk);
    }

    pub fn count(&self) -> usize {
        self.disks.len()
    }

    pub fn disk(&self, index: usize) -> &Disk {
        &self.disks[index]
    }

    pub fn disk_mut(&mut self, index: usize) -> &mut Disk {
        &mut self.disks[index]
    }

    /// The disk mounted at `path`.
    pub fn at(&self, path: &Path) -> Option<usize> {
        self.disks.iter().position(|d| d.path == path)
    }

    /// The most operations that were under way at once.
    pub fn most_operations(&self) -> usize {
        self.most_operations
    }

    /// Operations under way that bring frames to a disk and that it has not taken too long over: those
    /// cannot be waited for.
    pub fn unfinished(&self) -> usize {
        let unfinished = self.pending.iter().filter(|p| {
            let brings = matches!(
                p.request,
                DiskRequest::Create { .. } | DiskRequest::Write { .. } | DiskRequest::Sync { .. }
            );
            brings && !p.hangs
        });
        unfinished.count()
    }

    /// Takes what the core did that it never may.
    pub fn violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// The disk is pulled out: its path shows something else from now on.
    pub fn pull_out(&mut self, index: usize, shows: Presence) {
        let disk = &mut self.disks[index];
        if disk.presence == Presence::Here {
            disk.file_system.cut(&mut self.random);
            disk.era += 1;
        }
        disk.presence = shows;
    }

    /// The disk is back at its path.
    pub fn put_back(&mut self, index: usize) {
        self.disks[index].presence = Presence::Here;
    }

    /// When the next operation ends.
    pub fn next_wake(&self) -> Option<Monotonic> {
        self.pending.next()
    }

    /// Takes in a request.
    pub fn submit(&mut self, now: Monotonic, op: OpId, request: DiskRequest) {
        if !self.ops_used.insert(op) {
            self.violations.push(format!("{op:?} is used twice"));
        }
        let place = dir_of(&request).and_then(|dir| self.dirs.get(&dir).copied());
        let disk = self.admit(&request);
        let (mark, mut at) = match disk.map(|i| &self.disks[i]) {
            Some(disk) => {
                let (from, to) = disk.health.latency_ms;
                let latency = if self.random.one_in(200) {
                    self.random.millis(20..=400)
                } else {
                    self.random.millis(from..=to)
                };
                let begin = now.max(disk.health.frozen_until);
                (disk.file_system.mark(), begin + latency)
            }
            None => (FileSystem::new(0).mark(), now),
        };
        if let Some(handle) = file_of(&request).and_then(|f| self.files.get_mut(&f)) {
            at = at.max(handle.busy_until);
            handle.busy_until = at;
        }
        self.pending.enter(
            at,
            Pending {
                op,
                request,
                mark,
                asked: now,
                hangs: at > now + IN_ORDER,
                place,
            },
        );
        self.most_operations = self.most_operations.max(self.pending.len());
        if self.pending.len() > MAX_OPERATIONS {
            let what = format!("{} disk operations at once", self.pending.len());
            self.violations.push(what);
        }
    }

    /// Checks a request against what is open; gives the disk that it goes to.
    fn admit(&mut self, request: &DiskRequest) -> Option<usize> {
        match request {
            DiskRequest::Attach { dir, path, .. } => {
                if self.dirs.contains_key(dir) || !self.attaching.insert(*dir) {
                    self.violations.push(format!("{dir:?} is attached twice"));
                }
                self.at(path)
            }
            DiskRequest::Create { file, dir, name } => self.admit_opening(*file, *dir, name, true),
            DiskRequest::Open { file, dir, name } => self.admit_opening(*file, *dir, name, false),
            DiskRequest::Write { file, .. }
            | DiskRequest::Read { file, .. }
            | DiskRequest::Sync { file }
            | DiskRequest::Close { file } => {
                let writing = matches!(request, DiskRequest::Write { .. });
                match self.files.get_mut(file) {
                    Some(h) if !h.closing && (h.writable || !writing) => {
                        h.closing = matches!(request, DiskRequest::Close { .. });
                        Some(h.disk)
                    }
                    // One whose creation failed is gone; the answer may not have come by yet.
                    None if self.files_used.contains(file) && self.files_failed.contains(file) => {
                        None
                    }
                    _ => {
                        let what = format!("{}, which is not open", brief(request));
                        self.violations.push(what);
                        None
                    }
                }
            }
            DiskRequest::Unlink { dir, name } => {
                let place = self.dirs.get(dir).copied();
                let is_it = |h: &Handle| h.writable && !h.closing && &h.name == name;
                if self
                    .files
                    .values()
                    .any(|h| is_it(h) && place == Some((h.disk, h.era)))
                {
                    let what = format!("unlink of {name}, which is open for writing");
                    self.violations.push(what);
                }
                self.admit_dir(*dir, "unlink")
            }
            DiskRequest::SyncDir { dir } => self.admit_dir(*dir, "sync"),
            DiskRequest::Space { dir } => self.admit_dir(*dir, "space"),
            DiskRequest::Detach { dir } => {
                // It is forgotten at once; what is under way goes on.
                self.admit_dir(*dir, "detach");
                self.dirs.remove(dir);
                None
            }
        }
    }

    fn admit_dir(&mut self, dir: DirId, what: &str) -> Option<usize> {
        let found = self.dirs.get(&dir).map(|(disk, _)| *disk);
        if found.is_none() {
            self.violations
                .push(format!("{what} of {dir:?}, which is not attached"));
        }
        found
    }

    fn admit_opening(
        &mut self,
        file: FileId,
        dir: DirId,
        name: &str,
        writable: bool,
    ) -> Option<usize> {
        if !self.files_used.insert(file) {
            self.violations.push(format!("{file:?} is used twice"));
        }
        let disk = self.admit_dir(dir, "create or open")?;
        let era = self.dirs[&dir].1;
        let same = |h: &&Handle| {
            h.writable && !h.closing && h.disk == disk && h.era == era && h.name == name
        };
        if writable && self.files.values().any(|h| same(&h)) {
            self.violations
                .push(format!("{name} is created while it is open for writing"));
        }
        self.files.insert(
            file,
            Handle {
                disk,
                era,
                inode: None,
                name: name.to_owned(),
                writable,
                closing: false,
                busy_until: Monotonic(0),
            },
        );
        if !writable {
            self.count_open_for_reading();
        }
        Some(disk)
    }

    /// Ends the next operation that is due.
    pub fn poll(&mut self, now: Monotonic) -> Option<Completion> {
        let pending = self.pending.take_due(now)?;
        Some(self.execute(pending, None))
    }

    /// Carries an operation out. An attach makes at most `changes_left` changes if that is given.
    fn execute(&mut self, pending: Pending, changes_left: Option<u32>) -> Completion {
        let Pending {
            op,
            request,
            mark,
            place,
            ..
        } = pending;
        let mut buffer = None;
        let result = match request {
            DiskRequest::Attach { dir, path, request } => {
                self.attaching.remove(&dir);
                self.attach(dir, &path, &request, changes_left)
            }
            DiskRequest::Detach { .. } => Ok(DiskReply::Done),
            DiskRequest::Create { file, name, .. } => self.open(file, place, &name, true),
            DiskRequest::Open { file, name, .. } => self.open(file, place, &name, false),
            DiskRequest::Write { file, offset, data } => {
                let result = self.on_file(file, |fs, inode| match fs.write(inode, offset, &data) {
                    Ok(()) => Ok(DiskReply::Done),
                    Err(NoSpace) => Err(DiskError::NoSpace),
                });
                buffer = Some(data);
                result
            }
            DiskRequest::Read { file, offset, len } => self.on_file(file, |fs, inode| {
                Ok(DiskReply::Read(fs.read(inode, offset, len as usize)))
            }),
            DiskRequest::Sync { file } => self.on_file(file, |fs, inode| {
                fs.sync(inode, fs.mark());
                Ok(DiskReply::Done)
            }),
            DiskRequest::Close { file } => self.close(file),
            DiskRequest::Unlink { name, .. } => self.on_dir(place, |fs| {
                fs.unlink(&name);
                DiskReply::Done
            }),
            DiskRequest::SyncDir { .. } => self.on_dir(place, |fs| {
                fs.sync_names(mark);
                DiskReply::Done
            }),
            DiskRequest::Space { .. } => self.on_dir(place, |fs| {
                DiskReply::Space(Space {
                    free: fs.free(),
                    total: fs.total(),
                })
            }),
        };
        Completion { op, result, buffer }
    }

    fn attach(
        &mut self,
        dir: DirId,
        path: &Path,
        request: &AttachRequest,
        changes_left: Option<u32>,
    ) -> Result<DiskReply, DiskError> {
        let Some(index) = self.at(path) else {
            return Err(AttachError::Missing.into());
        };
        let failing = self.disks[index].fails();
        let disk = &mut self.disks[index];
        let file_system = match disk.presence {
            Presence::Missing => return Err(AttachError::Missing.into()),
            Presence::Here => &mut disk.file_system,
            Presence::EmptyFolder => &mut disk.beneath,
            Presence::Stranger => &mut disk.stranger,
        };
        let view = match changes_left {
            _ if failing => View::failing(file_system, libc::EIO),
            Some(n) => View::until(file_system, n),
            None => View::new(file_system),
        };
        let attached = recovery::attach(&view, request)?;
        if disk.presence == Presence::Here {
            self.dirs.insert(dir, (index, disk.era));
        } else {
            self.violations.push(format!(
                "{} was taken for a sample directory",
                path.display()
            ));
        }
        Ok(DiskReply::Attached(Box::new(attached)))
    }

    fn open(
        &mut self,
        file: FileId,
        place: Option<(usize, u32)>,
        name: &str,
        create: bool,
    ) -> Result<DiskReply, DiskError> {
        let opened = self.on_dir(place, |fs| {
            if create {
                Some(fs.create(name))
            } else {
                fs.open(name)
            }
        });
        match opened {
            Ok(Some(inode)) => {
                if let Some(h) = self.files.get_mut(&file) {
                    h.inode = Some(inode);
                }
                Ok(DiskReply::Done)
            }
            Ok(None) => {
                self.files.remove(&file);
                self.files_failed.insert(file);
                Err(io::Error::from(io::ErrorKind::NotFound).into())
            }
            Err(e) => {
                self.files.remove(&file);
                self.files_failed.insert(file);
                Err(e)
            }
        }
    }

    fn close(&mut self, file: FileId) -> Result<DiskReply, DiskError> {
        let Some(handle) = self.files.remove(&file) else {
            return Err(DiskError::NotOpen);
        };
        let disk = &mut self.disks[handle.disk];
        if let (Some(inode), true) = (handle.inode, disk.era == handle.era) {
            disk.file_system.close(inode);
        }
        Ok(DiskReply::Done)
    }

    /// A connection is to send a range of an open file: it stays open until [`Self::release`], as the
    /// reactor has it. False if it is not open.
    pub fn hold(&mut self, file: FileId) -> bool {
        let handle = self.files.get(&file).filter(|h| !h.closing);
        let Some((disk, era, inode)) = handle.and_then(|h| Some((h.disk, h.era, h.inode?))) else {
            return false;
        };
        let held = self.held.entry(file).or_insert_with(|| {
            if self.disks[disk].era == era {
                self.disks[disk].file_system.open_again(inode);
            }
            Held {
                disk,
                era,
                inode,
                ranges: 0,
            }
        });
        held.ranges += 1;
        self.count_open_for_reading();
        true
    }

    /// The range was sent, or its connection is gone.
    pub fn release(&mut self, file: FileId) {
        let Some(held) = self.held.get_mut(&file) else {
            return;
        };
        held.ranges -= 1;
        if held.ranges == 0 {
            let disk = &mut self.disks[held.disk];
            if disk.era == held.era {
                disk.file_system.close(held.inode);
            }
            self.held.remove(&file);
        }
    }

    /// When the disk of a held file gives bytes that are not in memory.
    pub fn reads_by(&self, now: Monotonic, file: FileId, random: &mut Random) -> Monotonic {
        let Some(held) = self.held.get(&file) else {
            return now;
        };
        let health = &self.disks[held.disk].health;
        let (from, to) = health.latency_ms;
        now.max(health.frozen_until) + random.millis(from..=to + 80)
    }

    /// The bytes of a range of a held file, or why there are none.
    pub fn read_held(&mut self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, String> {
        let held = self.held.get(&file).ok_or("not open")?;
        let len = (range.end - range.start) as usize;
        let disk = &mut self.disks[held.disk];
        if disk.era != held.era || disk.fails() {
            return Err(io::Error::from_raw_os_error(libc::EIO).to_string());
        }
        let bytes = disk.file_system.read(held.inode, range.start, len);
        match bytes.len() == len {
            true => Ok(bytes),
            false => Err("shorter than the range".to_owned()),
        }
    }

    /// The most files that were open for reading at once.
    pub fn most_open_for_reading(&self) -> usize {
        self.most_open_for_reading
    }

    fn count_open_for_reading(&mut self) {
        let read_only = self.files.iter().filter(|(_, h)| !h.writable);
        let read_only: BTreeSet<FileId> = read_only.map(|(f, _)| *f).collect();
        let held = self.held.keys().filter(|f| !read_only.contains(f));
        let count = read_only.len() + held.count();
        self.most_open_for_reading = self.most_open_for_reading.max(count);
    }

    /// How many readings are under way, and since when the oldest is.
    pub fn reads_under_way(&self) -> (usize, Option<Monotonic>) {
        let reads = self.pending.iter().filter(|p| {
            matches!(
                p.request,
                DiskRequest::Open { .. } | DiskRequest::Read { .. }
            )
        });
        let asked: Vec<Monotonic> = reads.map(|p| p.asked).collect();
        (asked.len(), asked.iter().min().copied())
    }

    fn on_file(
        &mut self,
        file: FileId,
        f: impl FnOnce(&mut FileSystem, InodeId) -> Result<DiskReply, DiskError>,
    ) -> Result<DiskReply, DiskError> {
        let Some(handle) = self.files.get(&file) else {
            return Err(DiskError::NotOpen);
        };
        let Some(inode) = handle.inode else {
            return Err(DiskError::NotOpen);
        };
        let era = handle.era;
        let disk = &mut self.disks[handle.disk];
        if disk.era != era || disk.fails() {
            return Err(io::Error::from_raw_os_error(libc::EIO).into());
        }
        f(&mut disk.file_system, inode)
    }

    fn on_dir<T>(
        &mut self,
        place: Option<(usize, u32)>,
        f: impl FnOnce(&mut FileSystem) -> T,
    ) -> Result<T, DiskError> {
        let Some((index, era)) = place else {
            return Err(DiskError::NotOpen);
        };
        let disk = &mut self.disks[index];
        if disk.era != era || disk.fails() {
            return Err(io::Error::from_raw_os_error(libc::EIO).into());
        }
        Ok(f(&mut disk.file_system))
    }

    /// The power fails: some of what is under way happens, then what is not synced is lost.
    pub fn cut(&mut self) {
        self.end(true);
        for disk in &mut self.disks {
            if disk.presence == Presence::Here {
                disk.file_system.cut(&mut self.random);
            }
        }
    }

    /// The program ends without notice: some of what is under way happens, and nothing is lost.
    pub fn kill(&mut self) {
        self.end(false);
        for disk in &mut self.disks {
            disk.file_system.close_all();
        }
    }

    fn end(&mut self, attach_may_stop: bool) {
        for pending in self.pending.take_all() {
            if self.random.percent(50) {
                let stop = attach_may_stop && self.random.percent(70);
                let changes_left = stop.then(|| self.random.below(6) as u32);
                self.execute(pending, changes_left);
            }
        }
        self.files.clear();
        self.held.clear();
        self.dirs.clear();
        self.attaching.clear();
        self.ops_used.clear();
        self.files_used.clear();
        self.files_failed.clear();
    }
}

impl Disk {
    /// Whether an operation at this point fails; counts it.
    fn fails(&mut self) -> bool {
        if self.health.fails_next > 0 {
            self.health.fails_next -= 1;
            return true;
        }
        self.health.fails
    }
}

/// The attached directory that a request is about.
fn dir_of(request: &DiskRequest) -> Option<DirId> {
    match request {
        DiskRequest::Create { dir, .. }
        | DiskRequest::Open { dir, .. }
        | DiskRequest::Unlink { dir, .. }
        | DiskRequest::SyncDir { dir }
        | DiskRequest::Space { dir } => Some(*dir),
        _ => None,
    }
}

/// The open file that a request is about.
fn file_of(request: &DiskRequest) -> Option<FileId> {
    match request {
        DiskRequest::Create { file, .. }
        | DiskRequest::Open { file, .. }
        | DiskRequest::Write { file, .. }
        | DiskRequest::Read { file, .. }
        | DiskRequest::Sync { file }
        | DiskRequest::Close { file } => Some(*file),
        _ => None,
    }
}

/// A request in a few words, without its bytes.
pub fn brief(request: &DiskRequest) -> String {
    match request {
        DiskRequest::Attach { dir, path, request } => {
            format!("attach {dir:?} {} {:?}", path.display(), request.committed)
        }
        DiskRequest::Write { file, offset, data } => {
            format!("write {file:?} at {offset}, {} bytes", data.len())
        }
        other => format!("{other:?}"),
    }
}
