//! The programs of the system that are run, behind a trait, so that tests can be the system.

use std::process::{Command, Stdio};

/// So much of what a program says is told, in bytes.
const TOLD_BYTES: usize = 400;

/// Runs programs.
pub trait System: Send + Sync {
    /// Runs a program until it ends, and gives what it wrote; a sentence if it failed.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, String>;
}

/// The real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Programs;

impl System for Programs {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let output = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("{program} cannot be run: {e}"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(TOLD_BYTES).collect();
        Err(format!("{program}: {} ({said})", output.status))
    }
}
