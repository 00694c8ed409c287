//! What cameras do with RTP and RTCP, one test each, named after it.

use super::*;

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
fn ssrc_that_changes_while_an_access_unit_waits_for_proof() {
    let mut c = Camera::tcp();
    c.send(0, true, &idr(b"whole"));
    c.ssrc = 2;
    c.send(0, true, &idr(b"x"));
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"whole")])]);
    // Not so in the midst of a message behind it, which would have no length.
    let mut c = Camera::tcp();
    c.send(0, true, &idr(b"not whole"));
    c.send(0, false, &[0x1c, 0x86, 5, 9]);
    c.ssrc = 2;
    c.send(3000, true, &idr(b"x"));
    c.send(6000, true, &p(b"y"));
    assert_eq!(c.take_bytes(), [avc(&[&idr(b"x")]), avc(&[&p(b"y")])]);
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
