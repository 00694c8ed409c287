//! Tests that this machine does not let run: told, rather than counted as passed.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that a test was not run, and why: on standard error, and in the file that `MOONFIRE_NOT_RUN` names, of
/// which `./prep.sh test` tells at its end.
pub fn tell(test: &str, why: &str) {
    let line = format!("not run  {test}: {why}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("MOONFIRE_NOT_RUN") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.unwrap(), "{line}").unwrap();
    }
}
