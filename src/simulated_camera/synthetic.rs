//! Small H.264 pictures made without an encoder, each reproducible from a seed and its number.
//!
//! They are well formed, and any decoder shows them: a sync sample is an I slice of grey
//! macroblocks, the others a P slice of skipped ones, and both hold as many raw macroblocks (I_PCM,
//! ISO/IEC 14496-10 section 7.3.5) of seeded noise as make up the size asked for. Before the slice
//! an SEI message tells the frame's number, for [`number_of`] to find again.
//!
//! Constrained Baseline profile, CAVLC, one slice to a picture, no B pictures.

use super::{AccessUnit, ParameterSets};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

/// Bytes of one raw macroblock in 4:2:0: 256 of luma, 2 times 64 of chroma.
const PCM_BYTES: usize = 384;
/// log2_max_frame_num of the sequence parameter set.
const FRAME_NUM_BITS: u32 = 4;
/// uuid_iso_iec_11578 of the SEI message (ISO/IEC 14496-10 section D.1.7).
const SEI_UUID: [u8; 16] = *b"moonfire-nvr-sim";
/// The frame number in it: hexadecimal digits.
const SEI_NUMBER_DIGITS: usize = 16;

/// A stream of synthetic pictures.
#[derive(Clone, Debug)]
pub struct Synthetic {
    pub seed: u64,
    /// In pixels; even numbers up to 4096.
    pub width: u16,
    pub height: u16,
    /// Frames in a second; divides 90,000 for exact durations.
    pub frame_rate: u32,
    /// From one sync sample to the next.
    pub gop_frames: u32,
    /// The size of a sync sample and of the others: what is aimed at, and met within some
    /// 400 bytes; a quarter of it more or less from frame to frame.
    pub sync_bytes: u32,
    pub other_bytes: u32,
    /// From this frame on the picture is half as wide and high (as if somebody had been in the
    /// camera's menu); takes effect at the sync sample at or after it.
    pub change_at: Option<u64>,
}

impl Default for Synthetic {
    /// 320x180, 10 frames and about 30 kB a second.
    fn default() -> Synthetic {
        Synthetic {
            seed: 0,
            width: 320,
            height: 180,
            frame_rate: 10,
            gop_frames: 20,
            sync_bytes: 10_000,
            other_bytes: 2500,
            change_at: None,
        }
    }
}

impl Synthetic {
    /// Whether frame `number` is a sync sample.
    pub fn is_sync(&self, number: u64) -> bool {
        number % u64::from(self.gop_frames.max(1)) == 0
    }

    /// The number of the first sync sample at or after frame `number`.
    pub fn next_sync(&self, number: u64) -> u64 {
        number.next_multiple_of(u64::from(self.gop_frames.max(1)))
    }

    /// When frame `number` is presented, in 1/90,000 s since the camera was switched on.
    pub fn timestamp_90k(&self, number: u64) -> i64 {
        let ticks = u128::from(number) * 90_000 / u128::from(self.frame_rate.max(1));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// The parameter sets that frame `number` refers to.
    pub fn parameters(&self, number: u64) -> ParameterSets {
        let (width, height) = self.size(number);
        parameter_sets(width, height, self.frame_rate)
    }

    /// Frame `number`, the same each time.
    pub fn frame(&self, number: u64) -> AccessUnit {
        let mut rng = Pcg64Mcg::seed_from_u64(
            self.seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        let sync = self.is_sync(number);
        let aim = if sync {
            self.sync_bytes
        } else {
            self.other_bytes
        };
        let aim = u64::from(aim) * (75 + u64::from(rng.next_u32() % 51)) / 100;
        let (width, height) = self.size(number);
        let columns = u32::from(width).div_ceil(16);
        let macroblocks = columns * u32::from(height).div_ceil(16);
        let grey_bytes = if sync { u64::from(macroblocks) } else { 0 };
        let raw = aim.saturating_sub(grey_bytes) / (PCM_BYTES as u64 + 2);
        let raw = u32::try_from(raw).unwrap_or(u32::MAX).min(macroblocks);
        let in_gop = number % u64::from(self.gop_frames.max(1));
        let slice = if sync {
            let gop = number / u64::from(self.gop_frames.max(1));
            sync_slice((gop % 2) as u32, columns, macroblocks, raw, &mut rng)
        } else {
            other_slice((in_gop % 16) as u32, macroblocks, raw, &mut rng)
        };
        AccessUnit {
            number,
            timestamp_90k: self.timestamp_90k(number),
            sync,
            parameters: Arc::new(self.parameters(number)),
            nals: vec![number_sei(number), slice],
        }
    }

    fn size(&self, number: u64) -> (u16, u16) {
        let in_force_since = number - number % u64::from(self.gop_frames.max(1));
        match self.change_at {
            Some(at) if in_force_since >= at => (self.width / 4 * 2, self.height / 4 * 2),
            _ => (self.width, self.height),
        }
    }
}

/// The number of the frame whose bytes (in whatever form) hold the SEI message of
/// [`Synthetic::frame`]; the first, if there are several.
pub fn number_of(bytes: &[u8]) -> Option<u64> {
    find_number(bytes).map(|(_, number)| number)
}

/// The same, after the place at which the message's payload begins.
pub fn find_number(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|b| *b == SEI_UUID[0])?;
        if bytes[at..].starts_with(&SEI_UUID) {
            break;
        }
        at += 1;
    }
    let digits = bytes.get(at + SEI_UUID.len()..at + SEI_UUID.len() + SEI_NUMBER_DIGITS)?;
    let number = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((at, number))
}

/// user_data_unregistered (ISO/IEC 14496-10 section D.1.7) with the frame's number.
fn number_sei(number: u64) -> Vec<u8> {
    let mut nal = vec![0x06, 5, (SEI_UUID.len() + SEI_NUMBER_DIGITS) as u8];
    nal.extend_from_slice(&SEI_UUID);
    nal.extend_from_slice(format!("{number:016x}").as_bytes());
    nal.push(0x80);
    nal
}

/// Sequence and picture parameter set for a picture of so many pixels.
///
/// `width` and `height` are even.
pub fn parameter_sets(width: u16, height: u16, frame_rate: u32) -> ParameterSets {
    let columns = u32::from(width).div_ceil(16).max(1);
    let rows = u32::from(height).div_ceil(16).max(1);
    let mut w = BitWriter::default();
    w.bits(66, 8); // profile_idc: Baseline
    w.bits(0b1110_0000, 8); // constraint_set0..2
    w.bits(if columns * rows <= 1620 { 30 } else { 51 }, 8); // level_idc
    w.ue(0); // seq_parameter_set_id
    w.ue(FRAME_NUM_BITS - 4); // log2_max_frame_num_minus4
    w.ue(2); // pic_order_cnt_type
    w.ue(1); // max_num_ref_frames
    w.bits(0, 1); // gaps_in_frame_num_value_allowed_flag
    w.ue(columns - 1);
    w.ue(rows - 1);
    w.bits(0b11, 2); // frame_mbs_only_flag, direct_8x8_inference_flag
    let crop_right = (columns * 16 - u32::from(width)) / 2;
    let crop_bottom = (rows * 16 - u32::from(height)) / 2;
    if crop_right > 0 || crop_bottom > 0 {
        w.bits(1, 1);
        w.ue(0);
        w.ue(crop_right);
        w.ue(0);
        w.ue(crop_bottom);
    } else {
        w.bits(0, 1);
    }
    w.bits(1, 1); // vui_parameters_present_flag
    w.bits(0b0000, 4); // aspect ratio, overscan, video signal type, chroma location: absent
    w.bits(1, 1); // timing_info_present_flag
    w.bits(1, 32); // num_units_in_tick
    w.bits(frame_rate.saturating_mul(2), 32); // time_scale
    w.bits(1, 1); // fixed_frame_rate_flag
    w.bits(0b000, 3); // no HRD parameters, no pic_struct
    w.bits(1, 1); // bitstream_restriction_flag
    w.bits(1, 1); // motion_vectors_over_pic_boundaries_flag
    w.ue(0); // max_bytes_per_pic_denom
    w.ue(0); // max_bits_per_mb_denom
    w.ue(10); // log2_max_mv_length_horizontal
    w.ue(10); // log2_max_mv_length_vertical
    w.ue(0); // max_num_reorder_frames
    w.ue(1); // max_dec_frame_buffering
    let sps = w.into_nal(0x67);

    let mut w = BitWriter::default();
    w.ue(0); // pic_parameter_set_id
    w.ue(0); // seq_parameter_set_id
    w.bits(0b00, 2); // CAVLC, no bottom_field_pic_order
    w.ue(0); // num_slice_groups_minus1
    w.ue(0); // num_ref_idx_l0_default_active_minus1
    w.ue(0); // num_ref_idx_l1_default_active_minus1
    w.bits(0b000, 3); // no weighted prediction
    w.se(0); // pic_init_qp_minus26
    w.se(0); // pic_init_qs_minus26
    w.se(0); // chroma_qp_index_offset
    w.bits(0b000, 3); // no deblocking control, no constrained intra, no redundant pictures
    ParameterSets {
        sps,
        pps: w.into_nal(0x68),
    }
}

/// An IDR slice: `raw` macroblocks of noise, the rest grey.
fn sync_slice(
    idr_pic_id: u32,
    columns: u32,
    macroblocks: u32,
    raw: u32,
    rng: &mut Pcg64Mcg,
) -> Vec<u8> {
    let mut w = BitWriter::default();
    w.ue(0); // first_mb_in_slice
    w.ue(7); // slice_type: I, all slices of the picture
    w.ue(0); // pic_parameter_set_id
    w.bits(0, FRAME_NUM_BITS);
    w.ue(idr_pic_id);
    w.bits(0b00, 2); // no_output_of_prior_pics_flag, long_term_reference_flag
    w.se(0); // slice_qp_delta
    for _ in 0..raw {
        w.ue(25); // mb_type: I_PCM
        w.pcm(rng);
    }
    for mb in raw..macroblocks {
        w.ue(3); // mb_type: I_16x16_2_0_0, DC prediction and no residual
        w.ue(0); // intra_chroma_pred_mode
        w.se(0); // mb_qp_delta
        // coeff_token of no coefficients, by the neighbours' number of them: 16 for a raw one.
        let left_is_raw = mb % columns > 0 && mb - 1 < raw;
        let upper_is_raw = mb >= columns && mb - columns < raw;
        if left_is_raw || upper_is_raw {
            w.bits(0b00_0011, 6);
        } else {
            w.bits(1, 1);
        }
    }
    w.into_nal(0x65)
}

/// A P slice: `raw` macroblocks of noise, the rest as in the picture before.
fn other_slice(frame_num: u32, macroblocks: u32, raw: u32, rng: &mut Pcg64Mcg) -> Vec<u8> {
    let mut w = BitWriter::default();
    w.ue(0); // first_mb_in_slice
    w.ue(5); // slice_type: P, all slices of the picture
    w.ue(0); // pic_parameter_set_id
    w.bits(frame_num, FRAME_NUM_BITS);
    w.bits(0, 1); // num_ref_idx_active_override_flag
    w.bits(0, 1); // ref_pic_list_modification_flag_l0
    w.bits(0, 1); // adaptive_ref_pic_marking_mode_flag
    w.se(0); // slice_qp_delta
    for _ in 0..raw {
        w.ue(0); // mb_skip_run
        w.ue(5 + 25); // mb_type: I_PCM
        w.pcm(rng);
    }
    if raw < macroblocks {
        w.ue(macroblocks - raw); // mb_skip_run
    }
    w.into_nal(0x61)
}

/// Writes the syntax of ISO/IEC 14496-10 section 7.2: most significant bit first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken, 0 for all.
    taken: u32,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    fn bits(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            let bit = (value >> i & 1) as u8;
            if self.taken == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.taken);
            }
            self.taken = (self.taken + 1) % 8;
        }
    }

    /// Exp-Golomb code (section 9.1) of a value below 2^32 - 1.
    fn ue(&mut self, value: u32) {
        let code = value.saturating_add(1);
        let length = 32 - code.leading_zeros();
        self.bits(0, length - 1);
        self.bits(code, length);
    }

    /// Signed Exp-Golomb code (section 9.1.1).
    fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs() * 2;
        self.ue(if value > 0 { magnitude - 1 } else { magnitude });
    }

    /// One raw macroblock's samples; none is 0 (pcm_sample_luma must not be).
    fn pcm(&mut self, rng: &mut Pcg64Mcg) {
        self.taken = 0; // pcm_alignment_zero_bit
        let start = self.bytes.len();
        self.bytes.resize(start + PCM_BYTES, 0);
        rng.fill_bytes(&mut self.bytes[start..]);
        for b in &mut self.bytes[start..] {
            *b = (*b).max(1);
        }
    }

    /// Ends the RBSP (section 7.3.2.11) and makes a NAL unit of it (section 7.3.1).
    fn into_nal(mut self, header: u8) -> Vec<u8> {
        self.bits(1, 1);
        let mut nal = Vec::with_capacity(self.bytes.len() + 8);
        nal.push(header);
        let mut zeros = 0;
        for b in self.bytes {
            if zeros == 2 && b <= 3 {
                nal.push(3); // emulation_prevention_three_byte
                zeros = 0;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            nal.push(b);
        }
        nal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(stream: &Synthetic, frames: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for n in 0..frames {
            let unit = stream.frame(n);
            let sets = [&unit.parameters.sps, &unit.parameters.pps];
            for nal in sets.into_iter().filter(|_| unit.sync).chain(&unit.nals) {
                out.extend_from_slice(&[0, 0, 0, 1]);
                out.extend_from_slice(nal);
            }
        }
        out
    }

    #[test]
    fn frames_are_reproducible_and_numbered() {
        let stream = Synthetic::default();
        let other = Synthetic {
            seed: 1,
            ..Synthetic::default()
        };
        for n in [0, 1, 19, 20, 12_345] {
            let unit = stream.frame(n);
            assert_eq!(unit, stream.frame(n));
            assert_ne!(unit.nals[1], other.frame(n).nals[1]);
            assert_eq!(number_of(&unit.to_avc()), Some(n));
            assert_eq!(unit.sync, n % 20 == 0);
            assert_eq!(unit.nals[1][0] & 0x1f, if unit.sync { 5 } else { 1 });
        }
        assert_eq!(number_of(b"moonfire-nvr-sim0000"), None);
    }

    #[test]
    fn sizes_are_near_what_was_asked_for() {
        for (sync_bytes, other_bytes) in [(10_000, 2500), (60_000, 0), (700, 400)] {
            let stream = Synthetic {
                sync_bytes,
                other_bytes,
                ..Synthetic::default()
            };
            let frames = 100;
            let bytes: usize = (0..frames).map(|n| stream.frame(n).to_avc().len()).sum();
            let aim = frames / 20 * u64::from(sync_bytes + 19 * other_bytes);
            assert!(
                bytes as u64 <= aim + frames * 60 && bytes as u64 + frames * 450 >= aim,
                "{bytes} instead of {aim}"
            );
        }
    }

    #[test]
    fn no_start_code_within_a_nal_unit() {
        let stream = annex_b(&Synthetic::default(), 40);
        let starts = stream.windows(3).filter(|w| w[..] == [0, 0, 1]).count();
        assert_eq!(starts, 40 * 2 + 2 * 2);
        assert!(!stream.windows(3).any(|w| w[..] == [0, 0, 2]));
    }

    #[test]
    fn the_picture_gets_smaller_at_a_sync_sample() {
        let stream = Synthetic {
            change_at: Some(21),
            ..Synthetic::default()
        };
        assert_eq!(stream.frame(39).parameters, stream.frame(0).parameters);
        assert_ne!(stream.frame(40).parameters, stream.frame(0).parameters);
        assert_eq!(*stream.frame(41).parameters, parameter_sets(160, 90, 10));
    }
}
