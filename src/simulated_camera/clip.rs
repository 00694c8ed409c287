//! A clip from a file, by FFmpeg's demuxers: `.mp4`, `.mkv`, raw `.h264`, whatever they read.

use super::source::{Clip, ClipError, ClipUnit};
use super::{ParameterSets, annex_b};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Rescale, codec, media};
use std::path::Path;

/// What of a file is read at most, in bytes of video: it is all kept in memory.
pub const MAX_CLIP_BYTES: usize = 256 << 20;
/// The frame rate of a raw file that tells none.
const DEFAULT_FRAME_RATE: f64 = 25.0;

/// Why a file gives no clip.
#[derive(Debug, thiserror::Error)]
pub enum ReadClipError {
    #[error("{0}")]
    Ffmpeg(#[from] ffmpeg::Error),
    #[error("there is no H.264 video in it")]
    NoVideo,
    #[error("it holds no parameter sets")]
    NoParameters,
    #[error("its frame {0} is damaged")]
    Frame(usize),
    #[error("it is longer than {} MiB", MAX_CLIP_BYTES >> 20)]
    TooLong,
    #[error("{0}")]
    Clip(#[from] ClipError),
}

/// Reads the best video track of a file, from its first sync sample on.
pub fn read(path: &Path) -> Result<Clip, ReadClipError> {
    ffmpeg::init()?;
    ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Error);
    let mut input = ffmpeg::format::input(path)?;
    let stream = input
        .streams()
        .best(media::Type::Video)
        .filter(|s| s.parameters().id() == codec::Id::H264)
        .ok_or(ReadClipError::NoVideo)?;
    let (index, time_base) = (stream.index(), stream.time_base());
    let rate = f64::from(stream.rate());
    let rate = if rate.is_finite() && rate > 0.0 {
        rate
    } else {
        DEFAULT_FRAME_RATE
    };
    let frame_90k = (90_000.0 / rate) as i64;
    let mut form = Form::of(&extradata(&stream.parameters()));

    let mut units: Vec<ClipUnit> = Vec::new();
    let mut bytes = 0;
    for (n, (packet_stream, packet)) in input.packets().enumerate() {
        if packet_stream.index() != index {
            continue;
        }
        let data = packet.data().unwrap_or(&[]);
        bytes += data.len();
        if bytes > MAX_CLIP_BYTES {
            return Err(ReadClipError::TooLong);
        }
        let nals = form.split(data).ok_or(ReadClipError::Frame(n))?;
        form.learn(&nals);
        let sync = nals.iter().any(|nal| nal[0] & 0x1f == 5);
        if units.is_empty() && !sync {
            continue;
        }
        let guess = units.last().map_or(0, |u| u.decode_90k + frame_90k);
        let time = |t: Option<i64>| t.map(|t| t.rescale(time_base, (1, 90_000)));
        let decode_90k = time(packet.dts()).unwrap_or(guess);
        units.push(ClipUnit {
            decode_90k,
            present_90k: time(packet.pts()).unwrap_or(decode_90k),
            sync,
            nals: nals
                .into_iter()
                .filter(|nal| !matches!(nal[0] & 0x1f, 7 | 8))
                .map(<[u8]>::to_vec)
                .collect(),
        });
    }
    let start = units.first().map_or(0, |u| u.decode_90k);
    for unit in &mut units {
        unit.decode_90k -= start;
        unit.present_90k -= start;
    }
    let end = units.last().map_or(0, |u| u.decode_90k) + frame_90k;
    let parameters = form.parameters.ok_or(ReadClipError::NoParameters)?;
    Ok(Clip::new(units, end, parameters)?)
}

/// How the file lays out NAL units, and the parameter sets found so far.
struct Form {
    /// Bytes of a NAL unit's length before it; `None` for start codes.
    length_bytes: Option<usize>,
    parameters: Option<ParameterSets>,
}

impl Form {
    /// From an AVCDecoderConfigurationRecord, or else from a byte stream of parameter sets.
    fn of(extradata: &[u8]) -> Form {
        if let [1, _, _, _, sizes, ..] = extradata {
            return Form {
                length_bytes: Some(usize::from(sizes & 3) + 1),
                parameters: parse_avcc(extradata),
            };
        }
        let mut form = Form {
            length_bytes: None,
            parameters: None,
        };
        form.learn(&annex_b::split(extradata));
        form
    }

    fn split<'a>(&self, data: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let Some(length_bytes) = self.length_bytes else {
            return Some(annex_b::split(data));
        };
        let mut nals = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let len = length.iter().fold(0, |len, b| len << 8 | usize::from(*b));
            let (nal, after) = after.split_at_checked(len)?;
            nals.extend((!nal.is_empty()).then_some(nal));
            rest = after;
        }
        Some(nals)
    }

    /// Parameter sets in band serve where there are none yet.
    fn learn(&mut self, nals: &[&[u8]]) {
        let find = |kind: u8| nals.iter().find(|n| n[0] & 0x1f == kind);
        if let (None, Some(sps), Some(pps)) = (&self.parameters, find(7), find(8)) {
            self.parameters = Some(ParameterSets {
                sps: sps.to_vec(),
                pps: pps.to_vec(),
            });
        }
    }
}

/// The first sequence and picture parameter set of an AVCDecoderConfigurationRecord
/// (ISO/IEC 14496-15 section 5.3.3.1).
fn parse_avcc(record: &[u8]) -> Option<ParameterSets> {
    let (sps_count, mut rest) = record.get(5..)?.split_first()?;
    let mut sps = Vec::new();
    for _ in 0..sps_count & 0x1f {
        sps.push(take_nal(&mut rest)?);
    }
    let (_, mut rest) = rest.split_first()?;
    Some(ParameterSets {
        sps: sps.first()?.to_vec(),
        pps: take_nal(&mut rest)?.to_vec(),
    })
}

/// A NAL unit after its length in two bytes.
fn take_nal<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(2)?;
    let (nal, after) =
        after.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
    *rest = after;
    Some(nal)
}

fn extradata(parameters: &codec::Parameters) -> Vec<u8> {
    // SAFETY: `parameters` lives through this call and FFmpeg keeps `extradata` null or pointing to
    // at least `extradata_size` bytes.
    unsafe {
        let p = &*parameters.as_ptr();
        match usize::try_from(p.extradata_size) {
            Ok(len) if !p.extradata.is_null() => {
                std::slice::from_raw_parts(p.extradata, len).to_vec()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn a_raw_file_is_read_back() {
        let stream = Synthetic::default();
        let mut bytes = Vec::new();
        for n in 20..50 {
            let unit = stream.frame(n);
            let sets = [&unit.parameters.sps, &unit.parameters.pps];
            for nal in sets.into_iter().filter(|_| unit.sync).chain(&unit.nals) {
                bytes.extend_from_slice(&[0, 0, 0, 1]);
                bytes.extend_from_slice(nal);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.h264");
        std::fs::write(&path, bytes).unwrap();
        let clip = read(&path).unwrap();
        assert_eq!(clip.len(), 30);
        let source = super::super::Source::Clip(clip.into());
        assert_eq!(
            *source.parameters(std::time::Duration::ZERO),
            stream.parameters(20)
        );
        for n in [0, 1, 29] {
            let unit = source.frame(n).unwrap();
            assert_eq!(unit.nals, stream.frame(20 + n).nals);
            assert_eq!(unit.sync, n == 0 || n == 20);
        }
        let again = source.frame(30).unwrap();
        assert_eq!(again.nals, stream.frame(20).nals);
        assert_eq!(again.timestamp_90k, 30 * 9000);
    }

    #[test]
    fn an_avcc_record_is_read_or_refused() {
        let record = [1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68];
        let sets = parse_avcc(&record).unwrap();
        assert_eq!((sets.sps, sets.pps), (vec![0x67, 1], vec![0x68]));
        for cut in 0..record.len() {
            assert_eq!(parse_avcc(&record[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_video_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        std::fs::write(&path, b"no video").unwrap();
        assert!(matches!(read(&path), Err(ReadClipError::Ffmpeg(_))));
    }
}
