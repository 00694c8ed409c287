//! The boot file of an appliance: whatever somebody wrote, a configuration comes of it that is valid in
//! itself, and the system's files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::appliance::{BootFile, apply, setup};
use moonfire_nvr::config::{self, Config};
use std::path::Path;

fuzz_target!(|input: &[u8]| {
    let defaults = apply::default_config();
    let read = BootFile::parse(input, &defaults);
    let text = config::render(&read.config);
    let again = Config::parse(Path::new("/config.toml"), &text);
    assert!(again.is_ok(), "{again:?}\n{text}");
    assert!(!read.config.http.is_empty());
    read.settings.check().expect("settings that go together");
    for output in setup::outputs(&read.settings) {
        // No value brings a line of its own.
        let content = output.content.unwrap_or_default();
        assert!(!content.contains('\0') && !content.contains('\r'), "{content:?}");
    }
});
