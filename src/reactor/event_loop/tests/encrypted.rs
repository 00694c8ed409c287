//! Connections with TLS, and those that should be and are not.

use super::serving::{
    FILE, attach_request, chill, content, disk, ended_by_file, open_request, send_file, settle,
};
use super::*;
use crate::config::TlsConfig;
use crate::reactor::MAX_HANDSHAKES;
use crate::reactor::tls::tests::client;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};
use std::fs::File;
use std::thread::JoinHandle;
use tempfile::TempDir;

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A loop that speaks TLS, and its certificate's fingerprint.
fn tls_loop() -> (EventLoop<TestCore>, TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = setup(&[any_port()]);
    setup.config.db_dir = dir.path().to_owned();
    setup.config.http[0].tls = Some(TlsConfig::Own);
    let fingerprint = match tls::contexts(&setup.config).remove(0) {
        Security::Tls(context) => context.fingerprint,
        other => panic!("{other:?}"),
    };
    let el = EventLoop::new(TestCore::default(), setup).unwrap();
    (el, dir, fingerprint)
}

/// A client on a thread, and what it does there.
fn with_client<T: Send + 'static>(
    el: &EventLoop<TestCore>,
    fingerprint: &str,
    act: impl FnOnce(&mut TlsStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    let (port, fingerprint) = (el.port(), fingerprint.to_owned());
    std::thread::spawn(move || {
        let socket = TcpStream::connect(port).unwrap();
        let mut stream = client(socket, &fingerprint, &[&TLS12, &TLS13], "http/1.1");
        act(&mut stream)
    })
}

/// Turns until the thread is done.
fn finish<T>(el: &mut EventLoop<TestCore>, thread: JoinHandle<T>) -> T {
    el.until_all(|_| thread.is_finished());
    thread.join().unwrap()
}

#[test]
fn echoes_in_both_versions() {
    let (mut el, _dir, fingerprint) = tls_loop();
    el.core.echo = true;
    for version in [&TLS12, &TLS13] {
        el.core.heard.clear();
        let (port, fingerprint) = (el.port(), fingerprint.clone());
        let thread = std::thread::spawn(move || {
            let socket = TcpStream::connect(port).unwrap();
            let mut stream = client(socket, &fingerprint, &[version], "http/1.1");
            // More than any buffer holds, in both directions.
            let bytes = content(300_000);
            let mut got = vec![0; bytes.len()];
            for (sent, echoed) in bytes.chunks(50_000).zip(got.chunks_mut(50_000)) {
                stream.write_all(sent).unwrap();
                stream.read_exact(echoed).unwrap();
            }
            let protocol = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
            (got == bytes, protocol)
        });
        let (same, protocol) = finish(&mut el, thread);
        assert!(same);
        assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
        let conn = el.core.accepted().unwrap();
        assert_eq!(el.core.heard[0], Heard::Accepted(conn, 0, true));
        assert!(el.core.tls);
        el.until(|c| {
            c.heard
                .iter()
                .any(|h| matches!(h, Heard::Closed(id, _) | Heard::InputEnded(id) if *id == conn))
        });
    }
    el.until_all(|el| el.sockets.len() == 0);
}

#[test]
fn a_cold_file_is_sent_encrypted_and_ends_in_good_order() {
    let (mut el, _db, fingerprint) = tls_loop();
    let content = content(5_000_001);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), &content).unwrap();
    disk(&mut el, 1, attach_request(dir.path()));
    disk(&mut el, 2, open_request(FILE));
    let expected = [b"head", &content[..], b"tail"].concat();
    let thread = with_client(&el, &fingerprint, |stream| {
        stream.write_all(b"?").unwrap();
        let mut got = Vec::new();
        // Without the peer's word that this is the end, it is an error.
        stream.read_to_end(&mut got).unwrap();
        got
    });
    el.until(|c| c.received == b"?");
    let conn = el.core.accepted().unwrap();
    chill(&dir);
    let send = |bytes: &[u8]| Action::Send {
        conn,
        bytes: bytes.to_vec(),
    };
    el.does(send(b"head"));
    send_file(&mut el, conn, 0..content.len() as u64);
    el.does(send(b"tail"));
    el.until(|c| c.heard(&Heard::Drained(conn)));
    el.does(Action::Close { conn, flush: true });
    assert!(finish(&mut el, thread) == expected);
    el.until_all(|el| el.sockets.len() == 0);
}

#[test]
fn a_file_that_was_cut_does_not_end_in_good_order() {
    let (mut el, _db, fingerprint) = tls_loop();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), content(32 << 20)).unwrap();
    disk(&mut el, 1, attach_request(dir.path()));
    disk(&mut el, 2, open_request(FILE));
    let (go, wait) = std::sync::mpsc::channel();
    let thread = with_client(&el, &fingerprint, move |stream| {
        stream.write_all(b"?").unwrap();
        wait.recv().unwrap();
        stream.read_to_end(&mut Vec::new()).map_err(|e| e.kind())
    });
    el.until(|c| c.received == b"?");
    let conn = el.core.accepted().unwrap();
    send_file(&mut el, conn, 0..32 << 20);
    settle(&mut el);
    let file = File::options().write(true).open(dir.path().join("file"));
    file.unwrap().set_len(el.sockets.bytes_sent() + 10).unwrap();
    go.send(()).unwrap();
    el.until(|c| ended_by_file(c, conn));
    assert_eq!(finish(&mut el, thread), Err(io::ErrorKind::UnexpectedEof));
}

#[test]
fn who_speaks_http_is_told_to_speak_https() {
    let (mut el, _dir, _) = tls_loop();
    let mut socket = TcpStream::connect(el.port()).unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: nvr\r\n\r\n")
        .unwrap();
    let thread = std::thread::spawn(move || {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = finish(&mut el, thread);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    el.until_all(|el| el.sockets.len() == 0);
    assert_eq!(el.core.heard, []);
}

#[test]
fn who_speaks_neither_is_closed() {
    let (mut el, _dir, fingerprint) = tls_loop();
    let record_of_nonsense = [22, 3, 1, 0, 5, 1, 2, 3, 4, 5];
    for bytes in [&b"\0\0\0\0\0\0\0\0"[..], &record_of_nonsense, &[0xff; 5000]] {
        let mut socket = TcpStream::connect(el.port()).unwrap();
        socket.write_all(bytes).unwrap();
        let thread = std::thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
            answer
        });
        let answer = finish(&mut el, thread);
        // Nothing, or an alert (RFC 8446 section 6).
        assert!(matches!(answer[..], [] | [21, ..]), "{answer:?}");
    }
    // Another protocol inside than ours.
    let port = el.port();
    let thread = std::thread::spawn(move || {
        let socket = TcpStream::connect(port).unwrap();
        let mut stream = client(socket, &fingerprint, &[&TLS13], "h2");
        stream.write_all(b"?").and_then(|()| stream.read(&mut [0]))
    });
    let error = finish(&mut el, thread).unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    el.until_all(|el| el.sockets.len() == 0);
    assert_eq!(el.core.heard, []);
}

#[test]
fn handshakes_have_a_time_limit() {
    let (mut el, _dir, _) = tls_loop();
    let mut silent = TcpStream::connect(el.port()).unwrap();
    el.until_all(|el| el.sockets.len() == 1);
    let deadline = el.sockets.next_deadline().unwrap();
    assert!(deadline > el.clock.monotonic());
    el.sockets.expire(deadline);
    assert_eq!((el.sockets.len(), el.sockets.next_deadline()), (0, None));
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(el.core.heard, []);
}

#[test]
fn who_never_shakes_hands_does_not_keep_others_out() {
    let (mut el, _dir, fingerprint) = tls_loop();
    el.core.echo = true;
    let mut silent: Vec<TcpStream> = (0..MAX_HANDSHAKES)
        .map(|_| TcpStream::connect(el.port()).unwrap())
        .collect();
    el.until_all(|el| el.sockets.len() == MAX_HANDSHAKES);
    let thread = with_client(&el, &fingerprint, |stream| {
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    assert_eq!(&finish(&mut el, thread), b"hello");
    // It was the oldest that had to go, and only that.
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    silent[1].set_nonblocking(true).unwrap();
    let error = silent[1].read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn many_at_once_all_get_in() {
    let (mut el, _dir, fingerprint) = tls_loop();
    el.core.echo = true;
    let threads: Vec<_> = (0..30)
        .map(|_| {
            with_client(&el, &fingerprint, |stream| {
                stream.write_all(b"hello").unwrap();
                let mut answer = [0; 5];
                stream.read_exact(&mut answer).unwrap();
                answer == *b"hello"
            })
        })
        .collect();
    for thread in threads {
        assert!(finish(&mut el, thread));
    }
}

#[test]
fn an_address_whose_certificate_is_broken_is_never_served_in_the_clear() {
    let (mut el, _dir, fingerprint) = tls_loop();
    el.core.echo = true;
    let address = any_port();
    let broken = Security::Broken("no such file".to_owned());
    let now = el.clock.monotonic();
    // It goes on with what it had.
    el.listeners
        .configure(&[(address.clone(), broken.clone())], now);
    let thread = with_client(&el, &fingerprint, |stream| {
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).is_ok()
    });
    assert!(finish(&mut el, thread));
    // A new one, or one that was in the clear before, is not served.
    let port = el.port();
    el.listeners
        .configure(&[(address.clone(), Security::Plain)], now);
    el.listeners.configure(&[(address, broken)], now);
    assert_eq!(el.listeners.local_addr(0), None);
    assert!(TcpStream::connect(port).is_err());
}
