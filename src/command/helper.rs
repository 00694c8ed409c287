//! `helper`: what the recorder starts itself as, to decode pictures and to check passwords.

use super::Failure;
use clap::Args;
use moonfire_nvr::decoder::{Kind, serve};
use std::convert::Infallible;

/// Makes pictures or checks passwords, in a sandbox; started by `run` itself.
#[derive(Args)]
#[command(hide = true)]
pub struct Helper {
    /// `pictures` or `passwords`.
    #[arg(value_name = "KIND")]
    kind: String,
}

/// Its exit codes are its own: nobody but the recorder sees them.
pub fn run(args: Helper) -> Result<Infallible, Failure> {
    match Kind::from_word(&args.kind) {
        Some(kind) => serve::run(kind),
        None => Err(Failure::Usage(format!("{}: no such helper", args.kind))),
    }
}
