//! An append-only file of records, each with a checksum that also covers all earlier records.
//!
//! A line is `<checksum> <record as JSON>`. Each checksum continues the checksum of the previous line. So a line that
//! was changed, lost or moved ends the valid part of the file, which is an earlier state. The writer cuts off the rest,
//! such as half a line after a crash. The file is created as a whole with its first record. A file whose first record
//! cannot be read is damaged: that is an error, never an empty state.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::OutboxError;

/// The largest journal that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The valid part of a journal.
pub(super) struct Contents<R> {
    /// The records in order; at least one.
    pub(super) records: Vec<R>,
    /// The number of invalid bytes at the end: the remains of a crash, or damage.
    pub(super) dropped: u64,
    /// The length of the valid part in bytes.
    bytes: u64,
    /// The checksum of the last valid line.
    sum: u32,
}

/// A journal open for writing. Its writer holds the lock of the outbox.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    sum: u32,
    /// Whether records were appended that may not be on disk yet.
    unsynced: bool,
    /// Whether the file's name may not be on disk yet.
    unnamed: bool,
}

/// Reads a journal. `None` if there is no file.
pub(super) fn read<R: DeserializeOwned>(path: &Path) -> Result<Option<Contents<R>>, OutboxError> {
    let failed = |e| OutboxError::io("read", path, e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(failed(std::io::Error::other(format!("it is larger than {MAX_BYTES} bytes"))));
    }
    let mut contents = Contents { records: Vec::new(), dropped: 0, bytes: 0, sum: 0 };
    for line in text.split_inclusive(|b| *b == b'\n') {
        let Some((record, sum)) = parse(line, contents.sum) else { break };
        contents.records.push(record);
        contents.sum = sum;
        contents.bytes += line.len() as u64;
    }
    contents.dropped = text.len() as u64 - contents.bytes;
    if contents.records.is_empty() {
        return Err(OutboxError::Damaged { path: path.to_owned() });
    }
    Ok(Some(contents))
}

/// Returns the record of a line, and the checksum up to it. `None` if the line is not valid.
fn parse<R: DeserializeOwned>(line: &[u8], before: u32) -> Option<(R, u32)> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let wanted = checksum(before, json);
    if sum != format!("{wanted:08x}").as_bytes() {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, wanted))
}

fn checksum(before: u32, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_be_bytes());
    hasher.update(json);
    hasher.finalize()
}

/// Appends a record's line and returns the checksum up to it.
fn print(record: &impl Serialize, before: u32, out: &mut Vec<u8>) -> std::io::Result<u32> {
    let json = serde_json::to_vec(record)?;
    let sum = checksum(before, &json);
    out.extend_from_slice(format!("{sum:08x} ").as_bytes());
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(sum)
}

impl Journal {
    /// Opens a journal to append after the valid part; the invalid rest is cut off.
    pub(super) fn resume<R>(path: &Path, contents: &Contents<R>) -> Result<Self, OutboxError> {
        let failed = |e| OutboxError::io("open", path, e);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        if contents.dropped > 0 {
            file.set_len(contents.bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes: contents.bytes,
            sum: contents.sum,
            unsynced: false,
            unnamed: false,
        })
    }

    /// Creates a journal of one record, or replaces the existing one. At each moment, either the old or the new journal
    /// exists. After [`Self::sync`], the new one is on disk. If this fails, the old one remains.
    pub(super) fn create(path: &Path, first: &impl Serialize) -> Result<Self, OutboxError> {
        let failed = |e| OutboxError::io("write", path, e);
        let mut text = Vec::new();
        let sum = print(first, 0, &mut text).map_err(failed)?;
        // `tempfile` makes the file readable by its owner only.
        let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder(path)).map_err(failed)?;
        new.write_all(&text).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
        let file = new.persist(path).map_err(|e| failed(e.error))?;
        Ok(Self { path: path.to_owned(), file, bytes: text.len() as u64, sum, unsynced: false, unnamed: true })
    }

    /// Appends records. They survive the end of this process, and after [`Self::sync`] also a crash of the machine.
    pub(super) fn append(&mut self, records: &[impl Serialize]) -> Result<(), OutboxError> {
        let mut text = Vec::new();
        let mut sum = self.sum;
        for record in records {
            sum = print(record, sum, &mut text).map_err(|e| OutboxError::io("write", &self.path, e))?;
        }
        let start = SeekFrom::Start(self.bytes);
        if let Err(e) = self.file.seek(start).and_then(|_| self.file.write_all(&text)) {
            // Half a line must not precede the next line.
            let _ = self.file.set_len(self.bytes);
            return Err(OutboxError::io("write", &self.path, e));
        }
        self.bytes += text.len() as u64;
        self.sum = sum;
        self.unsynced = true;
        Ok(())
    }

    /// Waits until all records are on disk.
    pub(super) fn sync(&mut self) -> Result<(), OutboxError> {
        if self.unsynced {
            self.file.sync_data().map_err(|e| OutboxError::io("flush", &self.path, e))?;
            self.unsynced = false;
        }
        if self.unnamed {
            sync_folder(folder(&self.path)).map_err(|e| OutboxError::io("flush", &self.path, e))?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Returns the size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}

/// Flushes a folder, so that the names in it survive a crash.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        read(path).unwrap().unwrap().records
    }

    fn sample(folder: &Path) -> (PathBuf, Vec<String>) {
        let path = folder.join("j");
        let records: Vec<String> = (0..6).map(|n| format!("record {n} with \"quotes\" and ü\n")).collect();
        let mut journal = Journal::create(&path, &records[0]).unwrap();
        journal.append(&records[1..4]).unwrap();
        journal.append(&records[4..]).unwrap();
        journal.sync().unwrap();
        (path, records)
    }

    #[test]
    fn cut_off_anywhere_it_is_an_earlier_state_and_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = sample(folder.path());
        let whole = fs::read(&path).unwrap();
        let mut last = 0;
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let Ok(contents) = read::<String>(&path) else {
                assert_eq!(last, 0, "only a file without its first record is damaged");
                continue;
            };
            let contents = contents.expect("there is a file");
            assert_eq!(contents.records, records[..contents.records.len()]);
            assert!(contents.records.len() >= last);
            last = contents.records.len();
            let mut journal = Journal::resume(&path, &contents).unwrap();
            journal.append(&["after".to_owned()]).unwrap();
            let mut wanted = contents.records;
            wanted.push("after".to_owned());
            assert_eq!(lines(&path), wanted, "cut at {end}");
        }
        assert_eq!(last, records.len());
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = sample(folder.path());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let Ok(contents) = read::<String>(&path) else { continue };
                let contents = contents.expect("there is a file");
                assert_eq!(contents.records, records[..contents.records.len()], "bit {bit} of byte {at}");
                assert!(contents.records.len() < records.len() && contents.dropped > 0, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn lines_that_are_lost_moved_or_come_twice_end_what_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = sample(folder.path());
        let whole = fs::read_to_string(&path).unwrap();
        let all: Vec<&str> = whole.split_inclusive('\n').collect();
        for order in [[0, 1, 3, 4, 5].as_slice(), &[0, 2, 1, 3, 4, 5], &[0, 0, 1, 2, 3, 4, 5]] {
            fs::write(&path, order.iter().map(|n| all[*n]).collect::<String>()).unwrap();
            let found = lines(&path);
            assert_eq!(found, records[..found.len()]);
            assert!(found.len() < 3, "{order:?}");
        }
        assert!(read::<String>(&folder.path().join("none")).unwrap().is_none());
    }
}
