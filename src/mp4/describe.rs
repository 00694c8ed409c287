//! What HTTP says of a file: `Content-Type` and `X-Aspect`.

use crate::h264::VideoSampleEntry;

/// `video/mp4; codecs="avc1.4d401f"` (RFC 6381 section 3): each codec once.
///
/// The subtitle track's is left out: a browser may refuse a whole file for a codec that it does not know.
pub(super) fn content_type(entries: &[&VideoSampleEntry]) -> String {
    let mut codecs: Vec<&str> = entries.iter().map(|e| e.rfc6381_codec.as_str()).collect();
    codecs.sort_unstable();
    codecs.dedup();
    format!("video/mp4; codecs={}", quoted(&codecs.join(",")))
}

/// A quoted string (RFC 9110 section 5.6.4). What cannot be in one is left out.
fn quoted(s: &str) -> String {
    let mut out = String::from('"');
    for c in s.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Width and height of the picture on a screen, as the smallest whole numbers: (16, 9).
pub fn aspect(entry: &VideoSampleEntry) -> (u32, u32) {
    let (h, v) = match (entry.pixel_h_spacing, entry.pixel_v_spacing) {
        (0, _) | (_, 0) => (1, 1),
        both => both,
    };
    let width = u32::from(entry.width) * u32::from(h);
    let height = u32::from(entry.height) * u32::from(v);
    let divisor = greatest_common_divisor(width, height).max(1);
    (width / divisor, height / divisor)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        return a;
    }
    greatest_common_divisor(b, a % b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(codec: &str, size: (u16, u16), spacing: (u16, u16)) -> VideoSampleEntry {
        VideoSampleEntry {
            width: size.0,
            height: size.1,
            pixel_h_spacing: spacing.0,
            pixel_v_spacing: spacing.1,
            rfc6381_codec: codec.to_owned(),
            avcc: Vec::new(),
            reorder_frames: 0,
        }
    }

    #[test]
    fn codecs_are_listed_once_and_quoted() {
        let [a, b, bad] = ["avc1.640028", "avc1.4d401f", "a\"b\\c\r\nX: y\u{e9}"]
            .map(|codec| entry(codec, (16, 9), (1, 1)));
        for (entries, told) in [
            (vec![&a], r#"video/mp4; codecs="avc1.640028""#),
            (
                vec![&a, &b, &a],
                r#"video/mp4; codecs="avc1.4d401f,avc1.640028""#,
            ),
            (vec![&bad], r#"video/mp4; codecs="a\"b\\cX: y""#),
        ] {
            assert_eq!(content_type(&entries), told);
        }
    }

    #[test]
    fn the_aspect_is_that_on_a_screen() {
        for (size, spacing, told) in [
            ((1920, 1080), (1, 1), (16, 9)),
            ((704, 576), (12, 11), (4, 3)),
            ((704, 480), (10, 11), (4, 3)),
            ((2560, 1440), (0, 0), (16, 9)),
            ((0, 0), (1, 1), (0, 0)),
            ((65535, 65535), (65535, 1), (65535, 1)),
        ] {
            assert_eq!(aspect(&entry("", size, spacing)), told, "{size:?}");
        }
    }
}
