//! Parameter sets, slices and SEI messages from any bytes; what h264-reader takes is read the same.
#![no_main]

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};
use libfuzzer_sys::fuzz_target;
use moonfire_nvr::h264::nal::{self, SliceStart};
use moonfire_nvr::h264::{ParameterSets, Sps, annexb};

fuzz_target!(|data: &[u8]| {
    let mut sets = ParameterSets::default();
    let mut units = 0;
    for unit in annexb::split(data) {
        assert!(!unit.is_empty() && !annexb::has_start_code(unit));
        units += unit.len();
        let _ = sets.put(unit);
        let slice = SliceStart::parse(unit);
        sets.entry_for(slice.map(|s| s.pps_id));
        let _ = nal::recovery_point(unit);
        check_sps(unit);
    }
    assert!(units <= data.len());
    if let Ok(sprop) = std::str::from_utf8(data) {
        let _ = ParameterSets::default().put_sprop(sprop);
    }
    if let Some(entry) = sets.entry_for(None) {
        assert_eq!(entry.avcc[0], 1);
        assert!(entry.width > 0 && entry.height > 0);
    }
});

fn check_sps(unit: &[u8]) {
    let Ok(ours) = Sps::parse(unit) else {
        return;
    };
    assert!(ours.len <= unit.len());
    let again = Sps::parse(&unit[..ours.len]).expect("what it takes of a unit is a unit");
    assert_eq!((again.width, again.height), (ours.width, ours.height));
    let Ok(theirs) = SeqParameterSet::from_bits(RefNal::new(unit, &[], true).rbsp_bits()) else {
        return;
    };
    if let Ok((width, height)) = theirs.pixel_dimensions() {
        if width > 0 && height > 0 {
            assert_eq!((u32::from(ours.width), u32::from(ours.height)), (width, height));
        }
    }
    let restrictions = theirs.vui_parameters.and_then(|v| v.bitstream_restrictions);
    let reorder_frames = restrictions.map_or(0, |r| r.max_num_reorder_frames);
    assert_eq!(u32::from(ours.reorder_frames), reorder_frames);
}
