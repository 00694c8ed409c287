//! Where things are on an appliance. A test gives another root.

use std::path::{Path, PathBuf};

/// The user and group that the recorder runs as.
pub const RECORDER_ID: u32 = 820;

/// The name of the boot file on the card's first partition.
pub const BOOT_FILE: &str = "moonfire-nvr.toml";

/// What is wrong with it is told beside it.
pub const PROBLEMS_FILE: &str = "moonfire-nvr-problems.txt";

/// In the database's folder: users and cameras are to be forgotten before the recorder opens it.
pub const FORGET: &str = "forget";

/// A label that says: this file system is for recordings.
pub const SAMPLE_LABEL: &str = "MNVR-SAMPLE";

/// See the module.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
    boot: PathBuf,
}

impl Places {
    /// Everything below `root`, which is `/` unless it is a test's; the card's first partition at `boot`
    /// unless it is at `/boot/firmware` there.
    pub fn new(root: &Path, boot: Option<&Path>) -> Places {
        Places {
            root: root.to_owned(),
            boot: boot.map_or_else(|| root.join("boot/firmware"), Path::to_owned),
        }
    }

    /// It is the machine itself that is meant: then what is no file is done as well.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path as the system knows it, below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn boot(&self) -> &Path {
        &self.boot
    }

    pub fn boot_file(&self) -> PathBuf {
        self.boot.join(BOOT_FILE)
    }

    pub fn problems_text(&self) -> PathBuf {
        self.boot.join(PROBLEMS_FILE)
    }

    /// What is made anew at each boot.
    pub fn run(&self) -> PathBuf {
        self.at("/run/moonfire-nvr")
    }

    /// The recorder's configuration.
    pub fn config(&self) -> PathBuf {
        self.run().join("config.toml")
    }

    pub fn problems_json(&self) -> PathBuf {
        self.run().join("problems.json")
    }

    /// Is there while what runs is on trial: the initial RAM disk makes it.
    pub fn trial_mark(&self) -> PathBuf {
        self.at("/run/moonfire-trial")
    }

    /// What lasts: on the card's data partition.
    pub fn data(&self) -> PathBuf {
        self.at("/data/moonfire-nvr")
    }

    /// What systemd-timesyncd touches when it has set the clock.
    pub fn clock_was_set(&self) -> PathBuf {
        self.at("/run/systemd/timesync/synchronized")
    }

    /// Whoever changes what is known of disks has it locked.
    pub fn disks_lock(&self) -> PathBuf {
        self.at("/run/moonfire-nvr/disks.lock")
    }

    /// The file system, in a file, of what is recorded while there is no disk.
    pub fn emergency_image(&self) -> PathBuf {
        self.data().join("emergency.img")
    }

    /// The folder of the recorder's database.
    pub fn db(&self) -> PathBuf {
        self.data().join("db")
    }

    /// What SSH says that this machine is.
    pub fn ssh_key(&self) -> PathBuf {
        self.at("/data/ssh/host_key")
    }

    /// What was set from the page.
    pub fn settings(&self) -> PathBuf {
        self.data().join("settings.toml")
    }

    /// Which disks are in use.
    pub fn disks(&self) -> PathBuf {
        self.data().join("disks.toml")
    }

    /// What is to be forgotten at the next start.
    pub fn reset(&self) -> PathBuf {
        self.data().join("reset")
    }

    /// Where disks are mounted, each in a folder of its own.
    pub fn media(&self) -> PathBuf {
        self.at("/media/nvr")
    }
}
