//! The client's side of a WebSocket (RFC 6455 section 5), as much as is needed to watch.

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Close,
}

/// Takes the next message off the front of what has come.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Message>, String> {
    let Some(&[first, second]) = bytes.first_chunk() else {
        return Ok(None);
    };
    if first & 0x80 == 0 || second & 0x80 != 0 {
        return Err(format!("a message begins with {first:02x} {second:02x}"));
    }
    let (header, length) = match second {
        126 => (4, number(bytes, 2)),
        127 => (10, number(bytes, 8)),
        n => (2, Some(usize::from(n))),
    };
    let Some(length) = length.filter(|l| bytes.len() >= header + l) else {
        return Ok(None);
    };
    let payload = bytes[header..header + length].to_vec();
    bytes.drain(..header + length);
    Ok(Some(match first & 0x7f {
        1 => Message::Text(String::from_utf8(payload).map_err(|e| e.to_string())?),
        2 => Message::Binary(payload),
        8 => Message::Close,
        9 => Message::Ping(payload),
        other => return Err(format!("a message of type {other}")),
    }))
}

fn number(bytes: &[u8], len: usize) -> Option<usize> {
    let bytes = bytes.get(2..2 + len)?;
    Some(bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    // Masked with zeros: what is said is not secret here.
    let head = [0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    [&head, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::websocket;

    #[test]
    fn what_the_server_encodes_is_read_back() {
        for size in [5, 200, 70_000] {
            let mut bytes = websocket::encode_text("hello");
            let head = websocket::encode_binary_head(&[("A", "b")], &[], size);
            bytes.extend(head);
            bytes.extend(vec![7; size]);
            let all = bytes.clone();
            let text = Message::Text("hello".to_owned());
            assert_eq!(take(&mut bytes), Ok(Some(text)));
            let Ok(Some(Message::Binary(message))) = take(&mut bytes) else {
                panic!("no message of {size} bytes");
            };
            assert!(message.ends_with(&vec![7; size]) && bytes.is_empty());
            let mut short = all[7..all.len() - 1].to_vec();
            assert_eq!(take(&mut short), Ok(None));
        }
    }
}
