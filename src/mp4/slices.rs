//! The list of a file's slices: where each byte comes from.

use super::segment::{Layout, Segment, Table};
use std::borrow::Cow;
use std::ops::Range;

/// Some of the file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    /// These bytes of the sample file of `segments()[segment].recording`.
    Samples {
        segment: usize,
        range: Range<u64>,
    },
}

impl Piece<'_> {
    /// The piece's length in bytes; never 0 in what [`super::File::pieces`] yields.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(b) => b.len() as u64,
            Piece::Samples { range, .. } => range.end - range.start,
        }
    }
}

/// Where a slice's bytes come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// [`Slices::constant`], from this position on.
    Constant {
        position: usize,
    },
    Table {
        table: Table,
        segment: u32,
    },
    Samples {
        segment: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    /// Where it ends in the file; it begins where the one before ends.
    end: u64,
    source: Source,
}

/// A file's slices in order, none empty.
#[derive(Debug, Default)]
pub(super) struct Slices {
    constant: Vec<u8>,
    slices: Vec<Slice>,
}

/// The part of a slice that is within a range.
#[derive(Clone, Debug)]
pub(super) struct Part {
    source: Source,
    /// Bytes within the slice.
    range: Range<u64>,
}

impl Slices {
    pub fn len(&self) -> u64 {
        self.slices.last().map_or(0, |s| s.end)
    }

    /// Appends constant bytes; they join the slice before if that is constant too.
    pub fn constant(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = self.len() + bytes.len() as u64;
        let position = self.constant.len();
        self.constant.extend_from_slice(bytes);
        match self.slices.last_mut() {
            Some(Slice {
                end: old,
                source: Source::Constant { .. },
            }) => *old = end,
            _ => self.slices.push(Slice {
                end,
                source: Source::Constant { position },
            }),
        }
    }

    /// Appends a segment's part of a table.
    pub fn table(&mut self, table: Table, segment: usize, layout: &Layout) {
        let source = Source::Table {
            table,
            segment: segment as u32,
        };
        self.push(table.len(layout), source);
    }

    /// Appends a segment's samples.
    pub fn samples(&mut self, segment: usize, layout: &Layout) {
        let source = Source::Samples {
            segment: segment as u32,
        };
        self.push(layout.bytes.end - layout.bytes.start, source);
    }

    fn push(&mut self, len: u64, source: Source) {
        if len > 0 {
            let end = self.len() + len;
            self.slices.push(Slice { end, source });
        }
    }

    /// How many constant bytes there are: where the next will be for [`Self::patch`].
    pub fn constant_len(&self) -> usize {
        self.constant.len()
    }

    /// Replaces constant bytes that were left to be filled in.
    pub fn patch(&mut self, position: usize, bytes: &[u8]) {
        self.constant[position..position + bytes.len()].copy_from_slice(bytes);
    }

    /// The parts of slices that make up `range`.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Part> + '_ {
        let range = range.start..range.end.min(self.len());
        let first = self.slices.partition_point(|s| s.end <= range.start);
        let mut start = match first {
            0 => 0,
            n => self.slices[n - 1].end,
        };
        self.slices[first..].iter().map_while(move |s| {
            let slice = std::mem::replace(&mut start, s.end)..s.end;
            let part = slice.start.max(range.start)..slice.end.min(range.end);
            (part.start < part.end).then(|| Part {
                source: s.source,
                range: part.start - slice.start..part.end - slice.start,
            })
        })
    }
}

/// The bytes of a part: generates those of a table.
pub(super) fn piece<'a>(
    part: Part,
    segments: &[Segment],
    layouts: &[Layout],
    slices: &'a Slices,
) -> Piece<'a> {
    // Constant bytes and one segment's tables are in memory, so their ranges fit usize.
    let (start, end) = (part.range.start as usize, part.range.end as usize);
    match part.source {
        Source::Constant { position } => Piece::Bytes(Cow::Borrowed(
            &slices.constant[position + start..position + end],
        )),
        Source::Table { table, segment } => {
            let i = segment as usize;
            let mut bytes = table.generate(&segments[i], &layouts[i]);
            bytes.truncate(end);
            bytes.drain(..start);
            Piece::Bytes(Cow::Owned(bytes))
        }
        Source::Samples { segment } => {
            let i = segment as usize;
            let from = layouts[i].bytes.start;
            Piece::Samples {
                segment: i,
                range: from + part.range.start..from + part.range.end,
            }
        }
    }
}
