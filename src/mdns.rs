//! Multicast DNS (RFC 6762) as far as it finds RTSP servers: one question, and what of the answers counts.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Where questions go. Answers to one from another port than this come back to it alone (RFC 6762 section 5.1).
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);

/// The name that is asked for (RFC 6763): `_rtsp._tcp.local`.
const SERVICE: [&str; 3] = ["_rtsp", "_tcp", "local"];

const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;

/// Records of a message that are looked at; further ones are passed over.
const MAX_RECORDS: usize = 64;
/// Labels and pointers of a name.
const MAX_LABELS: usize = 32;
/// The longest path that is kept, in bytes.
const MAX_PATH_BYTES: usize = 200;

/// An RTSP server that somebody tells of, at the address that the answer came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it calls itself.
    pub name: String,
    pub port: u16,
    /// From its TXT record, where there is one.
    pub path: Option<String>,
}

/// The question.
pub fn question() -> Vec<u8> {
    // One question, PTR, class IN.
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in SERVICE {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, PTR as u8, 0, 1]);
    message
}

/// The RTSP servers that an answer tells of. What cannot be read ends it.
pub fn servers(message: &[u8]) -> Vec<Server> {
    let mut found: Vec<Server> = Vec::new();
    let mut paths: Vec<(String, String)> = Vec::new();
    let _ = read(message, &mut found, &mut paths);
    for server in &mut found {
        let path = paths.iter().find(|(name, _)| *name == server.name);
        server.path = path.map(|(_, path)| path.clone());
    }
    found
}

fn read(message: &[u8], found: &mut Vec<Server>, paths: &mut Vec<(String, String)>) -> Option<()> {
    let u16_at = |at: usize| {
        Some(u16::from_be_bytes([
            *message.get(at)?,
            *message.get(at + 1)?,
        ]))
    };
    // An answer, without an error.
    if u16_at(2)? & 0x800f != 0x8000 {
        return None;
    }
    let counts = [u16_at(6)?, u16_at(8)?, u16_at(10)?];
    let records: usize = counts.into_iter().map(usize::from).sum();
    let mut at = 12;
    for _ in 0..u16_at(4)?.min(4) {
        at = name(message, at)?.1 + 4;
    }
    for _ in 0..records.min(MAX_RECORDS) {
        let (labels, end) = name(message, at)?;
        let kind = u16_at(end)?;
        let len = usize::from(u16_at(end + 8)?);
        let start = end + 10;
        let data = message.get(start..start + len)?;
        at = start + len;
        let is_ours = labels.len() == SERVICE.len() + 1
            && labels[1..]
                .iter()
                .zip(SERVICE)
                .all(|(a, b)| a.eq_ignore_ascii_case(b));
        if !is_ours {
            continue;
        }
        let name = clean(&labels[0]);
        match kind {
            SRV => {
                let port = u16::from_be_bytes([*data.get(4)?, *data.get(5)?]);
                if port != 0 && !found.iter().any(|s| s.name == name) {
                    found.push(Server {
                        name,
                        port,
                        path: None,
                    });
                }
            }
            TXT => {
                if let Some(path) = path(data) {
                    paths.push((name, path));
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// A name's labels and what follows it.
fn name(message: &[u8], mut at: usize) -> Option<(Vec<String>, usize)> {
    let mut labels = Vec::new();
    let mut end = None;
    for _ in 0..MAX_LABELS {
        let len = *message.get(at)?;
        match len {
            0 => return Some((labels, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                labels.push(String::from_utf8_lossy(label).into_owned());
                at += 1 + usize::from(len);
            }
            192.. => {
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([len & 0x3f, *message.get(at + 1)?]));
            }
            _ => return None,
        }
    }
    None
}

/// `path=` of a TXT record.
fn path(mut data: &[u8]) -> Option<String> {
    while let Some((len, rest)) = data.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(*len))?;
        data = rest;
        let text = String::from_utf8_lossy(text);
        if let Some(path) = text.strip_prefix("path=") {
            let good = path.len() <= MAX_PATH_BYTES && !path.contains(char::is_control);
            return good.then(|| path.trim_start_matches('/').to_owned());
        }
    }
    None
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with SRV and TXT of `Shed`, the second name written as a pointer.
    fn answer(txt: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        message.extend_from_slice(b"\x04Shed\x05_rtsp\x04_tcp\x05local\0");
        message.extend_from_slice(&[
            0, 33, 0x80, 1, 0, 0, 0, 120, 0, 7, 0, 0, 0, 0, 0x21, 0x6a, 0,
        ]);
        message.extend_from_slice(&[0xc0, 12, 0, 16, 0x80, 1, 0, 0, 0, 120, 0, txt.len() as u8]);
        message.extend_from_slice(txt);
        message
    }

    #[test]
    fn a_server_is_read() {
        let told = servers(&answer(b"\x03a=b\x0apath=/live"));
        let wanted = Server {
            name: "Shed".to_owned(),
            port: 8554,
            path: Some("live".to_owned()),
        };
        assert_eq!(told, [wanted]);
        assert_eq!(servers(&question()), []);
    }

    #[test]
    fn what_is_cut_or_turns_in_circles_is_passed_over() {
        let whole = answer(b"");
        for len in 0..whole.len() {
            servers(&whole[..len]);
        }
        let mut circle = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 12];
        circle.extend_from_slice(&[0; 20]);
        assert_eq!(servers(&circle), []);
    }
}
