//! The account of a file for people: its boxes, and where their bytes come from.

use super::File;
use super::slices::{Array, Content};

/// Entries of an array that the account lists; more are counted.
const MAX_ENTRIES_TOLD: usize = 2_000;

impl File {
    /// An account of the file's boxes and slices, in lines without their ends. Made as it is read.
    pub fn account(&self) -> impl Iterator<Item = String> + '_ {
        let head = format!(
            "{}\n{} bytes, {}, ETag {}\n\nboxes: offset, bytes, kind",
            self.content_type,
            self.len(),
            self.duration,
            self.etag
        );
        let head: Vec<String> = head.lines().map(str::to_owned).collect();
        let boxes = self.notes.iter().map(|b| {
            let kind = String::from_utf8_lossy(&b.kind);
            let depth = 2 * usize::from(b.depth);
            format!("{:>14} {:>14} {:depth$}{kind}", b.start, b.len, "")
        });
        let slices = ["", "slices: offset, bytes, content"].map(str::to_owned);
        head.into_iter()
            .chain(boxes)
            .chain(slices)
            .chain((0..self.regions.len()).flat_map(|i| self.account_of(i)))
    }

    fn account_of(&self, region: usize) -> impl Iterator<Item = String> + '_ {
        let start = region.checked_sub(1).map_or(0, |i| self.regions[i].end);
        let r = self.regions[region];
        let line = move |start: u64, len: u64, what: &str| format!("{start:>14} {len:>14} {what}");
        let (whole, array) = match r.content {
            Content::Constant { .. } => ("constant".to_owned(), None),
            Content::Array(array) => (format!("{array:?}"), Some(array)),
        };
        let entries = array.map_or(0, |a| self.entries(a));
        let told = (0..entries.min(MAX_ENTRIES_TOLD)).filter_map(move |i| {
            let array = array?;
            let from = self.array_len(array, i);
            let len = self.array_len(array, i + 1) - from;
            Some(line(
                start + from,
                len,
                &format!("  {}", self.entry_account(array, i)),
            ))
        });
        let more = entries.saturating_sub(MAX_ENTRIES_TOLD);
        let more = (more > 0).then(|| format!("{:>31}and {more} more", ""));
        std::iter::once(line(start, r.end - start, &whole))
            .chain(told)
            .chain(more)
    }

    fn entry_account(&self, array: Array, i: usize) -> String {
        if array == Array::Pictures {
            let p = &self.pictures[i];
            let id = self.laid[p.segment as usize].source.id;
            let end = u64::from(p.offset) + u64::from(p.bytes);
            return format!("{id} {}..{end} at {}", p.offset, p.time);
        }
        let c = self.chosen(i);
        let id = self.laid[i].source.id;
        match array {
            Array::Chunks | Array::Fragments => format!(
                "{id} {}..{}, samples {}..{}",
                c.bytes.start,
                c.bytes.end,
                c.first,
                c.first + c.samples
            ),
            _ => id.to_string(),
        }
    }
}
