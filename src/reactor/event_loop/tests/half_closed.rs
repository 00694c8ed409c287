//! Peers that send no more, those that are gone, and those that send on although nobody listens.

use super::*;
use crate::reactor::sockets::LINGER_BYTES;
use std::os::unix::net::UnixStream;

/// A core that does not close those who send no more, with one at each address that asked and did.
fn half_closed(listen: &[Listen]) -> EventLoop<TestCore> {
    let mut el = event_loop(listen);
    el.core.answers_later = true;
    el
}

fn ended(el: &mut EventLoop<TestCore>) -> ConnId {
    el.until(|c| c.heard.iter().any(|h| matches!(h, Heard::InputEnded(_))));
    el.core.accepted().unwrap()
}

fn send(el: &mut EventLoop<TestCore>, conn: ConnId, bytes: Vec<u8>) {
    el.does(Action::Send { conn, bytes });
}

#[test]
fn who_sends_no_more_is_sent_all() {
    let mut el = half_closed(&[any_port()]);
    let mut client = TcpStream::connect(el.port()).unwrap();
    client.write_all(b"?").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let conn = ended(&mut el);
    assert_eq!(el.core.received, b"?");
    // Nobody hurries.
    for _ in 0..5 {
        el.turn(Some(Duration::ZERO)).unwrap();
    }
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        got.len()
    });
    for _ in 0..3 {
        send(&mut el, conn, vec![1; 1_000_000]);
        el.until(|c| c.heard.last() == Some(&Heard::Drained(conn)));
        el.core.heard.push(Heard::Timeout);
    }
    el.does(Action::Close { conn, flush: true });
    el.until_all(|el| el.sockets.len() == 0);
    assert_eq!(reader.join().unwrap(), 3_000_000);
    let told = el
        .core
        .heard
        .iter()
        .filter(|h| **h == Heard::InputEnded(conn));
    assert_eq!(told.count(), 1);
}

#[test]
fn who_is_gone_is_found_out_by_the_first_bytes() {
    let mut el = half_closed(&[any_port()]);
    let client = TcpStream::connect(el.port()).unwrap();
    drop(client);
    let conn = ended(&mut el);
    assert_eq!(el.sockets.len(), 1);
    send(&mut el, conn, vec![1; 10]);
    let is_closed = |c: &TestCore| c.heard.iter().any(|h| matches!(h, Heard::Closed(..)));
    el.until(is_closed);
    assert_eq!(el.sockets.len(), 0);
}

#[test]
fn who_is_gone_with_something_unread_is_let_go_at_once() {
    let mut el = half_closed(&[any_port()]);
    let mut client = TcpStream::connect(el.port()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let conn = ended(&mut el);
    send(&mut el, conn, vec![1; 10]);
    let mut first = [0; 1];
    el.until(|c| c.heard(&Heard::Drained(conn)));
    client.read_exact(&mut first).unwrap();
    drop(client);
    el.until(|c| c.heard(&Heard::Closed(conn, Ok(()))));
    assert_eq!(el.sockets.len(), 0);
}

#[test]
fn at_a_unix_socket_who_is_gone_is_known_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nvr.sock");
    let mut el = half_closed(&[Listen::Unix(path.clone())]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"?").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let conn = ended(&mut el);
    send(&mut el, conn, b"!".to_vec());
    let mut answer = [0; 1];
    el.until(|c| c.heard(&Heard::Drained(conn)));
    client.read_exact(&mut answer).unwrap();
    drop(client);
    el.until(|c| c.heard(&Heard::Closed(conn, Ok(()))));
    assert_eq!(el.sockets.len(), 0);
}

#[test]
fn who_is_refused_and_sends_on_reads_why() {
    let mut el = event_loop(&[any_port()]);
    let mut client = TcpStream::connect(el.port()).unwrap();
    client.write_all(b"?").unwrap();
    el.until(|c| c.received.len() == 1);
    let conn = el.core.accepted().unwrap();
    send(&mut el, conn, b"no".to_vec());
    el.does(Action::Close { conn, flush: true });
    let client = std::thread::spawn(move || {
        client.write_all(&vec![0; LINGER_BYTES / 2]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        got
    });
    el.until_all(|el| el.sockets.len() == 0);
    assert_eq!(client.join().unwrap(), b"no");
    assert_eq!(el.core.received.len(), 1);
}

#[test]
fn who_sends_on_without_end_is_cut() {
    let mut el = event_loop(&[any_port()]);
    el.core.close_accepted = true;
    let mut client = TcpStream::connect(el.port()).unwrap();
    let client = std::thread::spawn(move || {
        let mut sent = 0;
        while client.write_all(&[0; 1 << 16]).is_ok() {
            sent += 1 << 16;
        }
        sent
    });
    el.until_all(|el| !el.core.heard.is_empty() && el.sockets.len() == 0);
    // What was on its way comes on top.
    let sent: usize = client.join().unwrap();
    assert!((LINGER_BYTES..LINGER_BYTES * 2).contains(&sent), "{sent}");
}
