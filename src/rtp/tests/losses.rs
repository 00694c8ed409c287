//! What is lost, and what is not because of it; and the limits.

use super::*;

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

/// Found by fuzzing: the slice at which the queue was full was taken for begun, and became an access
/// unit without a byte.
#[test]
fn the_picture_after_a_full_queue_is_lost_or_whole() {
    let mut c = Camera::proven();
    let unit = p(b"x");
    c.send(6000, false, &stap_a(&vec![&unit[..]; 130]));
    assert_eq!(c.errors, [PacketErrorKind::QueueFull]);
    assert_eq!(c.take().len(), 128);
    c.send(6000, false, &idr_rest(b"of the lost one"));
    c.send(9000, true, &unit);
    let got = c.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].bytes, avc(&[&unit]));
    assert_eq!(got[0].unit.lost_packets, 2);
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
