//! `moonfire-nvr init`: makes the folders and the database that the configuration names.

use super::{Exit, Failure, entropy};
use crate::ConfigArgs;
use moonfire_nvr::config::Config;
use moonfire_nvr::db::{self, Database, FILE_NAME, Mode};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Make the folders and the database that the configuration names.
///
/// Run it as the recorder's user, with the disks mounted. What is there already stays as it is, so
/// that it does no harm to run it twice, or beside a running recorder. A sample folder is made within a folder that exists: else
/// the frames might go to the system's card because the disk is not there.
#[derive(clap::Args)]
pub struct Init {
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: Init) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let mut say = |line: String| println!("{line}");
    init(&config, &mut say)?;
    Ok(Exit::Fine)
}

/// Does it, and says line by line what was done.
pub fn init(config: &Config, say: &mut dyn FnMut(String)) -> Result<(), Failure> {
    let there = config.db_dir.join(FILE_NAME).exists();
    let place = config.db_dir.display();
    say(
        match Database::open(&config.db_dir, Mode::Create, entropy()) {
            // Nothing is to be done to it; and an installation beside a running recorder is no mistake.
            Err(db::Error::Locked(_)) if there => {
                format!("{place}: the database is there already, and in use")
            }
            Err(e) => return Err(e.into()),
            Ok(_) if there => format!("{place}: the database is there already"),
            Ok(_) => format!("{place}: made the database"),
        },
    );
    for dir in &config.sample_dirs {
        let made = make_sample_dir(dir)?;
        say(match made {
            true => format!("{}: made the folder", dir.display()),
            false => format!("{}: the folder is there already", dir.display()),
        });
    }
    Ok(())
}

/// Makes the folder for its owner only, within one that exists.
pub(super) fn make_sample_dir(dir: &Path) -> Result<bool, Failure> {
    let fail = |error| Failure::Io {
        path: dir.to_owned(),
        error,
    };
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(_) if dir.is_dir() => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(fail(io::Error::new(
            e.kind(),
            "the folder it should be in does not exist: mount the disk or make that folder, \
             then run this again",
        ))),
        Err(e) => Err(fail(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn lines(config: &Config) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        init(config, &mut |line| lines.push(line))?;
        Ok(lines)
    }

    #[test]
    fn twice_is_harmless_and_says_so() {
        let temp = tempfile::TempDir::new().unwrap();
        let state = temp.path().join("state");
        let config = Config::embedded_default(&state);
        let first = lines(&config).unwrap();
        assert!(first[0].ends_with("made the database"), "{first:?}");
        assert!(first[1].ends_with("made the folder"), "{first:?}");
        let mode = std::fs::metadata(&config.sample_dirs[0]).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700);
        let second = lines(&config).unwrap();
        assert!(second.iter().all(|l| l.ends_with("already")), "{second:?}");
        let recorder = Database::open(&config.db_dir, Mode::ReadWrite, 1).unwrap();
        let beside = lines(&config).unwrap();
        assert!(beside[0].ends_with("already, and in use"), "{beside:?}");
        assert!(beside[1].ends_with("already"), "{beside:?}");
        drop(recorder);
    }

    #[test]
    fn a_disk_that_is_not_mounted_is_not_replaced() {
        let temp = tempfile::TempDir::new().unwrap();
        let mut config = Config::embedded_default(temp.path());
        config.sample_dirs = vec![temp.path().join("mnt/disk/sample")];
        let told = lines(&config).unwrap_err().to_string();
        assert!(told.contains("mount the disk"), "{told}");
        assert!(!temp.path().join("mnt").exists());
    }
}
