//! A sample directory as the rules see it: what recovery, `export` and `check` read and mend.
//!
//! Every call may block, so none is made on the event loop's thread. There are two of them: the
//! real one over an open directory, and the simulation's, which loses what was not synced.

use std::io;

/// What a file's name ends with while [`Directory::put`] writes it. One that was left over may be
/// removed.
pub const TEMPORARY: &str = ".tmp";

/// Access to the files of one open sample directory. Names are relative: sample files as
/// [`super::RecordingId::file_name`] gives them, `journal/…` and the marker file.
pub trait Directory {
    /// The names within `sub` (`""` for the directory itself, `"journal"`), in no order.
    fn list(&self, sub: &str) -> io::Result<Vec<String>>;
    /// The file's length in bytes; `None` if there is no such file.
    fn len(&self, name: &str) -> io::Result<Option<u64>>;
    /// Reads up to `buf.len()` bytes from `offset`; fewer only at the file's end.
    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Cuts the file to `len` bytes and makes that durable.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Writes a new file with `bytes`, replacing one of that name in one step, and makes it durable.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Removes the file; no error if there is none.
    fn unlink(&self, name: &str) -> io::Result<()>;
    /// Makes the folder `sub` (`"journal"`), durably; no error if it is there.
    fn create_dir(&self, sub: &str) -> io::Result<()>;
    /// Makes creations and removals durable, in the directory itself and in its folders.
    fn sync(&self) -> io::Result<()>;
}
