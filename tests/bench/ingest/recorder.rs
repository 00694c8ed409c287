//! The recorder's process: the whole daemon, as `moonfire-nvr run` runs it.

use super::measure;
use moonfire_nvr::config::{CameraConfig, Config, LogTarget, StreamConfig};
use moonfire_nvr::db;
use moonfire_nvr::reactor::{self, DiskChoice, Options};
use std::path::Path;

/// Records `streams` streams of the source into `dir` until it is told to end.
pub fn run(address: &str, streams: usize, dir: &Path) {
    measure::tell_allocations(dir);
    let (db_dir, sample_dir) = (dir.join("db"), dir.join("sample"));
    std::fs::create_dir_all(&db_dir).expect("a folder");
    std::fs::create_dir_all(&sample_dir).expect("a folder");
    let mut config = Config::embedded_default(dir);
    config.db_dir = db_dir;
    config.sample_dirs = vec![sample_dir];
    config.http.clear();
    config.syslog.to = LogTarget::Nowhere;
    config.cameras = (0..streams)
        .map(|i| CameraConfig {
            name: format!("camera {i}"),
            main: Some(StreamConfig::new(&format!("rtsp://{address}/{i}"))),
            ..CameraConfig::default()
        })
        .collect();

    let options = Options {
        load_config: None,
        database: db::Mode::Create,
        disk: DiskChoice::default(),
    };
    reactor::run(config, options).expect("the recorder runs");
}
