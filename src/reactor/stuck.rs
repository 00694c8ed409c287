//! Noticing that the disk or the database hangs. The loop goes on meanwhile, so nobody else would.

use crate::time::Monotonic;
use std::time::Duration;

/// Without an answer for so long, something is wrong.
const WORRY_AFTER: Duration = Duration::from_secs(30);

/// How often it is said that it still is.
const REPEAT_INTERVAL: Duration = Duration::from_secs(600);

/// What to say about it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worry {
    /// For so long.
    Hangs(Duration),
    MovesAgain,
}

/// Watches one thing that answers requests.
#[derive(Debug, Default)]
pub(super) struct Watch {
    told: Option<Monotonic>,
}

impl Watch {
    /// To be called now and then; `since` is when the last answer came, if any is waited for.
    pub(super) fn check(&mut self, now: Monotonic, since: Option<Monotonic>) -> Option<Worry> {
        let hanging = since
            .map(|since| now.since(since))
            .filter(|d| *d >= WORRY_AFTER);
        match (hanging, self.told) {
            (Some(_), Some(told)) if now.since(told) < REPEAT_INTERVAL => None,
            (Some(how_long), _) => {
                self.told = Some(now);
                Some(Worry::Hangs(how_long))
            }
            (None, Some(_)) => {
                self.told = None;
                Some(Worry::MovesAgain)
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_hangs_and_when_it_no_longer_does() {
        let at = |s: u64| Monotonic(s * 1_000_000_000);
        let mut watch = Watch::default();
        assert_eq!(watch.check(at(100), None), None);
        assert_eq!(watch.check(at(120), Some(at(100))), None);
        let hangs = |s| Some(Worry::Hangs(Duration::from_secs(s)));
        assert_eq!(watch.check(at(130), Some(at(100))), hangs(30));
        assert_eq!(watch.check(at(140), Some(at(100))), None);
        assert_eq!(watch.check(at(730), Some(at(100))), hangs(630));
        assert_eq!(watch.check(at(740), Some(at(735))), Some(Worry::MovesAgain));
        assert_eq!(watch.check(at(750), None), None);
    }
}
