//! Sequence parameter sets (ITU-T H.264 section 7.3.2.1.1): the facts that a sample entry needs.
//!
//! Everything up to the cropping must be readable. The VUI behind it is taken as far as it makes
//! sense, because cameras write it badly and little of it matters here.

use super::nal::{self, Unescaped, unit_type};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

/// The largest parameter set that is taken, in bytes. Real ones have 10 to 100.
pub const MAX_PARAMETER_SET_BYTES: usize = 4096;

/// What is wrong with a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpsError {
    #[error("not a sequence parameter set")]
    NotSps,
    #[error("sequence parameter set of {0} bytes")]
    TooLarge(usize),
    /// It ends within the named field, or before it.
    #[error("sequence parameter set is cut short at {0}")]
    Truncated(&'static str),
    /// The named field has a value that the standard does not allow.
    #[error("sequence parameter set has a bad {0}")]
    BadValue(&'static str),
}

impl From<BitReaderError> for SpsError {
    fn from(e: BitReaderError) -> SpsError {
        match e {
            BitReaderError::ReaderError(field, _) => SpsError::Truncated(field),
            BitReaderError::ExpGolombTooLarge(field) => SpsError::BadValue(field),
            BitReaderError::RemainingData => SpsError::BadValue("trailing bits"),
        }
    }
}

/// What a sequence parameter set says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    pub profile_idc: u8,
    pub constraint_flags: u8,
    pub level_idc: u8,
    /// Table 6-1: 1 is 4:2:0.
    pub chroma_format_idc: u8,
    pub bit_depth_luma_minus8: u8,
    pub bit_depth_chroma_minus8: u8,
    /// In pixels after cropping. A cropping that leaves nothing is passed over.
    pub width: u16,
    pub height: u16,
    /// Every picture is a frame; otherwise two fields may make one.
    pub frame_mbs_only: bool,
    /// Sample aspect ratio; 1:1 where nothing is said.
    pub pixel_aspect: (u16, u16),
    /// `max_num_reorder_frames`, 0 where nothing is said.
    pub reorder_frames: u8,
    /// How many bytes of the NAL unit it takes. What is behind them is junk.
    pub len: usize,
}

type Bits<'a> = BitReader<&'a [u8]>;

impl Sps {
    /// Reads a NAL unit with its header.
    pub fn parse(nal: &[u8]) -> Result<Sps, SpsError> {
        if nal.len() > MAX_PARAMETER_SET_BYTES {
            return Err(SpsError::TooLarge(nal.len()));
        }
        let (&header, body) = nal.split_first().ok_or(SpsError::NotSps)?;
        if nal::unit_type(header) != unit_type::SPS {
            return Err(SpsError::NotSps);
        }
        let rbsp: Vec<u8> = Unescaped::new(body).collect();
        let mut r = BitReader::new(&rbsp[..]);
        let mut sps = read_until_vui(&mut r)?;
        if read_vui(&mut r, &mut sps).is_ok() && read_trailing_bits(&mut r).is_ok() {
            // It is whole: what is left over does not belong to it.
            let mut raw = Unescaped::new(body);
            let used = rbsp.len() - r.into_reader().len();
            raw.nth(used - 1);
            sps.len = nal.len() - raw.remaining();
        } else {
            sps.len = nal.len();
        }
        Ok(sps)
    }
}

fn read_until_vui(r: &mut Bits<'_>) -> Result<Sps, SpsError> {
    let mut sps = Sps {
        id: 0,
        profile_idc: r.read::<8, u8>("profile_idc")?,
        constraint_flags: r.read::<8, u8>("constraint_flags")?,
        level_idc: r.read::<8, u8>("level_idc")?,
        chroma_format_idc: 1,
        bit_depth_luma_minus8: 0,
        bit_depth_chroma_minus8: 0,
        width: 0,
        height: 0,
        frame_mbs_only: true,
        pixel_aspect: (1, 1),
        reorder_frames: 0,
        len: 0,
    };
    sps.id = read_small(r, "seq_parameter_set_id", 31)?;
    if has_chroma_info(sps.profile_idc) {
        sps.chroma_format_idc = read_small(r, "chroma_format_idc", 3)?;
        if sps.chroma_format_idc == 3 {
            r.read_bit("separate_colour_plane_flag")?;
        }
        sps.bit_depth_luma_minus8 = read_small(r, "bit_depth_luma_minus8", 6)?;
        sps.bit_depth_chroma_minus8 = read_small(r, "bit_depth_chroma_minus8", 6)?;
        r.read_bit("qpprime_y_zero_transform_bypass_flag")?;
        if r.read_bit("seq_scaling_matrix_present_flag")? {
            skip_scaling_lists(r, sps.chroma_format_idc)?;
        }
    }
    read_small(r, "log2_max_frame_num_minus4", 12)?;
    skip_pic_order_cnt(r)?;
    r.read_ue("max_num_ref_frames")?;
    r.read_bit("gaps_in_frame_num_value_allowed_flag")?;
    read_size(r, &mut sps)?;
    Ok(sps)
}

/// From `pic_width_in_mbs_minus1` to the cropping.
fn read_size(r: &mut Bits<'_>, sps: &mut Sps) -> Result<(), SpsError> {
    let width_mbs = u64::from(r.read_ue("pic_width_in_mbs_minus1")?) + 1;
    let height_units = u64::from(r.read_ue("pic_height_in_map_units_minus1")?) + 1;
    sps.frame_mbs_only = r.read_bit("frame_mbs_only_flag")?;
    if !sps.frame_mbs_only {
        r.read_bit("mb_adaptive_frame_field_flag")?;
    }
    let fields = if sps.frame_mbs_only { 1 } else { 2 };
    r.read_bit("direct_8x8_inference_flag")?;
    let mut crop = [0u64; 4];
    if r.read_bit("frame_cropping_flag")? {
        let fields = ["crop_left", "crop_right", "crop_top", "crop_bottom"];
        for (offset, name) in crop.iter_mut().zip(fields) {
            *offset = u64::from(r.read_ue(name)?);
        }
    }
    // Equations 7-19 to 7-22.
    let unit_x = if matches!(sps.chroma_format_idc, 1 | 2) {
        2
    } else {
        1
    };
    let unit_y = fields * if sps.chroma_format_idc == 1 { 2 } else { 1 };
    let cropped = |full: u64, crop: u64| match full.checked_sub(crop) {
        Some(left) if left > 0 => left,
        _ => full,
    };
    let width = cropped(width_mbs * 16, (crop[0] + crop[1]) * unit_x);
    let height = cropped(height_units * 16 * fields, (crop[2] + crop[3]) * unit_y);
    sps.width = u16::try_from(width).map_err(|_| SpsError::BadValue("pic_width_in_mbs_minus1"))?;
    sps.height =
        u16::try_from(height).map_err(|_| SpsError::BadValue("pic_height_in_map_units_minus1"))?;
    Ok(())
}

/// The profiles whose sequence parameter sets tell the chroma format, section 7.3.2.1.1.
fn has_chroma_info(profile_idc: u8) -> bool {
    matches!(
        profile_idc,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

fn read_small(r: &mut Bits<'_>, field: &'static str, max: u8) -> Result<u8, SpsError> {
    match u8::try_from(r.read_ue(field)?) {
        Ok(v) if v <= max => Ok(v),
        _ => Err(SpsError::BadValue(field)),
    }
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_lists(r: &mut Bits<'_>, chroma_format_idc: u8) -> Result<(), SpsError> {
    let lists = if chroma_format_idc == 3 { 12 } else { 8 };
    for i in 0..lists {
        if !r.read_bit("seq_scaling_list_present_flag")? {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if i < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(r.read_se("delta_scale")?)).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Ok(())
}

fn skip_pic_order_cnt(r: &mut Bits<'_>) -> Result<(), SpsError> {
    match r.read_ue("pic_order_cnt_type")? {
        0 => {
            read_small(r, "log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            r.read_bit("delta_pic_order_always_zero_flag")?;
            r.read_se("offset_for_non_ref_pic")?;
            r.read_se("offset_for_top_to_bottom_field")?;
            for _ in 0..read_small(r, "num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                r.read_se("offset_for_ref_frame")?;
            }
        }
        2 => {}
        _ => return Err(SpsError::BadValue("pic_order_cnt_type")),
    }
    Ok(())
}

/// Section E.1.1, from `vui_parameters_present_flag`. What was read before an error stays in `sps`.
fn read_vui(r: &mut Bits<'_>, sps: &mut Sps) -> Result<(), SpsError> {
    if !r.read_bit("vui_parameters_present_flag")? {
        return Ok(());
    }
    if r.read_bit("aspect_ratio_info_present_flag")? {
        if let Some(aspect) = read_aspect_ratio(r)? {
            sps.pixel_aspect = aspect;
        }
    }
    if r.read_bit("overscan_info_present_flag")? {
        r.read_bit("overscan_appropriate_flag")?;
    }
    if r.read_bit("video_signal_type_present_flag")? {
        r.skip(4, "video_format, video_full_range_flag")?;
        if r.read_bit("colour_description_present_flag")? {
            r.skip(24, "colour description")?;
        }
    }
    if r.read_bit("chroma_loc_info_present_flag")? {
        r.read_ue("chroma_sample_loc_type_top_field")?;
        r.read_ue("chroma_sample_loc_type_bottom_field")?;
    }
    if r.read_bit("timing_info_present_flag")? {
        r.skip(65, "timing information")?;
    }
    let nal_hrd = r.read_bit("nal_hrd_parameters_present_flag")?;
    if nal_hrd {
        skip_hrd(r)?;
    }
    let vcl_hrd = r.read_bit("vcl_hrd_parameters_present_flag")?;
    if vcl_hrd {
        skip_hrd(r)?;
    }
    if nal_hrd || vcl_hrd {
        r.read_bit("low_delay_hrd_flag")?;
    }
    r.read_bit("pic_struct_present_flag")?;
    if r.read_bit("bitstream_restriction_flag")? {
        r.read_bit("motion_vectors_over_pic_boundaries_flag")?;
        r.read_ue("max_bytes_per_pic_denom")?;
        r.read_ue("max_bits_per_mb_denom")?;
        r.read_ue("log2_max_mv_length_horizontal")?;
        r.read_ue("log2_max_mv_length_vertical")?;
        // At most MaxDpbFrames, which is 16 at most: section A.3.1.
        let reorder_frames = read_small(r, "max_num_reorder_frames", 16)?;
        r.read_ue("max_dec_frame_buffering")?;
        sps.reorder_frames = reorder_frames;
    }
    Ok(())
}

/// Table E-1; `None` for unspecified and reserved ones.
fn read_aspect_ratio(r: &mut Bits<'_>) -> Result<Option<(u16, u16)>, SpsError> {
    const TABLE: [(u16, u16); 16] = [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    let idc = r.read::<8, u8>("aspect_ratio_idc")?;
    if idc == 255 {
        let width = r.read::<16, u16>("sar_width")?;
        let height = r.read::<16, u16>("sar_height")?;
        return Ok((width != 0 && height != 0).then_some((width, height)));
    }
    Ok(TABLE.get(usize::from(idc).wrapping_sub(1)).copied())
}

/// Section E.1.2.
fn skip_hrd(r: &mut Bits<'_>) -> Result<(), SpsError> {
    let count = read_small(r, "cpb_cnt_minus1", 31)? + 1;
    r.skip(8, "bit_rate_scale, cpb_size_scale")?;
    for _ in 0..count {
        r.read_ue("bit_rate_value_minus1")?;
        r.read_ue("cpb_size_value_minus1")?;
        r.read_bit("cbr_flag")?;
    }
    r.skip(20, "HRD lengths")?;
    Ok(())
}

/// Section 7.3.2.11: a one, and zeros up to the end of the byte.
fn read_trailing_bits(r: &mut Bits<'_>) -> Result<(), SpsError> {
    const FIELD: &str = "trailing bits";
    let mut bit = r.read_bit(FIELD)?;
    if !bit {
        return Err(SpsError::BadValue(FIELD));
    }
    while !r.byte_aligned() {
        bit = r.read_bit(FIELD)?;
        if bit {
            return Err(SpsError::BadValue(FIELD));
        }
    }
    Ok(())
}
