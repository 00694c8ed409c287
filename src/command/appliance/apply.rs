//! `moonfire-nvr appliance apply`.

use super::super::{Exit, Failure};
use super::PlacesArgs;
use moonfire_nvr::appliance::apply;

/// Bring the boot file and what was set from the page into force.
///
/// It writes below /run what the system's programs and the recorder are started with. What is wrong is
/// told here, beside the boot file and to the page, and never keeps the machine from starting: the exit
/// code is 0 all the same.
#[derive(clap::Args)]
pub struct Apply {
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn run(args: &Apply) -> Result<Exit, Failure> {
    let loaded = apply::apply(&args.places.places());
    if !loaded.problems.is_empty() {
        eprint!(
            "Some of how this machine is to be set up is wrong and does not hold; all else does:\n{}",
            apply::as_text(&loaded.problems)
        );
    }
    Ok(Exit::Fine)
}
