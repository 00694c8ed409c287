//! The machine around the recorder, where that came as a card image: what its boot file says, its disks,
//! its two slots and their updates, and the small process that does for the recorder what needs root.
//!
//! Rules and I/O are apart: [`boot_file`], [`settings`], [`setup`], slots and bundles judge bytes
//! and texts; [`apply`] and [`disks`] touch the system. What the recorder asks of the steward
//! is [`protocol`]. See `design/appliance.md`.

pub mod apply;
pub mod boot_file;
pub mod bundle;
pub mod disks;
pub mod places;
pub mod protocol;
pub mod settings;
pub mod setup;
pub mod slots;
pub mod steward;
pub mod system;
pub mod time_server;
pub mod update;

pub use boot_file::BootFile;
pub use places::Places;
pub use settings::Settings;
