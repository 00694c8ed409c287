//! Devices that are found: they disturb nothing, and what would harm them is caught.

use crate::tampering::run_tampered;
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::Action;
use moonfire_nvr::sim::scenario::Scenario;
use moonfire_nvr::sim::world::{Subject, Tracing, run_and_inspect};
use std::time::Duration;

/// A quiet world with devices that are found, and asked by themselves.
fn with_devices(seed: u64) -> Scenario {
    Scenario {
        devices: 8,
        ..Scenario::quiet(seed, Duration::from_secs(900))
    }
}

#[test]
fn devices_that_answer_badly_disturb_nothing_and_are_asked() {
    let mut shown = 0;
    for seed in 0..6 {
        let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Nvr::new(config, seed)) };
        let result = run_and_inspect(
            with_devices(seed),
            Tracing::Tail,
            &mut make,
            |_| (),
            |world| {
                shown += world.lan.shown();
                Ok(())
            },
        );
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
    // Twice in each world: they are asked, ever more seldom.
    assert!(shown >= 12, "{shown}");
}

#[test]
fn an_account_that_is_shown_again_is_caught() {
    let rule = run_tampered(with_devices(1), |_, action| match &action {
        Action::Send { conn, bytes }
            if String::from_utf8_lossy(bytes).contains("UsernameToken") =>
        {
            let (conn, bytes) = (*conn, bytes.clone());
            vec![Action::Send { conn, bytes }, action]
        }
        _ => vec![action],
    });
    assert_eq!(rule.as_deref(), Some("account-is-safe"));
}

#[test]
fn devices_that_are_waited_for_without_end_are_caught() {
    // All, or one.
    for (all, broken) in [(true, "bounded"), (false, "lets-go")] {
        let rule = run_tampered(with_devices(1), move |t, action| match &action {
            Action::Connect { conn, addr } if addr.port() == 80 => {
                if all || t.viewers.is_empty() {
                    t.viewers.insert(*conn);
                }
                vec![action]
            }
            Action::Close { conn, .. } if t.viewers.contains(conn) => Vec::new(),
            _ => vec![action],
        });
        assert_eq!(rule.as_deref(), Some(broken));
    }
}
