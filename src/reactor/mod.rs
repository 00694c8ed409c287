//! The real shell around the daemon's core: sockets, disk, database, signals, log, service manager.
//!
//! [`run`] is the daemon. [`EventLoop`] drives any [`Core`]; it alone calls the operating system on
//! the loop's thread, and only with calls that do not wait. It refuses to know what bytes mean: that
//! is the core's, and the simulation's to try without all of this.

mod camera_test;
mod clock;
pub mod disk;
mod event_loop;
pub mod helper;
mod process;
mod resolver;
mod service_manager;
mod signals;
mod sockets;
mod stats;
pub mod steward;
mod stuck;
mod syslog;
mod tls;
mod tokens;
mod workers;

pub use crate::nvr::port::Interface;
pub use camera_test::test_camera;
pub use disk::DiskChoice;
pub use disk::job::{AttachFn, space};
pub use event_loop::{BULK_TICK, End, EventLoop};
pub use sockets::group::interfaces;
pub use sockets::listeners::{GivenSockets, MAX_ACCEPTED_CONNECTIONS};
pub use sockets::{BULK_WAKE_BYTES, MAX_HANDSHAKES, MAX_SEND_QUEUE_BYTES};
pub use syslog::MAX_QUEUED_LINES;

use crate::config::Config;
use crate::db::{self, Database};
use crate::nvr::Nvr;
use crate::recording::recovery;
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

/// File descriptors that are asked for where the system gives fewer at first: enough for a hundred
/// streams with their files and all HTTP connections.
const WANTED_DESCRIPTORS: u64 = 4096;

/// Reads the configuration again, on a thread of its own; an error is a sentence for the log.
pub type LoadConfig = Box<dyn FnMut() -> Result<Config, String> + Send>;

/// What an [`EventLoop`] is set up with.
pub struct Setup {
    /// Its addresses, its log and its time zone; the rest is the core's.
    pub config: Config,
    /// For SIGHUP, if there is anything to read again.
    pub load_config: Option<LoadConfig>,
    /// Answers the core's database requests, on a thread of its own.
    pub database: Box<dyn FnMut(db::Request) -> Result<db::Reply, db::Error> + Send>,
    pub attach: AttachFn,
    pub disk: DiskChoice,
    pub given_sockets: GivenSockets,
    /// [`BULK_TICK`], unless something else is to be measured; until the core says otherwise.
    pub bulk_tick: Duration,
    /// Whether SIGTERM, SIGINT and SIGHUP are this loop's. They are then blocked in the calling
    /// thread and those that it starts.
    pub signals: bool,
}

/// Why the daemon could not be set up, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Database(#[from] db::Error),
    #[error("the disk cannot be served: {0}")]
    Disk(io::Error),
    #[error("sockets handed over by the service manager: {0}")]
    GivenSockets(io::Error),
    #[error("operating system: {0}")]
    System(io::Error),
}

/// What [`run`] is told besides the configuration.
pub struct Options {
    pub load_config: Option<LoadConfig>,
    pub database: db::Mode,
    pub disk: DiskChoice,
}

/// Runs the daemon until it is told to end. To be called from the first thread, before any other is
/// started, and once.
pub fn run(config: Config, options: Options) -> Result<ExitCode, StartError> {
    let descriptors = raise_descriptor_limit();
    // SAFETY: this is the only call in the program, and no descriptor was opened before that the
    // service manager did not mean for us.
    let given_sockets =
        unsafe { GivenSockets::from_environment() }.map_err(StartError::GivenSockets)?;
    let mut seeds = [0; 24];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut seeds))
        .map_err(StartError::System)?;
    let (db_seed, core_seed) = seeds.split_at(16);
    let db_seed = db_seed.iter().fold(0, |n, b| n << 8 | u128::from(*b));
    let core_seed = core_seed.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let mut database = Database::open(&config.db_dir, options.database, db_seed)?;
    let setup = Setup {
        config: config.clone(),
        load_config: options.load_config,
        database: Box::new(move |request| database.handle(request)),
        attach: |dir, request| recovery::attach(dir, request),
        disk: options.disk,
        given_sockets,
        bulk_tick: BULK_TICK,
        signals: true,
    };
    let mut nvr = match options.database {
        db::Mode::ReadOnly => Nvr::read_only(config, core_seed),
        _ => Nvr::new(config, core_seed),
    };
    nvr.set_own_uid(nix::unistd::getuid().as_raw());
    nvr.set_descriptors(descriptors);
    nvr.mind_other_programs();
    let mut event_loop = EventLoop::new(nvr, setup)?;
    match event_loop.run().map_err(StartError::System)? {
        End::InGoodOrder => Ok(ExitCode::SUCCESS),
        // Nothing is put away: not even the operations that the kernel has are waited for.
        End::AtOnce(status) => std::process::exit(status.into()),
    }
}

/// Raises the limit, and returns what it is then.
fn raise_descriptor_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let wanted = hard.min(WANTED_DESCRIPTORS as nix::libc::rlim_t);
    // Where that fails it works as long as what there is suffices.
    let raised = soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let limit = if raised { wanted } else { soft };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
