//! What a camera may do wrong, as faults to be switched on by name or by seed.
//!
//! One table names each fault, tells what its number means and what a recorder can make of such a
//! camera. The faults themselves are committed where the right thing would be done: in
//! [`super::server`] and in the player of its media.

use rand_core::RngCore;
use std::fmt;
use std::str::FromStr;

/// Which fault. See [`Kind::describe`] for what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    NeverAnswer,
    Stall,
    Close,
    CloseMidPacket,
    CloseOnError,
    Busy,
    RefuseDescribe,
    Redirect,
    SessionTimeout,
    HiddenTimeout,
    IgnoreTeardown,
    OptionsOnly,
    RefusePassword,
    StaleNonce,
    ManyChallenges,
    BareChallenge,
    NoSprop,
    WrongSprop,
    BrokenSprop,
    ExtraMedia,
    SdpLf,
    AbsoluteControl,
    NoContentBase,
    BareContentBase,
    OddHeaders,
    OddTransport,
    OtherChannels,
    OtherPorts,
    WrongRtpInfo,
    StrayCrlf,
    UnknownChannel,
    EarlyData,
    Drop,
    Reorder,
    Duplicate,
    NoMarker,
    MarkerAlways,
    Padding,
    SsrcChange,
    SequenceJump,
    TimestampJump,
    TimestampBack,
    TimestampStill,
    TimestampWrap,
    ClockDrift,
    NoReports,
    WrongReports,
    Burst,
    LateSync,
    SpropOnly,
    AnnexB,
    ChangeParameters,
}

/// What a good recorder makes of a camera with the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// All that the camera sends from its first sync sample on is recorded.
    Nothing,
    /// Recording goes on, with losses.
    Losses,
    /// Nothing can be recorded while the fault lasts.
    Refusal,
}

struct Row {
    kind: Kind,
    name: &'static str,
    /// The default, least and greatest number; `None` where the fault takes none.
    number: Option<(i64, i64, i64)>,
    effect: Effect,
    help: &'static str,
}

const fn row(
    kind: Kind,
    name: &'static str,
    number: Option<(i64, i64, i64)>,
    effect: Effect,
    help: &'static str,
) -> Row {
    Row {
        kind,
        name,
        number,
        effect,
        help,
    }
}

/// The number of frames after which something happens.
const FRAMES: Option<(i64, i64, i64)> = Some((100, 1, 1_000_000));
/// How many packets or frames in a thousand.
const PER_MILLE: Option<(i64, i64, i64)> = Some((10, 1, 1000));
const SECONDS: Option<(i64, i64, i64)> = Some((10, 1, 3600));

/// Every fault, in the order of [`Kind`].
#[rustfmt::skip]
const TABLE: [Row; 52] = {
    use Effect::{Losses, Nothing, Refusal};
    [
        row(Kind::NeverAnswer, "never-answer", None, Refusal, "take connections and requests, answer nothing"),
        row(Kind::Stall, "stall", FRAMES, Losses, "send nothing more after N frames, keep the connection"),
        row(Kind::Close, "close", FRAMES, Losses, "close the connection after N frames"),
        row(Kind::CloseMidPacket, "close-mid-packet", FRAMES, Losses, "close in the middle of a packet of frame N"),
        row(Kind::CloseOnError, "close-on-error", None, Nothing, "close the connection after each error reply, 401 too"),
        row(Kind::Busy, "busy", None, Refusal, "answer SETUP with 453 Not Enough Bandwidth"),
        row(Kind::RefuseDescribe, "refuse-describe", Some((404, 400, 599)), Refusal, "answer DESCRIBE with status N"),
        row(Kind::Redirect, "redirect", Some((0, 0, 65535)), Nothing, "answer DESCRIBE with 302 to port N of the host (0: this one)"),
        row(Kind::SessionTimeout, "session-timeout", SECONDS, Nothing, "end sessions after N s with no request, and say so"),
        row(Kind::HiddenTimeout, "hidden-timeout", Some((60, 1, 3600)), Nothing, "end sessions after N s with no request, and do not say so"),
        row(Kind::IgnoreTeardown, "ignore-teardown", None, Nothing, "answer TEARDOWN, but go on sending"),
        row(Kind::OptionsOnly, "options-only", None, Nothing, "know no GET_PARAMETER or SET_PARAMETER, close the connection at one"),
        row(Kind::RefusePassword, "refuse-password", None, Refusal, "refuse every password"),
        row(Kind::StaleNonce, "stale-nonce", Some((3, 1, 1000)), Nothing, "call each nonce stale after N requests"),
        row(Kind::ManyChallenges, "many-challenges", None, Nothing, "offer Digest SHA-256, Digest MD5 and Basic at once"),
        row(Kind::BareChallenge, "bare-challenge", None, Nothing, "offer Digest with neither algorithm nor qop (RFC 2069)"),
        row(Kind::NoSprop, "no-sprop", None, Nothing, "leave sprop-parameter-sets out of the SDP"),
        row(Kind::WrongSprop, "wrong-sprop", None, Nothing, "tell parameter sets of another picture size in the SDP"),
        row(Kind::BrokenSprop, "broken-sprop", None, Nothing, "tell sprop-parameter-sets that are not base64"),
        row(Kind::ExtraMedia, "extra-media", None, Nothing, "tell audio, metadata and nonsense lines in the SDP as well"),
        row(Kind::SdpLf, "sdp-lf", None, Nothing, "end the SDP's lines with LF, the last with NUL; no o=, t= or s="),
        row(Kind::AbsoluteControl, "absolute-control", None, Nothing, "tell the track's whole URL in the SDP"),
        row(Kind::NoContentBase, "no-content-base", None, Nothing, "leave Content-Base and Content-Type out"),
        row(Kind::BareContentBase, "bare-content-base", None, Nothing, "tell Content-Base without a scheme or final slash"),
        row(Kind::OddHeaders, "odd-headers", None, Nothing, "write header names in lower case, white space around values"),
        row(Kind::OddTransport, "odd-transport", None, Nothing, "tell Transport with its ssrc first and spaces within"),
        row(Kind::OtherChannels, "other-channels", None, Nothing, "use interleaved channels other than those asked for"),
        row(Kind::OtherPorts, "other-ports", None, Nothing, "send from other ports than those told in SETUP's reply (UDP)"),
        row(Kind::WrongRtpInfo, "wrong-rtp-info", None, Nothing, "tell seq=0, rtptime=-1 and a final comma in RTP-Info"),
        row(Kind::StrayCrlf, "stray-crlf", None, Nothing, "while playing, put stray CRs and LFs before replies and packets"),
        row(Kind::UnknownChannel, "unknown-channel", None, Nothing, "send data on interleaved channel 99 with each frame"),
        row(Kind::EarlyData, "early-data", None, Nothing, "send the first frame ahead of the reply to PLAY (not drawn pictures)"),
        row(Kind::Drop, "drop", PER_MILLE, Losses, "lose N of 1000 packets"),
        row(Kind::Reorder, "reorder", PER_MILLE, Nothing, "let N of 1000 packets come after the one behind them (UDP)"),
        row(Kind::Duplicate, "duplicate", PER_MILLE, Nothing, "send N of 1000 packets twice (UDP)"),
        row(Kind::NoMarker, "no-marker", None, Nothing, "never set RTP's marker bit"),
        row(Kind::MarkerAlways, "marker-always", None, Nothing, "set RTP's marker bit on every packet"),
        row(Kind::Padding, "padding", None, Nothing, "add padding, a header extension and a CSRC to RTP packets"),
        row(Kind::SsrcChange, "ssrc-change", FRAMES, Losses, "change SSRC, sequence and timestamps' base at frame N"),
        row(Kind::SequenceJump, "sequence-jump", FRAMES, Losses, "let sequence numbers jump by 5000 at frame N"),
        row(Kind::TimestampJump, "timestamp-jump", FRAMES, Losses, "let timestamps jump by 3 hours at frame N"),
        row(Kind::TimestampBack, "timestamp-back", FRAMES, Losses, "let timestamps step 2 s back at frame N"),
        row(Kind::TimestampStill, "timestamp-still", Some((20, 2, 1_000_000)), Losses, "give each Nth frame the timestamp of the one before"),
        row(Kind::TimestampWrap, "timestamp-wrap", SECONDS, Nothing, "let timestamps wrap round 2^32 after N s"),
        row(Kind::ClockDrift, "clock-drift", Some((200, -100_000, 100_000)), Nothing, "run the camera's clock N ppm too fast"),
        row(Kind::NoReports, "no-reports", None, Nothing, "send no RTCP sender reports"),
        row(Kind::WrongReports, "wrong-reports", None, Nothing, "send sender reports of the year 1900, and some that are cut"),
        row(Kind::Burst, "burst", Some((5, 2, 100)), Nothing, "send frames N at a time (not drawn pictures)"),
        row(Kind::LateSync, "late-sync", FRAMES, Nothing, "send no sync sample among the first N frames"),
        row(Kind::SpropOnly, "sprop-only", None, Nothing, "tell parameter sets in the SDP alone, never in band"),
        row(Kind::AnnexB, "annex-b", None, Nothing, "send sync samples' small NAL units in one packet, start codes between"),
        row(Kind::ChangeParameters, "change-parameters", FRAMES, Nothing, "halve a synthetic picture from the first sync sample after frame N on"),
    ]
};

impl Kind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Kind> {
        TABLE.iter().map(|r| r.kind)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it does, in a line for people. `N` stands for the fault's number.
    pub fn describe(self) -> &'static str {
        self.row().help
    }

    /// The number that it has unless told otherwise; `None` where it takes none.
    pub fn default_number(self) -> Option<i64> {
        self.row().number.map(|(default, _, _)| default)
    }

    /// What a recorder can make of it.
    pub fn effect(self) -> Effect {
        self.row().effect
    }
}

/// A fault, switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// What it means depends on the kind; 0 where the kind takes none.
    pub number: i64,
}

impl Fault {
    /// The fault with its usual number.
    pub fn new(kind: Kind) -> Fault {
        Fault {
            kind,
            number: kind.default_number().unwrap_or(0),
        }
    }

    /// Any fault, its number within what a short simulation lives to see.
    pub fn random(rng: &mut impl RngCore) -> Fault {
        let row = &TABLE[rng.next_u32() as usize % TABLE.len()];
        let number = match row.number {
            None => 0,
            Some((_, least, greatest)) => {
                let greatest = greatest.min(least.max(0) + 400);
                let span = greatest.abs_diff(least) + 1;
                least.saturating_add_unsigned(rng.next_u64() % span)
            }
        };
        Fault {
            kind: row.kind,
            number,
        }
    }
}

impl fmt::Display for Fault {
    /// As the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.default_number() {
            Some(_) => write!(f, "{}={}", self.kind.name(), self.number),
            None => f.write_str(self.kind.name()),
        }
    }
}

/// Why a fault's name was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultError {
    #[error("there is no fault named {0:?}")]
    Unknown(String),
    #[error("{name} takes no number")]
    NoNumber { name: &'static str },
    #[error("{name} takes a number from {least} to {greatest}")]
    Number {
        name: &'static str,
        least: i64,
        greatest: i64,
    },
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    /// `NAME` or `NAME=N`.
    fn from_str(s: &str) -> Result<Fault, ParseFaultError> {
        let (name, number) = match s.split_once('=') {
            Some((name, number)) => (name, Some(number)),
            None => (s, None),
        };
        let row = TABLE
            .iter()
            .find(|r| r.name == name)
            .ok_or_else(|| ParseFaultError::Unknown(name.to_owned()))?;
        let number = match (row.number, number) {
            (None, None) => 0,
            (None, Some(_)) => return Err(ParseFaultError::NoNumber { name: row.name }),
            (Some((default, _, _)), None) => default,
            (Some((_, least, greatest)), Some(number)) => number
                .parse()
                .ok()
                .filter(|n| (least..=greatest).contains(n))
                .ok_or(ParseFaultError::Number {
                    name: row.name,
                    least,
                    greatest,
                })?,
        };
        Ok(Fault {
            kind: row.kind,
            number,
        })
    }
}

/// The faults of one camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A camera that does all right.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// The number of `kind`, if it is switched on (0 for a kind without one).
    pub fn get(&self, kind: Kind) -> Option<i64> {
        self.0.iter().find(|f| f.kind == kind).map(|f| f.number)
    }

    /// `kind` is switched on.
    pub fn has(&self, kind: Kind) -> bool {
        self.get(kind).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = Fault> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Fault> for Faults {
    /// The first of a kind wins.
    fn from_iter<I: IntoIterator<Item = Fault>>(iter: I) -> Faults {
        let mut faults = Faults::none();
        for f in iter {
            if !faults.has(f.kind) {
                faults.0.push(f);
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_reads_back() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, i, "{}", row.name);
            let fault = Fault::new(row.kind);
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(row.name.parse(), Ok(fault));
        }
    }

    #[test]
    fn names_and_numbers_are_checked() {
        assert_eq!(
            "fly".parse::<Fault>(),
            Err(ParseFaultError::Unknown("fly".to_owned()))
        );
        assert_eq!(
            "busy=1".parse::<Fault>(),
            Err(ParseFaultError::NoNumber { name: "busy" })
        );
        for bad in ["stall=", "stall=0", "stall=x", "drop=1001"] {
            assert!(
                matches!(bad.parse::<Fault>(), Err(ParseFaultError::Number { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn random_faults_are_valid_and_reach_every_kind() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5000 {
            let fault = Fault::random(&mut rng);
            assert_eq!(fault.to_string().parse(), Ok(fault));
            seen.insert(fault.kind);
        }
        assert_eq!(seen.len(), TABLE.len());
    }
}
