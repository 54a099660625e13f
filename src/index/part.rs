//! The files of the index, which only grow. The head says how many bytes of a part are valid, and further bytes are
//! ignored. So a reader never sees a partial write.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Fault, damaged};
use crate::shared;

/// The valid length of a part, and the checksum of these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartExtent {
    /// Distinguishes files of the same part: a rewritten part gets a new file.
    pub(super) generation: u64,
    /// The length in bytes.
    pub(super) len: u64,
    /// The CRC-32 of all bytes.
    pub(super) crc: u32,
}

/// A part: bytes on disk, followed by bytes that are only in memory.
#[derive(Debug)]
pub(super) struct IndexPart {
    path: PathBuf,
    extent: PartExtent,
    flushed: u64,
    tail: Vec<u8>,
}

impl IndexPart {
    /// Creates an empty part with a new generation.
    pub(super) fn empty(folder: &Path, name: &str, generation: u64) -> Self {
        Self::at(folder, name, PartExtent { generation, len: 0, crc: 0 })
    }

    /// Returns the part that a head describes. Nothing is read yet.
    pub(super) fn at(folder: &Path, name: &str, extent: PartExtent) -> Self {
        let path = folder.join(format!("{name}-{:016x}", extent.generation));
        Self { path, extent, flushed: extent.len, tail: Vec::new() }
    }

    /// Returns the extent of the part.
    pub(super) fn extent(&self) -> PartExtent {
        self.extent
    }

    /// Returns the name of the file.
    pub(super) fn file_name(&self) -> Option<&std::ffi::OsStr> {
        self.path.file_name()
    }

    /// Returns the number of bytes that are only in memory.
    pub(super) fn unflushed(&self) -> usize {
        self.tail.len()
    }

    /// Appends bytes and returns their position.
    pub(super) fn push(&mut self, bytes: &[u8]) -> u64 {
        let at = self.extent.len;
        let mut crc = crc32fast::Hasher::new_with_initial(self.extent.crc);
        crc.update(bytes);
        self.extent.crc = crc.finalize();
        self.extent.len = self.extent.len.saturating_add(bytes.len() as u64);
        self.tail.extend_from_slice(bytes);
        at
    }

    /// Writes the bytes that are only in memory. The caller must hold the lock. Bytes that a dead writer left are cut
    /// off.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.tail.is_empty() && self.flushed > 0 {
            return Ok(());
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.set_len(self.flushed)?;
        file.seek(SeekFrom::Start(self.flushed))?;
        file.write_all(&self.tail)?;
        shared::adjust(&self.path)?;
        self.flushed = self.extent.len;
        self.tail = Vec::new();
        Ok(())
    }

    /// Opens the part for reading.
    pub(super) fn reader(&self) -> Result<IndexPartReader<'_>, Fault> {
        let file = match self.flushed {
            0 => None,
            _ => Some(File::open(&self.path).map_err(|e| self.lost(&e))?),
        };
        Ok(IndexPartReader { part: self, file })
    }

    /// Reads all valid bytes and compares them with the checksum.
    pub(super) fn whole(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let len = usize::try_from(self.extent.len).map_err(|_| damaged("a length is invalid"))?;
        self.reader()?.read(0, len, &mut bytes)?;
        if crc32fast::hash(&bytes) != self.extent.crc {
            return Err(damaged(format!("{} does not match its checksum", self.shown())));
        }
        Ok(bytes)
    }

    fn lost(&self, e: &io::Error) -> Fault {
        damaged(format!("{} cannot be read: {e}", self.shown()))
    }

    fn shown(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A part that is open for reading.
pub(super) struct IndexPartReader<'p> {
    part: &'p IndexPart,
    file: Option<File>,
}

impl IndexPartReader<'_> {
    /// Reads `len` bytes from position `at` into the buffer, which is overwritten.
    pub(super) fn read(&mut self, at: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let beyond = || damaged(format!("{} is shorter than it should be", self.part.shown()));
        let end = at.checked_add(len as u64).filter(|end| *end <= self.part.extent.len).ok_or_else(beyond)?;
        let on_disk = usize::try_from(end.min(self.part.flushed).saturating_sub(at)).map_err(|_| beyond())?;
        out.clear();
        if let Some(file) = self.file.as_mut().filter(|_| on_disk > 0) {
            out.reserve_exact(len);
            let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.take(on_disk as u64).read_to_end(out));
            if read.map_err(|e| self.part.lost(&e))? != on_disk {
                return Err(beyond());
            }
        }
        let from = usize::try_from(at.saturating_sub(self.part.flushed)).map_err(|_| beyond())?;
        let rest = self.part.tail.get(from..from.saturating_add(len - on_disk)).ok_or_else(beyond)?;
        out.extend_from_slice(rest);
        Ok(())
    }

    /// Reads bytes that have their own checksum.
    pub(super) fn checked(&mut self, at: u64, len: u32, crc: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.read(at, len as usize, out)?;
        if crc32fast::hash(out) != crc {
            return Err(damaged(format!("{} does not match its checksum at {at}", self.part.shown())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(part: &IndexPart, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        part.reader().ok()?.read(at, len, &mut out).ok()?;
        Some(out)
    }

    #[test]
    fn bytes_are_read_across_disk_and_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = IndexPart::empty(folder.path(), "x", 1);
        assert_eq!(part.push(b"abc"), 0);
        part.flush().unwrap();
        assert_eq!(part.push(b"defg"), 3);
        assert_eq!(read(&part, 2, 3).as_deref(), Some(&b"cde"[..]));
        assert_eq!(read(&part, 5, 2).as_deref(), Some(&b"fg"[..]));
        assert_eq!(read(&part, 5, 3), None);
        assert_eq!(part.whole().ok().as_deref(), Some(&b"abcdefg"[..]));
        part.flush().unwrap();
        assert_eq!(IndexPart::at(folder.path(), "x", part.extent()).whole().ok().as_deref(), Some(&b"abcdefg"[..]));
    }

    #[test]
    fn what_a_dead_writer_left_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = IndexPart::empty(folder.path(), "x", 1);
        part.push(b"abc");
        part.flush().unwrap();
        let extent = part.extent();
        part.push(b"left behind by a dead writer");
        part.flush().unwrap();
        let mut next = IndexPart::at(folder.path(), "x", extent);
        next.push(b"de");
        next.flush().unwrap();
        assert_eq!(next.whole().ok().as_deref(), Some(&b"abcde"[..]));
    }

    #[test]
    fn a_changed_or_shortened_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = IndexPart::empty(folder.path(), "x", 1);
        part.push(b"abcdef");
        part.flush().unwrap();
        let path = folder.path().join(part.file_name().unwrap());
        std::fs::write(&path, b"abcdeX").unwrap();
        assert!(matches!(part.whole(), Err(Fault::Damaged(_))));
        std::fs::write(&path, b"abc").unwrap();
        assert!(matches!(part.whole(), Err(Fault::Damaged(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(part.whole(), Err(Fault::Damaged(_))));
    }
}
