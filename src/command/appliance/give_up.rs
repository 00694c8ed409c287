//! `moonfire-nvr appliance give-up`.

use super::super::{Exit, Failure};
use super::PlacesArgs;
use moonfire_nvr::appliance::update::Card;

/// Some time after the start: give this version up if it is on trial and was not found good, whatever keeps it from
/// that. The next start is the version before.
#[derive(clap::Args)]
pub struct GiveUp {
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn run(args: &GiveUp) -> Result<Exit, Failure> {
    let refused =
        |refusal: moonfire_nvr::appliance::protocol::Refusal| Failure::Failed(refusal.message);
    let card = Card::find(&args.places.places()).map_err(refused)?;
    if !card.is_tried() {
        println!("nothing is on trial");
        return Ok(Exit::Fine);
    }
    card.fall_back("it did not come as far as recording")
        .map_err(refused)?;
    println!("this version is given up: it did not come as far as recording");
    Ok(Exit::Fine)
}
