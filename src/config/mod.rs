//! The configuration file: TOML to a typed [`Config`]. What it does not know is an error that names it.
//!
//! All that can be judged from the file alone is judged here, so that a [`Config`] is valid in
//! itself: [`ConfigError`] lists every problem with its line and how to mend it. Whether a camera
//! answers or a disk is mounted is found out later, by those who use them.
//!
//! No password is ever shown: [`Secret`] prints as `***`, and no error quotes a line of the file.

mod file;
pub(crate) mod reader;
mod render;
pub(crate) mod values;

#[cfg(test)]
mod tests;

pub use crate::access::Permission;
pub use file::camera_name;
pub(crate) use file::{SECTIONS, time_zone};
use jiff::tz::TimeZone;
pub use render::render;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use values::{CameraUrl, camera_url, path, retain};

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/moonfire-nvr.toml";

/// How often what is being recorded is made durable, unless the file says otherwise.
pub const DEFAULT_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time that can be asked to be kept, in days.
pub const MAX_RETAIN_DAYS: u32 = 100_000;

/// The address of the embedded default, and of the sample file.
pub const DEFAULT_HTTP_PORT: u16 = 8080;

/// A password. Its `Debug` never shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How RTP is to be carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Interleaved in the RTSP connection (RFC 2326 section 10.12).
    #[default]
    Tcp,
    Udp,
}

impl Transport {
    /// The word used in the configuration and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// How bad a log line is, as RFC 5424 section 6.2.1 numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Severity {
    pub const ALL: [Severity; 6] = [
        Severity::Critical,
        Severity::Error,
        Severity::Warning,
        Severity::Notice,
        Severity::Info,
        Severity::Debug,
    ];

    /// The word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
            Severity::Debug => "debug",
        }
    }
}

/// The whole configuration, checked in itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that says all of it, if there is one.
    pub file: Option<PathBuf>,
    /// The folder of the database; absolute.
    pub db_dir: PathBuf,
    /// The folders for sample files, each absolute and named once; at least one.
    pub sample_dirs: Vec<PathBuf>,
    /// How much of each sample directory's file system stays free.
    pub reserve: Reserve,
    /// How often what is being recorded is made durable.
    pub sync_interval: Duration,
    /// The zone of days, of times in the page and of `export`'s arguments.
    pub time_zone: TimeZone,
    pub syslog: SyslogConfig,
    pub onboard: OnboardConfig,
    /// The addresses to serve on; none serves nothing.
    pub http: Vec<HttpConfig>,
    /// No two have the same name.
    pub cameras: Vec<CameraConfig>,
}

impl Default for Config {
    /// An empty configuration in UTC, for tests to fill; it has no folder and no camera.
    fn default() -> Config {
        Config {
            file: None,
            db_dir: PathBuf::new(),
            sample_dirs: Vec::new(),
            reserve: Reserve::default(),
            sync_interval: DEFAULT_SYNC_INTERVAL,
            time_zone: TimeZone::UTC,
            syslog: SyslogConfig::default(),
            onboard: OnboardConfig::default(),
            http: Vec::new(),
            cameras: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the file at `path`, and the password files that it names.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        file::load(path)
    }

    /// The same of a text that stands for the file at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        file::parse(path, text)
    }

    /// A configuration without a file: everything within `state_dir` (absolute), the page on
    /// 127.0.0.1:8080 for anybody on this machine, no camera yet.
    pub fn embedded_default(state_dir: &Path) -> Config {
        Config {
            db_dir: state_dir.join("db"),
            sample_dirs: vec![state_dir.join("sample")],
            time_zone: system_time_zone(),
            http: vec![HttpConfig {
                allow_unauthenticated: Permission::OF_VISITORS.to_vec(),
                ..HttpConfig::new(Listen::Tcp(SocketAddr::from((
                    Ipv4Addr::LOCALHOST,
                    DEFAULT_HTTP_PORT,
                ))))
            }],
            ..Config::default()
        }
    }
}

/// The operating system's time zone; UTC where it has none that can be read.
fn system_time_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// How much of a file system stays free: the smaller of what is given, nothing if neither is.
///
/// The default, 5 % or 2 GB, thus leaves 800 MB of a 16 GB card and 2 GB of an 8 TB disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// 0 to 99.
    pub percent: Option<u8>,
    pub bytes: Option<u64>,
}

impl Default for Reserve {
    fn default() -> Reserve {
        Reserve {
            percent: Some(5),
            bytes: Some(2_000_000_000),
        }
    }
}

impl Reserve {
    /// The bytes to keep free of a file system of `total` bytes.
    pub fn bytes_of(self, total: u64) -> u64 {
        let share = self.percent.map(|p| total / 100 * u64::from(p));
        match (share, self.bytes) {
            (Some(share), Some(bytes)) => share.min(bytes),
            (Some(n), None) | (None, Some(n)) => n,
            (None, None) => 0,
        }
    }
}

/// Finding cameras on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnboardConfig {
    /// Look for cameras at all: for those who ask, and for cameras that have moved.
    pub discover: bool,
    /// The interfaces to look on, by name; all but loopback if none is named.
    pub interfaces: Vec<String>,
    /// Scan own subnets for RTSP servers whenever it is searched.
    pub scan: bool,
    /// Hear what cameras notice themselves.
    pub events: bool,
    /// Record cameras by themselves that take this user name and password.
    pub auto: bool,
    pub username: String,
    pub password: Secret,
    /// With `auto`: no more than so many cameras in all.
    pub max_cameras: u32,
    /// With `auto`: only cameras on these; all own subnets if none is named.
    pub only: Vec<Subnet>,
    /// What is kept of cameras that are made this way, of the main and of the sub stream.
    pub retain: Retain,
    pub sub_retain: Retain,
}

impl Default for OnboardConfig {
    fn default() -> OnboardConfig {
        OnboardConfig {
            discover: true,
            interfaces: Vec::new(),
            scan: false,
            events: true,
            auto: false,
            username: String::new(),
            password: Secret::default(),
            max_cameras: DEFAULT_MAX_CAMERAS,
            only: Vec::new(),
            retain: Retain::default(),
            sub_retain: Retain::default(),
        }
    }
}

impl OnboardConfig {
    /// Whether a camera at this address may be recorded by itself.
    pub fn may(&self, address: Ipv4Addr) -> bool {
        self.only.is_empty() || self.only.iter().any(|s| s.holds(address))
    }
}

/// How many cameras `[onboard] auto` makes at most, unless the file says otherwise.
pub const DEFAULT_MAX_CAMERAS: u32 = 16;

/// An IPv4 subnet: `"192.0.2.0/24"`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl Subnet {
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0);
        u32::from(self.address) & mask == u32::from(address) & mask
    }
}

/// Where log lines go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogConfig {
    pub to: LogTarget,
    /// Lines at least as bad as this.
    pub level: Severity,
}

impl Default for SyslogConfig {
    fn default() -> SyslogConfig {
        SyslogConfig {
            to: LogTarget::Stderr,
            level: Severity::Info,
        }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// `"stderr"`, and where there is no `[syslog]`: lines for people on standard error, which is a
    /// terminal or, under systemd, the journal (each line then begins with its `<level>`).
    Stderr,
    /// `"unix:/path"`: RFC 5424 to a datagram socket. `"local"`: `/dev/log`, in the older form that
    /// is understood there.
    Unix(PathBuf),
    /// `"udp:host:514"`: RFC 5424 over UDP (RFC 5426).
    Udp { host: String, port: u16 },
    /// `"tcp:host:601"`: RFC 5424 over TCP with octet counting (RFC 6587 section 3.4.1).
    Tcp { host: String, port: u16 },
    /// `"none"`.
    Nowhere,
}

/// An address to serve HTTP on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: Listen,
    /// Who connects is spoken to in TLS, and nothing else.
    pub tls: Option<TlsConfig>,
    /// What somebody may do without having signed in.
    pub allow_unauthenticated: Vec<Permission>,
    /// Names that the page is asked for by, beside those of the local network.
    pub names: Vec<String>,
    /// The addresses of proxies whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Who connects to a UNIX socket as the recorder's own user, or root, may do everything.
    pub owner_is_administrator: bool,
}

impl HttpConfig {
    /// Where nobody may see anything without signing in.
    pub fn new(listen: Listen) -> HttpConfig {
        HttpConfig {
            listen,
            tls: None,
            allow_unauthenticated: Vec::new(),
            names: Vec::new(),
            trusted_proxies: Vec::new(),
            owner_is_administrator: false,
        }
    }
}

/// How an address proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// By a certificate that the recorder makes itself and keeps beside the database.
    Own,
    /// By files: the certificate with those that lead to its issuer, and its key, both PEM.
    Files { certificate: PathBuf, key: PathBuf },
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `"127.0.0.1:8080"`, `"[::]:80"`.
    Tcp(SocketAddr),
    /// `"unix:/run/nvr.sock"`.
    Unix(PathBuf),
    /// `"systemd:name"`: a socket that systemd opened, by its `FileDescriptorName=`.
    Systemd(String),
}

impl fmt::Display for Listen {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(addr) => write!(f, "{addr}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// A camera as the file names it. What the file leaves out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraConfig {
    /// What it is known by; unique, not empty.
    pub name: String,
    pub description: String,
    /// Empty if the camera wants none.
    pub username: String,
    /// Given in the file, in `password_file` or in a URL.
    pub password: Secret,
    /// At least one of the two is there.
    pub main: Option<StreamConfig>,
    pub sub: Option<StreamConfig>,
}

/// A stream of a camera as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// `rtsp://host[:port]/...`, as in the file but without user and password.
    pub url: String,
    pub transport: Transport,
    pub record: bool,
    pub retain: Retain,
    /// One of [`Config::sample_dirs`]; where it is left out, streams are spread over them.
    pub sample_dir: Option<PathBuf>,
}

impl StreamConfig {
    /// A stream with the defaults: by TCP, recorded, kept as long as there is room.
    pub fn new(url: &str) -> StreamConfig {
        StreamConfig {
            url: url.to_owned(),
            transport: Transport::Tcp,
            record: true,
            retain: Retain::default(),
            sample_dir: None,
        }
    }
}

/// How much of a stream is kept: both limits hold; without any, as long as the disk has room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    pub bytes: Option<i64>,
    pub days: Option<u32>,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub path: PathBuf,
    /// In order of line; at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, both counted from 1 (columns in characters); `None` if it is about the
    /// whole file.
    pub at: Option<(usize, usize)>,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for ConfigError {
    /// A line for each problem: `/etc/moonfire-nvr.toml:12:1: unknown key ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some((line, column)) = problem.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
