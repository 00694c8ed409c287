//! Session descriptions (RFC 8866), as far as a recorder needs them.
//!
//! Nothing in a description is an error by itself: lines and media that make no sense are passed
//! over, so that one odd track never hides the video. Its length is bounded by
//! [`BODY_LIMIT`](super::message::BODY_LIMIT), its media by [`MEDIA_LIMIT`].

use super::error::{Error, quote};
use super::port::VideoDescription;

/// The most media lines that are looked at.
pub const MEDIA_LIMIT: usize = 32;
/// The clock of H.264 (RFC 6184 section 8.2.1), where the description does not say one.
const VIDEO_CLOCK_RATE: u32 = 90_000;

/// A description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `a=tool` of the session: the server's software.
    pub tool: Option<String>,
    /// `a=control` of the session.
    pub control: Option<String>,
    pub media: Vec<Media>,
    /// `a=rtpmap` and `a=fmtp` that stand before the first `m=`: they serve media that lack them.
    formats: Formats,
}

/// One `m=` and its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `video`, `audio`, `application`; in lower case.
    pub kind: String,
    /// `RTP/AVP` and the like; in upper case.
    pub protocol: String,
    /// RTP payload types, in order.
    pub payload_types: Vec<u8>,
    pub control: Option<String>,
    formats: Formats,
}

/// What is said of payload types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Formats {
    rtpmap: Vec<(u8, String)>,
    fmtp: Vec<(u8, String)>,
}

impl Formats {
    /// The encoding name in upper case and the clock rate of a payload type.
    fn encoding(&self, payload_type: u8) -> Option<(String, u32)> {
        let (_, map) = self.rtpmap.iter().find(|(pt, _)| *pt == payload_type)?;
        let mut parts = map.split('/').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_uppercase();
        let clock = parts.next().and_then(|c| c.parse().ok()).filter(|&c| c > 0);
        Some((name, clock.unwrap_or(VIDEO_CLOCK_RATE)))
    }

    /// A format parameter; keys in any case.
    fn parameter(&self, payload_type: u8, key: &str) -> Option<&str> {
        self.fmtp
            .iter()
            .filter(|(pt, _)| *pt == payload_type)
            .flat_map(|(_, params)| params.split(';'))
            .filter_map(|param| param.split_once('='))
            .find(|(k, _)| k.trim().eq_ignore_ascii_case(key))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// The track to record, and the control of its SETUP (`None`: the session's own URL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub video: VideoDescription,
    pub control: Option<String>,
}

impl Description {
    /// Lines may end in CR LF, CR or LF; bytes that are not UTF-8 are replaced, NULs dropped.
    pub fn parse(bytes: &[u8]) -> Description {
        let text = String::from_utf8_lossy(bytes);
        let mut out = Description::default();
        let mut skipping = false;
        for line in text.split(['\r', '\n', '\0']) {
            let Some((key, value)) = line.trim_start().split_once('=') else {
                continue;
            };
            match key.trim_end() {
                "m" => match Media::parse(value) {
                    Some(media) if out.media.len() < MEDIA_LIMIT => {
                        out.media.push(media);
                        skipping = false;
                    }
                    _ => skipping = true,
                },
                "a" if !skipping => out.attribute(value),
                _ => {}
            }
        }
        out
    }

    /// Takes the value of an `a=` line for the last media, or for the session before the first.
    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        let (control, formats) = match self.media.last_mut() {
            Some(media) => (&mut media.control, &mut media.formats),
            None => (&mut self.control, &mut self.formats),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "control" if control.is_none() && !value.is_empty() => {
                *control = Some(value.to_owned());
            }
            "rtpmap" => formats.rtpmap.extend(payload_type_and_rest(value)),
            "fmtp" => formats.fmtp.extend(payload_type_and_rest(value)),
            "tool" if self.media.is_empty() => self.tool = Some(value.to_owned()),
            _ => {}
        }
    }

    /// The first H.264 video that comes by plain RTP.
    pub fn choose_video(&self) -> Result<Choice, Error> {
        let mut other_codec = None;
        for media in self
            .media
            .iter()
            .filter(|m| m.kind == "video" && m.is_plain_rtp())
        {
            let types = media.payload_types.iter().copied();
            let maps = media.formats.rtpmap.iter().map(|(pt, _)| *pt);
            for payload_type in types.chain(maps) {
                let Some((codec, clock_rate)) = self.encoding(media, payload_type) else {
                    continue;
                };
                if codec == "H264" {
                    return Ok(Choice {
                        video: self.video(media, payload_type, codec, clock_rate),
                        control: media.control.clone(),
                    });
                }
                other_codec.get_or_insert(codec);
            }
        }
        Err(match other_codec {
            Some(codec) => Error::UnsupportedCodec {
                name: quote(&codec),
            },
            None => Error::NoVideo { seen: self.seen() },
        })
    }

    fn encoding(&self, media: &Media, payload_type: u8) -> Option<(String, u32)> {
        media
            .formats
            .encoding(payload_type)
            .or_else(|| self.formats.encoding(payload_type))
            .or_else(|| Some((static_encoding(payload_type)?.to_owned(), VIDEO_CLOCK_RATE)))
    }

    fn video(&self, media: &Media, pt: u8, codec: String, clock_rate: u32) -> VideoDescription {
        let key = "sprop-parameter-sets";
        let own = media.formats.parameter(pt, key);
        let sprop = own.or_else(|| self.formats.parameter(pt, key));
        VideoDescription {
            payload_type: pt,
            clock_rate,
            codec,
            sprop_parameter_sets: sprop.map(str::to_owned),
        }
    }

    /// The media in words: `audio (RTP/AVP), application (RTP/AVP)`.
    fn seen(&self) -> String {
        if self.media.is_empty() {
            return "no media at all".to_owned();
        }
        let words: Vec<String> = self
            .media
            .iter()
            .map(|m| format!("{} ({})", m.kind, m.protocol))
            .collect();
        quote(&words.join(", "))
    }
}

impl Media {
    /// The value of an `m=` line. `None` if it names no payload type: it is not for RTP then.
    fn parse(value: &str) -> Option<Media> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next()?.to_ascii_lowercase();
        let _port = words.next()?;
        let protocol = words.next()?.to_ascii_uppercase();
        let payload_types: Vec<u8> = words
            .filter_map(|w| w.parse().ok())
            .filter(|&pt| pt < 128)
            .collect();
        (!payload_types.is_empty()).then(|| Media {
            kind,
            protocol,
            payload_types,
            ..Media::default()
        })
    }

    /// RTP, with feedback or without, over whatever; but not encrypted and not MPEG-2 TS.
    fn is_plain_rtp(&self) -> bool {
        self.protocol == "RTP"
            || ["RTP/AVP", "RTP/AVPF"].iter().any(|known| {
                let rest = self.protocol.strip_prefix(known);
                rest.is_some_and(|r| r.is_empty() || r.starts_with('/'))
            })
    }
}

/// `96 H264/90000` as 96 and the rest.
fn payload_type_and_rest(value: &str) -> Option<(u8, String)> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let payload_type = value[..end].parse().ok().filter(|&pt| pt < 128)?;
    Some((payload_type, value[end..].trim().to_owned()))
}

/// Video payload types that need no `rtpmap` (RFC 3551 section 6).
fn static_encoding(payload_type: u8) -> Option<&'static str> {
    match payload_type {
        26 => Some("JPEG"),
        31 => Some("H261"),
        32 => Some("MPV"),
        33 => Some("MP2T"),
        34 => Some("H263"),
        _ => None,
    }
}
