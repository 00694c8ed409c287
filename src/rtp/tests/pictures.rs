//! What cameras do with H.264, one test each, named after it.

use super::*;

#[test]
fn no_markers_at_all() {
    let mut c = Camera::tcp();
    c.send(0, false, sps());
    c.send(0, false, pps());
    c.send(0, false, &idr(b"1"));
    c.send(0, false, &idr_rest(b"2"));
    c.send(3000, false, &p(b"x"));
    c.send(6000, false, &p(b"y"));
    let expected = [avc(&[&idr(b"1"), &idr_rest(b"2")]), avc(&[&p(b"x")])];
    assert_eq!(c.take_bytes(), expected);
}

#[test]
fn markers_on_some_access_units() {
    let mut c = Camera::proven();
    for (i, marker) in [true, false, false, true].into_iter().enumerate() {
        c.send(6000 + 3000 * i as u32, marker, &p(&[i as u8]));
    }
    let expected: Vec<Vec<u8>> = (0..4).map(|i| avc(&[&p(&[i])])).collect();
    assert_eq!(c.take_bytes(), expected);
}

#[test]
fn markers_on_parameter_sets_and_sei() {
    for mut c in [Camera::tcp(), Camera::proven()] {
        let sei = [0x06, 5, 1, 9, 0x80];
        c.send(9000, true, sps());
        c.send(9000, true, pps());
        c.send(9000, true, &sei);
        c.send(9000, true, &idr(b"x"));
        let got = c.end(12_000);
        assert_eq!(got[0].bytes, avc(&[&sei, &idr(b"x")]));
        assert_eq!(got.len(), 1);
    }
}

#[test]
fn markers_on_every_packet() {
    let mut c = Camera::tcp();
    let second: Vec<u8> = idr_rest(b"in several fragments");
    for ts in [0, 3000, 6000] {
        c.send(ts, true, sps());
        c.send(ts, true, pps());
        c.send(ts, true, &idr(b"1"));
        for fragment in fu_a(&second, 5) {
            c.send(ts, true, &fragment);
        }
    }
    let got = c.end(9000);
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|g| g.bytes == avc(&[&idr(b"1"), &second])));
    assert_eq!(
        c.stats().dropped_access_units,
        1,
        "the last one, by the reset"
    );
}

#[test]
fn markers_that_turn_bad_cost_one_access_unit() {
    let mut c = Camera::proven();
    for ts in [6000, 9000, 12_000] {
        c.send(ts, true, &idr(b"1"));
        c.send(ts, true, &idr_rest(b"2"));
    }
    let got = c.end(15_000);
    let whole = avc(&[&idr(b"1"), &idr_rest(b"2")]);
    assert_eq!(got[0].bytes, avc(&[&idr(b"1")]), "was handed out already");
    assert_eq!(got[1].bytes, whole);
    assert_eq!(got[1].unit.lost_packets, 1);
    assert_eq!(got[2].bytes, whole);
    assert_eq!(got[2].unit.lost_packets, 0);
}

#[test]
fn access_units_that_end_by_a_delimiter() {
    let mut c = Camera::tcp();
    for _ in 0..3 {
        c.send(500, false, &[0x09, 0xf0]);
        c.send(500, false, &p(b"x"));
    }
    assert_eq!(c.take_bytes(), vec![avc(&[&p(b"x")]); 2]);
}

#[test]
fn access_units_with_the_same_timestamp() {
    let mut c = Camera::tcp();
    let sei = [0x06, 5, 1, 9, 0x80];
    for i in 0..3 {
        c.send(500, false, &sei);
        c.send(500, false, &idr(&[i]));
        c.send(500, false, &idr_rest(&[i]));
    }
    let expected: Vec<Vec<u8>> = (0..3)
        .map(|i| avc(&[&sei, &idr(&[i]), &idr_rest(&[i])]))
        .collect();
    assert_eq!(c.take_bytes(), expected[..2]);
    assert_eq!(c.end(3500)[0].bytes, expected[2]);
}

#[test]
fn sei_behind_the_slices_stays_with_them() {
    let mut c = Camera::tcp();
    let sei = [0x06, 5, 1, 9, 0x80];
    for ts in [0, 3000] {
        c.send(ts, false, &p(b"x"));
        c.send(ts, true, &sei);
    }
    assert_eq!(c.end(6000)[1].bytes, avc(&[&p(b"x"), &sei]));
}

#[test]
fn an_access_unit_of_parameter_sets_only() {
    let mut c = Camera::proven();
    let changed = first(BASELINE, unit_type::SPS);
    let changed_pps = first(BASELINE, unit_type::PPS);
    // With a timestamp of its own, which means nothing.
    c.send(777_000_000, true, changed);
    c.send(777_000_000, true, changed_pps);
    assert!(c.take().is_empty());
    c.send(6000, true, &idr(b"x"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert!(!got[0].unit.discontinuity);
    assert_eq!(got[0].unit.sample_entry.as_ref().unwrap().width, 176);
}

#[test]
fn delimiters_and_filler_are_not_stored() {
    let mut c = Camera::proven();
    c.send(6000, false, &[0x09, 0xf0]);
    c.send(6000, false, &idr(b"1"));
    c.send_fu_a(6000, false, &[[0x0c].as_slice(), &[0xff; 50]].concat(), 20);
    c.send(6000, false, &[0x0c, 0xff, 0xff, 0x80]);
    c.send(6000, true, &idr_rest(b"2"));
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"1"), &idr_rest(b"2")])]);
}

#[test]
fn fu_a_whose_type_changes() {
    let mut c = Camera::proven();
    let mut fragments = fu_a(&idr(b"fragmented"), 4);
    fragments[1][1] = 0x01;
    fragments[2][1] = 0x41;
    for (i, f) in fragments.iter().enumerate() {
        c.send(6000, i == 2, f);
    }
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"fragmented")])]);
}

#[test]
fn fu_a_with_start_and_end() {
    let mut c = Camera::proven();
    c.send_fu_a(6000, true, &idr(b"x"), 1000);
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"x")])]);
}

#[test]
fn fu_a_with_the_reserved_bit() {
    let mut c = Camera::proven();
    for (i, mut f) in fu_a(&idr(b"fragmented"), 6).into_iter().enumerate() {
        f[1] |= 0x20;
        c.send(6000, i == 1, &f);
    }
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"fragmented")])]);
}

#[test]
fn fu_a_with_empty_fragments() {
    let mut c = Camera::proven();
    let fragments = fu_a(&idr(b"fragmented"), 6);
    c.send(6000, false, &[0x7c, 0x85]);
    // The start bit was on the empty one.
    let mut first = fragments[0].clone();
    first[1] = 0x05;
    c.send(6000, false, &first);
    c.send(6000, false, &[0x7c, 0x05]);
    let mut last = fragments[1].clone();
    last[1] = 0x05;
    c.send(6000, false, &last);
    c.send(6000, true, &[0x7c, 0x45]);
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"fragmented")])]);
}

#[test]
fn fu_a_without_a_start_bit() {
    let mut c = Camera::proven();
    let mut fragments = fu_a(&idr(b"fragmented"), 6);
    fragments[0][1] = 0x05;
    c.send(6000, false, &fragments[0]);
    c.send(6000, true, &fragments[1]);
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"fragmented")])]);
}

#[test]
fn fu_a_without_an_end_bit() {
    let mut c = Camera::proven();
    for ts in [6000, 9000] {
        for mut f in fu_a(&idr(b"fragmented"), 6) {
            f[1] &= !0x40;
            c.send(ts, false, &f);
        }
        for mut f in fu_a(&idr_rest(b"fragmented"), 6) {
            f[1] &= !0x40;
            c.send(ts, false, &f);
        }
    }
    let got = c.end(12_000);
    let whole = avc(&[&idr(b"fragmented"), &idr_rest(b"fragmented")]);
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|g| g.bytes == whole));
}

#[test]
fn fu_a_that_makes_no_sense() {
    let mut c = Camera::proven();
    c.send(6000, false, &idr(b"1"));
    c.send(6000, true, &[0x7c]);
    c.send(9000, false, &[0x7c, 0x80 | 24, 1, 2]);
    c.send(9000, true, &p(b"x"));
    c.send(12_000, true, &p(b"y"));
    assert_eq!(
        c.errors,
        [
            PacketErrorKind::FragmentHeader,
            PacketErrorKind::PacketType(24)
        ]
    );
    let got = c.take();
    assert_eq!(got[0].bytes, avc(&[&p(b"x")]));
    assert_eq!(got[0].unit.lost_packets, 2);
    assert_eq!(got.len(), 2);
}

#[test]
fn several_nal_units_in_annex_b_form_in_one_packet() {
    let mut c = Camera::proven();
    let start = &b"\0\0\0\x01"[..];
    // With a start code at the front, and without, as a NAL unit that has others behind it.
    let rest = [sps(), start, pps(), &start[1..], &idr(b"x")].concat();
    c.send(6000, true, &[start, &rest].concat());
    c.send(9000, true, &rest);
    // From now on they are expected in slices too.
    c.send(12_000, true, &[&idr(b"1"), start, &idr_rest(b"2")].concat());
    assert_eq!(
        c.take_bytes(),
        [
            avc(&[&idr(b"x")]),
            avc(&[&idr(b"x")]),
            avc(&[&idr(b"1"), &idr_rest(b"2")])
        ]
    );
    assert!(c.errors.is_empty());
}

#[test]
fn annex_b_form_in_fragments() {
    let mut c = Camera::proven();
    let start = &b"\0\0\0\x01"[..];
    let sei = [0x06, 5, 1, 9, 0x80];
    let all = [
        sps(),
        start,
        pps(),
        start,
        &sei,
        &start[1..],
        &idr(b"x"),
        start,
        &idr_rest(b"y"),
    ];
    c.send_fu_a(6000, true, &all.concat(), 10);
    let slices = [&idr(b"1"), start, &idr_rest(b"2")].concat();
    c.send(9000, false, &sei);
    c.send_fu_a(9000, true, &slices, 3);
    assert_eq!(
        c.take_bytes(),
        [
            avc(&[&sei, &idr(b"x"), &idr_rest(b"y")]),
            avc(&[&sei, &idr(b"1"), &idr_rest(b"2")])
        ]
    );
    assert!(c.out.is_empty());
}

#[test]
fn sei_that_nobody_escaped_is_left_alone() {
    let mut c = Camera::proven();
    let sei = [0x06, 5, 6, 0, 0, 1, 0x67, 9, 9, 0x80];
    c.send(6000, false, &sei);
    c.send(6000, true, &p(b"x"));
    assert_eq!(c.take_bytes(), [avc(&[&sei, &p(b"x")])]);
}

#[test]
fn stap_a_of_parameter_sets_and_idr() {
    let mut c = Camera::tcp();
    c.send(0, true, &stap_a(&[sps(), pps(), &idr(b"x")]));
    let got = c.end(3000);
    assert_eq!(got[0].bytes, avc(&[&idr(b"x")]));
    assert!(got[0].unit.is_sync && got[0].unit.sample_entry.is_some());
}

#[test]
fn stap_a_with_empty_nal_units_and_trailing_zeros() {
    let mut c = Camera::proven();
    let mut payload = stap_a(&[b"", &idr(b"1"), b"", &idr_rest(b"2")]);
    payload.extend_from_slice(&[0, 0, 0]);
    c.send(6000, true, &payload);
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"1"), &idr_rest(b"2")])]);
    assert!(c.errors.is_empty());
}

#[test]
fn stap_a_cut_short() {
    let mut c = Camera::proven();
    let mut payload = stap_a(&[&idr(b"1"), &idr_rest(b"2345")]);
    payload.truncate(payload.len() - 1);
    c.send(6000, true, &payload);
    c.send(9000, true, &p(b"x"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].unit.lost_packets, 1);
    assert_eq!(c.errors, [PacketErrorKind::Aggregate { need: 7, have: 6 }]);
}

#[test]
fn parameter_sets_with_trailing_zeros() {
    let mut c = Camera::tcp();
    c.send(0, false, &[sps(), &[0, 0]].concat());
    c.send(0, false, &[pps(), &[0]].concat());
    c.send(0, true, &idr(b"x"));
    c.send(3000, false, sps());
    c.send(3000, false, pps());
    c.send(3000, true, &idr(b"y"));
    let got = c.take();
    assert!(got[0].unit.sample_entry.is_some());
    assert_eq!(got[1].unit.sample_entry, None);
}

#[test]
fn packet_types_that_are_not_supported() {
    let mut c = Camera::proven();
    // Types that carry nothing,
    c.send(6000, false, &[0x1e, 1, 2, 3]);
    c.send(6000, false, &[0x00, 1, 2, 3]);
    c.send(6000, true, &p(b"x"));
    // and one that carries something: FU-B.
    c.send(9000, false, &[0x7d, 0x85, 0, 0, 1]);
    c.send(9000, true, &p(b"y"));
    let lost: Vec<u32> = c.take().iter().map(|g| g.unit.lost_packets).collect();
    assert_eq!(lost, [0, 1]);
    assert_eq!(c.stats().bad, 3);
}

#[test]
fn parameter_sets_that_change_in_mid_stream() {
    let mut c = Camera::proven();
    c.send(6000, false, first(BASELINE, unit_type::SPS));
    c.send(6000, false, first(BASELINE, unit_type::PPS));
    c.send(6000, true, &idr(b"x"));
    c.send(9000, true, &p(b"y"));
    c.send(12_000, false, sps());
    c.send(12_000, false, pps());
    c.send(12_000, true, &idr(b"z"));
    let widths: Vec<Option<u16>> = c
        .take()
        .iter()
        .map(|g| g.unit.sample_entry.as_ref().map(|e| e.width))
        .collect();
    assert_eq!(widths, [Some(176), None, Some(178)]);
}

#[test]
fn a_change_is_told_even_if_its_access_unit_is_lost() {
    let mut c = Camera::proven();
    c.send(6000, false, first(BASELINE, unit_type::SPS));
    c.send(6000, false, first(BASELINE, unit_type::PPS));
    c.send(6000, false, &idr(b"x"));
    c.lose_packets(1);
    c.send(9000, true, &p(b"y"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].unit.sample_entry.as_ref().unwrap().width, 176);
}

#[test]
fn parameter_sets_that_are_fragmented() {
    let mut c = Camera::tcp();
    c.send_fu_a(0, false, sps(), 7);
    c.send_fu_a(0, false, pps(), 2);
    c.send_fu_a(0, true, &idr(b"x"), 2);
    let got = c.end(3000);
    assert!(got[0].unit.sample_entry.is_some());
    assert_eq!(got[0].bytes, avc(&[&idr(b"x")]));
}

#[test]
fn parameter_sets_that_cannot_be_read() {
    let mut c = Camera::proven();
    c.send(6000, false, &sps()[..3]);
    c.send(6000, true, &idr(b"x"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].unit.sample_entry, None, "the known ones stay");
    assert!(matches!(c.errors[..], [PacketErrorKind::ParameterSet(_)]));
}

#[test]
fn parameter_sets_from_the_sdp_only() {
    use base64::Engine as _;
    let encode = |nal| base64::engine::general_purpose::STANDARD.encode(nal);
    let sprop = format!("{},{}", encode(sps()), encode(pps()));
    let mut c = Camera::with(|c| c.sprop = Some(sprop));
    assert_eq!(c.receiver.sample_entry().unwrap().width, 178);
    assert_eq!(c.receiver.sprop_error(), None);
    c.send(0, true, &idr(b"x"));
    assert_eq!(
        c.end(3000)[0].unit.sample_entry.as_ref().unwrap().width,
        178
    );
}

#[test]
fn parameter_sets_that_come_late() {
    let mut c = Camera::with(|c| c.sprop = Some("!".to_owned()));
    assert!(c.receiver.sprop_error().is_some());
    c.send(0, true, &idr(b"x"));
    c.send(3000, true, &p(b"y"));
    c.send(6000, false, sps());
    c.send(6000, false, pps());
    c.send(6000, true, &idr(b"z"));
    let known: Vec<bool> = c
        .take()
        .iter()
        .map(|g| g.unit.sample_entry.is_some())
        .collect();
    assert_eq!(known, [false, false, true]);
}

#[test]
fn idr_in_several_slices() {
    let mut c = Camera::proven();
    c.send_fu_a(6000, false, &idr(b"first slice"), 4);
    c.send(6000, false, &idr_rest(b"second"));
    c.send_fu_a(6000, true, &idr_rest(b"third slice"), 4);
    let got = c.take();
    let expected = avc(&[
        &idr(b"first slice"),
        &idr_rest(b"second"),
        &idr_rest(b"third slice"),
    ]);
    assert_eq!(got[0].bytes, expected);
    assert!(got[0].unit.is_sync);
}

#[test]
fn recovery_points_without_any_idr() {
    let mut c = Camera::tcp();
    let sei = [0x06, 0x06, 0x01, 0xc4, 0x80];
    c.send(0, false, &sei);
    c.send(0, true, &slice(0x41, true, b"intra"));
    c.send(3000, true, &p(b"x"));
    // On a picture that is not intra it is the beginning of a gradual refresh.
    c.send(6000, false, &sei);
    c.send(6000, true, &p(b"x"));
    // Fragmented.
    c.send_fu_a(9000, false, &sei, 2);
    c.send(9000, true, &slice(0x41, true, b"intra"));
    let sync: Vec<bool> = c.take().iter().map(|g| g.unit.is_sync).collect();
    assert_eq!(sync, [true, false, false, true]);
}

#[test]
fn recovery_points_beside_idr_do_not_count_until_it_is_forgotten() {
    let mut c = Camera::proven();
    let sei = [0x06, 0x06, 0x01, 0xc4, 0x80];
    let mut sync = Vec::new();
    for seconds in [10, 30, 59, 61, 70] {
        c.pass_time(Duration::from_secs(30));
        c.send(seconds * 90_000, false, &sei);
        c.send(seconds * 90_000, true, &slice(0x41, true, b"intra"));
        sync.extend(c.take().iter().map(|g| g.unit.is_sync));
    }
    assert_eq!(sync, [false, false, false, true, true]);
}

#[test]
fn a_gradual_refresh_counts_where_nothing_better_comes() {
    let mut c = Camera::tcp();
    // A recovery point after which three frames are not right yet, on a picture that is not intra.
    let gradual = [0x06, 0x06, 0x01, 0b0010_0110, 0x80];
    let better = [0x06, 0x06, 0x01, 0xc4, 0x80];
    let send = |c: &mut Camera, second: u32, sei: &[u8], picture: &[u8]| {
        c.pass_time(Duration::from_secs(1));
        c.send(second * 90_000, false, sei);
        c.send(second * 90_000, true, picture);
    };
    for second in 0..9 {
        send(&mut c, second, &gradual, &p(b"x"));
    }
    let sync: Vec<bool> = c.take().iter().map(|g| g.unit.is_sync).collect();
    assert_eq!(sync.iter().filter(|s| !**s).count(), 6, "{sync:?}");
    assert!(sync[6..].iter().all(|s| *s), "{sync:?}");
    // Better ones alone count from the first one on, for a while.
    let intra = slice(0x41, true, b"intra");
    send(&mut c, 9, &better, &intra);
    send(&mut c, 10, &gradual, &p(b"x"));
    send(&mut c, 12, &gradual, &p(b"x"));
    send(&mut c, 13, &better, &intra);
    send(&mut c, 14, &gradual, &p(b"x"));
    let sync: Vec<bool> = c.take().iter().map(|g| g.unit.is_sync).collect();
    assert_eq!(sync, [true, false, false, true, false]);
}

#[test]
fn an_intra_picture_counts_where_nothing_better_comes() {
    let mut c = Camera::tcp();
    let mut sync = Vec::new();
    for second in 0..10 {
        c.pass_time(Duration::from_secs(1));
        let intra = slice(0x41, true, b"intra");
        let picture = if second % 4 == 3 { intra } else { p(b"x") };
        c.send(second * 90_000, true, &picture);
        sync.extend(c.take().iter().map(|g| g.unit.is_sync));
    }
    // The first one comes with the packet behind it.
    assert_eq!(sync.iter().position(|s| *s), Some(7), "{sync:?}");
    assert_eq!(sync.iter().filter(|s| **s).count(), 1, "{sync:?}");
}

#[test]
fn b_frames_step_back_without_a_discontinuity() {
    let mut c = Camera::proven();
    for ts in [15_000, 9000, 12_000, 24_000] {
        c.send(ts, true, &p(b"x"));
    }
    let got = c.take();
    let times: Vec<i64> = got.iter().map(|g| g.unit.timestamp).collect();
    assert_eq!(times, [15_000, 9000, 12_000, 24_000]);
    assert!(got.iter().all(|g| !g.unit.discontinuity));
}

#[test]
fn two_fields_of_a_frame_are_one_sample() {
    use h264_reader::nal::sps::{FrameMbsFlags, SeqParameterSet};
    use h264_reader::nal::{Nal, NalHeader, RefNal, WritableNal};
    let mut interlaced =
        SeqParameterSet::from_bits(RefNal::new(sps(), &[], true).rbsp_bits()).unwrap();
    interlaced.frame_mbs_flags = FrameMbsFlags::Fields {
        mb_adaptive_frame_field_flag: false,
    };
    let mut c = Camera::tcp();
    c.send(
        0,
        false,
        &interlaced.to_vec_with_header(NalHeader::new(0x67).unwrap()),
    );
    c.send(0, false, pps());
    c.send(0, false, &idr(b"top"));
    c.send(0, true, &p(b"bottom"));
    assert_eq!(c.end(3600)[0].bytes, avc(&[&idr(b"top"), &p(b"bottom")]));
}
