//! `helper`: what the recorder starts itself as, to decode pictures and to check passwords.

use clap::Args;
use moonfire_nvr::decoder::serve;

/// Makes pictures and checks passwords, in a sandbox; started by `run` itself.
#[derive(Args)]
#[command(hide = true)]
pub struct Helper {}

/// Its exit codes are its own: nobody but the recorder sees them.
pub fn run(Helper {}: Helper) -> ! {
    serve::run()
}
