//! How sockets are read: on ticks, in turn, and datagrams of those who were asked.

use super::*;

#[test]
fn bulk_connections_are_read_on_ticks() {
    let mut el = event_loop(&[]);
    let mut peer = connected(&mut el, A);
    el.does(Action::Bulk { conn: A });
    // A camera: a packet each millisecond, for half a second.
    let sender = std::thread::spawn(move || {
        let began = Instant::now();
        for i in 0..500 {
            while began.elapsed() < Duration::from_millis(i) {
                std::thread::yield_now();
            }
            peer.write_all(&[0; 1400]).unwrap();
        }
        peer
    });
    el.until(|c| c.received.len() == 500 * 1400);
    let reads = el.core.times.len();
    assert!(reads <= 12, "{reads} reads of 500 packets");
    let turns: u64 = el.stats.turns.counts.iter().sum();
    assert!(turns < 60, "{turns} turns");
    // The end is noticed too.
    drop(sender.join().unwrap());
    el.until(|c| c.heard(&Heard::Closed(A, Ok(()))));
    assert!(!el.sockets.has_bulk(Bulk::Tick));
}

#[test]
fn a_key_frame_between_ticks_does_not_wait_for_the_next_one() {
    let mut setup = setup(&[]);
    setup.bulk_tick = Duration::from_secs(3600);
    let mut el = EventLoop::new(TestCore::default(), setup).unwrap();
    let mut peer = connected(&mut el, A);
    el.does(Action::Bulk { conn: A });
    // All sockets are read on the tick that is due when the first of them turns bulk.
    el.turn(Some(Duration::ZERO)).unwrap();
    peer.write_all(&[0; 100_000]).unwrap();
    for _ in 0..3 {
        el.turn(Some(Duration::from_millis(5))).unwrap();
    }
    assert_eq!(el.core.received.len(), 0);
    // Nobody reads, and yet all of it is taken from the sender.
    peer.set_nonblocking(true).unwrap();
    let mut sent = 100_000;
    let frame = vec![0; 700_000];
    while sent < 800_000 {
        match peer.write(&frame[..800_000 - sent]) {
            Ok(n) => sent += n,
            Err(e) => panic!("held up after {sent} bytes: {e}"),
        }
    }
    // Not only its own kernel has them: ours has acknowledged them all.
    let deadline = Instant::now() + PATIENCE;
    while unacknowledged(&peer) > 0 {
        assert!(Instant::now() < deadline, "the window is too small");
        std::thread::yield_now();
    }
    el.until(|c| c.received.len() == 800_000);
}

/// Bytes that the other side's kernel has not acknowledged (tcp(7), `SIOCOUTQ`).
fn unacknowledged(stream: &TcpStream) -> i32 {
    let mut bytes: libc::c_int = 0;
    let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
    // SAFETY: the descriptor is open and the kernel writes one `int`.
    assert_eq!(unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &mut bytes) }, 0);
    bytes
}

#[test]
fn one_connection_does_not_starve_another() {
    let mut el = event_loop(&[any_port()]);
    let flooder = connected(&mut el, A);
    flooder.set_nonblocking(true).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = std::thread::spawn({
        let stop = stop.clone();
        let mut flooder = flooder.try_clone().unwrap();
        move || {
            let bytes = vec![0; 1 << 20];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = flooder.write(&bytes);
            }
        }
    });
    let _client = TcpStream::connect(el.port()).unwrap();
    el.core.timeout = Some(el.clock.monotonic() + Duration::from_millis(50));
    el.until(|c| c.accepted().is_some() && c.heard(&Heard::Timeout));
    let largest = el.core.heard.iter().filter_map(|h| match h {
        Heard::Received(A, len) => Some(*len),
        _ => None,
    });
    assert!(largest.max().unwrap_or(0) <= BUFFER_BYTES);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.join().unwrap();
}

#[test]
fn a_group_is_asked_and_heard_on_one_interface() {
    let mut el = event_loop(&[]);
    el.does(Action::Interfaces);
    let loopback = |h: &Heard| match h {
        Heard::Interfaces(all) => all.iter().any(|i| i.loopback && i.prefix == 8),
        _ => false,
    };
    el.until(|c| c.heard.iter().any(loopback));
    el.core.heard.clear();
    // A group and port of this test's own.
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let group = std::net::SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 77), port);
    for (conn, listen) in [(A, false), (B, true)] {
        el.does(Action::BindGroup {
            conn,
            interface: Ipv4Addr::LOCALHOST,
            group,
            listen,
        });
    }
    let (to, bytes) = (SocketAddr::V4(group), b"who is there".to_vec());
    el.does(Action::SendTo { conn: A, to, bytes });
    el.until(|c| !c.heard.is_empty());
    let Heard::Datagram(B, from, heard) = el.core.heard.remove(0) else {
        panic!("{:?}", el.core.heard);
    };
    assert_eq!(
        (from.ip(), &heard[..]),
        (Ipv4Addr::LOCALHOST.into(), &b"who is there"[..])
    );
    // Anybody may answer.
    let device = UdpSocket::bind("127.0.0.9:0").unwrap();
    device.send_to(b"me", from).unwrap();
    el.until(|c| !c.heard.is_empty());
    let address = device.local_addr().unwrap();
    assert_eq!(el.core.heard, [Heard::Datagram(A, address, b"me".to_vec())]);
    el.core.heard.clear();
    // An address that is not ours is told as such.
    el.does(Action::BindGroup {
        conn: ConnId(77),
        interface: [192, 0, 2, 99].into(),
        group,
        listen: true,
    });
    el.until(|c| !c.heard.is_empty());
    assert!(matches!(
        el.core.heard[0],
        Heard::Closed(ConnId(77), Err(_))
    ));
}

#[test]
fn udp_pairs_hear_their_peer_only() {
    let mut el = event_loop(&[]);
    let peer: IpAddr = Ipv4Addr::LOCALHOST.into();
    let (rtp, rtcp) = (A, B);
    el.does(Action::BindUdp { rtp, rtcp, peer });
    let bound = |h: &Heard| match h {
        Heard::UdpBound(A, B, Ok(port)) => Some(*port),
        _ => None,
    };
    el.until(|c| c.heard.iter().any(|h| bound(h).is_some()));
    let port = el.core.heard.iter().find_map(bound).unwrap();
    assert_eq!(port % 2, 0);
    el.does(Action::Bulk { conn: rtp });
    let camera = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let from = camera.local_addr().unwrap();
    stranger.send_to(b"no", ("127.0.0.1", port)).unwrap();
    for i in 0..3 {
        camera.send_to(&[i], ("127.0.0.1", port)).unwrap();
    }
    camera.send_to(b"report", ("127.0.0.1", port + 1)).unwrap();
    el.until(|c| c.heard.len() >= 5);
    let mut heard: Vec<Heard> = el.core.heard.drain(..).skip(1).collect();
    heard.sort_by_key(|h| matches!(h, Heard::Datagram(B, ..)));
    let packet = |i| Heard::Datagram(rtp, from, vec![i]);
    let report = Heard::Datagram(rtcp, from, b"report".to_vec());
    assert_eq!(heard, [packet(0), packet(1), packet(2), report]);

    let bytes = b"receiver report".to_vec();
    el.does(Action::SendTo {
        conn: rtcp,
        to: from,
        bytes,
    });
    let mut buf = [0; 100];
    let (len, back) = camera.recv_from(&mut buf).unwrap();
    assert_eq!(
        (&buf[..len], back.port()),
        (&b"receiver report"[..], port + 1)
    );
    for conn in [rtp, rtcp] {
        el.does(Action::Close { conn, flush: false });
    }
    assert_eq!(el.sockets.len(), 0);
}
