//! The RTSP client against a server that we did not write: GStreamer's, over TCP and UDP, with and
//! without a password. Plain blocking sockets stand in for the reactor.

use moonfire_nvr::config::Secret;
use moonfire_nvr::rtsp::{Client, ClientConfig, Error, Output, PacketKind, VideoDescription};
use moonfire_nvr::time::Monotonic;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many access units have to come.
const ACCESS_UNITS: usize = 60;
/// For the whole of a session; a slow machine starting an encoder included.
const LIMIT: Duration = Duration::from_secs(60);

/// A server process, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/servers/gst_rtsp_server.py"
        );
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg("--with-parent")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("/usr/bin/python3 is missing: run ./prep.sh test");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ");
        let port = port.expect("GStreamer's RTSP server does not start: run ./prep.sh test");
        Server {
            port: port.parse().unwrap(),
            child,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a session has brought.
#[derive(Default)]
struct Seen {
    video: Option<VideoDescription>,
    playing: bool,
    by_udp: bool,
    rtcp: usize,
    markers: usize,
    sequences: Vec<u16>,
    ended: bool,
}

impl Seen {
    fn packet(&mut self, kind: PacketKind, bytes: &[u8]) {
        match kind {
            PacketKind::Rtcp => self.rtcp += 1,
            PacketKind::Rtp => {
                assert_eq!(bytes[0] >> 6, 2, "RTP version");
                self.markers += usize::from(bytes[1] >> 7);
                self.sequences
                    .push(u16::from_be_bytes([bytes[2], bytes[3]]));
            }
        }
    }
}

/// One session on real sockets.
struct Session {
    client: Client,
    tcp: TcpStream,
    udp: Option<(UdpSocket, UdpSocket)>,
    begun: Instant,
    seen: Seen,
}

impl Session {
    fn new(server: &Server, path: &str, udp: bool, password: Option<&str>) -> Session {
        let tcp = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let cfg = ClientConfig {
            url: url::Url::parse(&format!("rtsp://127.0.0.1:{}/{path}", server.port)).unwrap(),
            username: password.map(|_| "admin".to_owned()),
            password: password.map(|p| Secret(p.to_owned())),
            udp,
            user_agent: "moonfire-nvr".to_owned(),
            seed: 1,
        };
        Session {
            client: Client::new(cfg, Monotonic(0)),
            tcp,
            udp: None,
            begun: Instant::now(),
            seen: Seen::default(),
        }
    }

    fn now(&self) -> Monotonic {
        Monotonic(0) + self.begun.elapsed()
    }

    /// Goes on until `done` says so.
    fn run(&mut self, done: impl Fn(&Seen) -> bool) -> Result<(), Error> {
        let mut buffer = vec![0; 64 * 1024];
        while !done(&self.seen) {
            assert!(
                self.begun.elapsed() < LIMIT,
                "not done after {LIMIT:?}: {} access units",
                self.seen.markers
            );
            self.put_out();
            let now = self.now();
            match self.tcp.read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(n) => {
                    let seen = &mut self.seen;
                    self.client
                        .receive(now, &buffer[..n], |p| seen.packet(p.kind, p.bytes))?;
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => panic!("{e}"),
            }
            if let Some((rtp, rtcp)) = &self.udp {
                for (socket, kind) in [(rtp, PacketKind::Rtp), (rtcp, PacketKind::Rtcp)] {
                    while let Ok(n) = socket.recv(&mut buffer) {
                        self.seen.packet(kind, &buffer[..n]);
                        if kind == PacketKind::Rtp {
                            self.client.udp_rtp_received(now);
                        }
                    }
                }
            }
            self.client.handle_timeout(now)?;
            self.put_out();
        }
        Ok(())
    }

    fn put_out(&mut self) {
        let now = self.now();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(bytes) => self.tcp.write_all(&bytes).unwrap(),
                Output::BindUdp => {
                    let (rtp, rtcp) = bind_pair();
                    self.client.udp_bound(now, rtp.local_addr().unwrap().port());
                    self.udp = Some((rtp, rtcp));
                }
                Output::Video(video) => self.seen.video = Some(video),
                Output::Playing { udp, .. } => {
                    self.seen.playing = true;
                    self.seen.by_udp = udp.is_some();
                }
                Output::Ended => self.seen.ended = true,
            }
        }
    }
}

/// Two sockets on an even port and the one above.
fn bind_pair() -> (UdpSocket, UdpSocket) {
    for _ in 0..100 {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port % 2 == 1 {
            continue;
        }
        if let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1)) {
            rtp.set_nonblocking(true).unwrap();
            rtcp.set_nonblocking(true).unwrap();
            return (rtp, rtcp);
        }
    }
    panic!("no two UDP ports in a row");
}

/// Plays until enough has come, then tears down.
fn play(server: &Server, path: &str, udp: bool, password: Option<&str>) {
    let mut session = Session::new(server, path, udp, password);
    session.run(|seen| seen.markers >= ACCESS_UNITS).unwrap();
    let seen = &session.seen;
    let video = seen.video.as_ref().expect("no description");
    assert_eq!((video.codec.as_str(), video.payload_type), ("H264", 96));
    assert_eq!(video.clock_rate, 90_000);
    assert!(video.sprop_parameter_sets.is_some());
    assert!(seen.playing && session.client.is_playing());
    assert_eq!(seen.by_udp, udp);
    if !udp {
        let in_row = seen
            .sequences
            .windows(2)
            .all(|w| w[0].wrapping_add(1) == w[1]);
        assert!(in_row, "packets are missing: {:?}", seen.sequences);
        assert_eq!(session.client.counters().other_packets, 0);
    }
    session.client.teardown(session.now());
    session.run(|seen| seen.ended).unwrap();
    assert_eq!(session.client.counters().stray_replies, 0);
}

#[test]
fn tcp_and_udp_without_a_password() {
    let server = Server::start(&[]);
    play(&server, "main", false, None);
    play(&server, "sub", true, None);
}

#[test]
fn tcp_and_udp_with_digest() {
    let server = Server::start(&["--auth", "digest", "admin", "hunter2"]);
    play(&server, "sub", false, Some("hunter2"));
    play(&server, "sub", true, Some("hunter2"));
}

#[test]
fn basic() {
    let server = Server::start(&["--auth", "basic", "admin", "hunter2"]);
    play(&server, "sub", false, Some("hunter2"));
}

#[test]
fn a_wrong_password_and_a_wrong_path() {
    let server = Server::start(&["--auth", "digest", "admin", "hunter2"]);
    for (path, password, expected) in [
        (
            "sub",
            Some("wrong"),
            "the camera refuses this user name and password",
        ),
        ("sub", None, "the camera wants a user name and password"),
        (
            "nowhere",
            Some("hunter2"),
            "DESCRIBE refused: 404 Not Found",
        ),
    ] {
        let mut session = Session::new(&server, path, false, password);
        let error = session.run(|seen| seen.playing).unwrap_err();
        assert_eq!(error.to_string(), expected);
        session.client.teardown(session.now());
        session.run(|seen| seen.ended).unwrap();
    }
}
