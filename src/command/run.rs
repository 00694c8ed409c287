//! `moonfire-nvr run`: the daemon.

use super::{Exit, Failure};
use crate::ConfigArgs;
use clap::ValueEnum;
use moonfire_nvr::config::Config;
use moonfire_nvr::db::Mode;
use moonfire_nvr::reactor::{self, DiskChoice, Options};

/// Record, and serve the page, until told to end.
///
/// SIGTERM or SIGINT (Ctrl-C) ends it in good order, a second one at once; SIGHUP reads the
/// configuration again without touching the streams that did not change.
#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only show what there is: ask no camera, write nothing.
    #[arg(long)]
    read_only: bool,
    /// How files are read and written.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    disk: Disk,
}

/// How files are read and written.
#[derive(Clone, Copy, ValueEnum)]
enum Disk {
    /// By io_uring where the kernel has it, else by threads.
    Auto,
    /// By io_uring, or not at all.
    Uring,
    /// By threads.
    Threads,
}

pub fn run(args: Run) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let again = args.config;
    let options = Options {
        load_config: Some(Box::new(move || {
            Config::load(&again.config).map_err(|e| e.to_string())
        })),
        database: if args.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        },
        disk: match args.disk {
            Disk::Auto => DiskChoice::Auto,
            Disk::Uring => DiskChoice::Uring,
            Disk::Threads => DiskChoice::Threads,
        },
    };
    reactor::run(config, options).map_err(|e| Failure::Failed(e.to_string()))?;
    Ok(Exit::Fine)
}
