//! Where the video samples are in an `.mp4` that was served, read by the boxes' own words (ISO/IEC
//! 14496-12) and nothing that made them.

use std::ops::Range;

/// A box: its type and its payload.
type Box<'a> = (&'a [u8], &'a [u8]);

/// The boxes that `bytes` is made of, whole.
fn boxes(mut bytes: &[u8]) -> Result<Vec<Box<'_>>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.get(..8).ok_or("a box's head is cut short")?;
        let (size, header) = match be(&head[..4]) {
            1 => (be(bytes.get(8..16).ok_or("a box's size is cut short")?), 16),
            size => (size, 8),
        };
        let payload = bytes.get(header..size as usize);
        let payload = payload.ok_or_else(|| format!("a box of {size} bytes does not fit"))?;
        found.push((&head[4..8], payload));
        bytes = &bytes[size as usize..];
    }
    Ok(found)
}

/// A number, the most significant byte first.
fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// The number of so many bytes at `at`.
fn number(bytes: &[u8], at: usize, len: usize) -> Result<u64, String> {
    let number = bytes.get(at..at + len).map(be);
    number.ok_or_else(|| "a table is cut short".to_owned())
}

/// The payload of the box at the end of `path`.
fn inner<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Result<&'a [u8], String> {
    let mut payload = bytes;
    for name in path {
        let found = boxes(payload)?.into_iter().find(|(n, _)| n == name);
        let missing = || format!("there is no {}", String::from_utf8_lossy(*name));
        payload = found.ok_or_else(missing)?.1;
    }
    Ok(payload)
}

/// Where the samples of its video are, in decoding order: those of `moov`, then those of each `moof`.
/// All of them lie within media data.
pub fn samples(file: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let top = boxes(file)?;
    let mut found = Vec::new();
    for (name, payload) in &top {
        match *name {
            b"moov" => found.extend(of_movie(payload)?),
            b"moof" => found.extend(of_fragment(payload, offset(file, payload) - 8)?),
            _ => (),
        }
    }
    let media: Vec<Range<usize>> = top
        .iter()
        .filter(|(name, _)| *name == b"mdat")
        .map(|(_, payload)| offset(file, payload)..offset(file, payload) + payload.len())
        .collect();
    let lies_in = |s: &Range<usize>| media.iter().any(|m| m.start <= s.start && s.end <= m.end);
    match found.iter().find(|s| !lies_in(s)) {
        Some(s) => Err(format!("the sample at {s:?} is outside of the media data")),
        None => Ok(found),
    }
}

/// Where a part of `file` is in it.
fn offset(file: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - file.as_ptr() as usize
}

/// The sample table of the movie's video track.
fn of_movie(moov: &[u8]) -> Result<Vec<Range<usize>>, String> {
    for (name, track) in boxes(moov)? {
        if name != b"trak" || number(inner(track, &[b"mdia", b"hdlr"])?, 8, 4)? != be(b"vide") {
            continue;
        }
        let table = inner(track, &[b"mdia", b"minf", b"stbl"])?;
        return of_table(table);
    }
    Ok(Vec::new())
}

fn of_table(stbl: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let stsz = inner(stbl, &[b"stsz"])?;
    let (same, count) = (number(stsz, 4, 4)?, number(stsz, 8, 4)? as usize);
    let size = |i: usize| match same {
        0 => number(stsz, 12 + 4 * i, 4),
        same => Ok(same),
    };
    let wide = inner(stbl, &[b"co64"]);
    let (places, bytes) = match wide {
        Ok(co64) => (co64, 8),
        Err(_) => (inner(stbl, &[b"stco"])?, 4),
    };
    let chunks = number(places, 4, 4)? as usize;
    let stsc = inner(stbl, &[b"stsc"])?;
    let runs = number(stsc, 4, 4)? as usize;
    let mut found = Vec::with_capacity(count);
    for run in 0..runs {
        let at = 8 + 12 * run;
        let (first, in_chunk) = (number(stsc, at, 4)?, number(stsc, at + 4, 4)?);
        let end = match run + 1 < runs {
            true => number(stsc, at + 12, 4)? as usize,
            false => chunks + 1,
        };
        for chunk in first as usize..end {
            let mut place = number(places, 8 + bytes * (chunk - 1), bytes)? as usize;
            for _ in 0..in_chunk {
                let size = size(found.len())? as usize;
                found.push(place..place + size);
                place += size;
            }
        }
    }
    match found.len() == count {
        true => Ok(found),
        false => Err(format!("{} samples in chunks, {count} sizes", found.len())),
    }
}

/// The samples of a fragment whose `moof` is at `at`, with sizes in its run and an offset from there.
fn of_fragment(moof: &[u8], at: usize) -> Result<Vec<Range<usize>>, String> {
    let mut found = Vec::new();
    for (name, track) in boxes(moof)? {
        if name != b"traf" {
            continue;
        }
        for (name, trun) in boxes(track)? {
            if name == b"trun" {
                of_run(trun, at, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// `trun`, section 8.8.8.
fn of_run(trun: &[u8], moof: usize, found: &mut Vec<Range<usize>>) -> Result<(), String> {
    let flags = number(trun, 1, 3)?;
    let count = number(trun, 4, 4)?;
    if flags & 0x201 != 0x201 {
        return Err(format!(
            "a run with flags {flags:x} has no offset or no sizes"
        ));
    }
    let mut place = moof + number(trun, 8, 4)? as usize;
    let mut at = 12 + if flags & 0x4 != 0 { 4 } else { 0 };
    let before = if flags & 0x100 != 0 { 4 } else { 0 };
    let each = (flags & 0xf00).count_ones() as usize * 4;
    for _ in 0..count {
        let size = number(trun, at + before, 4)? as usize;
        found.push(place..place + size);
        place += size;
        at += each;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mp4::{FragmentSample, fragment};

    #[test]
    fn a_fragment_has_the_samples_that_it_was_made_of() {
        let sample = |bytes| FragmentSample {
            bytes,
            duration_90k: 3_000,
            composition_offset_90k: 0,
            is_sync: bytes > 3,
        };
        let mut file = fragment(1, 0, &[sample(5), sample(3)]);
        let head = file.len();
        file.extend_from_slice(b"AAAAABBB");
        assert_eq!(samples(&file), Ok(vec![head..head + 5, head + 5..head + 8]));
        // One that says more than there is.
        file.truncate(head + 7);
        assert!(samples(&file).is_err());
    }
}
