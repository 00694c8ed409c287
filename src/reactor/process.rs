//! What the program takes of the machine, as the kernel counts it.

use crate::nvr::port::ProcessStats;
use nix::sys::resource::{UsageWho, getrusage};
use std::time::Duration;

/// What it took so far. What cannot be read, as in a sandbox without `/proc`, is left at 0.
pub(super) fn stats() -> ProcessStats {
    let cpu = getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        [usage.user_time(), usage.system_time()]
            .into_iter()
            .map(|t| {
                // Neither is ever below 0; how wide they are depends on the machine.
                Duration::from_secs(u64::try_from(t.tv_sec()).unwrap_or(0))
                    + Duration::from_micros(u64::try_from(t.tv_usec()).unwrap_or(0))
            })
            .sum()
    });
    // Neither of these files is on a disk.
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    ProcessStats {
        cpu,
        resident_bytes: resident_bytes(&statm).unwrap_or(0),
        load_hundredths: load_hundredths(&load).unwrap_or_default(),
    }
}

/// The second field of `statm` (proc(5)), which counts pages.
fn resident_bytes(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    Some(pages * u64::try_from(page.ok()??).ok()?)
}

/// The first three fields of `loadavg` (proc(5)).
fn load_hundredths(loadavg: &str) -> Option<[u32; 3]> {
    let mut fields = loadavg.split_ascii_whitespace();
    let mut next = || {
        let load: f64 = fields.next()?.parse().ok()?;
        Some((load * 100.0).round() as u32)
    };
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_very_program() {
        let stats = stats();
        assert!(stats.resident_bytes > 1 << 20, "{stats:?}");
        let mut sum = 0_u64;
        while super::stats().cpu <= stats.cpu {
            sum = (0..1_000_000).fold(sum, |a, b| std::hint::black_box(a ^ b));
        }
    }

    #[test]
    fn what_the_files_hold() {
        let loads = load_hundredths("0.52 13.58 0.09 3/777 12345\n");
        assert_eq!(loads, Some([52, 1358, 9]));
        assert_eq!(load_hundredths("0.52 x"), None);
        assert!(resident_bytes("5 3 1").is_some_and(|b| b >= 3 * 4096));
        assert_eq!(resident_bytes(""), None);
    }
}
