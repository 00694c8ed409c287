//! The disks for recordings: which are in use, what is plugged in, and how one is made ready.

mod known;
pub mod list;
pub mod ready;

pub use known::{EMERGENCY, Known, NO_DISK, folder_name};
