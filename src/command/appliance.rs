//! `moonfire-nvr appliance`: what the machine does for itself where the recorder came as a card image.

mod apply;
mod bundle;
mod database;
mod disk;
mod give_up;
mod serve_time;

use super::{Exit, Failure};
use clap::Subcommand;
use moonfire_nvr::appliance::Places;
use std::path::PathBuf;

/// What a machine does that was set up by the card image: bring its boot file into force, mount its
/// disks, and what is needed to make updates for it.
#[derive(clap::Args)]
pub struct Appliance {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Apply(apply::Apply),
    Mount(disk::Mount),
    Unmount(disk::Unmount),
    Settle(disk::Settle),
    Database(database::Prepare),
    GiveUp(give_up::GiveUp),
    ServeTime(serve_time::ServeTime),
    NewKey(bundle::NewKey),
    Bundle(bundle::Bundle),
    Slots(bundle::Slots),
}

/// Where the machine's files are.
#[derive(clap::Args)]
struct PlacesArgs {
    /// The root of the machine; another one than / is only written to, nothing is set.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// The card's first partition, with the boot file, if not at /boot/firmware below the root.
    #[arg(long, value_name = "FOLDER")]
    boot: Option<PathBuf>,
}

impl PlacesArgs {
    fn places(&self) -> Places {
        Places::new(&self.root, self.boot.as_deref())
    }
}

pub fn run(args: Appliance) -> Result<Exit, Failure> {
    match args.command {
        Command::Apply(args) => apply::run(&args),
        Command::Mount(args) => disk::mount(&args),
        Command::Unmount(args) => disk::unmount(&args),
        Command::Settle(args) => disk::settle(&args),
        Command::Database(args) => database::run(&args),
        Command::GiveUp(args) => give_up::run(&args),
        Command::ServeTime(args) => serve_time::run(&args),
        Command::NewKey(args) => bundle::new_key(&args),
        Command::Bundle(args) => bundle::make(&args),
        Command::Slots(args) => bundle::slots(&args),
    }
}
