//! The parameter sets that a stream has shown, and the sample entry made of them.

use super::VideoSampleEntry;
use super::annexb;
use super::nal::{self, Unescaped, unit_type};
use super::sps::{MAX_PARAMETER_SET_BYTES, Sps, SpsError};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use h264_reader::rbsp::{BitRead, BitReader};
use std::fmt::Write as _;
use std::sync::Arc;

/// How many of each kind are kept. Past it the one that was received first is forgotten.
const MAX_SETS: usize = 16;

/// The longest `sprop-parameter-sets` that is read, in bytes; what is behind is passed over.
const MAX_SPROP_BYTES: usize = 16 * 1024;

/// What is wrong with a parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterSetError {
    #[error(transparent)]
    Sps(#[from] SpsError),
    #[error("picture parameter set is cut short or has a bad identifier")]
    Pps,
    #[error("parameter set of {0} bytes")]
    TooLarge(usize),
    #[error("NAL unit of type {0} is not a parameter set")]
    NotParameterSet(u8),
}

/// What is wrong with `sprop-parameter-sets` (RFC 6184 section 8.1). The good ones of it were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpropError {
    #[error("sprop-parameter-sets: item {item} is not base64")]
    Base64 {
        /// Counted from 0.
        item: usize,
    },
    #[error("sprop-parameter-sets: item {item}: {error}")]
    Set {
        item: usize,
        error: ParameterSetError,
    },
    #[error("sprop-parameter-sets is longer than {MAX_SPROP_BYTES} bytes")]
    TooLong,
}

/// One kind of parameter set, as it was received and by identifier.
#[derive(Clone, Debug)]
struct Stored<T> {
    /// The NAL unit as it came, without trailing zeros: what repetitions are compared with.
    raw: Vec<u8>,
    /// How much of `raw` belongs to the set; the rest is junk.
    len: usize,
    id: u8,
    facts: T,
}

impl<T> Stored<T> {
    fn nal(&self) -> &[u8] {
        &self.raw[..self.len]
    }
}

/// The parameter sets of a stream. Later ones replace earlier ones of the same identifier, so those
/// in the stream win over those of the SDP.
///
/// A set that is repeated unchanged costs a comparison: no parsing, no allocation.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sps: Vec<Stored<Sps>>,
    /// The fact about a PPS is the id of its SPS.
    pps: Vec<Stored<u8>>,
    sps_extensions: Vec<Stored<()>>,
    /// Something has changed since `entry` was made.
    changed: bool,
    /// The SPS that `entry` was made for.
    active_sps: Option<u8>,
    entry: Option<Arc<VideoSampleEntry>>,
}

impl ParameterSets {
    /// True for the types of NAL unit that [`Self::put`] takes.
    pub fn takes(unit_type: u8) -> bool {
        matches!(
            unit_type,
            unit_type::SPS | unit_type::PPS | unit_type::SPS_EXTENSION
        )
    }

    /// Takes a parameter set: a NAL unit with its header.
    pub fn put(&mut self, nal: &[u8]) -> Result<(), ParameterSetError> {
        let nal = annexb::trim_trailing_zeros(nal);
        if nal.len() > MAX_PARAMETER_SET_BYTES {
            return Err(ParameterSetError::TooLarge(nal.len()));
        }
        let changed = match nal.first().map(|&h| nal::unit_type(h)) {
            Some(unit_type::SPS) => store(&mut self.sps, nal, |nal| {
                let sps = Sps::parse(nal)?;
                Ok((sps.id, sps.len, sps))
            }),
            Some(unit_type::PPS) => store(&mut self.pps, nal, |nal| {
                let (pps_id, sps_id) = parse_pps(nal).ok_or(ParameterSetError::Pps)?;
                Ok((pps_id, nal.len(), sps_id))
            }),
            Some(unit_type::SPS_EXTENSION) => store(&mut self.sps_extensions, nal, |nal| {
                let (sps_id, _) = parse_ids(nal, 31).ok_or(ParameterSetError::Pps)?;
                Ok((sps_id, nal.len(), ()))
            }),
            other => Err(ParameterSetError::NotParameterSet(other.unwrap_or(0))),
        }?;
        self.changed |= changed;
        Ok(())
    }

    /// Takes the value of `sprop-parameter-sets` (RFC 6184 section 8.1): NAL units in base64 with
    /// commas between them. Units in Annex B form are taken as well, and base64 of either alphabet,
    /// padded or not. Takes all that is good in it and returns the first error.
    pub fn put_sprop(&mut self, sprop: &str) -> Result<(), SpropError> {
        let mut result = Ok(());
        let cut = sprop.len().min(MAX_SPROP_BYTES);
        if cut < sprop.len() {
            result = Err(SpropError::TooLong);
        }
        for (item, encoded) in sprop.as_bytes()[..cut].split(|&b| b == b',').enumerate() {
            let Some(decoded) = decode_base64(encoded) else {
                result = result.and(Err(SpropError::Base64 { item }));
                continue;
            };
            for nal in annexb::split(&decoded) {
                if let Err(error) = self.put(nal) {
                    result = result.and(Err(SpropError::Set { item, error }));
                }
            }
        }
        result
    }

    /// The sample entry for pictures that refer to the PPS `pps_id`, or to whatever is at hand where
    /// that is not known. It is the same `Arc` as before as long as its content is the same.
    /// `None` until there is an SPS and a PPS that refers to it.
    pub fn entry_for(&mut self, pps_id: Option<u32>) -> Option<&Arc<VideoSampleEntry>> {
        let by_pps = pps_id.and_then(|id| self.pps.iter().find(|p| u32::from(p.id) == id));
        let sps_id = match by_pps {
            Some(pps) => Some(pps.facts),
            None => self.active_sps.or_else(|| Some(self.sps.last()?.id)),
        };
        if self.changed || sps_id != self.active_sps {
            self.changed = false;
            let made = sps_id.and_then(|id| self.make_entry(id));
            if let Some(made) = made {
                self.active_sps = sps_id;
                if self.entry.as_deref() != Some(&made) {
                    self.entry = Some(Arc::new(made));
                }
            }
        }
        self.entry.as_ref()
    }

    /// What [`Self::entry_for`] returned last.
    pub fn entry(&self) -> Option<&Arc<VideoSampleEntry>> {
        self.entry.as_ref()
    }

    /// True if a frame may be coded as two fields.
    pub fn has_fields(&self) -> bool {
        self.sps.iter().any(|s| !s.facts.frame_mbs_only)
    }

    /// `None` if it has no such SPS, or no PPS for it.
    fn make_entry(&self, sps_id: u8) -> Option<VideoSampleEntry> {
        let stored = self.sps.iter().find(|s| s.id == sps_id)?;
        let sps = &stored.facts;
        let mut pps: Vec<&Stored<u8>> = self.pps.iter().filter(|p| p.facts == sps_id).collect();
        if pps.is_empty() {
            return None;
        }
        pps.sort_by_key(|p| p.id);
        let extension = self.sps_extensions.iter().find(|e| e.id == sps_id);
        let mut rfc6381_codec = String::with_capacity(11);
        let _ = write!(
            rfc6381_codec,
            "avc1.{:02x}{:02x}{:02x}",
            sps.profile_idc, sps.constraint_flags, sps.level_idc
        );
        Some(VideoSampleEntry {
            width: sps.width,
            height: sps.height,
            pixel_h_spacing: sps.pixel_aspect.0,
            pixel_v_spacing: sps.pixel_aspect.1,
            rfc6381_codec,
            avcc: avcc(stored, &pps, extension),
            reorder_frames: sps.reorder_frames,
        })
    }
}

/// Returns whether anything but `raw` has changed.
fn store<T: PartialEq>(
    sets: &mut Vec<Stored<T>>,
    nal: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<(u8, usize, T), ParameterSetError>,
) -> Result<bool, ParameterSetError> {
    if sets.iter().any(|s| s.raw == nal) {
        return Ok(false);
    }
    let (id, len, facts) = parse(nal)?;
    let same = match sets.iter().position(|s| s.id == id) {
        Some(i) => sets.remove(i).nal() == &nal[..len],
        None => false,
    };
    if sets.len() == MAX_SETS {
        sets.remove(0);
    }
    sets.push(Stored {
        raw: nal.to_vec(),
        len,
        id,
        facts,
    });
    Ok(!same)
}

/// The identifiers of a PPS (section 7.3.2.2) and of the SPS that it refers to.
fn parse_pps(nal: &[u8]) -> Option<(u8, u8)> {
    let (pps_id, sps_id) = parse_ids(nal, 255)?;
    (sps_id <= 31).then_some((pps_id, sps_id))
}

/// The first two Exp-Golomb codes of a NAL unit, the first of them up to `max`, the second cut to a byte.
fn parse_ids(nal: &[u8], max: u32) -> Option<(u8, u8)> {
    let mut start = [0u8; 16];
    let mut len = 0;
    for (to, from) in start.iter_mut().zip(Unescaped::new(nal.get(1..)?)) {
        *to = from;
        len += 1;
    }
    let mut r = BitReader::new(&start[..len]);
    let first = r.read_ue("first").ok().filter(|&v| v <= max)?;
    let second = r.read_ue("second").ok()?.min(255);
    Some((first as u8, second as u8))
}

/// AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1.2.
fn avcc(sps: &Stored<Sps>, pps: &[&Stored<u8>], extension: Option<&Stored<()>>) -> Vec<u8> {
    let facts = &sps.facts;
    let mut out = vec![
        1, // configurationVersion
        facts.profile_idc,
        facts.constraint_flags,
        facts.level_idc,
        0xfc | 3, // lengthSizeMinusOne
        0xe0 | 1, // numOfSequenceParameterSets
    ];
    put_sized(&mut out, sps.nal());
    out.push(pps.len() as u8); // at most MAX_SETS
    for p in pps {
        put_sized(&mut out, p.nal());
    }
    if !matches!(facts.profile_idc, 66 | 77 | 88) {
        out.push(0xfc | facts.chroma_format_idc);
        out.push(0xf8 | facts.bit_depth_luma_minus8);
        out.push(0xf8 | facts.bit_depth_chroma_minus8);
        out.push(u8::from(extension.is_some()));
        if let Some(e) = extension {
            put_sized(&mut out, e.nal());
        }
    }
    out
}

/// Appends a 16-bit length and the bytes, of which there are at most [`MAX_PARAMETER_SET_BYTES`].
fn put_sized(out: &mut Vec<u8>, nal: &[u8]) {
    out.extend_from_slice(&(nal.len() as u16).to_be_bytes());
    out.extend_from_slice(nal);
}

/// Decodes base64 (RFC 4648) of either alphabet, padded or not, white space and quotes in it passed over.
fn decode_base64(encoded: &[u8]) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let standard: Vec<u8> = encoded
        .iter()
        .filter(|b| !b.is_ascii_whitespace() && **b != b'"' && **b != 0)
        .map(|&b| match b {
            b'-' => b'+',
            b'_' => b'/',
            b => b,
        })
        .collect();
    ENGINE.decode(standard).ok()
}
