//! From drawn pictures to H.264, by FFmpeg's libx264, in real time and with little CPU.

use super::ParameterSets;
use super::annex_b;
use super::canvas::Canvas;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::util::{color, format::Pixel, frame, picture};

/// The units of presentation times.
const TIME_BASE: (i32, i32) = (1, 90_000);
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_IDR: u8 = 5;

/// Why there is no encoded picture.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error(
        "this machine's FFmpeg has no libx264 encoder: install a libavcodec with it \
         (Debian's libavcodec-dev has), or ask for synthetic pictures"
    )]
    Missing,
    #[error("encoding failed: {0}")]
    Ffmpeg(#[from] ffmpeg::Error),
    #[error("the encoder gave no {0}")]
    Lacking(&'static str),
}

/// One stream's encoder. No B pictures, no delay: each picture gives one access unit at once.
pub struct Encoder {
    inner: ffmpeg::encoder::video::Encoder,
    parameters: ParameterSets,
}

/// An encoded picture.
pub struct Encoded {
    pub sync: bool,
    /// NAL units without start codes and without parameter sets.
    pub nals: Vec<Vec<u8>>,
}

impl Encoder {
    /// `size` in pixels; a sync sample every `gop_frames`.
    pub fn open(
        (width, height): (u32, u32),
        frame_rate: u32,
        gop_frames: u32,
    ) -> Result<Encoder, EncoderError> {
        ffmpeg::init()?;
        ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Error);
        let codec = ffmpeg::encoder::find_by_name("libx264").ok_or(EncoderError::Missing)?;
        let context = ffmpeg::codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video()?;
        video.set_width(width);
        video.set_height(height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(TIME_BASE);
        video.set_frame_rate(Some((frame_rate as i32, 1)));
        video.set_gop(gop_frames);
        video.set_max_b_frames(0);
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        let mut options = ffmpeg::Dictionary::new();
        options.set("preset", "ultrafast");
        options.set("tune", "zerolatency");
        options.set("crf", "24");
        options.set("threads", "1");
        options.set("forced-idr", "1");
        // The distance of sync samples is counted in frames alone.
        options.set("x264-params", "scenecut=0");
        let mut encoder = Encoder {
            inner: video.open_with(options)?,
            parameters: ParameterSets {
                sps: Vec::new(),
                pps: Vec::new(),
            },
        };
        encoder.learn_parameters((width as usize, height as usize))?;
        Ok(encoder)
    }

    /// The parameter sets of all that is encoded.
    pub fn parameters(&self) -> &ParameterSets {
        &self.parameters
    }

    /// They come with the first sync sample: encodes a black picture before all others.
    fn learn_parameters(&mut self, (width, height): (usize, usize)) -> Result<(), EncoderError> {
        let packet = self.encode_packet(&Canvas::new(width, height), -1, true)?;
        for nal in annex_b::split(&packet) {
            match nal[0] & 0x1f {
                NAL_SPS => self.parameters.sps = nal.to_vec(),
                NAL_PPS => self.parameters.pps = nal.to_vec(),
                _ => {}
            }
        }
        if self.parameters.sps.is_empty() || self.parameters.pps.is_empty() {
            return Err(EncoderError::Lacking("parameter sets"));
        }
        Ok(())
    }

    /// Encodes one picture. `timestamp_90k` grows from call to call and is not negative; `sync`
    /// asks for a sync sample now.
    pub fn encode(
        &mut self,
        canvas: &Canvas,
        timestamp_90k: i64,
        sync: bool,
    ) -> Result<Encoded, EncoderError> {
        let packet = self.encode_packet(canvas, timestamp_90k, sync)?;
        let nals = annex_b::split(&packet);
        Ok(Encoded {
            sync: nals.iter().any(|n| n[0] & 0x1f == NAL_IDR),
            nals: nals
                .into_iter()
                .filter(|n| !matches!(n[0] & 0x1f, NAL_SPS | NAL_PPS))
                .map(<[u8]>::to_vec)
                .collect(),
        })
    }

    fn encode_packet(
        &mut self,
        canvas: &Canvas,
        timestamp_90k: i64,
        sync: bool,
    ) -> Result<Vec<u8>, EncoderError> {
        let (width, height) = (canvas.width() as u32, canvas.height() as u32);
        let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
        frame.set_color_space(color::Space::BT709);
        frame.set_color_range(color::Range::MPEG);
        frame.set_pts(Some(timestamp_90k));
        frame.set_kind(if sync {
            picture::Type::I
        } else {
            picture::Type::None
        });
        for (i, plane) in canvas.planes.iter().enumerate() {
            let stride = frame.stride(i);
            let rows = plane.samples.chunks(plane.width);
            for (to, from) in frame.data_mut(i).chunks_mut(stride).zip(rows) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        self.inner.send_frame(&frame)?;
        let mut packet = ffmpeg::Packet::empty();
        self.inner.receive_packet(&mut packet)?;
        let data = packet.data().ok_or(EncoderError::Lacking("bytes"))?;
        Ok(data.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Place, Scene};
    use super::super::synthetic::Synthetic;
    use super::*;
    use crate::time::Wall90k;

    /// Decodes access units one by one; the luma plane of each.
    fn decode(units: &[Vec<u8>], size: (u32, u32)) -> Vec<Vec<u8>> {
        ffmpeg::init().unwrap();
        let codec = ffmpeg::decoder::find(ffmpeg::codec::Id::H264).unwrap();
        let context = ffmpeg::codec::Context::new_with_codec(codec);
        let mut decoder = context.decoder().video().unwrap();
        let mut pictures = Vec::new();
        let mut frame = frame::Video::empty();
        let mut drain = |decoder: &mut ffmpeg::decoder::Video| {
            while decoder.receive_frame(&mut frame).is_ok() {
                assert!(!frame.is_corrupt());
                assert_eq!((frame.width(), frame.height()), size);
                let rows = frame.data(0).chunks(frame.stride(0));
                pictures.push(
                    rows.take(size.1 as usize)
                        .flat_map(|r| &r[..size.0 as usize])
                        .copied()
                        .collect(),
                );
            }
        };
        for unit in units {
            decoder.send_packet(&ffmpeg::Packet::copy(unit)).unwrap();
            drain(&mut decoder);
        }
        decoder.send_eof().unwrap();
        drain(&mut decoder);
        pictures
    }

    fn annex_b(parameters: &ParameterSets, sync: bool, nals: &[Vec<u8>]) -> Vec<u8> {
        let sets = [&parameters.sps, &parameters.pps];
        let nals = sets.into_iter().filter(|_| sync).chain(nals);
        nals.flat_map(|n| [&[0, 0, 0, 1], n.as_slice()].concat())
            .collect()
    }

    #[test]
    fn what_is_drawn_is_what_a_decoder_shows() {
        let size = (320, 180);
        let mut scene = Scene::new(
            Place::Garden,
            "garden",
            (320, 180),
            10,
            jiff::tz::TimeZone::UTC,
        );
        let mut encoder = Encoder::open(size, 10, 20).unwrap();
        let mut drawn = Vec::new();
        let mut units = Vec::new();
        for n in 0..25_i64 {
            let wall = Wall90k(1_795_341_600 * 90_000 + n * 9000);
            let canvas = scene.draw(wall, n as u64);
            let encoded = encoder.encode(canvas, n * 9000, n == 0 || n == 7).unwrap();
            assert_eq!(encoded.sync, n == 0 || n == 7, "{n}");
            units.push(annex_b(encoder.parameters(), encoded.sync, &encoded.nals));
            drawn.push(canvas.planes[0].samples.clone());
        }
        let shown = decode(&units, size);
        assert_eq!(shown.len(), drawn.len());
        for (n, (shown, drawn)) in shown.iter().zip(&drawn).enumerate() {
            let wrong: u64 = shown
                .iter()
                .zip(drawn)
                .map(|(a, b)| u64::from(a.abs_diff(*b)))
                .sum();
            let mean = wrong as f64 / drawn.len() as f64;
            assert!(mean < 4.0, "picture {n} is off by {mean} on average");
        }
    }

    #[test]
    fn a_decoder_shows_synthetic_pictures() {
        let stream = Synthetic::default();
        let frames = 45;
        let units: Vec<Vec<u8>> = (0..frames)
            .map(|n| {
                let unit = stream.frame(n);
                annex_b(&unit.parameters, unit.sync, &unit.nals)
            })
            .collect();
        let shown = decode(&units, (320, 180));
        assert_eq!(shown.len() as u64, frames);
        // The raw macroblocks are shown as they are: the first one's first row.
        let sync = stream.frame(0);
        let slice = &sync.nals[1];
        let at = slice
            .windows(16)
            .position(|w| w == &shown[0][..16])
            .expect("the first row is in the slice");
        assert!(at < 8);
        // A picture of which nothing arrived would be grey all over.
        assert!(shown.iter().all(|p| p[..16] != [128; 16]));
    }
}
