//! A sample directory in memory that a power cut may happen to: what was not synced may be lost, torn at
//! any byte, and in any order.

use crate::recording::directory::Directory;
use rand_core::RngCore;
use rand_pcg::Pcg32;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    fn sync(&mut self) {
        self.durable.clone_from(&self.seen);
        self.unsynced.clear();
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// How many more changes succeed.
    budget: Option<u32>,
    /// At this listing and file, one goes away after it was listed.
    vanishing: Option<String>,
}

#[derive(Clone, Default)]
pub struct MemoryDirectory(RefCell<State>);

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl MemoryDirectory {
    pub fn create(&self, name: &str) {
        let mut s = self.0.borrow_mut();
        s.inodes.push(Inode::default());
        let n = s.inodes.len() - 1;
        s.names.insert(name.into(), n);
    }

    pub fn write(&self, name: &str, offset: usize, data: &[u8]) {
        let mut s = self.0.borrow_mut();
        let n = s.names[name];
        let inode = &mut s.inodes[n];
        write(&mut inode.seen, offset, data);
        inode.unsynced.push((offset, data.to_vec()));
    }

    pub fn sync_file(&self, name: &str) {
        let mut s = self.0.borrow_mut();
        let n = s.names[name];
        s.inodes[n].sync();
    }

    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let s = self.0.borrow();
        s.names.get(name).map(|&n| s.inodes[n].seen.clone())
    }

    /// Only so many changes succeed from now on.
    pub fn fail_after(&self, changes: Option<u32>) {
        self.0.borrow_mut().budget = changes;
    }

    /// This file goes away once it has been listed.
    pub fn vanish(&self, name: &str) {
        self.0.borrow_mut().vanishing = Some(name.into());
    }

    /// What is there after a power cut at this moment.
    pub fn power_cut(&self, r: &mut Pcg32) -> MemoryDirectory {
        let mut s = self.0.borrow().clone();
        for inode in &mut s.inodes {
            let mut left = inode.durable.clone();
            let mut unsynced = std::mem::take(&mut inode.unsynced);
            let policy = r.next_u32() % 4;
            if policy == 3 {
                unsynced.reverse();
            }
            for (offset, data) in unsynced {
                let keep = match (policy, r.next_u32() % 3) {
                    (0, _) => 0,
                    (1, _) | (_, 0) => data.len(),
                    (_, 1) => 0,
                    _ => r.next_u32() as usize % (data.len() + 1),
                };
                if r.next_u32() & 1 == 0 {
                    write(&mut left, offset, &data[..keep]);
                } else if keep > 0 {
                    write(
                        &mut left,
                        offset + data.len() - keep,
                        &data[data.len() - keep..],
                    );
                }
            }
            inode.seen.clone_from(&left);
            inode.durable = left;
        }
        let mut names = s.durable_names.clone();
        for (name, n) in &s.names {
            if r.next_u32() & 1 == 0 {
                names.insert(name.clone(), *n);
            }
        }
        for name in s.durable_names.keys() {
            if !s.names.contains_key(name) && r.next_u32() & 1 == 0 {
                names.remove(name);
            }
        }
        s.names.clone_from(&names);
        s.durable_names = names;
        s.budget = None;
        MemoryDirectory(RefCell::new(s))
    }

    fn spend(&self) -> io::Result<()> {
        let mut s = self.0.borrow_mut();
        match &mut s.budget {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Directory for MemoryDirectory {
    fn list(&self, sub: &str) -> io::Result<Vec<String>> {
        let mut s = self.0.borrow_mut();
        let names: Vec<String> = if sub.is_empty() {
            let top = |n: &String| n.split('/').next().unwrap_or_default().to_owned();
            s.names.keys().map(top).collect()
        } else {
            let within = |n: &String| n.strip_prefix(&format!("{sub}/")).map(str::to_owned);
            s.names.keys().filter_map(within).collect()
        };
        if sub == "journal" {
            if let Some(name) = s.vanishing.take() {
                s.names.remove(&name);
            }
        }
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.content(name).map(|c| c.len() as u64))
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let s = self.0.borrow();
        let content = &s.inodes[*s.names.get(name).ok_or_else(not_found)?].seen;
        let from = (offset as usize).min(content.len());
        // Readers must not count on more than a part at once.
        let len = buf.len().min(content.len() - from).min(100_003);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.spend()?;
        let mut s = self.0.borrow_mut();
        let n = *s.names.get(name).ok_or_else(not_found)?;
        s.inodes[n].seen.resize(len as usize, 0);
        s.inodes[n].sync();
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.create(name);
        self.write(name, 0, bytes);
        self.sync_file(name);
        let mut s = self.0.borrow_mut();
        let n = s.names[name];
        s.durable_names.insert(name.into(), n);
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.spend()?;
        self.0.borrow_mut().names.remove(name);
        Ok(())
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.spend()?;
        let mut s = self.0.borrow_mut();
        s.durable_names = s.names.clone();
        Ok(())
    }
}
