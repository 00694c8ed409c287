//! `moonfire-nvr appliance mount`, `unmount` and `settle`.

use super::super::{Exit, Failure};
use super::PlacesArgs;
use moonfire_nvr::appliance::disks::ready;
use moonfire_nvr::appliance::protocol::Refusal;
use moonfire_nvr::appliance::system::Programs;
use std::path::PathBuf;

/// Check and mount a disk that is labelled MNVR-SAMPLE, and record to it.
#[derive(clap::Args)]
pub struct Mount {
    #[command(flatten)]
    places: PlacesArgs,
    /// The disk or its partition, as in /dev/sda1.
    device: PathBuf,
}

/// Let a disk go, or put away what is left of one that was unplugged.
#[derive(clap::Args)]
pub struct Unmount {
    #[command(flatten)]
    places: PlacesArgs,
    /// The disk or its partition, as in /dev/sda1.
    device: PathBuf,
}

/// Some time after the start or after a disk went: record without those that are away, to the others, or to the
/// card where that is allowed.
#[derive(clap::Args)]
pub struct Settle {
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn mount(args: &Mount) -> Result<Exit, Failure> {
    told(ready::mount(
        &Programs,
        &args.places.places(),
        &name(&args.device),
    ))
}

pub fn unmount(args: &Unmount) -> Result<Exit, Failure> {
    told(ready::unmount(
        &Programs,
        &args.places.places(),
        &name(&args.device),
    ))
}

pub fn settle(args: &Settle) -> Result<Exit, Failure> {
    told(ready::settle(&Programs, &args.places.places()))
}

/// Its name as lsblk tells it.
fn name(device: &std::path::Path) -> String {
    let name = device.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn told(result: Result<String, Refusal>) -> Result<Exit, Failure> {
    println!(
        "{}",
        result.map_err(|refusal| Failure::Failed(refusal.message))?
    );
    Ok(Exit::Fine)
}
