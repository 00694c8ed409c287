//! Media and media2 (ONVIF Media and Media2 service specifications): profiles, and where their streams are.

use super::soap::Call;
use super::xml::{Element, escape};
use url::Url;

const MEDIA: &str = "http://www.onvif.org/ver10/media/wsdl";
const MEDIA2: &str = "http://www.onvif.org/ver20/media/wsdl";
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// Profiles that are looked at; further ones are passed over.
const MAX_PROFILES: usize = 32;
/// The longest token and name that is kept, in characters.
const MAX_TEXT_CHARS: usize = 64;
/// The largest picture that anybody sends, in either direction.
const MAX_SIDE: f64 = 16_384.0;

/// Which of the two services is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Media,
    Media2,
}

/// How video is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    H264,
    H265,
    /// JPEG, MPEG-4 and what is to come, by its name.
    Other(String),
}

impl Codec {
    fn of(name: &str) -> Codec {
        match name.to_ascii_uppercase().as_str() {
            "H264" => Codec::H264,
            "H265" | "HEVC" => Codec::H265,
            _ => Codec::Other(name.chars().take(16).collect()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            Codec::Other(name) => name,
        }
    }
}

/// A media profile: a stream that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub token: String,
    pub name: String,
    pub codec: Codec,
    pub width: u32,
    pub height: u32,
    /// Frames a second, at most.
    pub frame_rate: Option<f64>,
    /// Bits a second, at most.
    pub bit_rate: Option<u64>,
    /// Frames from one key frame to the next.
    pub gov_length: Option<u32>,
    /// Which of the device's lenses or inputs.
    pub source: String,
}

impl Profile {
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// How long from one key frame to the next, in seconds, as it is set.
    pub fn key_frame_secs(&self) -> Option<f64> {
        let rate = self.frame_rate.filter(|r| *r > 0.0)?;
        Some(f64::from(self.gov_length.filter(|n| *n > 0)?) / rate)
    }
}

fn call(kind: Kind, url: &Url, name: &str, body: &str) -> Call {
    let namespace = match kind {
        Kind::Media => MEDIA,
        Kind::Media2 => MEDIA2,
    };
    Call {
        url: url.clone(),
        action: format!("{namespace}/{name}"),
        body: format!("<{name} xmlns=\"{namespace}\">{body}</{name}>"),
        addressed: None,
    }
}

pub fn get_profiles(kind: Kind, url: &Url) -> Call {
    let body = match kind {
        Kind::Media => "",
        Kind::Media2 => "<Type>VideoSource</Type><Type>VideoEncoder</Type>",
    };
    call(kind, url, "GetProfiles", body)
}

pub fn get_stream_uri(kind: Kind, url: &Url, token: &str) -> Call {
    let token = escape(token);
    let body = match kind {
        Kind::Media => format!(
            "<StreamSetup><Stream xmlns=\"{SCHEMA}\">RTP-Unicast</Stream>\
             <Transport xmlns=\"{SCHEMA}\"><Protocol>RTSP</Protocol></Transport></StreamSetup>\
             <ProfileToken>{token}</ProfileToken>"
        ),
        Kind::Media2 => {
            format!("<Protocol>RTSP</Protocol><ProfileToken>{token}</ProfileToken>")
        }
    };
    call(kind, url, "GetStreamUri", &body)
}

pub fn get_snapshot_uri(kind: Kind, url: &Url, token: &str) -> Call {
    let body = format!("<ProfileToken>{}</ProfileToken>", escape(token));
    call(kind, url, "GetSnapshotUri", &body)
}

/// Profiles with an encoder, in the device's order.
pub fn profiles(reply: &Element) -> Vec<Profile> {
    let all = reply.all("Profiles");
    all.filter_map(profile).take(MAX_PROFILES).collect()
}

fn profile(of: &Element) -> Option<Profile> {
    let short = |text: &str| text.chars().take(MAX_TEXT_CHARS).collect::<String>();
    // Media2 has them one level down, under other names.
    let both = |old: &str, new: &str| of.child(old).or_else(|| of.at(&["Configurations", new]));
    let encoder = both("VideoEncoderConfiguration", "VideoEncoder")?;
    let source = both("VideoSourceConfiguration", "VideoSource");
    let side = |name| {
        let number = encoder.number_at(&["Resolution", name])?;
        (1.0..=MAX_SIDE).contains(&number).then_some(number as u32)
    };
    let limit = |name| {
        encoder
            .number_at(&["RateControl", name])
            .filter(|n| *n > 0.0)
    };
    let gov = encoder
        .number_at(&["H264", "GovLength"])
        .or_else(|| encoder.attribute("GovLength")?.parse().ok());
    Some(Profile {
        token: short(of.attribute("token")?),
        name: short(of.text_at(&["Name"]).unwrap_or_default()),
        codec: Codec::of(encoder.text_at(&["Encoding"]).unwrap_or("H264")),
        width: side("Width")?,
        height: side("Height")?,
        frame_rate: limit("FrameRateLimit").filter(|r| *r <= 1000.0),
        bit_rate: limit("BitrateLimit").map(|kbit| (kbit.min(1e6) * 1000.0) as u64),
        gov_length: gov.filter(|n| (1.0..=1e6).contains(n)).map(|n| n as u32),
        source: short(
            source
                .and_then(|s| s.text_at(&["SourceToken"]))
                .unwrap_or_default(),
        ),
    })
}

/// The address in an answer to [`get_stream_uri`] or [`get_snapshot_uri`].
pub fn uri(reply: &Element) -> Option<Url> {
    let text = reply
        .text_at(&["MediaUri", "Uri"])
        .or(reply.text_at(&["Uri"]))?;
    Url::parse(text).ok().filter(|u| u.as_str().len() <= 1024)
}

/// The streams to record: indexes of the best main and, if there is one that deserves it, sub profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub main: usize,
    pub sub: Option<usize>,
}

/// What a sub stream should be about: enough for a tile, and little to carry.
const SUB_PIXELS: f64 = 640.0 * 360.0;

/// Chooses among the profiles of the first source: the largest picture in H.264 as main, and of those that
/// are smaller the one nearest to 640x360 as sub. A camera with H.265 alone has that chosen, for its
/// owner to be told.
pub fn choose(profiles: &[Profile]) -> Option<Choice> {
    let source = &profiles.first()?.source;
    let ours = || {
        profiles
            .iter()
            .enumerate()
            .filter(|(_, p)| p.source == *source)
    };
    let largest = |codec: Codec| {
        // The first of several that are as large: makers put their own profiles first.
        let all = ours().filter(|(_, p)| p.codec == codec);
        all.rev().max_by_key(|(_, p)| p.pixels()).map(|(i, _)| i)
    };
    let main = largest(Codec::H264).or_else(|| largest(Codec::H265))?;
    let most = profiles[main].pixels();
    let off = |p: &Profile| (p.pixels() as f64 / SUB_PIXELS).ln().abs();
    let sub = ours()
        .filter(|(i, p)| *i != main && p.codec == profiles[main].codec && p.pixels() < most)
        .min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)));
    Some(Choice {
        main,
        sub: sub.map(|(i, _)| i),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Element {
        Element::parse(format!("<r>{text}</r>").as_bytes()).unwrap()
    }

    fn of(token: &str, codec: Codec, width: u32, height: u32, source: &str) -> Profile {
        Profile {
            token: token.to_owned(),
            name: String::new(),
            codec,
            width,
            height,
            frame_rate: None,
            bit_rate: None,
            gov_length: None,
            source: source.to_owned(),
        }
    }

    #[test]
    fn profiles_of_both_services() {
        let old = profiles(&reply(
            "<Profiles token='p1' fixed='true'><Name>mainStream</Name>\
             <VideoSourceConfiguration token='v'><SourceToken>s0</SourceToken></VideoSourceConfiguration>\
             <VideoEncoderConfiguration token='e'><Encoding>H264</Encoding><Resolution><Width>2560</Width>\
             <Height>1440</Height></Resolution><RateControl><FrameRateLimit>25</FrameRateLimit>\
             <BitrateLimit>4096</BitrateLimit></RateControl><H264><GovLength>50</GovLength></H264>\
             </VideoEncoderConfiguration></Profiles><Profiles token='audio'/>",
        ));
        assert_eq!(old.len(), 1);
        assert_eq!((old[0].width, old[0].bit_rate), (2560, Some(4_096_000)));
        assert_eq!(old[0].key_frame_secs(), Some(2.0));
        let new = profiles(&reply(
            "<Profiles token='p2'><Configurations><VideoSource><SourceToken>s0</SourceToken></VideoSource>\
             <VideoEncoder token='e' GovLength='30'><Encoding>H265</Encoding><Resolution><Width>3840</Width>\
             <Height>2160</Height></Resolution><RateControl><FrameRateLimit>15.0</FrameRateLimit>\
             </RateControl></VideoEncoder></Configurations></Profiles>",
        ));
        assert_eq!((&new[0].codec, new[0].gov_length), (&Codec::H265, Some(30)));
        assert_eq!(new[0].source, "s0");
    }

    #[test]
    fn numbers_that_cannot_be_cost_their_profile() {
        let width = |w: &str| {
            profiles(&reply(&format!(
                "<Profiles token='p'><VideoEncoderConfiguration><Resolution><Width>{w}</Width>\
                 <Height>9</Height></Resolution></VideoEncoderConfiguration></Profiles>"
            )))
        };
        for odd in ["0", "-1", "nan", "1e30", "", "x"] {
            assert_eq!(width(odd), [], "{odd}");
        }
        assert_eq!(width("16").len(), 1);
    }

    #[test]
    fn the_best_two_are_chosen() {
        let chosen = |all: &[Profile]| choose(all).map(|c| (c.main, c.sub));
        let h264 = || Codec::H264;
        assert_eq!(chosen(&[]), None);
        let all = [
            of("jpeg", Codec::Other("JPEG".to_owned()), 640, 480, "s"),
            of("tiny", h264(), 320, 180, "s"),
            of("main", h264(), 1920, 1080, "s"),
            of("copy", h264(), 1920, 1080, "s"),
            of("sub", h264(), 704, 576, "s"),
            of("other", h264(), 3840, 2160, "second lens"),
        ];
        assert_eq!(chosen(&all), Some((2, Some(4))));
        // As big as the main one is none.
        assert_eq!(chosen(&all[2..4]), Some((0, None)));
        let new = [
            of("a", Codec::H265, 3840, 2160, ""),
            of("b", h264(), 640, 360, ""),
        ];
        assert_eq!(chosen(&new), Some((1, None)));
        assert_eq!(chosen(&new[..1]), Some((0, None)));
        assert_eq!(chosen(&all[..1]), None);
    }

    #[test]
    fn a_uri_of_either_service() {
        let old = uri(&reply(
            "<MediaUri><Uri>rtsp://192.0.2.7/a?b=1&amp;c=2</Uri></MediaUri>",
        ));
        assert_eq!(old.unwrap().as_str(), "rtsp://192.0.2.7/a?b=1&c=2");
        assert_eq!(
            uri(&reply("<Uri>rtsp://x/</Uri>")).unwrap().as_str(),
            "rtsp://x/"
        );
        assert_eq!(uri(&reply("<Uri>nonsense</Uri>")), None);
    }
}
