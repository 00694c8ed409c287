//! The byte stream format (ITU-T H.264 Annex B): NAL units behind start codes.
//!
//! RTP does not use it, but some cameras put it into packets and into their SDP all the same.

/// Where the first start code (`00 00 01`) at or after `from` begins.
fn find_start_code(data: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    while let Some(&third) = data.get(i + 2) {
        // Looking at the third byte first passes most of a stream in steps of three.
        match third {
            0 => i += 1,
            1 if data[i] == 0 && data[i + 1] == 0 => return Some(i),
            _ => i += 3,
        }
    }
    None
}

/// True if there is a start code anywhere in `data`. Within a NAL unit there is none by
/// section 7.4.1.
pub fn has_start_code(data: &[u8]) -> bool {
    find_start_code(data, 0).is_some()
}

/// The NAL units of `data`, without start codes and the zero bytes before and after; empty ones are
/// passed over. Bytes before the first start code count as a NAL unit.
pub fn split(data: &[u8]) -> Split<'_> {
    Split { rest: Some(data) }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(data) = self.rest.take() {
            let unit = match find_start_code(data, 0) {
                Some(at) => {
                    self.rest = Some(&data[at + 3..]);
                    &data[..at]
                }
                None => data,
            };
            let unit = trim_trailing_zeros(unit);
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// `data` without the zero bytes at its end (`trailing_zero_8bits`). A NAL unit never ends in one:
/// section 7.4.1.
pub fn trim_trailing_zeros(data: &[u8]) -> &[u8] {
    let end = data.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    &data[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(data: &[u8]) -> Vec<&[u8]> {
        split(data).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes() {
        let data = b"\0\0\0\x01\x67abc\0\0\x01\x68d\0\0\0\x01\x65e";
        assert_eq!(units(data), [&b"\x67abc"[..], b"\x68d", b"\x65e"]);
    }

    #[test]
    fn zeros_around_units_are_not_theirs() {
        let data = b"\0\0\0\0\0\x01\x09\x10\0\0\0\0\0\0\x01\x67a\0\0\0";
        assert_eq!(units(data), [&b"\x09\x10"[..], b"\x67a"]);
    }

    #[test]
    fn without_a_start_code_it_is_one_unit() {
        assert_eq!(units(b"\x67abc\0\0"), [&b"\x67abc"[..]]);
        assert_eq!(units(b""), Vec::<&[u8]>::new());
        assert_eq!(units(b"\0\0\0"), Vec::<&[u8]>::new());
        assert_eq!(units(b"\0\0\x01\0\0\x01"), Vec::<&[u8]>::new());
    }

    #[test]
    fn a_start_code_is_found_at_every_offset() {
        for before in 0..9 {
            let mut data = vec![0xff; before];
            data.extend_from_slice(b"\0\0\x01\x65");
            assert_eq!(find_start_code(&data, 0), Some(before));
            assert!(!has_start_code(&data[..data.len() - 2]));
            // An escaped one is none.
            data[before + 2] = 3;
            assert!(!has_start_code(&data));
        }
    }
}
