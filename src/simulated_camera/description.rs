//! The session description (RFC 4566) of a stream, right or wrong as asked.

use super::misbehave::{Faults, Kind};
use super::packetize::PAYLOAD_TYPE;
use super::{ParameterSets, synthetic};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The path under a stream's URL that names its one track.
pub const TRACK: &str = "trackID=0";

/// One H.264 track (RFC 6184 section 8.2.1); `base` is the stream's URL with a final slash.
pub fn sdp(faults: &Faults, parameters: &ParameterSets, base: &str) -> Vec<u8> {
    let mut lines = vec!["v=0".to_owned()];
    if !faults.has(Kind::SdpLf) {
        lines.push("o=- 1 1 IN IP4 0.0.0.0".to_owned());
        lines.push("s=Simulated camera".to_owned());
        lines.push("c=IN IP4 0.0.0.0".to_owned());
        lines.push("t=0 0".to_owned());
    }
    lines.push("a=range:npt=now-".to_owned());
    if faults.has(Kind::ExtraMedia) {
        for line in [
            "m=application/VENDOR 0 RTP/AVP smart/1/90000",
            "m=audio 0 RTP/AVP 0",
            "a=control:trackID=7",
            "m=audio 0 RTP/AVP 8",
            "a=sendonly",
            "a=control:trackID=8",
            "m=application 0 RTP/AVP 107",
            "a=rtpmap:107 vnd.onvif.metadata/90000",
            "a=control:trackID=9",
        ] {
            lines.push(line.to_owned());
        }
    }
    lines.push(format!("m=video 0 RTP/AVP {PAYLOAD_TYPE}"));
    lines.push(if faults.has(Kind::AbsoluteControl) {
        format!("a=control:{base}{TRACK}")
    } else {
        format!("a=control:{TRACK}")
    });
    lines.push(format!("a=rtpmap:{PAYLOAD_TYPE} H264/90000"));
    lines.push(format!(
        "a=fmtp:{PAYLOAD_TYPE} {}",
        format_parameters(parameters, faults)
    ));
    let end = if faults.has(Kind::SdpLf) {
        "\n"
    } else {
        "\r\n"
    };
    let mut sdp = lines.join(end) + end;
    if faults.has(Kind::SdpLf) {
        sdp.push('\0');
    }
    sdp.into_bytes()
}

fn format_parameters(parameters: &ParameterSets, faults: &Faults) -> String {
    let told;
    let parameters = if faults.has(Kind::WrongSprop) {
        told = synthetic::parameter_sets(176, 144, 5);
        &told
    } else {
        parameters
    };
    let mut text = "packetization-mode=1".to_owned();
    if faults.has(Kind::NoSprop) {
        return text;
    }
    if let [_, profile, constraints, level, ..] = parameters.sps[..] {
        text.push_str(&format!(
            ";profile-level-id={profile:02x}{constraints:02x}{level:02x}"
        ));
    }
    if faults.has(Kind::BrokenSprop) {
        text.push_str(";sprop-parameter-sets=Z0I@!,,aM");
    } else {
        text.push_str(&format!(
            ";sprop-parameter-sets={},{}",
            BASE64.encode(&parameters.sps),
            BASE64.encode(&parameters.pps)
        ));
    }
    text
}
