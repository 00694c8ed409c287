//! What a camera's settings will cost its owner: told where a camera is tried and set up.

use crate::db::StreamKind;
use serde_json::{Value, json};

/// From one key frame to the next, in seconds: above, seeking and starting to watch take long, and a lost
/// packet spoils as much.
const LONG_KEY_FRAME_SECS: f64 = 8.0;

/// A clock that is off by more is worth a word.
const CLOCK_SECS: f64 = 5.0;

/// A sub stream of at least this part of the main one's pixels is none.
const BIG_SUB: f64 = 0.75;

/// What is known of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    pub width: u32,
    pub height: u32,
    /// Pictures come in another order than they are shown in.
    pub reorders: bool,
    /// Seconds from one key frame to the next: measured, or as the camera says that it is set.
    pub key_frame_secs: Option<f64>,
    /// At least so many seconds went by without a second key frame.
    pub no_key_frame_secs: Option<f64>,
}

impl Facts {
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// A word for programs.
    pub kind: &'static str,
    pub stream: Option<StreamKind>,
    /// A sentence for people, with what to do.
    pub message: String,
}

impl Advice {
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "stream": self.stream.map(StreamKind::as_str),
            "message": self.message,
        })
    }
}

/// About a camera's streams, and its clock: by how many seconds that is ahead.
pub fn advise(main: Option<&Facts>, sub: Option<&Facts>, clock_secs: Option<f64>) -> Vec<Advice> {
    let mut all = Vec::new();
    for (kind, facts) in [(StreamKind::Main, main), (StreamKind::Sub, sub)] {
        if let Some(facts) = facts {
            of_stream(&mut all, kind, facts);
        }
    }
    match (main, sub) {
        (Some(_), None) => all.push(Advice {
            kind: "noSub",
            stream: None,
            message:
                "it has no sub stream: several cameras at once, and slow lines, will carry the \
                      large picture. Switch its second stream on, at about 640x360"
                    .to_owned(),
        }),
        (Some(main), Some(sub)) => {
            if sub.pixels() as f64 >= BIG_SUB * main.pixels() as f64 {
                all.push(Advice {
                    kind: "bigSub",
                    stream: Some(StreamKind::Sub),
                    message: format!(
                        "the sub stream is as big as the main one ({}x{}) and spares nobody \
                         anything: set it to about 640x360",
                        sub.width, sub.height
                    ),
                });
            }
        }
        (None, _) => {}
    }
    if let Some(secs) = clock_secs.filter(|s| s.abs() > CLOCK_SECS) {
        let how = if secs > 0.0 { "ahead" } else { "behind" };
        all.push(Advice {
            kind: "clock",
            stream: None,
            message: format!(
                "its clock is {} {how}: what it writes into the picture and tells of events is as \
                 wrong. Recordings go by the recorder's own clock. Have it ask a time server",
                span(secs.abs())
            ),
        });
    }
    all
}

fn of_stream(all: &mut Vec<Advice>, kind: StreamKind, facts: &Facts) {
    let mut add = |word, message| {
        all.push(Advice {
            kind: word,
            stream: Some(kind),
            message,
        });
    };
    let name = kind.as_str();
    let cost = "Watching it begins late, seeking is coarse, and one lost packet spoils as much. Switch \
                its smart codec (H.264+, Smart H.264, Zipstream's dynamic GOP) off, and set a key frame \
                every 2 s";
    match (facts.key_frame_secs, facts.no_key_frame_secs) {
        (Some(secs), _) if secs > LONG_KEY_FRAME_SECS => {
            let message = format!(
                "the {name} stream has {} between key frames. {cost}",
                span(secs)
            );
            add("keyFrames", message);
        }
        (None, Some(secs)) => {
            let message = format!(
                "the {name} stream has more than {} between key frames. {cost}",
                span(secs)
            );
            add("keyFrames", message);
        }
        _ => {}
    }
    if facts.reorders {
        let message = format!(
            "the {name} stream has B-frames: it is recorded as it is, but is shown some frames later \
             live. Switch them off where the camera can (profile Baseline, or \"B frames: 0\")"
        );
        add("bFrames", message);
    }
}

/// That a stream comes in H.265.
pub fn h265(kind: Option<StreamKind>) -> Advice {
    Advice {
        kind: "h265",
        stream: kind,
        message:
            "it sends H.265, which many browsers cannot show and this recorder does not record: \
                  set it to H.264 in the camera"
                .to_owned(),
    }
}

/// "90 s", "12 minutes", "3 days".
fn span(secs: f64) -> String {
    match secs {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} hours", s / 3_600.0),
        s if s < 63_072_000.0 => format!("{:.0} days", s / 86_400.0),
        s => format!("{:.0} years", s / 31_557_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(main: Option<&Facts>, sub: Option<&Facts>, clock: Option<f64>) -> Vec<&'static str> {
        advise(main, sub, clock).iter().map(|a| a.kind).collect()
    }

    #[test]
    fn good_settings_need_no_word() {
        let main = Facts {
            width: 1920,
            height: 1080,
            key_frame_secs: Some(2.0),
            ..Facts::default()
        };
        let sub = Facts {
            width: 640,
            height: 360,
            ..main
        };
        assert_eq!(kinds(Some(&main), Some(&sub), Some(1.0)), [""; 0]);
        assert_eq!(kinds(Some(&main), Some(&main), None), ["bigSub"]);
        assert_eq!(kinds(Some(&main), None, None), ["noSub"]);
        let smart = Facts {
            key_frame_secs: Some(240.0),
            reorders: true,
            ..main
        };
        let told = advise(Some(&smart), Some(&sub), Some(-1.8e9));
        let kinds: Vec<_> = told.iter().map(|a| a.kind).collect();
        assert_eq!(kinds, ["keyFrames", "bFrames", "clock"]);
        assert!(told[0].message.contains("4 minutes"), "{}", told[0].message);
        assert!(
            told[2].message.contains("57 years behind"),
            "{}",
            told[2].message
        );
        let unknown = Facts {
            key_frame_secs: None,
            no_key_frame_secs: Some(5.0),
            ..main
        };
        assert!(
            advise(Some(&unknown), Some(&sub), None)[0]
                .message
                .contains("more than 5 s")
        );
    }
}
