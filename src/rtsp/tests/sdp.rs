//! Descriptions as cameras write them.

use crate::rtsp::Error;
use crate::rtsp::sdp::{Choice, Description, MEDIA_LIMIT};

/// What is chosen: payload type, clock rate, parameter sets, control.
type Chosen<'a> = (u8, u32, Option<&'a str>, Option<&'a str>);

fn choose(sdp: &[u8]) -> Result<Choice, Error> {
    Description::parse(sdp).choose_video()
}

fn expect(sdp: impl AsRef<[u8]>, expected: Chosen<'_>) {
    let sdp = sdp.as_ref();
    let told = String::from_utf8_lossy(sdp).into_owned();
    let choice = choose(sdp).unwrap_or_else(|e| panic!("{e} in\n{told}"));
    let v = &choice.video;
    assert_eq!(v.codec, "H264");
    let sprop = v.sprop_parameter_sets.as_deref();
    let chosen = (
        v.payload_type,
        v.clock_rate,
        sprop,
        choice.control.as_deref(),
    );
    assert_eq!(chosen, expected, "in\n{told}");
}

/// One video and nothing odd about it.
const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=Session\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z00=,aO4=\r\na=control:trackID=1\r\n";
const PLAIN_CHOSEN: Chosen<'_> = (96, 90_000, Some("Z00=,aO4="), Some("trackID=1"));

#[test]
fn lines_missing_empty_or_malformed_before_the_media() {
    expect(PLAIN, PLAIN_CHOSEN);
    for (line, instead) in [
        ("o=- 1 1 IN IP4 192.0.2.1\r\n", ""),
        ("o=- 1 1 IN IP4 192.0.2.1\r\n", "o=- IN 192.0.2.1\r\n"),
        ("s=Session\r\n", "s=\r\n"),
        (
            "s=Session\r\n",
            "s=A\r\ns=B\r\nc=IN\r\nb=AS\r\nk=\r\nz=1\r\n",
        ),
        ("t=0 0\r\n", ""),
        ("t=0 0\r\n", "t=\r\nr=1\r\n"),
        ("v=0\r\n", ""),
        ("v=0\r\n", "\u{feff}v=0\r\n"),
    ] {
        assert!(PLAIN.contains(line));
        expect(PLAIN.replace(line, instead), PLAIN_CHOSEN);
    }
}

#[test]
fn line_ends_nul_and_bytes_that_are_not_utf8() {
    expect(PLAIN.replace("\r\n", "\r"), PLAIN_CHOSEN);
    expect(PLAIN.replace("\r\n", "\n"), PLAIN_CHOSEN);
    expect(format!("{PLAIN}\0"), PLAIN_CHOSEN);
    expect(PLAIN.trim_end().to_owned() + "\0\0", PLAIN_CHOSEN);
    let mut bytes = PLAIN.as_bytes().to_vec();
    let name = bytes.windows(7).position(|w| w == b"Session").unwrap();
    bytes[name..name + 3].copy_from_slice(&[0xff, 0xc3, 0x28]);
    expect(bytes, PLAIN_CHOSEN);
}

#[test]
fn attributes_in_any_order() {
    let control_first = "m=video 0 RTP/AVP 96\na=control:trackID=1\na=rtpmap:96 H264/90000\n\
        a=fmtp:96 sprop-parameter-sets=Z00=,aO4=\n";
    expect(control_first, PLAIN_CHOSEN);
    let before_media = "v=0\na=control:*\na=rtpmap:96 H264/90000\n\
        a=fmtp:96 sprop-parameter-sets=Z00=,aO4=\nm=video 0 RTP/AVP 96\na=control:trackID=1\n";
    expect(before_media, PLAIN_CHOSEN);
    let sdp = Description::parse(b"a=control:rtsp://h/\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264\n");
    assert_eq!(sdp.control.as_deref(), Some("rtsp://h/"));
}

#[test]
fn media_lines_that_make_no_sense_are_passed_over_with_their_attributes() {
    for odd in [
        "m=application/VENDOR 0 RTP/AVP smart/1/90000",
        "m=",
        "m=video",
        "m=video 0 RTP/AVP",
        "m=video 0 RTP/AVP 200 -1",
        "m=message 0 TCP/MSRP *",
    ] {
        let sdp = format!("{odd}\r\na=rtpmap:96 nonsense/1\r\na=control:wrong\r\n{PLAIN}");
        expect(sdp, PLAIN_CHOSEN);
    }
}

#[test]
fn protocols() {
    for (protocol, good) in [
        ("RTP/AVP", true),
        ("RTP/AVP/TCP", true),
        ("RTP/AVP/UDP", true),
        ("RTP/AVPF", true),
        ("rtp/avp", true),
        ("RTP/SAVP", false),
        ("RTP/SAVPF", false),
        ("RTP/AVPX", false),
        ("MP2T/H2221/UDP", false),
    ] {
        let sdp = PLAIN.replace("RTP/AVP", protocol);
        match good {
            true => expect(sdp, PLAIN_CHOSEN),
            false => {
                let told = choose(sdp.as_bytes()).unwrap_err().to_string();
                assert_eq!(told, format!("no video among video ({protocol})"));
            }
        }
    }
}

#[test]
fn rtpmaps() {
    for (rtpmap, clock) in [
        ("96 H264/90000 ", 90_000),
        ("96 h264/90000/1", 90_000),
        ("96   H264 / 90000", 90_000),
        ("96 H264/0", 90_000),
        ("96 H264/x", 90_000),
        ("96 H264", 90_000),
        ("96 H264/1000", 1000),
    ] {
        let sdp = PLAIN.replace("96 H264/90000", rtpmap);
        expect(sdp, (96, clock, PLAIN_CHOSEN.2, PLAIN_CHOSEN.3));
    }
    // The media line names another type than the map.
    expect(PLAIN.replace("AVP 96", "AVP 35"), PLAIN_CHOSEN);
    // Several types, H.264 not the first.
    let several = PLAIN.replace("AVP 96", "AVP 97 96") + "a=rtpmap:97 H265/90000\r\n";
    expect(several, PLAIN_CHOSEN);
}

#[test]
fn format_parameters() {
    let line = "96 packetization-mode=1;sprop-parameter-sets=Z00=,aO4=";
    for (fmtp, sprop) in [
        ("96", None),
        ("96 ", None),
        ("96 packetization-mode=1", None),
        ("96 sprop-parameter-sets=", None),
        ("96 sprop-parameter-sets", None),
        ("97 sprop-parameter-sets=QQ==", None),
        (
            "96 ; packetization-mode=1;;sprop-parameter-sets=QQ==;",
            Some("QQ=="),
        ),
        (
            "96 PROFILE-LEVEL-ID=64; SPROP-Parameter-Sets = QQ== ; x",
            Some("QQ=="),
        ),
        ("96 sprop-parameter-sets=not base64!,", Some("not base64!,")),
    ] {
        let sdp = PLAIN.replace(line, fmtp);
        assert_ne!(sdp, PLAIN);
        expect(sdp, (96, 90_000, sprop, PLAIN_CHOSEN.3));
    }
}

#[test]
fn the_video_is_found_among_other_tracks() {
    let others = "m=audio 0 RTP/AVP 0\na=control:a1\nm=audio 0 RTP/AVP 8\na=control:back\na=sendonly\n\
        m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\na=control:meta\n";
    expect(format!("v=0\n{others}{PLAIN}"), PLAIN_CHOSEN);
    expect(format!("{PLAIN}{others}"), PLAIN_CHOSEN);
    // Of two videos the first that can be recorded.
    let jpeg = "m=video 0 RTP/AVP 26\na=control:jpeg\n";
    let second = PLAIN.replace("trackID=1", "second");
    expect(format!("{jpeg}{PLAIN}{second}"), PLAIN_CHOSEN);
}

#[test]
fn why_there_is_no_video_to_record() {
    for (sdp, told) in [
        ("", "no video among no media at all"),
        (
            "v=0\nm=audio 0 RTP/AVP 0\n",
            "no video among audio (RTP/AVP)",
        ),
        (
            "m=video 0 RTP/AVP 26\n",
            "the video is JPEG, not H.264: set the camera to H.264",
        ),
        (
            "m=video 0 RTP/AVP 99\na=rtpmap:99 hevc\u{1b}\n",
            "the video is HEVC, not H.264: set the camera to H.264",
        ),
        ("m=video 0 RTP/AVP 96\n", "no video among video (RTP/AVP)"),
    ] {
        assert_eq!(choose(sdp.as_bytes()).unwrap_err().to_string(), told);
    }
}

#[test]
fn media_are_bounded() {
    let many = "m=audio 0 RTP/AVP 0\n".repeat(5000);
    assert_eq!(Description::parse(many.as_bytes()).media.len(), MEDIA_LIMIT);
}
