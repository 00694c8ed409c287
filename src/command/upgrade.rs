//! `moonfire-nvr upgrade`: brings an older database to this program's schema.

use super::{Exit, Failure};
use crate::ConfigArgs;
use moonfire_nvr::db::{self, Progress};

/// Bring an older version's database up to this one.
///
/// Stop the recorder first, and keep a copy of the database's folder if you can: an older program
/// cannot read an upgraded database. It may be interrupted; run it again and it goes on.
#[derive(clap::Args)]
pub struct Upgrade {
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: Upgrade) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let found = db::upgrade(&config.db_dir, &mut |progress| match progress {
        Progress::Step { to, about } => println!("to version {to}: {about}"),
        Progress::Filled { .. } => {
            // A dot for each transaction; the line ends when the version is reached.
            eprint!(".");
        }
        Progress::Reached { version } => println!("version {version} is reached"),
    })?;
    if found == db::VERSION {
        println!("the database has version {found} already: nothing to do");
    }
    Ok(Exit::Fine)
}
