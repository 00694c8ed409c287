//! Parameter sets and sample entries, from real streams and as cameras spoil them.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h264_reader::nal::sps::{
    BitstreamRestrictions, ChromaFormat, FrameCropping, FrameMbsFlags, HrdParameters,
    SeqParameterSet, VuiParameters,
};
use h264_reader::nal::{Nal, NalHeader, RefNal, WritableNal};
use nal::unit_type;
use std::sync::Arc;

const BASELINE: &[u8] = include_bytes!("../../tests/fixtures/h264/baseline.h264");
const HIGH: &[u8] = include_bytes!("../../tests/fixtures/h264/high_3slices.h264");

/// The first NAL unit of a type.
fn first(stream: &[u8], unit_type: u8) -> &[u8] {
    annexb::split(stream)
        .find(|n| nal::unit_type(n[0]) == unit_type)
        .unwrap()
}

fn hex(s: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&s[i..i + 2], 16).unwrap();
    (0..s.len()).step_by(2).map(digit).collect()
}

fn sets_of(stream: &[u8]) -> ParameterSets {
    let mut sets = ParameterSets::default();
    for nal in annexb::split(stream).filter(|n| ParameterSets::takes(nal::unit_type(n[0]))) {
        sets.put(nal).unwrap();
    }
    sets
}

/// Reads an SPS with h264-reader, so that tests can change it, or learn what it thinks of it.
fn strict(nal: &[u8]) -> Result<SeqParameterSet, h264_reader::nal::sps::SpsError> {
    SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits())
}

/// An SPS like the one of `HIGH`, of a higher level, changed.
fn changed(change: impl FnOnce(&mut SeqParameterSet)) -> Vec<u8> {
    let mut sps = strict(first(HIGH, unit_type::SPS)).unwrap();
    sps.level_idc = 40;
    change(&mut sps);
    sps.to_vec_with_header(NalHeader::new(0x67).unwrap())
}

fn changed_vui(change: impl FnOnce(&mut VuiParameters)) -> Vec<u8> {
    changed(|sps| change(sps.vui_parameters.as_mut().unwrap()))
}

#[test]
fn entries_of_real_streams_are_what_ffmpeg_writes() {
    // The avcC boxes that `ffmpeg -c copy` writes for these files.
    let mut sets = sets_of(BASELINE);
    let entry = sets.entry_for(Some(0)).unwrap();
    let avcc = "0142c00affe100176742c00adb0b13b011000003000100000300140f1226e001000468ca8cb2";
    assert_eq!(entry.avcc, hex(avcc));
    assert_eq!((entry.width, entry.height), (176, 144));
    assert_eq!(entry.rfc6381_codec, "avc1.42c00a");
    assert_eq!(entry.reorder_frames, 0);

    let mut sets = sets_of(HIGH);
    let entry = sets.entry_for(Some(0)).unwrap();
    let avcc = "0164000bffe1001a6764000bacd9430578888c3840000003004000000503c50a6580\
                01000668ebe0c4b22cfdf8f800";
    assert_eq!(entry.avcc, hex(avcc));
    assert_eq!((entry.width, entry.height), (178, 146));
    assert_eq!((entry.pixel_h_spacing, entry.pixel_v_spacing), (4, 3));
    assert_eq!(entry.rfc6381_codec, "avc1.64000b");
    assert_eq!(entry.reorder_frames, 2);
}

#[test]
fn what_h264_reader_takes_is_read_the_same() {
    for nal in [
        first(BASELINE, unit_type::SPS).to_vec(),
        first(HIGH, unit_type::SPS).to_vec(),
        changed(|s| {
            s.frame_mbs_flags = FrameMbsFlags::Fields {
                mb_adaptive_frame_field_flag: true,
            }
        }),
        changed(|s| s.chroma_info.chroma_format = ChromaFormat::YUV422),
        changed(|s| s.chroma_info.chroma_format = ChromaFormat::YUV444),
        changed(|s| s.chroma_info.chroma_format = ChromaFormat::Monochrome),
        changed(|s| s.chroma_info.bit_depth_luma_minus8 = 2),
        changed(|s| s.frame_cropping = None),
        changed(|s| s.vui_parameters = None),
        changed_vui(|v| v.bitstream_restrictions = None),
        changed_vui(|v| {
            v.nal_hrd_parameters = Some(HrdParameters {
                bit_rate_scale: 1,
                cpb_size_scale: 2,
                cpb_specs: vec![Default::default(); 32],
                initial_cpb_removal_delay_length_minus1: 23,
                cpb_removal_delay_length_minus1: 23,
                dpb_output_delay_length_minus1: 23,
                time_offset_length: 24,
            })
        }),
    ] {
        let theirs = strict(&nal).unwrap();
        let ours = Sps::parse(&nal).unwrap();
        let (width, height) = theirs.pixel_dimensions().unwrap();
        assert_eq!(
            (u32::from(ours.width), u32::from(ours.height)),
            (width, height)
        );
        let vui = theirs.vui_parameters.as_ref();
        let aspect = vui.and_then(|v| v.aspect_ratio_info.as_ref()?.get());
        assert_eq!(ours.pixel_aspect, aspect.unwrap_or((1, 1)));
        let reorder =
            vui.and_then(|v| Some(v.bitstream_restrictions.as_ref()?.max_num_reorder_frames));
        assert_eq!(u32::from(ours.reorder_frames), reorder.unwrap_or(0));
        assert_eq!(
            ours.bit_depth_luma_minus8,
            theirs.chroma_info.bit_depth_luma_minus8
        );
        assert_eq!(ours.len, nal.len(), "read up to its end");
    }
}

#[test]
fn sps_whose_level_is_too_low_for_its_picture_size() {
    let nal = changed(|s| {
        s.level_idc = 10;
        s.pic_width_in_mbs_minus1 = 119;
        s.pic_height_in_map_units_minus1 = 67;
        s.frame_cropping = Some(FrameCropping {
            left_offset: 0,
            right_offset: 0,
            top_offset: 0,
            bottom_offset: 4,
        });
    });
    assert!(strict(&nal).is_err());
    let sps = Sps::parse(&nal).unwrap();
    assert_eq!((sps.width, sps.height), (1920, 1080));
}

#[test]
fn sps_whose_restrictions_contradict_each_other() {
    let restrictions = BitstreamRestrictions {
        motion_vectors_over_pic_boundaries_flag: true,
        max_bytes_per_pic_denom: 0,
        max_bits_per_mb_denom: 0,
        log2_max_mv_length_horizontal: 20,
        log2_max_mv_length_vertical: 20,
        max_num_reorder_frames: 1,
        max_dec_frame_buffering: 0,
    };
    let nal = changed_vui(|v| v.bitstream_restrictions = Some(restrictions));
    assert!(strict(&nal).is_err());
    assert_eq!(Sps::parse(&nal).unwrap().reorder_frames, 1);
}

#[test]
fn sps_with_a_vui_that_is_cut_short() {
    let whole = first(HIGH, unit_type::SPS);
    let cut = &whole[..15];
    assert!(strict(cut).is_err());
    let sps = Sps::parse(cut).unwrap();
    assert_eq!((sps.width, sps.height), (178, 146));
    assert_eq!(sps.pixel_aspect, (4, 3));
    assert_eq!(sps.reorder_frames, 0);
    assert_eq!(sps.len, cut.len());
}

#[test]
fn sps_cut_anywhere_tells_where() {
    let whole = first(HIGH, unit_type::SPS);
    assert_eq!(
        Sps::parse(&whole[..2]),
        Err(SpsError::Truncated("constraint_flags"))
    );
    for len in 0..whole.len() {
        if let Ok(sps) = Sps::parse(&whole[..len]) {
            assert_eq!((sps.width, sps.height), (178, 146), "cut to {len}");
        }
    }
    assert!(Sps::parse(&whole[..9]).is_err());
}

#[test]
fn sps_with_junk_behind_it() {
    let whole = first(HIGH, unit_type::SPS);
    for junk in [&[0xde, 0xad][..], &[0x01], &[0, 0, 0, 0], &[0, 0, 0, 9]] {
        let mut nal = whole.to_vec();
        nal.extend_from_slice(junk);
        assert_eq!(Sps::parse(&nal).unwrap().len, whole.len(), "{junk:02x?}");
    }
    // The entry is the one without the junk, so a repetition without it is no change.
    let mut nal = whole.to_vec();
    nal.extend_from_slice(&[0, 0, 0, 9]);
    let mut sets = ParameterSets::default();
    sets.put(&nal).unwrap();
    sets.put(first(HIGH, unit_type::PPS)).unwrap();
    let with_junk = sets.entry_for(None).unwrap().clone();
    sets.put(whole).unwrap();
    assert!(Arc::ptr_eq(&with_junk, sets.entry_for(None).unwrap()));
    assert_eq!(&with_junk, sets_of(HIGH).entry_for(None).unwrap());
}

#[test]
fn sps_with_impossible_values() {
    for (nal, error) in [
        (
            changed(|s| s.pic_width_in_mbs_minus1 = 5000),
            SpsError::BadValue("pic_width_in_mbs_minus1"),
        ),
        (
            changed(|s| s.pic_height_in_map_units_minus1 = u32::MAX - 1),
            SpsError::BadValue("pic_height_in_map_units_minus1"),
        ),
        (
            changed(|s| s.log2_max_frame_num_minus4 = 13),
            SpsError::BadValue("log2_max_frame_num_minus4"),
        ),
        (vec![0x68, 1, 2, 3], SpsError::NotSps),
        (vec![], SpsError::NotSps),
        (vec![0x67; 5000], SpsError::TooLarge(5000)),
    ] {
        assert_eq!(Sps::parse(&nal), Err(error));
    }
}

#[test]
fn a_cropping_that_leaves_nothing_is_passed_over() {
    let nal = changed(|s| {
        s.frame_cropping = Some(FrameCropping {
            left_offset: u32::MAX - 1,
            right_offset: u32::MAX - 1,
            top_offset: 1,
            bottom_offset: 0,
        });
    });
    let sps = Sps::parse(&nal).unwrap();
    assert_eq!((sps.width, sps.height), (192, 158));
}

#[test]
fn repeated_sets_change_nothing() {
    let mut sets = sets_of(HIGH);
    let before = sets.entry_for(Some(0)).unwrap().clone();
    sets.put(first(HIGH, unit_type::SPS)).unwrap();
    sets.put(first(HIGH, unit_type::PPS)).unwrap();
    assert!(Arc::ptr_eq(&before, sets.entry_for(Some(0)).unwrap()));
}

#[test]
fn sets_that_change_give_a_new_entry() {
    let mut sets = sets_of(HIGH);
    let before = sets.entry_for(Some(0)).unwrap().clone();
    sets.put(&changed(|s| s.pic_width_in_mbs_minus1 = 7))
        .unwrap();
    let after = sets.entry_for(Some(0)).unwrap();
    assert_ne!(&before, after);
    assert_eq!(after.width, 128 - 14);
}

#[test]
fn the_slice_tells_which_of_several_sps_counts() {
    let mut sets = sets_of(HIGH);
    let small = changed(|s| {
        s.seq_parameter_set_id = h264_reader::nal::sps::SeqParamSetId::from_u32(1).unwrap();
        s.pic_width_in_mbs_minus1 = 3;
        s.frame_cropping = None;
    });
    sets.put(&small).unwrap();
    // pps_id 1 = 010, sps_id 1 = 010, then whatever.
    sets.put(&[0x68, 0b0100_1010, 0x80]).unwrap();
    assert_eq!(sets.entry_for(Some(0)).unwrap().width, 178);
    assert_eq!(sets.entry_for(Some(1)).unwrap().width, 64);
    // One that nobody knows: the last one goes on.
    assert_eq!(sets.entry_for(Some(9)).unwrap().width, 64);
}

#[test]
fn no_entry_without_both_kinds() {
    let mut sets = ParameterSets::default();
    assert_eq!(sets.entry_for(Some(0)), None);
    sets.put(first(HIGH, unit_type::SPS)).unwrap();
    assert_eq!(sets.entry_for(Some(0)), None);
    sets.put(first(HIGH, unit_type::PPS)).unwrap();
    assert!(sets.entry_for(Some(0)).is_some());
}

#[test]
fn an_sps_extension_goes_into_the_entry() {
    let mut sets = sets_of(HIGH);
    let extension = [0x6d, 0b1100_0000];
    sets.put(&extension).unwrap();
    let entry = sets.entry_for(Some(0)).unwrap();
    assert!(
        entry
            .avcc
            .ends_with(&[0xfd, 0xf8, 0xf8, 1, 0, 2, 0x6d, 0xc0])
    );
}

#[test]
fn a_flood_of_sets_is_bounded() {
    let mut sets = sets_of(HIGH);
    // pps_id 31 to 62 are 000001xxxxx; sps_id 0 is 1.
    for id in 0..32u8 {
        let bits = 0b0000_0100_0000_0000u16 | u16::from(id) << 5 | 0b1_0000;
        let [a, b] = bits.to_be_bytes();
        sets.put(&[0x68, a, b, 0x80]).unwrap();
    }
    let avcc = &sets.entry_for(None).unwrap().avcc;
    let pps_count = 8 + first(HIGH, unit_type::SPS).len();
    assert_eq!(avcc[pps_count], 16);
    assert_eq!(
        sets.put(&[0x68; 4097]),
        Err(ParameterSetError::TooLarge(4097))
    );
    assert_eq!(
        sets.put(&[0x65, 0x80]),
        Err(ParameterSetError::NotParameterSet(5))
    );
    assert_eq!(sets.put(&[0x68]), Err(ParameterSetError::Pps));
    assert_eq!(sets.put(&[]), Err(ParameterSetError::NotParameterSet(0)));
}

fn entry_of_sprop(sprop: &str) -> (Result<(), SpropError>, bool) {
    let mut sets = ParameterSets::default();
    let result = sets.put_sprop(sprop);
    let expected = sets_of(HIGH).entry_for(None).unwrap().clone();
    (result, sets.entry_for(None) == Some(&expected))
}

#[test]
fn sprop_as_it_should_be() {
    let sps = STANDARD.encode(first(HIGH, unit_type::SPS));
    let pps = STANDARD.encode(first(HIGH, unit_type::PPS));
    assert_eq!(entry_of_sprop(&format!("{sps},{pps}")), (Ok(()), true));
    // In the other order, with spaces, unpadded, with a comma too many.
    let pps = pps.trim_end_matches('=');
    assert_eq!(entry_of_sprop(&format!("{pps} , {sps},")), (Ok(()), true));
}

#[test]
fn sprop_in_annex_b_form() {
    let stream: Vec<u8> = [
        b"\0\0\0\x01",
        first(HIGH, unit_type::SPS),
        b"\0\0\0\x01",
        first(HIGH, unit_type::PPS),
    ]
    .concat();
    assert_eq!(entry_of_sprop(&STANDARD.encode(&stream)), (Ok(()), true));
    assert_eq!(
        entry_of_sprop(&STANDARD.encode(&stream[4..])),
        (Ok(()), true)
    );
}

#[test]
fn sprop_with_junk_behind_the_sps() {
    let mut sps = first(HIGH, unit_type::SPS).to_vec();
    sps.extend_from_slice(&[0, 0, 0, 0, 0x17]);
    let sps = STANDARD.encode(sps);
    let pps = STANDARD.encode(first(HIGH, unit_type::PPS));
    assert_eq!(entry_of_sprop(&format!("{sps},{pps}")), (Ok(()), true));
}

#[test]
fn sprop_that_is_truncated_or_not_base64() {
    let sps = STANDARD.encode(first(HIGH, unit_type::SPS));
    let pps = STANDARD.encode(first(HIGH, unit_type::PPS));
    let truncated = SpropError::Set {
        item: 0,
        error: ParameterSetError::Sps(SpsError::Truncated("constraint_flags")),
    };
    assert_eq!(entry_of_sprop(&sps[..4]), (Err(truncated), false));
    let bad = SpropError::Base64 { item: 1 };
    assert_eq!(
        entry_of_sprop(&format!("{sps},***,{pps}")),
        (Err(bad), true)
    );
    assert_eq!(entry_of_sprop(""), (Ok(()), false));
    assert_eq!(
        entry_of_sprop(&",".repeat(20_000)),
        (Err(SpropError::TooLong), false)
    );
}

#[test]
fn sprop_is_overruled_by_the_stream() {
    let wrong = STANDARD.encode(changed(|s| s.pic_width_in_mbs_minus1 = 3));
    let pps = STANDARD.encode(first(HIGH, unit_type::PPS));
    let mut sets = ParameterSets::default();
    sets.put_sprop(&format!("{wrong},{pps}")).unwrap();
    assert_eq!(sets.entry_for(None).unwrap().width, 50);
    sets.put(first(HIGH, unit_type::SPS)).unwrap();
    assert_eq!(sets.entry_for(Some(0)).unwrap().width, 178);
}
