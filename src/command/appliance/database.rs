//! `moonfire-nvr appliance database`.

use super::super::{Exit, Failure, entropy};
use super::PlacesArgs;
use crate::ConfigArgs;
use moonfire_nvr::appliance::places::FORGET;
use moonfire_nvr::db::{self, Database, FILE_NAME, Mode, Progress, Request, Suited};
use std::fs::{self, File};
use std::path::Path;

/// Before the recorder starts: have a database that it can use.
///
/// Where there is none, it is made. One of an older version is upgraded, and as it was is kept beside it until the
/// version that runs has proved itself; one that a newer version has upgraded and left is taken back as it was. After
/// a factory reset that keeps recordings, users and cameras are forgotten: what was recorded is a camera's again
/// that is made by the same name. It is run as the recorder's user.
#[derive(clap::Args)]
pub struct Prepare {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn run(args: &Prepare) -> Result<Exit, Failure> {
    let folder = args.config.load()?.db_dir;
    if !folder.join(FILE_NAME).exists() {
        drop(Database::open(&folder, Mode::Create, entropy())?);
        println!("made the database");
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::Io { path, error }
    };
    let suited = db::suit(&folder, &mut |progress| {
        if let Progress::Step { to, about } = progress {
            println!("the database, to version {to}: {about}");
        }
    })?;
    if let Suited::TakenBack(from) = suited {
        println!(
            "the database is as it was before a newer version made it one of its own, {from}: what \
             that has recorded is not in it"
        );
    }
    if !args.places.places().trial_mark().exists() {
        db::drop_copies(&folder).map_err(at(&folder))?;
    }
    let mark = folder.join(FORGET);
    if mark.exists() {
        let mut db = Database::open(&folder, Mode::ReadWrite, entropy())?;
        db.handle(Request::Reset)?;
        drop(db);
        fs::remove_file(&mark).map_err(at(&mark))?;
        let synced = File::open(&folder).and_then(|f| f.sync_all());
        synced.map_err(at(&folder))?;
        println!("users and cameras are forgotten; recordings are kept");
    }
    Ok(Exit::Fine)
}
