//! What goes over the socket between recorder and helper: one datagram a request, one a reply.
//!
//! Both ends are the same program, so there is no version and no negotiation. All numbers are little
//! endian. With a picture's request come two memory files: one with the avcC and, behind it, the
//! sample, sealed so that nobody can change or shorten it; one, empty, that takes the JPEG. Neither
//! end trusts the other: what cannot be read is `None`, and ends the helper.

use super::{Error, Fault, Kind, MAX_AVCC_BYTES, MAX_HASH_BYTES, MAX_JPEG_BYTES, MAX_SAMPLE_BYTES};
use crate::access::password::{MAX_BYTES as MAX_PASSWORD_BYTES, Unfit};

/// The longest datagram in either direction.
pub const MAX_BYTES: usize = 1024;

const PICTURE: u8 = 1;
const HASH: u8 = 2;
const VERIFY: u8 = 3;
const FAILED: u8 = 4;

/// A request as the helper reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Picture(PictureHead),
    Hash(String),
    Verify { password: String, hash: String },
}

/// What is told of a picture besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureHead {
    pub avcc_bytes: u32,
    pub sample_bytes: u32,
    pub pixel_h_spacing: u16,
    pub pixel_v_spacing: u16,
    pub max_width: u32,
    pub quality: u8,
}

/// A reply as the recorder reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// So many bytes of JPEG are in the memory file.
    Picture(u32),
    Hash(String),
    Verified(bool),
    Failed(Error),
}

impl Asked {
    /// Who may be asked.
    pub fn kind(&self) -> Kind {
        match self {
            Asked::Picture(_) => Kind::Pictures,
            Asked::Hash(_) | Asked::Verify { .. } => Kind::Passwords,
        }
    }

    /// `None` if it does not fit.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(MAX_BYTES);
        match self {
            Asked::Picture(head) => {
                out.push(PICTURE);
                out.push(head.quality);
                out.extend(head.avcc_bytes.to_le_bytes());
                out.extend(head.sample_bytes.to_le_bytes());
                out.extend(head.pixel_h_spacing.to_le_bytes());
                out.extend(head.pixel_v_spacing.to_le_bytes());
                out.extend(head.max_width.to_le_bytes());
            }
            Asked::Hash(password) => {
                out.push(HASH);
                out.extend(password.as_bytes());
            }
            Asked::Verify { password, hash } => {
                out.push(VERIFY);
                out.extend(u16::try_from(password.len()).ok()?.to_le_bytes());
                out.extend(password.as_bytes());
                out.extend(hash.as_bytes());
            }
        }
        (out.len() <= MAX_BYTES).then_some(out)
    }

    pub fn decode(bytes: &[u8]) -> Option<Asked> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            PICTURE => PictureHead::decode(rest).map(Asked::Picture),
            HASH => Some(Asked::Hash(text(rest, MAX_PASSWORD_BYTES)?)),
            VERIFY => {
                let (len, rest) = rest.split_first_chunk()?;
                let (password, hash) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
                Some(Asked::Verify {
                    password: text(password, MAX_PASSWORD_BYTES)?,
                    hash: text(hash, MAX_HASH_BYTES)?,
                })
            }
            _ => None,
        }
    }
}

impl PictureHead {
    fn decode(bytes: &[u8]) -> Option<PictureHead> {
        let (&quality, rest) = bytes.split_first()?;
        let (avcc_bytes, rest) = rest.split_first_chunk()?;
        let (sample_bytes, rest) = rest.split_first_chunk()?;
        let (pixel_h_spacing, rest) = rest.split_first_chunk()?;
        let (pixel_v_spacing, rest) = rest.split_first_chunk()?;
        let max_width = rest.try_into().ok()?;
        let head = PictureHead {
            avcc_bytes: u32::from_le_bytes(*avcc_bytes),
            sample_bytes: u32::from_le_bytes(*sample_bytes),
            pixel_h_spacing: u16::from_le_bytes(*pixel_h_spacing),
            pixel_v_spacing: u16::from_le_bytes(*pixel_v_spacing),
            max_width: u32::from_le_bytes(max_width),
            quality,
        };
        let fits = head.avcc_bytes as usize <= MAX_AVCC_BYTES
            && head.sample_bytes as usize <= MAX_SAMPLE_BYTES;
        fits.then_some(head)
    }
}

impl Answered {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answered::Picture(bytes) => {
                let mut out = vec![PICTURE];
                out.extend(bytes.to_le_bytes());
                out
            }
            Answered::Hash(hash) => [&[HASH], hash.as_bytes()].concat(),
            Answered::Verified(right) => vec![VERIFY, u8::from(*right)],
            Answered::Failed(error) => vec![FAILED, code(error)],
        }
    }

    pub fn decode(bytes: &[u8]) -> Option<Answered> {
        let (&kind, rest) = bytes.split_first()?;
        match (kind, rest) {
            (PICTURE, rest) => {
                let bytes = u32::from_le_bytes(rest.try_into().ok()?);
                (bytes as usize <= MAX_JPEG_BYTES).then_some(Answered::Picture(bytes))
            }
            (HASH, rest) => Some(Answered::Hash(text(rest, MAX_HASH_BYTES)?)),
            (VERIFY, [0]) => Some(Answered::Verified(false)),
            (VERIFY, [1]) => Some(Answered::Verified(true)),
            (FAILED, [code]) => failure(*code).map(Answered::Failed),
            _ => None,
        }
    }
}

fn text(bytes: &[u8], most: usize) -> Option<String> {
    let fits = bytes.len() <= most;
    fits.then(|| String::from_utf8(bytes.to_vec()).ok())?
}

/// What the helper itself can fail with; 0 is for what only the recorder's side can say.
fn code(error: &Error) -> u8 {
    match error {
        Error::TooLarge => 1,
        Error::Undecodable(Fault::Parameters) => 2,
        Error::Undecodable(Fault::NoPicture) => 3,
        Error::Undecodable(Fault::Damaged) => 4,
        Error::Unencodable => 5,
        Error::Unfit(Unfit::TooShort) => 6,
        Error::Unfit(Unfit::TooLong) => 7,
        Error::BadHash => 8,
        Error::Unsupported(_) => 9,
        Error::Busy | Error::TimedOut(_) | Error::Crashed(_) | Error::Unavailable(_) => 0,
    }
}

/// The reverse of [`code`].
fn failure(code: u8) -> Option<Error> {
    Some(match code {
        1 => Error::TooLarge,
        2 => Error::Undecodable(Fault::Parameters),
        3 => Error::Undecodable(Fault::NoPicture),
        4 => Error::Undecodable(Fault::Damaged),
        5 => Error::Unencodable,
        6 => Error::Unfit(Unfit::TooShort),
        7 => Error::Unfit(Unfit::TooLong),
        8 => Error::BadHash,
        9 => Error::Unsupported(super::NO_FFMPEG),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Vec<Asked> {
        vec![
            Asked::Picture(PictureHead {
                avcc_bytes: 40,
                sample_bytes: 123_456,
                pixel_h_spacing: 16,
                pixel_v_spacing: 11,
                max_width: u32::MAX,
                quality: 85,
            }),
            Asked::Hash("correct horse".to_owned()),
            Asked::Verify {
                password: "пароль12".to_owned(),
                hash: crate::access::password::DECOY.to_owned(),
            },
            Asked::Verify {
                password: "x".repeat(MAX_PASSWORD_BYTES),
                hash: "y".repeat(MAX_HASH_BYTES),
            },
        ]
    }

    fn answered() -> Vec<Answered> {
        let failures = (1..=9).map(|code| Answered::Failed(failure(code).unwrap()));
        let replies = [
            Answered::Picture(MAX_JPEG_BYTES as u32),
            Answered::Hash("$argon2id$".to_owned()),
            Answered::Verified(true),
            Answered::Verified(false),
        ];
        replies.into_iter().chain(failures).collect()
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        for message in asked() {
            let bytes = message.encode().unwrap();
            assert_eq!(Asked::decode(&bytes), Some(message));
        }
        for message in answered() {
            assert_eq!(Answered::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn nothing_is_read_of_what_is_cut_short_or_too_long() {
        for message in asked() {
            let bytes = message.encode().unwrap();
            for len in 0..bytes.len() {
                let cut = Asked::decode(&bytes[..len]);
                assert_ne!(cut, Some(message.clone()), "{len}");
            }
        }
        let long = [&[HASH][..], &[b'x'; MAX_PASSWORD_BYTES + 1]].concat();
        assert_eq!(Asked::decode(&long), None);
        assert_eq!(Asked::decode(&[HASH, 0xff]), None, "no UTF-8");
        assert_eq!(Asked::decode(&[VERIFY, 9, 0, b'x']), None);
        assert_eq!(Asked::decode(&[77]), None);
        let mut head = asked()[0].encode().unwrap();
        head[6..10].copy_from_slice(&(MAX_SAMPLE_BYTES as u32 + 1).to_le_bytes());
        assert_eq!(Asked::decode(&head), None);
        for bytes in [
            &[][..],
            &[PICTURE, 1, 2, 3],
            &[PICTURE, 1, 0, 0, 0xff],
            &[VERIFY, 2],
            &[FAILED],
            &[FAILED, 0],
            &[FAILED, 200],
            &[99],
        ] {
            assert_eq!(Answered::decode(bytes), None, "{bytes:?}");
        }
    }
}
