//! `check`: whether what is on disk is what the database promises, and mending what is not.
//!
//! Without `--repair` it changes nothing and works beside a running recorder: it asks again about what
//! may have changed while it was looking, and leaves alone what is being recorded.

mod files;
mod problem;
mod repair;
mod rows;

use super::progress::bytes;
use super::{Exit, Failure};
use crate::ConfigArgs;
use moonfire_nvr::db::{self, Database, Finding, Mode};
use problem::{Mend, Names, Problems, say};

/// Check that recordings are as they were written, and mend what can be mended.
///
/// Looks at the database, compares it with the files of each sample directory, and reads every byte
/// of every recording to compare it with its hash (--fast leaves that out). Works beside a
/// running recorder; --repair does not. Exit code 0: all is in order or was mended; 3: something is
/// not; 1: it could not be checked.
#[derive(clap::Args)]
pub struct Check {
    #[command(flatten)]
    config: ConfigArgs,

    /// Mend what can be mended. The recorder must be stopped. Nothing is deleted that might still be
    /// of use: files that belong to no recording go to the folder `set-aside` of their directory.
    #[arg(long)]
    repair: bool,

    /// Do not read the recordings' bytes; compare only the sizes of files.
    #[arg(long)]
    fast: bool,
}

pub fn run(args: Check) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let mode = match args.repair {
        true => Mode::ReadWrite,
        false => Mode::ReadOnly,
    };
    let mut db = Database::open(&config.db_dir, mode, super::entropy()).map_err(|e| match e {
        db::Error::Locked(_) => Failure::Failed(format!("{e}: stop the recorder to repair")),
        // Its own sentence sends people here.
        db::Error::Corrupt(why) => Failure::Failed(format!(
            "the database is damaged so much that it cannot be opened ({why}): put back a copy of its \
             folder, {}, if you have one",
            config.db_dir.display()
        )),
        e => e.into(),
    })?;
    let mut problems = Problems::new(config.time_zone.clone());
    let mut is_damaged = false;
    let mut findings = Vec::new();
    db.verify(&mut |f| findings.push(f))?;
    for finding in findings {
        is_damaged |= matches!(finding, Finding::Damaged(_));
        problems.found(finding.to_string(), mend(finding));
    }
    if is_damaged {
        say("what the files hold cannot be compared with a damaged database");
        return Ok(Exit::Found);
    }

    let snapshot = db.snapshot()?;
    let names = Names::new(&snapshot);
    let rows = rows::check(&db, &names, &mut problems)?;
    let files = files::check(&db, &snapshot, &rows, &names, args.fast, &mut problems)?;
    say(&files.summary(rows.recordings, args.fast));
    if problems.is_empty() && !args.repair {
        say("all is in order");
        return Ok(Exit::Fine);
    }
    if !args.repair {
        say(&problems.summary());
        return Ok(Exit::Found);
    }
    let left = repair::repair(&mut db, &files, problems)?;
    Ok(match left {
        0 => Exit::Fine,
        _ => Exit::Found,
    })
}

/// How something that the database says of itself is mended.
fn mend(finding: Finding) -> Mend {
    match finding {
        Finding::NoIndex(id) => Mend::LoseUnplayable(id),
        // To cut one of the two would break the hash chain, and both can be played.
        Finding::Overlap { .. } | Finding::Damaged(_) | Finding::MissingReference { .. } => {
            Mend::Nothing
        }
        finding => Mend::Database(finding),
    }
}

impl files::Files {
    /// What was looked at.
    fn summary(&self, recordings: u64, fast: bool) -> String {
        let plural = |n| if n == 1 { "" } else { "s" };
        let what = format!("{recordings} recording{}", plural(recordings));
        let mut line = match fast {
            true => format!("{what}, their bytes not read"),
            false => format!("{what}, {} read", bytes(self.bytes_read)),
        };
        if self.uncommitted > 0 {
            line += &format!("; {} being recorded or to be recovered", self.uncommitted);
        }
        if self.garbage > 0 {
            line += &format!("; {} files wait to be deleted", self.garbage);
        }
        line
    }
}
