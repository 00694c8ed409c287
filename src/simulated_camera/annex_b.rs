//! Byte streams of NAL units with start codes (ISO/IEC 14496-10 annex B), as encoders and raw files
//! have them.

/// The NAL units between start codes, without trailing zero bytes; empty ones are left out.
pub fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    let mut start = None;
    let mut i = 0;
    while i + 3 <= bytes.len() {
        if bytes[i..i + 3] == [0, 0, 1] {
            nals.extend(start.map(|s| &bytes[s..i]));
            start = Some(i + 3);
            i += 3;
        } else {
            i += 1;
        }
    }
    nals.extend(start.map(|s| &bytes[s..]));
    nals.into_iter()
        .map(trim)
        .filter(|n| !n.is_empty())
        .collect()
}

fn trim(nal: &[u8]) -> &[u8] {
    let end = nal.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &nal[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_lie_between_start_codes() {
        for (bytes, nals) in [
            (&b""[..], &[][..]),
            (b"junk", &[]),
            (b"\0\0\x01", &[]),
            (b"\0\0\0\x01ab\0\0\x01c", &[&b"ab"[..], b"c"]),
            (b"x\0\0\x01a\0\0\0\0\x01\0\0\x01b\0\0", &[b"a", b"b"]),
        ] {
            assert_eq!(split(bytes), nals, "{bytes:?}");
        }
    }
}
