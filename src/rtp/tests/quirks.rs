//! What cameras do, one test each, named after it.

use super::*;

// RTP and RTCP.

#[test]
fn packets_in_good_order() {
    let mut c = Camera::tcp();
    let big: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8 | 1).collect();
    c.send(
        1000,
        false,
        &stap_a(&[sps(), pps(), &[0x06, 5, 1, 9, 0x80]]),
    );
    c.send_fu_a(1000, true, &idr(&big), 1400);
    assert!(c.take().is_empty(), "the marker is not proven yet");
    c.send(4000, true, &p(b"one"));
    c.send_fu_a(7000, true, &p(&big), 1400);
    let got = c.take();
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].bytes, avc(&[&[0x06, 5, 1, 9, 0x80], &idr(&big)]));
    assert_eq!(got[1].bytes, avc(&[&p(b"one")]));
    assert_eq!(got[2].bytes, avc(&[&p(&big)]));
    let times: Vec<i64> = got.iter().map(|g| g.unit.timestamp).collect();
    assert_eq!(times, [1000, 4000, 7000]);
    let sync: Vec<bool> = got.iter().map(|g| g.unit.is_sync).collect();
    assert_eq!(sync, [true, false, false]);
    let entry = c.receiver.sample_entry().unwrap().clone();
    assert_eq!((entry.width, entry.height), (178, 146));
    assert_eq!(got[0].unit.sample_entry, Some(entry));
    assert!(got[1..].iter().all(|g| g.unit.sample_entry.is_none()));
    assert!(
        got.iter()
            .all(|g| g.unit.lost_packets == 0 && !g.unit.discontinuity)
    );
    assert!(c.out.is_empty() && c.errors.is_empty());
    assert_eq!(c.stats().access_units, 3);
    assert_eq!(c.stats().packets, 10);
}

#[test]
fn payload_types_that_were_not_announced() {
    let mut c = Camera::proven();
    let mut other = rtp(9999, 6000, true, SSRC, b"\x65\x88metadata");
    other[1] = 107;
    c.send_raw(&other);
    assert_eq!(c.errors, [PacketErrorKind::PayloadType(107)]);
    c.send(6000, true, &p(b"x"));
    assert_eq!(c.take()[0].unit.lost_packets, 0);
    assert_eq!(c.stats().foreign, 1);
    assert_eq!(c.stats().lost, 0);
}

#[test]
fn padding_header_extension_and_csrcs() {
    let mut c = Camera::proven();
    let mut packet = rtp(c.sequence, 6000, true, SSRC, b"");
    packet[0] = 0xb1;
    packet.extend_from_slice(b"csrc\xbe\xde\0\x01ext!");
    packet.extend_from_slice(&p(b"payload"));
    packet.extend_from_slice(b"\0\0\x03");
    c.send_raw(&packet);
    assert_eq!(c.take_bytes(), [avc(&[&p(b"payload")])]);
}

#[test]
fn a_packet_that_is_none() {
    let mut c = Camera::proven();
    c.send_raw(b"");
    c.send_raw(&[0; 100]);
    let mut packet = rtp(c.sequence, 6000, true, SSRC, &p(b"x"));
    packet[0] = 0xa0;
    *packet.last_mut().unwrap() = 0;
    c.send_raw(&packet);
    assert_eq!(
        c.errors,
        [
            PacketErrorKind::Truncated { need: 12, have: 0 },
            PacketErrorKind::Version(0),
            PacketErrorKind::Padding
        ]
    );
    assert_eq!(c.stats().bad, 3);
    // A packet without payload is one.
    c.send(6000, false, b"");
    c.send(6000, true, &p(b"y"));
    assert_eq!(c.take_bytes(), [avc(&[&p(b"y")])]);
}

#[test]
fn sequence_numbers_that_restart() {
    let mut c = Camera::proven();
    c.send_as(0, 6000, true, &p(b"x"));
    c.send(9000, true, &p(b"y"));
    let got = c.take();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].unit.lost_packets, 1, "nobody knows what was lost");
    assert_eq!(got[1].unit.lost_packets, 0);
    assert_eq!(c.stats().restarts, 1);
    assert_eq!(c.stats().lost, 0);
}

#[test]
fn sequence_numbers_that_jump_within_an_access_unit() {
    // Parameter sets and slices are counted each on their own.
    let mut c = Camera::proven();
    c.send_as(7, 6000, false, sps());
    c.send(6000, false, pps());
    c.send_as(20_000, 6000, false, &idr(b"1"));
    let fragments = fu_a(&idr_rest(b"fragmented"), 4);
    c.send(6000, false, &fragments[0]);
    c.send_as(50_000, 6000, false, &fragments[1]);
    c.send(6000, true, &fragments[2]);
    let expected = avc(&[&idr(b"1"), &idr_rest(b"fragmented")]);
    assert_eq!(c.take_bytes(), [expected]);
}

#[test]
fn sequence_numbers_that_repeat() {
    let mut c = Camera::proven();
    let sequence = c.sequence;
    // The same packet twice,
    c.send_as(sequence, 6000, true, &p(b"x"));
    c.send_as(sequence, 6000, true, &p(b"x"));
    // and different packets with the same number.
    c.send_as(sequence, 9000, true, &p(b"y"));
    c.send_as(sequence, 12_000, true, &p(b"z"));
    assert_eq!(
        c.take_bytes(),
        [avc(&[&p(b"x")]), avc(&[&p(b"y")]), avc(&[&p(b"z")])]
    );
    assert_eq!(c.stats().duplicates, 1);
}

#[test]
fn ssrc_that_changes_in_mid_stream() {
    let mut c = Camera::proven();
    c.send(6000, false, &p(b"unfinished"));
    c.ssrc = 0xffff;
    c.send_as(3, 1_000_000, true, &idr(b"x"));
    c.send(1_003_000, true, &p(b"y"));
    let got = c.take();
    assert_eq!(got[0].bytes, avc(&[&idr(b"x")]));
    assert!(got[0].unit.discontinuity);
    assert!(!got[1].unit.discontinuity);
    assert_eq!(c.stats().restarts, 1);
    assert_eq!(c.stats().dropped_access_units, 1);
    assert!(c.out.is_empty());
}

#[test]
fn ssrc_that_differs_from_the_one_announced() {
    let mut c = Camera::with(|c| c.ssrc = Some(0xdead_beef));
    c.send(0, true, &idr(b"x"));
    c.send(3000, true, &p(b"y"));
    assert_eq!(c.take().len(), 2);
    let mut c = Camera::with(|c| {
        c.ssrc = Some(0xdead_beef);
        c.reorder = true;
    });
    c.send(0, true, &idr(b"x"));
    c.send(3000, true, &p(b"y"));
    assert_eq!(c.take().len(), 2);
}

#[test]
fn a_strangers_packets_over_udp() {
    let mut c = Camera::udp();
    c.send(0, true, &idr(b"x"));
    c.send_raw(&rtp(7, 55, true, 0x666, &idr(b"stranger")));
    c.send(3000, true, &p(b"y"));
    c.send_raw(&rtp(8, 60, true, 0x666, &idr(b"stranger")));
    c.send(6000, true, &p(b"z"));
    assert_eq!(c.take().len(), 3);
    assert_eq!(c.errors, [PacketErrorKind::ForeignSsrc; 2]);
    // Two in succession have taken over.
    c.send_raw(&rtp(9, 63, true, 0x666, &idr(b"new")));
    c.send_raw(&rtp(10, 3063, true, 0x666, &idr(b"new")));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert!(got[0].unit.discontinuity);
}

fn sender_report(ssrc: u32, ntp: u64) -> Vec<u8> {
    let mut out = vec![0x80, 200, 0, 6];
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&ntp.to_be_bytes());
    out.extend_from_slice(&[0; 12]);
    out
}

const NOW: Now = Now {
    monotonic: Monotonic(1_000_000_000),
    wall: Wall90k::from_unix_secs(1_795_341_600),
};

#[test]
fn rtcp_before_any_rtp_and_of_an_unknown_ssrc() {
    let mut c = Camera::tcp();
    let ntp = (1_795_341_600u64 + 2_208_988_800) << 32;
    let mut rr = Vec::new();
    c.receiver.receiver_report(c.now, &mut rr);
    assert!(rr.is_empty(), "nothing to report");
    c.receiver.rtcp(NOW, &sender_report(SSRC, ntp)).unwrap();
    assert_eq!(c.receiver.sender_report().unwrap().wall, Some(NOW.wall));
    c.send(0, true, &idr(b"x"));
    c.receiver.rtcp(NOW, &sender_report(99, 5 << 32)).unwrap();
    assert_eq!(c.receiver.sender_report().unwrap().ntp, ntp);
    assert_eq!(c.stats().sender_reports, 1);
    c.receiver.receiver_report(c.now, &mut rr);
    assert!(!rr.is_empty());
}

#[test]
fn rtcp_of_the_wrong_length() {
    let mut c = Camera::proven();
    let mut packet = sender_report(SSRC, 1 << 63);
    packet[3] = 12;
    let e = c.receiver.rtcp(NOW, &packet).unwrap_err();
    assert_eq!(e.kind, PacketErrorKind::Truncated { need: 52, have: 28 });
    assert!(c.receiver.sender_report().is_some());
    assert!(c.receiver.rtcp(NOW, b"\x80").is_err());
    assert_eq!(c.stats().bad_rtcp, 2);
}

#[test]
fn timestamps_that_jump_by_hours() {
    let mut c = Camera::proven();
    c.send(6000, true, &p(b"x"));
    c.send(6000 + 3 * 3600 * 90_000, true, &p(b"y"));
    c.send(9000 + 3 * 3600 * 90_000, true, &p(b"z"));
    let jumps: Vec<bool> = c.take().iter().map(|g| g.unit.discontinuity).collect();
    assert_eq!(jumps, [false, true, false]);
    assert_eq!(c.stats().discontinuities, 1);
}

#[test]
fn timestamps_that_step_back() {
    let mut c = Camera::tcp();
    for ts in [9_000_000, 9_003_000, 8_000_000, 8_003_000] {
        c.send(ts, true, &idr(b"x"));
    }
    c.send(8_006_000, true, &idr(b"x"));
    let jumps: Vec<bool> = c.take().iter().map(|g| g.unit.discontinuity).collect();
    assert_eq!(jumps, [false, false, true, false, false]);
}

#[test]
fn timestamps_that_stand_still() {
    let mut c = Camera::proven();
    for _ in 0..3 {
        c.send(6000, true, &p(b"x"));
    }
    let times: Vec<i64> = c.take().iter().map(|g| g.unit.timestamp).collect();
    assert_eq!(times, [6000; 3]);
}

#[test]
fn timestamps_that_wrap() {
    let mut c = Camera::tcp();
    c.send(u32::MAX - 2999, true, &idr(b"x"));
    c.send(0, true, &p(b"y"));
    c.send(3000, true, &p(b"z"));
    let wrap = 1i64 << 32;
    let got = c.take();
    let times: Vec<i64> = got.iter().map(|g| g.unit.timestamp).collect();
    assert_eq!(times, [wrap - 3000, wrap, wrap + 3000]);
    assert!(got.iter().all(|g| !g.unit.discontinuity));
}

#[test]
fn a_jump_is_told_even_if_its_access_unit_is_lost() {
    let mut c = Camera::proven();
    c.send(1_000_000_000, false, &p(b"x"));
    c.lose_packets(1);
    c.send(1_000_003_000, true, &p(b"y"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert!(got[0].unit.discontinuity);
    assert_eq!(got[0].unit.lost_packets, 1);
}

#[test]
fn udp_reordering_and_duplicates() {
    let mut c = Camera::udp();
    let fragments = fu_a(&idr(b"a picture in fragments"), 3);
    let order = [0, 2, 1, 1, 5, 4, 3, 6, 7, 7, 0];
    for i in order {
        let marker = i + 1 == fragments.len();
        c.send_as(65_530u16.wrapping_add(i as u16), 0, marker, &fragments[i]);
    }
    assert_eq!(fragments.len(), 8);
    c.send_as(65_530u16.wrapping_add(8), 3000, true, &p(b"x"));
    let got = c.take();
    assert_eq!(got[0].bytes, avc(&[&idr(b"a picture in fragments")]));
    assert_eq!(got.len(), 2);
    assert_eq!(c.stats().duplicates, 3);
    assert_eq!(c.stats().reordered, 3);
    assert_eq!(c.stats().lost, 0);
}

#[test]
fn udp_loss_is_given_up_after_its_time() {
    let mut c = Camera::udp();
    c.send(0, true, &idr(b"x"));
    c.send(3000, true, &p(b"y"));
    c.lose_packets(2);
    c.send(6000, true, &p(b"z"));
    assert_eq!(c.take().len(), 2);
    c.pass_time(Duration::from_millis(199));
    assert!(c.take().is_empty());
    c.pass_time(Duration::from_millis(1));
    let got = c.take();
    assert_eq!(got[0].bytes, avc(&[&p(b"z")]));
    assert_eq!(got[0].unit.lost_packets, 2);
    assert_eq!(c.stats().lost, 2);
}

// H.264.

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
    for minute in [1, 5, 11, 12] {
        c.pass_time(Duration::from_secs(300));
        c.send(minute * 60 * 90_000, false, &sei);
        c.send(minute * 60 * 90_000, true, &slice(0x41, true, b"intra"));
        sync.extend(c.take().iter().map(|g| g.unit.is_sync));
    }
    assert_eq!(sync, [false, false, false, true]);
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

// What is lost.

#[test]
fn joining_in_the_midst_of_an_access_unit() {
    let mut c = Camera::tcp();
    let fragments = fu_a(&idr(b"fragmented"), 4);
    for (i, f) in fragments.iter().enumerate().skip(1) {
        c.send(0, i + 1 == fragments.len(), f);
    }
    c.send(3000, true, &p(b"x"));
    let got = c.end(6000);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].bytes, avc(&[&p(b"x")]));
    assert_eq!(got[0].unit.lost_packets, 0);
}

#[test]
fn loss_within_an_access_unit_drops_it() {
    let fragments = fu_a(&idr(b"a picture in many fragments"), 4);
    for lost in 0..fragments.len() {
        let mut c = Camera::proven();
        for (i, f) in fragments.iter().enumerate() {
            if i == lost {
                c.lose_packets(1);
            } else {
                c.send(6000, i + 1 == fragments.len(), f);
            }
        }
        c.send(9000, true, &p(b"x"));
        let got = c.take();
        assert_eq!(got.len(), 1, "fragment {lost}");
        assert_eq!(got[0].bytes, avc(&[&p(b"x")]));
        assert_eq!(got[0].unit.lost_packets, 1);
        assert_eq!(c.stats().dropped_access_units, 1);
        assert!(c.out.is_empty());
    }
}

#[test]
fn loss_of_a_whole_slice_drops_the_access_unit() {
    for lost in 0..3 {
        let mut c = Camera::proven();
        let slices = [idr(b"1"), idr_rest(b"2"), idr_rest(b"3")];
        for (i, s) in slices.iter().enumerate() {
            if i == lost {
                c.lose_packets(1);
            } else {
                c.send(6000, i == 2, s);
            }
        }
        c.send(9000, true, &p(b"x"));
        let got = c.take();
        assert_eq!(got.len(), 1, "slice {lost}");
        assert_eq!(got[0].unit.lost_packets, 1);
    }
}

#[test]
fn loss_between_access_units_drops_none_that_came() {
    let mut c = Camera::proven();
    c.send(6000, true, &p(b"x"));
    c.lose_packets(5);
    c.send(12_000, true, &p(b"y"));
    let got = c.take();
    assert_eq!(got.len(), 2);
    assert_eq!(got[1].unit.lost_packets, 5);
    assert_eq!(c.stats().dropped_access_units, 0);
}

#[test]
fn parameter_sets_count_even_in_an_access_unit_that_is_dropped() {
    let mut c = Camera::tcp();
    c.send(0, false, &idr_rest(b"x"));
    c.send(0, false, sps());
    c.send(0, true, pps());
    c.send(3000, true, &idr(b"y"));
    assert!(c.end(6000)[0].unit.sample_entry.is_some());
}

#[test]
fn a_reset_leaves_what_was_completed() {
    let mut c = Camera::proven();
    let push = |c: &mut Camera, ts, marker, payload: &[u8]| {
        let packet = rtp(c.sequence, ts, marker, SSRC, payload);
        c.sequence += 1;
        c.receiver.push(c.now, &packet, &mut c.out).unwrap();
    };
    push(&mut c, 6000, true, &p(b"whole"));
    let fragments = fu_a(&idr(b"unfinished"), 4);
    push(&mut c, 9000, false, &fragments[0]);
    push(&mut c, 9000, false, &fragments[1]);
    c.receiver.reset(&mut c.out);
    assert_eq!(c.out, avc(&[&p(b"whole")]));
    push(&mut c, 9000, true, &fragments[2]);
    push(&mut c, 12_000, true, &p(b"next"));
    c.pull();
    assert_eq!(c.take_bytes(), [avc(&[&p(b"whole")]), avc(&[&p(b"next")])]);
}

#[test]
fn the_owner_may_move_the_buffer() {
    let mut c = Camera::proven();
    c.send(6000, true, &p(b"whole"));
    let fragments = fu_a(&idr(b"goes on elsewhere"), 4);
    for (i, f) in fragments.iter().enumerate() {
        c.send(9000, i + 1 == fragments.len(), f);
        // Something else in front, another allocation.
        c.out = c.out.clone();
    }
    assert_eq!(c.take().len(), 2);
}

#[test]
fn an_access_unit_that_is_too_large_is_dropped() {
    let mut c = Camera::proven();
    let fragment = [&[0x7c, 0x05][..], &[0xaa; 60_000]].concat();
    let mut start = fragment.clone();
    start[1] = 0x85;
    start[2] = 0x88;
    c.send(6000, false, &start);
    for _ in 0..200 {
        c.send(6000, false, &fragment);
        assert!(c.out.len() <= MAX_ACCESS_UNIT_BYTES);
    }
    assert_eq!(c.errors, [PacketErrorKind::AccessUnitTooLarge]);
    c.send(9000, true, &p(b"x"));
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].unit.lost_packets, 1);
    assert!(c.out.is_empty());
}

#[test]
fn more_access_units_in_a_packet_than_are_queued() {
    let mut c = Camera::proven();
    let unit = p(b"x");
    c.send(6000, true, &stap_a(&vec![&unit[..]; 500]));
    assert_eq!(c.errors, [PacketErrorKind::QueueFull]);
    let got = c.take();
    assert_eq!(got.len(), 128);
    assert!(got.iter().all(|g| g.bytes == avc(&[&unit])));
    assert!(c.out.is_empty());
    c.send(9000, true, &unit);
    assert_eq!(c.take()[0].unit.lost_packets, 372);
}

#[test]
fn errors_say_where() {
    let mut c = Camera::proven();
    let packet = rtp(c.sequence, 6000, true, SSRC, &[0x7d, 0x85, 0, 0, 1]);
    let e = c.receiver.push(c.now, &packet, &mut c.out).unwrap_err();
    assert_eq!(
        e.to_string(),
        "packet 104 of SSRC 12345678, byte 12: packet type 29 is not supported"
    );
}
