//! What the text interface shows and changes: the database, beside the recorder or without one; sample
//! directories as they are found; and looks at cameras.

use super::super::{Failure, entropy};
use moonfire_nvr::access::User;
use moonfire_nvr::config::{Config, Secret};
use moonfire_nvr::db::{
    self, Camera, CameraPatch, CameraRequest, Database, Dir, DirRequest, LOCK_NAME, Mode, NewUser,
    Removed, Reply, Request, Snapshot, Usage, UserPatch, UserReply, UserRequest,
};
use moonfire_nvr::nvr::camera_test::{Outcomes, Target};
use moonfire_nvr::reactor;
use moonfire_nvr::recording::DirId;
use moonfire_nvr::recording::DirIdentity;
use moonfire_nvr::recording::directory::Directory;
use moonfire_nvr::recording::forecast::{Growing, MEASURED, Measured, Room};
use moonfire_nvr::recording::real_directory::RealDirectory;
use moonfire_nvr::recording::recovery::{AttachError, read_marker};
use moonfire_nvr::time::Wall90k;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// From then on what was read is old.
const OLD: Duration = Duration::from_secs(5);

/// See the module.
pub struct Store {
    pub config: Config,
    db: Database,
    pub snapshot: Snapshot,
    pub usage: Usage,
    pub users: Vec<User>,
    /// Whether a recorder holds the database's lock.
    pub recorder_runs: bool,
    pub now: Wall90k,
    /// When all was read.
    read_at: Instant,
    /// What the sample directories were found to be then.
    states: BTreeMap<DirId, DirState>,
    pub testing: Option<Testing>,
    /// Has a look at a camera; another one in tests.
    pub look: Look,
}

/// Has a look at a camera, on a thread of its own.
pub type Look = fn(Vec<(db::StreamKind, Target)>, Arc<AtomicBool>) -> Result<Outcomes, String>;

/// A look at a camera under way.
pub struct Testing {
    stop: Arc<AtomicBool>,
    outcomes: Receiver<Result<Outcomes, String>>,
    thread: Option<JoinHandle<()>>,
}

/// What somebody reads who looks at a sample directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirState {
    /// A word or a sentence.
    pub told: String,
    /// It can be recorded to.
    pub is_good: bool,
    /// Bytes: free and in all.
    pub space: Option<(u64, u64)>,
}

impl Store {
    /// Opens the database that the configuration names. Where no recorder runs, what the file names is
    /// brought in first, as its start would.
    pub fn open(config: Config) -> Result<Store, Failure> {
        match Database::open(&config.db_dir, Mode::ReadWrite, entropy()) {
            Ok(mut alone) => {
                let bring_in = DirRequest::BringIn {
                    sample_dirs: config.sample_dirs.clone(),
                    cameras: config.cameras.clone(),
                };
                alone.handle(Request::Dirs(bring_in))?;
            }
            Err(db::Error::Locked(_)) => {}
            Err(e) => return Err(e.into()),
        }
        let db = Database::open(&config.db_dir, Mode::Beside, entropy())?;
        let mut store = Store {
            snapshot: db.snapshot()?,
            config,
            db,
            usage: Usage::default(),
            users: Vec::new(),
            recorder_runs: false,
            now: Wall90k::default(),
            read_at: Instant::now(),
            states: BTreeMap::new(),
            testing: None,
            look: |targets, stop| reactor::test_camera(targets, stop).map_err(|e| e.to_string()),
        };
        store.reload().map_err(Failure::Failed)?;
        Ok(store)
    }

    /// Reads all again.
    pub fn reload(&mut self) -> Result<(), String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.now = Wall90k::from_unix_secs(now.map_or(0, |d| d.as_secs() as i64));
        self.recorder_runs = is_locked(&self.config.db_dir.join(LOCK_NAME));
        self.read_at = Instant::now();
        self.snapshot = self.db.snapshot().map_err(|e| e.to_string())?;
        let found = self.snapshot.dirs.iter().map(|dir| {
            let identity = DirIdentity {
                database: self.snapshot.database,
                directory: dir.uuid,
            };
            (dir.id, dir_state(dir, identity))
        });
        self.states = found.collect();
        let since = self.now - MEASURED;
        if let Reply::Usage(usage) = self.ask(Request::Usage { since })? {
            self.usage = usage;
        }
        let list = Request::Users(UserRequest::List);
        if let Reply::Users(UserReply::Users(users)) = self.ask(list)? {
            self.users = users;
        }
        Ok(())
    }

    /// The same, if that is some seconds old. What cannot be read now stays as it was.
    pub fn reload_if_old(&mut self) {
        if self.read_at.elapsed() >= OLD {
            // Whoever changes something is told.
            let _ = self.reload();
        }
    }

    fn ask(&mut self, request: Request) -> Result<Reply, String> {
        self.db.handle(request).map_err(|e| match e {
            db::Error::Sqlite(_) => format!("{e}: nothing was changed, try again"),
            e => e.to_string(),
        })
    }

    fn change(&mut self, request: Request) -> Result<(), String> {
        self.ask(request)?;
        self.reload()
    }

    /// Those that are more than their recordings.
    pub fn cameras(&self) -> impl Iterator<Item = &Camera> {
        self.snapshot.cameras.iter().filter(|c| c.removed.is_none())
    }

    pub fn camera(&self, uuid: Uuid) -> Option<&Camera> {
        self.snapshot.cameras.iter().find(|c| c.uuid == uuid)
    }

    /// Directories that are recorded to.
    pub fn dirs_in_use(&self) -> impl Iterator<Item = &Dir> {
        self.snapshot.dirs.iter().filter(|d| d.configured)
    }

    /// The configuration file's path, for people.
    pub fn file(&self) -> String {
        match &self.config.file {
            Some(path) => path.display().to_string(),
            None => "the configuration file".to_owned(),
        }
    }

    pub fn make_camera(&mut self, patch: CameraPatch) -> Result<(), String> {
        self.change(Request::Cameras(CameraRequest::Make(Box::new(patch))))
    }

    pub fn change_camera(&mut self, camera: Uuid, patch: CameraPatch) -> Result<(), String> {
        let patch = Box::new(patch);
        self.change(Request::Cameras(CameraRequest::Change { camera, patch }))
    }

    pub fn remove_camera(&mut self, camera: Uuid, recordings: Removed) -> Result<(), String> {
        let remove = CameraRequest::Remove { camera, recordings };
        self.change(Request::Cameras(remove))
    }

    pub fn make_user(&mut self, new: NewUser) -> Result<(), String> {
        self.change(Request::Users(UserRequest::Create(new)))
    }

    pub fn change_user(&mut self, user: &User, patch: UserPatch) -> Result<(), String> {
        self.change(Request::Users(UserRequest::Patch {
            user: user.id,
            patch: Box::new(patch),
            keep: None,
        }))
    }

    pub fn delete_user(&mut self, user: &User) -> Result<(), String> {
        self.change(Request::Users(UserRequest::Delete(user.id)))
    }

    /// Makes the folder if need be, for the recorder's user, and has it recorded to.
    pub fn add_dir(&mut self, path: &Path) -> Result<(), String> {
        let made = super::super::init::make_sample_dir(path).map_err(|e| e.to_string())?;
        if made && nix::unistd::geteuid().is_root() {
            // The recorder's user, whose the database is, is to write there.
            let owner = fs::metadata(&self.config.db_dir);
            let given =
                owner.and_then(|o| std::os::unix::fs::chown(path, Some(o.uid()), Some(o.gid())));
            given.map_err(|e| format!("{}: {e}", path.display()))?;
        }
        self.change(Request::Dirs(DirRequest::Add(path.to_owned())))
    }

    pub fn remove_dir(&mut self, dir: DirId) -> Result<(), String> {
        self.change(Request::Dirs(DirRequest::Remove(dir)))
    }

    /// What a directory was found to be.
    pub fn dir_state(&self, dir: &Dir) -> Option<&DirState> {
        self.states.get(&dir.id)
    }

    /// A directory's disk, as forecasts see it.
    pub fn room(&self, dir: &Dir) -> Room {
        let space = self.dir_state(dir).and_then(|s| s.space);
        let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Room {
            left_bytes: space
                .map(|(free, total)| bytes(free) - bytes(self.config.reserve.bytes_of(total))),
            used_bytes: self.used(dir.id),
        }
    }

    /// Bytes of recordings in a directory.
    pub fn used(&self, dir: DirId) -> i64 {
        let mut dirs = self.usage.dirs.iter();
        dirs.find(|u| u.dir == dir).map_or(0, |u| u.bytes)
    }

    /// How a stream grows.
    pub fn growing(&self, stream: &db::Stream) -> Growing {
        let mut usage = self.usage.streams.iter();
        let measured = usage
            .find(|u| u.stream == stream.id)
            .map(|u| Measured::of(u.bytes, u.duration, self.now - u.since));
        Growing {
            used_bytes: stream.totals.sample_file_bytes,
            bytes_per_day: match stream.record {
                true => measured.and_then(|m| m.bytes_per_day()).unwrap_or(0),
                false => 0,
            },
            retain_bytes: stream.retain_bytes,
            retain_days: stream.retain_days,
        }
    }

    /// Begins a look at a camera; one that was under way ends.
    pub fn begin_test(&mut self, targets: Vec<(db::StreamKind, Target)>) -> Result<(), String> {
        self.stop_test();
        let (tell, outcomes) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (look, flag) = (self.look, stop.clone());
        let run = move || {
            // Nobody may wait for it any more.
            let _ = tell.send(look(targets, flag));
        };
        let thread = std::thread::Builder::new()
            .name("camera-test".to_owned())
            .spawn(run)
            .map_err(|e| format!("the test could not be begun: {e}"))?;
        self.testing = Some(Testing {
            stop,
            outcomes,
            thread: Some(thread),
        });
        Ok(())
    }

    /// What came of the look, once it is over.
    pub fn tested(&mut self) -> Option<Result<Outcomes, String>> {
        let came = match self.testing.as_ref()?.outcomes.try_recv() {
            Ok(outcomes) => outcomes,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the test ended without a result".to_owned()),
        };
        self.testing = None;
        Some(came)
    }

    /// Ends the look that is under way, with a good-bye to the camera.
    pub fn stop_test(&mut self) {
        self.testing = None;
    }
}

impl Drop for Testing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It looks at the flag several times a second.
            let _ = thread.join();
        }
    }
}

/// What is kept of a password.
pub fn hash(password: &str) -> Result<Secret, String> {
    super::super::login::hash(password).map_err(|e| e.to_string())
}

/// Whether some process holds the lock on a file: taking it to find out might keep a recorder that just
/// starts from it. `/proc/locks` names files by their inode (proc(5)).
fn is_locked(path: &Path) -> bool {
    let Ok(file) = fs::metadata(path) else {
        return false;
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{}", file.ino());
    locks.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|w| w == "FLOCK") && words.any(|w| w.ends_with(&inode))
    })
}

fn dir_state(dir: &Dir, identity: DirIdentity) -> DirState {
    let space = fs::File::open(&dir.path).and_then(|folder| reactor::space(&folder));
    let space = space.ok().map(|s| (s.free, s.total));
    let bad = |told: String| DirState {
        told,
        is_good: false,
        // Of whichever disk is there instead.
        space: None,
    };
    let good = |told: &str| DirState {
        told: told.to_owned(),
        is_good: true,
        space,
    };
    if !dir.path.is_dir() {
        return bad("there is no such folder: is the disk mounted?".to_owned());
    }
    let real = RealDirectory::new(&dir.path);
    match read_marker(&real) {
        Ok(Some(found)) if found == identity => match dir.configured {
            true => good("in use"),
            false => good("no longer recorded to; what it holds is shown"),
        },
        Ok(Some(_)) => bad("it belongs to another recorder, or is another directory".to_owned()),
        Ok(None) if dir.attached_before => {
            bad("it is not the one that was used: is the disk mounted?".to_owned())
        }
        Ok(None) => match real.list("") {
            Ok(names) if names.iter().all(|n| n == "lost+found") => {
                good("new, to be taken by the recorder")
            }
            Ok(_) => bad("it is not empty, and so not taken as a new one".to_owned()),
            Err(e) => bad(e.to_string()),
        },
        Err(AttachError::Io(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            bad("it may not be read by this user".to_owned())
        }
        Err(e) => bad(e.to_string()),
    }
}
