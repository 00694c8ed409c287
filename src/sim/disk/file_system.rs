//! A file system that knows what is durable and what a power cut may take away.
//!
//! Pessimistic: bytes are durable after the file's sync, names after the directory's sync, and
//! neither implies the other. Of what was not synced a power cut keeps nothing, all, the earliest, or
//! any part: a write may be torn at any byte, a later one may survive an earlier one (zeros between).

use crate::recording::directory::Directory;
use crate::sim::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Space is given out in blocks of this many bytes.
pub const BLOCK_BYTES: u64 = 4096;

/// A file's identity within its file system; names come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InodeId(u64);

#[derive(Debug, Default)]
struct Inode {
    /// What a reader sees.
    bytes: Vec<u8>,
    /// What a power cut cannot take away.
    durable: Vec<u8>,
    /// What lies between the two, in order.
    unsynced: Vec<(u64, Change)>,
    /// Open handles; space is not given back before they are closed.
    opens: u32,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Change::Truncate(len) => bytes.resize(*len, 0),
        }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, InodeId),
    Unlink(String),
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            NameChange::Link(name, _) | NameChange::Unlink(name) => name,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, InodeId>) {
        match self {
            NameChange::Link(name, inode) => names.insert(name.clone(), *inode),
            NameChange::Unlink(name) => names.remove(name),
        };
    }
}

/// No space is left.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSpace;

/// A point in the order of changes, taken when a sync is asked for: what came later isn't covered.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One file system.
#[derive(Debug)]
pub struct FileSystem {
    capacity: u64,
    /// Bytes that others have taken.
    pub ballast: u64,
    /// Syncs are acknowledged and not done: for testing the checkers.
    pub lies_about_sync: bool,
    inodes: BTreeMap<InodeId, Inode>,
    names: BTreeMap<String, InodeId>,
    durable_names: BTreeMap<String, InodeId>,
    name_changes: Vec<(u64, NameChange)>,
    folders: BTreeSet<String>,
    next_inode: u64,
    changes: u64,
}

/// What a power cut leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Everything,
    Nothing,
    AllButTheEarliest,
    Any,
}

impl FileSystem {
    pub fn new(capacity: u64) -> FileSystem {
        FileSystem {
            capacity,
            ballast: 0,
            lies_about_sync: false,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            folders: BTreeSet::new(),
            next_inode: 0,
            changes: 0,
        }
    }

    pub fn total(&self) -> u64 {
        self.capacity
    }

    /// Bytes still free.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used() + self.ballast)
    }

    /// Bytes taken by files, in whole blocks.
    pub fn used(&self) -> u64 {
        self.inodes.values().map(|i| blocks(i.bytes.len())).sum()
    }

    /// Now: what a sync that is asked for at this point covers.
    pub fn mark(&self) -> Mark {
        Mark(self.changes)
    }

    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Creates a file, or empties the one of that name, and opens it.
    pub fn create(&mut self, name: &str) -> InodeId {
        let serial = self.change();
        if let Some(id) = self.names.get(name).copied() {
            if let Some(inode) = self.inodes.get_mut(&id) {
                inode.opens += 1;
                inode.bytes.clear();
                inode.unsynced.push((serial, Change::Truncate(0)));
            }
            return id;
        }
        self.next_inode += 1;
        let id = InodeId(self.next_inode);
        self.inodes.insert(
            id,
            Inode {
                opens: 1,
                ..Inode::default()
            },
        );
        self.names.insert(name.to_owned(), id);
        self.name_changes
            .push((serial, NameChange::Link(name.to_owned(), id)));
        id
    }

    /// Opens a file.
    pub fn open(&mut self, name: &str) -> Option<InodeId> {
        let id = self.names.get(name).copied()?;
        self.inodes.get_mut(&id)?.opens += 1;
        Some(id)
    }

    /// Opens a file that is open once more.
    pub fn open_again(&mut self, id: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.opens += 1;
        }
    }

    pub fn close(&mut self, id: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.opens = inode.opens.saturating_sub(1);
        }
        self.collect();
    }

    /// Writes `data`; on a full disk, what fits of it.
    pub fn write(&mut self, id: InodeId, offset: u64, data: &[u8]) -> Result<(), NoSpace> {
        let free = self.free();
        let serial = self.change();
        let Some(inode) = self.inodes.get_mut(&id) else {
            return Ok(());
        };
        let offset = offset as usize;
        let room = blocks(inode.bytes.len()) + free;
        let fits = data.len().min((room as usize).saturating_sub(offset));
        if fits > 0 {
            let change = Change::Write {
                offset,
                data: data[..fits].to_vec(),
            };
            change.apply(&mut inode.bytes);
            inode.unsynced.push((serial, change));
        }
        if fits < data.len() {
            Err(NoSpace)
        } else {
            Ok(())
        }
    }

    /// Reads up to `len` bytes.
    pub fn read(&self, id: InodeId, offset: u64, len: usize) -> Vec<u8> {
        let bytes = self.inodes.get(&id).map_or(&[][..], |i| &i.bytes);
        let from = (offset as usize).min(bytes.len());
        bytes[from..bytes.len().min(from + len)].to_vec()
    }

    /// Makes the file's changes up to `mark` durable.
    pub fn sync(&mut self, id: InodeId, mark: Mark) {
        if self.lies_about_sync {
            return;
        }
        let Some(inode) = self.inodes.get_mut(&id) else {
            return;
        };
        let later = inode
            .unsynced
            .partition_point(|(serial, _)| *serial <= mark.0);
        for (_, change) in inode.unsynced.drain(..later) {
            change.apply(&mut inode.durable);
        }
    }

    /// Removes a name; one that is not there is no error.
    pub fn unlink(&mut self, name: &str) {
        if self.names.remove(name).is_some() {
            let serial = self.change();
            self.name_changes
                .push((serial, NameChange::Unlink(name.to_owned())));
        }
        self.collect();
    }

    /// Makes creations and removals up to `mark` durable.
    pub fn sync_names(&mut self, mark: Mark) {
        if self.lies_about_sync {
            return;
        }
        let later = self
            .name_changes
            .partition_point(|(serial, _)| *serial <= mark.0);
        for (_, change) in self.name_changes.drain(..later) {
            change.apply(&mut self.durable_names);
        }
        self.collect();
    }

    /// The files' names as a reader sees them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// A file's bytes as a reader sees them.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        Some(&self.inodes.get(self.names.get(name)?)?.bytes)
    }

    /// A file's bytes that no power cut could take away; `None` if the name itself could go.
    pub fn durable_bytes(&self, name: &str) -> Option<&[u8]> {
        Some(&self.inodes.get(self.durable_names.get(name)?)?.durable)
    }

    /// The power fails, or the disk is pulled out: nothing is open any more, and of what was not
    /// synced some or all is gone.
    pub fn cut(&mut self, random: &mut Random) {
        let losses = [
            Loss::Everything,
            Loss::Nothing,
            Loss::AllButTheEarliest,
            Loss::Any,
        ];
        let loss = random.pick(&losses);
        let changes = std::mem::take(&mut self.name_changes);
        let keep = loss.keeper(changes.len(), random);
        // Changes of one name keep their order: once one is lost, so are the later ones of it.
        let mut lost: Vec<String> = Vec::new();
        for (i, (_, change)) in changes.iter().enumerate() {
            if lost.iter().any(|name| name == change.name()) || !keep(i, random) {
                lost.push(change.name().to_owned());
            } else {
                change.apply(&mut self.durable_names);
            }
        }
        for inode in self.inodes.values_mut() {
            inode.opens = 0;
            let changes = std::mem::take(&mut inode.unsynced);
            let keep = loss.keeper(changes.len(), random);
            for (i, (_, change)) in changes.iter().enumerate() {
                if keep(i, random) {
                    change.apply(&mut inode.durable);
                } else if let (
                    Loss::Any | Loss::AllButTheEarliest,
                    Change::Write { offset, data },
                ) = (loss, change)
                {
                    let torn = data[..random.index(data.len() + 1)].to_vec();
                    if !torn.is_empty() {
                        Change::Write {
                            offset: *offset,
                            data: torn,
                        }
                        .apply(&mut inode.durable);
                    }
                    if loss == Loss::AllButTheEarliest {
                        break;
                    }
                }
            }
            inode.bytes = inode.durable.clone();
        }
        self.names = self.durable_names.clone();
        self.collect();
    }

    /// The program ends without notice: its files are closed, and nothing is lost.
    pub fn close_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.opens = 0;
        }
        self.collect();
    }

    /// Drops the files that nothing refers to.
    fn collect(&mut self) {
        let (names, durable, changes) = (&self.names, &self.durable_names, &self.name_changes);
        let mut named: Vec<InodeId> = names.values().chain(durable.values()).copied().collect();
        for (_, change) in changes {
            if let NameChange::Link(_, id) = change {
                named.push(*id);
            }
        }
        named.sort_unstable();
        self.inodes
            .retain(|id, inode| inode.opens > 0 || named.binary_search(id).is_ok());
    }

    /// Flips a bit of a file, as a failing disk may: for testing the checkers.
    pub fn corrupt(&mut self, name: &str, at: usize) {
        if let Some(inode) = self.names.get(name).and_then(|id| self.inodes.get_mut(id)) {
            for bytes in [&mut inode.bytes, &mut inode.durable] {
                if let Some(b) = bytes.get_mut(at) {
                    *b ^= 0x10;
                }
            }
        }
    }
}

impl Loss {
    /// Says of each of `n` changes whether it is kept whole.
    fn keeper(self, n: usize, random: &mut Random) -> impl Fn(usize, &mut Random) -> bool + use<> {
        let kept = random.index(n + 1);
        move |i, random| match self {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::AllButTheEarliest => i < kept,
            Loss::Any => random.percent(50),
        }
    }
}

fn blocks(len: usize) -> u64 {
    (len as u64).div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// A file system as recovery and checking see it, every call answered at once.
pub struct View<'a> {
    file_system: RefCell<&'a mut FileSystem>,
    /// How many more changes are made before the power fails in the middle; `None`: it doesn't.
    changes_left: Cell<Option<u32>>,
    /// Every call fails with this error of the operating system.
    failing: Option<i32>,
}

impl<'a> View<'a> {
    pub fn new(file_system: &'a mut FileSystem) -> View<'a> {
        View {
            file_system: RefCell::new(file_system),
            changes_left: Cell::new(None),
            failing: None,
        }
    }

    /// One that fails after so many changes.
    pub fn until(file_system: &'a mut FileSystem, changes: u32) -> View<'a> {
        let view = View::new(file_system);
        view.changes_left.set(Some(changes));
        view
    }

    /// One on which every call fails.
    pub fn failing(file_system: &'a mut FileSystem, error: i32) -> View<'a> {
        View {
            failing: Some(error),
            ..View::new(file_system)
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.failing {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Ok(()),
        }
    }

    fn spend(&self) -> io::Result<()> {
        self.check()?;
        match self.changes_left.get() {
            Some(0) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(n) => {
                self.changes_left.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Directory for View<'_> {
    fn list(&self, sub: &str) -> io::Result<Vec<String>> {
        self.check()?;
        let fs = self.file_system.borrow();
        if sub.is_empty() {
            // A file system made by mke2fs is not quite empty.
            let folders = fs.folders.iter().cloned().chain(["lost+found".to_owned()]);
            let files = fs.names().filter(|n| !n.contains('/')).map(str::to_owned);
            return Ok(files.chain(folders).collect());
        }
        if !fs.folders.contains(sub) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(fs
            .names()
            .filter_map(|n| n.strip_prefix(sub)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect())
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        self.check()?;
        Ok(self
            .file_system
            .borrow()
            .bytes(name)
            .map(|b| b.len() as u64))
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let fs = self.file_system.borrow();
        let bytes = fs.bytes(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let n = buf.len().min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.spend()?;
        let mut fs = self.file_system.borrow_mut();
        let serial = fs.change();
        let id = *fs.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        if let Some(inode) = fs.inodes.get_mut(&id) {
            inode.bytes.resize(len as usize, 0);
            inode
                .unsynced
                .push((serial, Change::Truncate(len as usize)));
        }
        let mark = fs.mark();
        fs.sync(id, mark);
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        let mut fs = self.file_system.borrow_mut();
        fs.unlink(name);
        let id = fs.create(name);
        let written = fs.write(id, 0, bytes);
        let mark = fs.mark();
        fs.sync(id, mark);
        // Replacing is one step, and durable; other names are not synced by it.
        if !fs.lies_about_sync {
            fs.name_changes.retain(|(_, change)| change.name() != name);
            fs.durable_names.insert(name.to_owned(), id);
        }
        fs.close(id);
        written.map_err(|NoSpace| io::Error::from_raw_os_error(libc::ENOSPC))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.spend()?;
        self.file_system.borrow_mut().unlink(name);
        Ok(())
    }

    fn create_dir(&self, sub: &str) -> io::Result<()> {
        self.spend()?;
        self.file_system.borrow_mut().folders.insert(sub.to_owned());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.spend()?;
        let mut fs = self.file_system.borrow_mut();
        let mark = fs.mark();
        fs.sync_names(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fs: &mut FileSystem, name: &str, bytes: &[u8]) -> InodeId {
        let id = fs.create(name);
        fs.write(id, 0, bytes).unwrap();
        id
    }

    #[test]
    fn synced_bytes_and_names_survive_every_cut() {
        for seed in 0..100 {
            let mut fs = FileSystem::new(1 << 20);
            let id = written(&mut fs, "a", b"kept");
            fs.sync(id, fs.mark());
            fs.sync_names(fs.mark());
            fs.write(id, 4, b"more").unwrap();
            fs.unlink("b");
            fs.cut(&mut Random::new(seed, "cut"));
            let bytes = fs.bytes("a").unwrap();
            assert!(
                bytes.starts_with(b"kept") && b"keptmore".starts_with(bytes),
                "{bytes:?}"
            );
            assert_eq!(fs.bytes("a"), fs.durable_bytes("a"));
        }
    }

    #[test]
    fn unsynced_changes_are_lost_kept_and_torn() {
        let mut seen = [false; 4];
        for seed in 0..200 {
            let mut fs = FileSystem::new(1 << 20);
            let id = written(&mut fs, "a", b"12345678");
            fs.write(id, 8, b"abc").unwrap();
            fs.sync_names(fs.mark());
            written(&mut fs, "b", b"x");
            fs.cut(&mut Random::new(seed, "cut"));
            seen[0] |= fs.bytes("b").is_none();
            seen[1] |= fs.bytes("b").is_some();
            seen[2] |= fs.bytes("a") == Some(b"12345678abc");
            seen[3] |= fs
                .bytes("a")
                .is_some_and(|b| b.starts_with(&[0]) || b.len() == 5);
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn a_sync_covers_only_what_came_before_it() {
        let mut fs = FileSystem::new(1 << 20);
        let id = written(&mut fs, "a", b"one");
        let mark = fs.mark();
        fs.write(id, 3, b"two").unwrap();
        fs.sync(id, mark);
        fs.sync_names(mark);
        assert_eq!(fs.durable_bytes("a"), Some(&b"one"[..]));
        assert_eq!(fs.bytes("a"), Some(&b"onetwo"[..]));
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_gives_back_what_is_removed() {
        let mut fs = FileSystem::new(2 * BLOCK_BYTES);
        let id = written(&mut fs, "a", &[1; 4096]);
        fs.sync_names(fs.mark());
        assert_eq!(fs.write(id, 4096, &[2; 5000]), Err(NoSpace));
        assert_eq!(fs.bytes("a").unwrap().len(), 8192);
        assert_eq!(fs.free(), 0);
        fs.unlink("a");
        fs.sync_names(fs.mark());
        assert_eq!(fs.free(), 0, "still open");
        fs.close(id);
        assert_eq!(fs.free(), 2 * BLOCK_BYTES);
    }

    #[test]
    fn a_view_puts_durably_and_can_fail_in_the_middle() {
        let mut fs = FileSystem::new(1 << 20);
        {
            let view = View::until(&mut fs, 2);
            view.create_dir("journal").unwrap();
            view.put("journal/1", b"j").unwrap();
            view.unlink("journal/1").unwrap_err();
            assert_eq!(view.list("journal").unwrap(), ["1"]);
            assert!(view.list("").unwrap().contains(&"lost+found".to_owned()));
        }
        assert_eq!(fs.durable_bytes("journal/1"), Some(&b"j"[..]));
    }
}
