//! A checker of ISO/IEC 14496-12 files that is stricter than players: boxes fill each other, those that must be
//! there are there once, and the tables agree with each other and with the samples' bytes. It shares
//! nothing with what writes the files.

use std::collections::BTreeMap;
use std::ops::Range;

/// Boxes of boxes.
const CONTAINERS: [&str; 10] = [
    "moov", "trak", "edts", "mdia", "minf", "dinf", "stbl", "mvex", "moof", "traf",
];

/// What a container must have, each once.
const MUST: [(&str, &[&str]); 8] = [
    ("moov", &["mvhd"]),
    ("trak", &["tkhd", "mdia"]),
    ("mdia", &["mdhd", "hdlr", "minf"]),
    ("minf", &["dinf", "stbl"]),
    ("stbl", &["stsd", "stts", "stsc", "stsz"]),
    ("mvex", &["trex"]),
    ("moof", &["mfhd", "traf"]),
    ("traf", &["tfhd", "tfdt", "trun"]),
];

struct Box<'a> {
    kind: String,
    /// Where it begins in the file, and its content there.
    start: usize,
    content: Range<usize>,
    file: &'a [u8],
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// The boxes that fill a part of a file.
fn boxes(file: &[u8], part: Range<usize>) -> Vec<Box<'_>> {
    let (mut at, mut all) = (part.start, Vec::new());
    while at < part.end {
        let kind = String::from_utf8(file[at + 4..at + 8].to_vec()).expect("a box's kind");
        let (head, len) = match number(&file[at..at + 4]) {
            1 => (16, number(&file[at + 8..at + 16]) as usize),
            len => (8, len as usize),
        };
        assert!(
            len >= head && at + len <= part.end,
            "{kind} at {at}: {len} bytes"
        );
        all.push(Box {
            kind,
            start: at,
            content: at + head..at + len,
            file,
        });
        at += len;
    }
    all
}

impl<'a> Box<'a> {
    fn children(&self) -> Vec<Box<'a>> {
        let children = boxes(self.file, self.content.clone());
        for child in &children {
            let once = children.iter().filter(|c| c.kind == child.kind).count() == 1;
            assert!(
                once || child.kind == "trak",
                "{} twice in {}",
                child.kind,
                self.kind
            );
        }
        let must = MUST.iter().find(|(kind, _)| *kind == self.kind);
        for kind in must.map_or(&[][..], |(_, must)| must) {
            assert!(
                children.iter().any(|c| c.kind == *kind),
                "no {kind} in {}",
                self.kind
            );
        }
        children
    }

    /// Walks down to a box.
    fn find(&self, path: &str) -> Option<Box<'a>> {
        let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
        let child = self.children().into_iter().find(|c| c.kind == kind)?;
        if rest.is_empty() {
            Some(child)
        } else {
            child.find(rest)
        }
    }

    /// Behind version and flags, and these as a number.
    fn full(&self) -> (u64, &'a [u8]) {
        let bytes = &self.file[self.content.clone()];
        (number(&bytes[..4]), &bytes[4..])
    }

    /// A table's rows of numbers of four bytes (or eight); it fills the box.
    fn rows(&self, skip: usize, columns: usize, width: usize) -> Vec<Vec<u64>> {
        let (_, bytes) = self.full();
        let count = number(&bytes[skip..skip + 4]) as usize;
        let rows = &bytes[skip + 4..];
        assert_eq!(rows.len(), count * columns * width, "{}", self.kind);
        let row = |r: &[u8]| r.chunks(width).map(number).collect();
        rows.chunks((columns * width).max(1)).map(row).collect()
    }

    fn check_all(&self) {
        if CONTAINERS.contains(&self.kind.as_str()) {
            self.children().iter().for_each(Box::check_all);
        }
    }
}

/// Fails if the file is not sound.
pub fn check(file: &[u8]) {
    let top = boxes(file, 0..file.len());
    top.iter().for_each(Box::check_all);
    let media: Vec<Range<usize>> = top
        .iter()
        .filter(|b| b.kind == "mdat")
        .map(|b| b.content.clone())
        .collect();
    assert!(
        ["ftyp", "styp"].contains(&top[0].kind.as_str()),
        "{}",
        top[0].kind
    );
    let mut used: BTreeMap<usize, usize> = BTreeMap::new();
    for moov in top.iter().filter(|b| b.kind == "moov") {
        let traks = moov.children();
        for trak in traks.iter().filter(|b| b.kind == "trak") {
            check_tables(&trak.find("mdia/minf/stbl").unwrap(), &mut used);
            check_edits(trak);
        }
    }
    for (i, moof) in top.iter().enumerate().filter(|(_, b)| b.kind == "moof") {
        assert_eq!(top[i + 1].kind, "mdat", "behind each moof");
        check_run(moof, &top[i + 1].content);
        used.insert(top[i + 1].content.start, top[i + 1].content.end);
    }
    // Chunks fill the media data, none is in two.
    let mut chunks = used.into_iter().filter(|(start, end)| start < end);
    for data in media.iter().filter(|d| !d.is_empty()) {
        let mut at = data.start;
        while at < data.end {
            let (start, end) = chunks.next().expect("bytes that are in no chunk");
            assert_eq!(start, at, "a chunk follows the one before");
            at = end;
        }
        assert_eq!(at, data.end);
    }
    assert_eq!(chunks.next(), None, "a chunk outside of the media data");
}

/// Sample tables, section 8.6 and 8.7.
fn check_tables(stbl: &Box<'_>, used: &mut BTreeMap<usize, usize>) {
    let find = |kind| stbl.find(kind);
    let entries = number(&find("stsd").unwrap().full().1[..4]);
    assert!(entries >= 1);
    let stsz = find("stsz").unwrap();
    assert_eq!(
        number(&stsz.full().1[..4]) & 0xffff_0000,
        0,
        "sizes are small or zero"
    );
    let all_of = number(&stsz.full().1[..4]);
    let sizes: Vec<u64> = match all_of {
        0 => stsz.rows(4, 1, 4).into_iter().flatten().collect(),
        size => vec![size; number(&stsz.full().1[4..8]) as usize],
    };
    for kind in ["stts", "ctts"] {
        let Some(table) = find(kind) else { continue };
        let rows = table.rows(0, 2, 4);
        let samples: u64 = rows.iter().map(|r| r[0]).sum();
        assert_eq!(samples, sizes.len() as u64, "{kind}");
        let whole = kind == "ctts" || rows.iter().all(|r| r[1] > 0);
        assert!(whole, "samples that last no time");
    }
    if let Some(stss) = find("stss") {
        let numbers: Vec<u64> = stss.rows(0, 1, 4).into_iter().flatten().collect();
        assert!(numbers.windows(2).all(|w| w[0] < w[1]), "stss rises");
        assert!(numbers.iter().all(|n| (1..=sizes.len() as u64).contains(n)));
    }
    let offsets: Vec<u64> = match (find("stco"), find("co64")) {
        (Some(t), None) => t.rows(0, 1, 4),
        (None, Some(t)) => t.rows(0, 1, 8),
        _ => panic!("either stco or co64"),
    }
    .into_iter()
    .flatten()
    .collect();
    let runs = find("stsc").unwrap().rows(0, 3, 4);
    assert!(runs.windows(2).all(|w| w[0][0] < w[1][0]), "stsc rises");
    assert!(
        runs.first().is_none_or(|r| r[0] == 1)
            && runs.iter().all(|r| (1..=entries).contains(&r[2]))
    );
    let (mut sample, mut run) = (0, 0);
    for (chunk, &offset) in (1u64..).zip(&offsets) {
        if runs.get(run + 1).is_some_and(|r| r[0] == chunk) {
            run += 1;
        }
        let count = runs[run][1] as usize;
        let bytes: u64 = sizes[sample..sample + count].iter().sum();
        sample += count;
        if bytes > 0 {
            let before = used.insert(offset as usize, (offset + bytes) as usize);
            assert_eq!(before, None, "two chunks at {offset}");
        }
    }
    assert_eq!(sample, sizes.len(), "each sample is in a chunk");
}

/// Edits show what there is, section 8.6.6.
fn check_edits(trak: &Box<'_>) {
    let Some(elst) = trak.find("edts/elst") else {
        return;
    };
    let media: u64 = trak
        .find("mdia/minf/stbl/stts")
        .unwrap()
        .rows(0, 2, 4)
        .iter()
        .map(|r| r[0] * r[1])
        .sum();
    let (version, bytes) = elst.full();
    assert_eq!(version >> 24, 1, "edits of 64 bits");
    let edits = &bytes[4..];
    assert_eq!(edits.len() as u64, number(&bytes[..4]) * 20);
    for edit in edits.chunks(20) {
        let (duration, from) = (number(&edit[..8]), number(&edit[8..16]));
        assert!(
            duration > 0 && from + duration <= media,
            "{from} and {duration} of {media}"
        );
    }
}

/// A fragment's samples are all of its media data, sections 8.8.7 and 8.8.8.
fn check_run(moof: &Box<'_>, data: &Range<usize>) {
    let trun = moof.find("traf/trun").unwrap();
    let (flags, bytes) = trun.full();
    assert_eq!(
        flags & 0x705,
        0x701,
        "places, durations, sizes, flags; no first flags"
    );
    let columns = if flags & 0x800 == 0 { 3 } else { 4 };
    let count = number(&bytes[..4]) as usize;
    let offset = number(&bytes[4..8]) as usize;
    assert_eq!(moof.start + offset, data.start);
    let rows = &bytes[8..];
    assert_eq!(rows.len(), count * columns * 4);
    let samples: Vec<&[u8]> = rows.chunks(columns * 4).collect();
    let size: u64 = samples.iter().map(|s| number(&s[4..8])).sum();
    assert_eq!(size as usize, data.len());
    assert!(
        samples.iter().all(|s| number(&s[..4]) > 0),
        "samples that last no time"
    );
}
