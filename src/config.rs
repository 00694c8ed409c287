//! The configuration file: TOML to a typed [`Config`]; what it does not know is an error that names it.

use std::fmt;
use std::path::PathBuf;

/// A password. Its `Debug` and `Display` never show it.
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

/// The whole configuration, checked in itself.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub db_dir: PathBuf,
    pub sample_dirs: Vec<PathBuf>,
    pub http: Vec<HttpConfig>,
    pub cameras: Vec<CameraConfig>,
}

/// An address to serve HTTP on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: String,
}

/// A camera as the file names it.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    pub name: String,
}
