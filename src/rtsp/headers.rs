//! The header values that a session turns on (RFC 2326 section 12), each parsed as far as it makes
//! sense: what is missing or malformed is left out, never an error.

use std::net::IpAddr;
use std::time::Duration;

/// `Session: 12345678;timeout=60` (section 12.37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// After how long without a sign of life the server forgets the session.
    pub timeout: Option<Duration>,
}

impl Session {
    /// `None` for an empty id. A time-out of 0 says nothing.
    pub fn parse(value: &str) -> Option<Session> {
        let mut parts = value.split(';').map(str::trim);
        let id = parts.next().filter(|id| !id.is_empty())?.to_owned();
        let timeout = parts
            .filter_map(key_value)
            .find(|(key, _)| key.eq_ignore_ascii_case("timeout"))
            .and_then(|(_, v)| leading_number(v))
            .filter(|&seconds| seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into()));
        Some(Session { id, timeout })
    }
}

/// `Transport` of a reply to SETUP (section 12.39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The lower transport is TCP; `None` where no protocol is named.
    pub tcp: Option<bool>,
    /// Channels of RTP and RTCP.
    pub interleaved: Option<(u8, u8)>,
    /// The server's ports for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    pub source: Option<IpAddr>,
    pub ssrc: Option<u32>,
}

impl Transport {
    /// Takes the first of several, its parameters in any order.
    pub fn parse(value: &str) -> Transport {
        let mut t = Transport::default();
        for part in value.split(',').next().unwrap_or_default().split(';') {
            let part = part.trim();
            let Some((key, v)) = key_value(part) else {
                if part.len() >= 3 && part.as_bytes()[..3].eq_ignore_ascii_case(b"RTP") {
                    t.tcp = Some(part.to_ascii_uppercase().ends_with("/TCP"));
                }
                continue;
            };
            match key.to_ascii_lowercase().as_str() {
                "interleaved" => t.interleaved = pair(v),
                "server_port" => t.server_port = pair(v),
                "source" => t.source = v.trim_matches(['[', ']']).parse().ok(),
                "ssrc" => t.ssrc = parse_ssrc(v),
                _ => {}
            }
        }
        t
    }
}

/// 8 hex digits; some write spaces into it or `0x` before it.
fn parse_ssrc(value: &str) -> Option<u32> {
    let digits: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = digits.to_ascii_lowercase();
    let hex = lower.strip_prefix("0x").unwrap_or(&lower);
    let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(hex, 16).ok().filter(|_| is_hex)
}

/// `2-3`, or `2` alone for `2-3`.
fn pair<T: std::str::FromStr + TryFrom<u32>>(value: &str) -> Option<(T, T)> {
    let mut parts = value.splitn(2, '-').map(str::trim);
    let first: u32 = leading_number(parts.next()?)?;
    let second = parts.next().and_then(leading_number);
    let second = second.or_else(|| first.checked_add(1))?;
    Some((T::try_from(first).ok()?, T::try_from(second).ok()?))
}

/// What `RTP-Info` (section 12.33) says of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpInfo {
    pub seq: Option<u16>,
    pub rtptime: Option<u32>,
}

impl RtpInfo {
    /// Finds the track that was set up at `control_url`; a lone entry is taken as that.
    ///
    /// `seq=0` and `seq=1` are left out: cameras write them for any other number.
    pub fn parse(value: &str, control_url: &str) -> RtpInfo {
        let entries: Vec<&str> = value.split(',').filter(|e| !e.trim().is_empty()).collect();
        let entry = match entries.as_slice() {
            [one] => Some(one),
            many => many.iter().find(|e| names_track(e, control_url)),
        };
        let mut info = RtpInfo::default();
        for (key, v) in entry
            .into_iter()
            .flat_map(|e| e.split(';'))
            .filter_map(key_value)
        {
            match key.to_ascii_lowercase().as_str() {
                "seq" => info.seq = v.parse().ok().filter(|&seq| seq > 1),
                "rtptime" => info.rtptime = v.parse().ok(),
                _ => {}
            }
        }
        info
    }
}

/// The entry's `url` is `control_url`, or the last part of it.
fn names_track(entry: &str, control_url: &str) -> bool {
    let last = |url: &str| {
        url.trim_end_matches('/')
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    entry
        .split(';')
        .filter_map(key_value)
        .any(|(key, v)| key.eq_ignore_ascii_case("url") && last(v) == last(control_url))
}

/// The methods of `Public` (section 12.28): which of them are asked for as a sign of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Public {
    pub get_parameter: bool,
    pub set_parameter: bool,
}

impl Public {
    pub fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Public {
        let mut public = Public::default();
        for method in values.flat_map(|v| v.split([',', ' ', '\t'])) {
            public.get_parameter |= method.eq_ignore_ascii_case("GET_PARAMETER");
            public.set_parameter |= method.eq_ignore_ascii_case("SET_PARAMETER");
        }
        public
    }
}

/// `key=value`, white space around each gone.
fn key_value(part: &str) -> Option<(&str, &str)> {
    let (key, value) = part.split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// The number that `text` begins with.
fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_timeouts() {
        for (value, id, seconds) in [
            ("12345678", "12345678", None),
            ("12345678;timeout=60", "12345678", Some(60)),
            (" 1 ; Timeout = 10 ; x", "1", Some(10)),
            ("a;timeout=0", "a", None),
            ("a;timeout=", "a", None),
            ("a;timeout=30s", "a", Some(30)),
            ("a;timeout=99999999999", "a", None),
            ("a;;timeout=5;", "a", Some(5)),
        ] {
            let session = Session::parse(value).unwrap();
            assert_eq!(session.id, id);
            assert_eq!(session.timeout, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(Session::parse(" ;timeout=5"), None);
    }

    #[test]
    fn transports() {
        let t = Transport::parse("RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=1A2b3C4D;mode=\"PLAY\"");
        assert_eq!(
            (t.tcp, t.interleaved, t.ssrc),
            (Some(true), Some((2, 3)), Some(0x1a2b_3c4d))
        );
        let t = Transport::parse("ssrc=0x1234; RTP/AVP/TCP ;interleaved=4");
        assert_eq!(
            (t.tcp, t.interleaved, t.ssrc),
            (Some(true), Some((4, 5)), Some(0x1234))
        );
        let t = Transport::parse(
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;source=192.0.2.7;ssrc= 1a 2b",
        );
        assert_eq!(
            (t.tcp, t.server_port, t.ssrc),
            (Some(false), Some((6000, 6001)), Some(0x1a2b))
        );
        assert_eq!(t.source, Some("192.0.2.7".parse().unwrap()));
        let t = Transport::parse("interleaved=255;server_port=70000-1;source=camera;ssrc=+5");
        assert_eq!(t, Transport::default());
        assert_eq!(Transport::parse("interleaved=300-301").interleaved, None);
        assert_eq!(Transport::parse(""), Transport::default());
    }

    #[test]
    fn rtp_info_of_the_right_track() {
        let url = "rtsp://192.0.2.1/main/trackID=2";
        let two =
            "url=rtsp://192.0.2.1/main/trackID=1;seq=5;rtptime=7,url=trackID=2;seq=9;rtptime=8,";
        for (value, seq, rtptime) in [
            (two, Some(9), Some(8)),
            ("url=other;seq=77;rtptime=-1;", Some(77), None),
            ("url=x;seq=0;rtptime=0", None, Some(0)),
            ("seq=1", None, None),
            ("url=a;seq=2,url=b;seq=3", None, None),
            ("url=x;seq=65536;rtptime=4294967296", None, None),
            ("", None, None),
        ] {
            assert_eq!(
                RtpInfo::parse(value, url),
                RtpInfo { seq, rtptime },
                "{value}"
            );
        }
    }

    #[test]
    fn public_methods() {
        let public = Public::parse(["OPTIONS, describe", "get_parameter,PLAY"].into_iter());
        assert_eq!((public.get_parameter, public.set_parameter), (true, false));
    }
}
