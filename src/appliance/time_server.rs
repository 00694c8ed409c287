//! The time for cameras that have no internet: an SNTP server (RFC 4330 section 6, RFC 5905 section 7.3)
//! that tells this machine's clock and never sets it.
//!
//! Whether the clock can be relied on is what systemd-timesyncd says. Before it has heard of a time server, the
//! answer says that it is not synchronized, and clients leave theirs as they are.

use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a request without extensions, and of an answer: no more goes out than comes in.
pub const PACKET_BYTES: usize = 48;

/// Seconds from 1900, where NTP begins to count, to 1970.
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// Modes of a packet (RFC 5905 section 7.3).
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// Versions that are answered, each in its own.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=4;

/// How far from a reference clock we say to be: below servers of the internet, as a client of theirs is.
const STRATUM: u8 = 3;
const NOT_SYNCHRONIZED_STRATUM: u8 = 16;
const NOT_SYNCHRONIZED: u8 = 3 << 6;

/// How exact the clock is told, in powers of two of seconds: about a microsecond.
const PRECISION: i8 = -20;

/// How far it may be off, in 1/65,536 s: what an SNTP client reaches over the internet.
const ROOT_DISPERSION: u32 = 65_536 / 20;

/// The answer to a packet that came at `received`, sent at `now`; `None` if it is no request for the time.
/// `synchronized` is when the clock was set last, if it is known to be right.
pub fn answer(
    request: &[u8],
    received: SystemTime,
    now: SystemTime,
    synchronized: Option<SystemTime>,
) -> Option<[u8; PACKET_BYTES]> {
    let request: &[u8; PACKET_BYTES] = request.first_chunk()?;
    let (version, mode) = (request[0] >> 3 & 7, request[0] & 7);
    // The first version had no modes.
    let is_client = mode == CLIENT || (version == 1 && mode == 0);
    if !is_client || !VERSIONS.contains(&version) {
        return None;
    }
    let mut out = [0; PACKET_BYTES];
    let leap = if synchronized.is_some() {
        0
    } else {
        NOT_SYNCHRONIZED
    };
    out[0] = leap | version << 3 | SERVER;
    out[1] = if synchronized.is_some() {
        STRATUM
    } else {
        NOT_SYNCHRONIZED_STRATUM
    };
    // How often it asks.
    out[2] = request[2];
    out[3] = PRECISION as u8;
    out[8..12].copy_from_slice(&ROOT_DISPERSION.to_be_bytes());
    // Where the time is from: this machine has it from a program of its own.
    out[12..16].copy_from_slice(&[127, 0, 0, 1]);
    if let Some(set) = synchronized {
        out[16..24].copy_from_slice(&timestamp(set));
    }
    // What the client has sent as its own time comes back: it knows its request by that.
    out[24..32].copy_from_slice(&request[40..48]);
    out[32..40].copy_from_slice(&timestamp(received));
    out[40..48].copy_from_slice(&timestamp(now));
    Some(out)
}

/// 32 bits of seconds since 1900, which begin anew in 2036, and 32 bits of their fraction (RFC 5905 section 6).
fn timestamp(time: SystemTime) -> [u8; 8] {
    // A clock before 1970 is not synchronized, and what it says is of no use.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((since.as_secs() + UNIX_EPOCH_SECONDS) << 32 | fraction).to_be_bytes()
}

/// Answers whoever asks, one after the other, until the socket fails. `synchronized` is the file that
/// systemd-timesyncd touches when it has set the clock.
pub fn serve(socket: &UdpSocket, synchronized: &Path) -> io::Result<()> {
    // What is longer has extensions, of which none is answered.
    let mut packet = [0; 128];
    loop {
        let (bytes, from) = match socket.recv_from(&mut packet) {
            // An answer before could not be delivered, or a signal came.
            Err(e) if is_passing(&e) => continue,
            received => received?,
        };
        let received = SystemTime::now();
        let set = std::fs::metadata(synchronized).and_then(|m| m.modified());
        if let Some(answer) = answer(&packet[..bytes], received, SystemTime::now(), set.ok()) {
            // Who cannot be reached asks again.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn is_passing(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(first: u8) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = first;
        packet[2] = 6;
        packet[40..48].copy_from_slice(b"its time");
        packet
    }

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn a_client_gets_the_time() {
        // 2026-11-29T00:00:00Z.
        let noon = 1_795_910_400;
        let set = Some(at(noon - 100, 0));
        let got = answer(
            &request(0x23),
            at(noon, 500_000_000),
            at(noon, 750_000_000),
            set,
        )
        .unwrap();
        assert_eq!(got[..4], [0x24, STRATUM, 6, 0xec]);
        assert_eq!(&got[24..32], b"its time");
        let stamp = |i: usize| u64::from_be_bytes(got[i..i + 8].try_into().unwrap());
        // RFC 5905 figure 4: 1970-01-01 is 2,208,988,800 s of NTP.
        assert_eq!(stamp(16), (noon - 100 + 2_208_988_800) << 32);
        assert_eq!(stamp(32), (noon + 2_208_988_800) << 32 | 1 << 31);
        assert_eq!(stamp(40), (noon + 2_208_988_800) << 32 | 3 << 30);
        // A later version's extensions are not answered, an older one is in its own words.
        let longer = [&request(0x23)[..], &[0; 20]].concat();
        assert_eq!(
            answer(&longer, at(noon, 0), at(noon, 0), set).unwrap()[0],
            0x24
        );
        assert_eq!(
            answer(&request(0x1b), at(noon, 0), at(noon, 0), set).unwrap()[0],
            0x1c
        );
        assert_eq!(
            answer(&request(0x08), at(noon, 0), at(noon, 0), set).unwrap()[0],
            0x0c
        );
    }

    #[test]
    fn the_seconds_begin_anew_in_2036() {
        let got = answer(
            &request(0x23),
            at(2_085_978_496, 0),
            at(2_085_978_497, 0),
            None,
        )
        .unwrap();
        assert_eq!(
            (&got[32..40], &got[40..48]),
            (&[0; 8][..], &[0, 0, 0, 1, 0, 0, 0, 0][..])
        );
    }

    #[test]
    fn a_clock_that_nobody_has_set_is_told_as_such() {
        let got = answer(&request(0x23), at(5, 0), at(5, 0), None).unwrap();
        assert_eq!((got[0] >> 6, got[1], &got[16..24]), (3, 16, &[0; 8][..]));
        let before_1970 = UNIX_EPOCH - Duration::from_secs(5);
        assert!(answer(&request(0x23), before_1970, before_1970, None).is_some());
    }

    #[test]
    fn nothing_else_is_answered() {
        let now = at(1, 0);
        for first in [
            0x00, 0x03, 0x20, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x2b, 0x3b,
        ] {
            assert_eq!(
                answer(&request(first), now, now, None),
                None,
                "{first:#04x}"
            );
        }
        assert_eq!(answer(&request(0x23)[..47], now, now, None), None);
        assert_eq!(answer(&[], now, now, None), None);
    }

    #[test]
    fn it_serves_over_a_socket() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let set = temp.path().join("synchronized");
        let file = set.clone();
        std::thread::spawn(move || serve(&server, &file));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let ask = || {
            client.send_to(b"no request", address).unwrap();
            client.send_to(&request(0x23), address).unwrap();
            let mut got = [0; 100];
            let bytes = client.recv(&mut got).unwrap();
            assert_eq!(bytes, PACKET_BYTES);
            (got[0], got[1])
        };
        assert_eq!(ask(), (0xe4, 16));
        std::fs::write(&set, "").unwrap();
        assert_eq!(ask(), (0x24, 3));
    }
}
