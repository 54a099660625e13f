//! Counts the mails that a person gets per day, by kind of activity and model.
//!
//! Each delivery is counted once. The count is on disk before the mail is sent, so a mail that is sent again, even
//! after a crash, is not counted twice. Days are UTC days. The file holds one line of JSON for each mail. Only lines
//! older than any mail that may still be retried are dropped.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::files;
use crate::audience::{Allowance, MailCategory, allowance};
use crate::time::Timestamp;

/// How long counts are kept, in days: longer than a mail is retried.
const KEEP: i64 = 30;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// One item of a mail that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedMail {
    /// The id of the delivery.
    pub id: String,
    /// The id of the model.
    pub model: String,
    /// The kind of activity.
    pub activity: MailCategory,
}

/// A counted mail, as a line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CountRecord {
    day: i64,
    to: String,
    model: String,
    kind: String,
    notice: bool,
    /// Whether the deliveries were added to a mail that was counted before.
    along: bool,
    ids: Vec<String>,
}

/// The key of a count: day, recipient, model, kind of activity.
type CountClass = (i64, String, String, String);

/// The counts as they were last read.
#[derive(Default)]
struct CachedCounts {
    /// How many bytes of the file were read, and the identity of the file.
    read: u64,
    file: u64,
    sent: HashMap<CountClass, u64>,
    places: HashMap<String, Allowance>,
}

/// The counts of mails, stored in a file.
pub struct Counts {
    folder: PathBuf,
    known: Mutex<CachedCounts>,
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Counts {
    /// Opens the counts in a folder and drops old ones.
    ///
    /// # Errors
    ///
    /// When a file of the folder cannot be read, locked or written.
    pub fn open(folder: &Path, now: Timestamp) -> io::Result<Self> {
        let counts = Self { folder: folder.to_owned(), known: Mutex::default() };
        let _held = files::lock(folder)?;
        let path = counts.path();
        let text = text(&path)?;
        let oldest = day(now) - KEEP;
        let lines = || text.lines().filter_map(|l| Some((l, serde_json::from_str::<CountRecord>(l).ok()?)));
        if lines().any(|(_, line)| line.day < oldest) {
            let kept = lines().filter(|(_, line)| line.day >= oldest);
            let kept: String = kept.map(|(text, _)| format!("{text}\n")).collect();
            files::replace(&path, kept.as_bytes())?;
        }
        Ok(counts)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("counts")
    }

    /// Returns what the daily limit allows for each item of one mail to a person. Items of the same kind and model use
    /// up one mail of the limit together.
    ///
    /// # Errors
    ///
    /// When the file of counts cannot be locked, read or written.
    pub fn places(
        &self,
        to: &str,
        items: &[CountedMail],
        now: Timestamp,
        cap: Option<u64>,
    ) -> io::Result<Vec<Allowance>> {
        let _held = files::lock(&self.folder)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(&self.path())?;
        let mut classes: BTreeMap<(&str, MailCategory), Vec<&CountedMail>> = BTreeMap::new();
        for item in items {
            classes.entry((&item.model, item.activity)).or_default().push(item);
        }
        let mut written = Vec::new();
        for ((model, activity), group) in classes {
            let (placed, new): (Vec<&CountedMail>, Vec<&CountedMail>) =
                group.iter().partition(|i| known.places.contains_key(&i.id));
            if new.is_empty() {
                continue;
            }
            let class = (day(now), to.to_owned(), model.to_owned(), activity.as_str().to_owned());
            let along = placed.iter().any(|i| known.places.get(&i.id) == Some(&Allowance::Mail));
            let sent = known.sent.get(&class).copied().unwrap_or(0);
            let allowed = if along { Allowance::Mail } else { allowance(sent, cap) };
            if allowed == Allowance::Nothing {
                continue;
            }
            let (day, to, model, kind) = class;
            let ids = new.iter().map(|i| i.id.clone()).collect();
            let line = CountRecord { day, to, model, kind, notice: allowed == Allowance::Notice, along, ids };
            written.extend(serde_json::to_vec(&line).map_err(io::Error::other)?);
            written.push(b'\n');
        }
        if !written.is_empty() {
            known.append(&self.path(), &written)?;
        }
        Ok(items.iter().map(|i| known.places.get(&i.id).copied().unwrap_or(Allowance::Nothing)).collect())
    }
}

impl CachedCounts {
    /// Reads the lines that any process has written since the last call.
    fn catch_up(&mut self, path: &Path) -> io::Result<()> {
        let (len, file) = match fs::metadata(path) {
            Ok(meta) => (meta.len(), identity(&meta)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(e) => return Err(e),
        };
        if (self.file, self.read) == (file, len) {
            return Ok(());
        }
        if file != self.file || len < self.read {
            *self = Self { file, ..Self::default() };
        }
        let mut new = Vec::new();
        if len > 0 {
            let mut from = fs::File::open(path)?;
            from.seek(SeekFrom::Start(self.read))?;
            from.read_to_end(&mut new)?;
        }
        self.read = self.read.saturating_add(new.len() as u64);
        for line in String::from_utf8_lossy(&new).lines().filter_map(|l| serde_json::from_str::<CountRecord>(l).ok()) {
            self.take(line);
        }
        Ok(())
    }

    fn take(&mut self, line: CountRecord) {
        let allowed = if line.notice { Allowance::Notice } else { Allowance::Mail };
        self.places.extend(line.ids.into_iter().map(|id| (id, allowed)));
        if !line.along {
            *self.sent.entry((line.day, line.to, line.model, line.kind)).or_default() += 1;
        }
    }

    /// Appends lines and flushes them to disk. If a crash cut off the last line, that line is ended first; it does not
    /// count.
    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let is_new = !path.exists();
        let mut file = files::open(path)?;
        let mut last = [b'\n'];
        if !is_new && file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        let torn = last != [b'\n'];
        if torn {
            file.write_all(b"\n")?;
        }
        file.write_all(lines)?;
        file.sync_all()?;
        if is_new && let Some(folder) = path.parent() {
            files::sync_folder(folder)?;
        }
        self.catch_up(path)
    }
}

/// Returns the text of the file, or an empty text if there is no file.
fn text(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e),
    }
}

/// Returns the inode, which tells a file from a file that replaced it.
#[cfg(unix)]
fn identity(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

/// Returns a constant, because only Unix has inodes.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> u64 {
    1
}

/// Returns the day of a time, counted in UTC from the epoch.
fn day(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon(day: i64) -> Timestamp {
        Timestamp::from_millis(1_772_366_400_000 + day * DAY)
    }

    fn item(id: &str, activity: MailCategory) -> CountedMail {
        CountedMail { id: id.to_owned(), model: "m".to_owned(), activity }
    }

    fn comment(n: usize) -> CountedMail {
        item(&format!("c{n}"), MailCategory::Comment)
    }

    fn place(counts: &Counts, item: &CountedMail, day: i64) -> Allowance {
        counts.places("bob", std::slice::from_ref(item), noon(day), Some(20)).unwrap()[0]
    }

    #[test]
    fn the_21st_is_the_notice_and_then_there_is_silence_until_the_next_day() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Counts::open(folder.path(), noon(0)).unwrap();
        let found: Vec<Allowance> = (0..25).map(|n| place(&counts, &comment(n), 0)).collect();
        assert!(found[..20].iter().all(|a| *a == Allowance::Mail));
        assert_eq!(found[20], Allowance::Notice);
        assert!(found[21..].iter().all(|a| *a == Allowance::Nothing));
        assert_eq!(place(&counts, &item("v", MailCategory::Version), 0), Allowance::Mail, "another kind");
        let other = CountedMail { model: "other".to_owned(), ..comment(90) };
        assert_eq!(place(&counts, &other, 0), Allowance::Mail, "another model");
        assert_eq!(counts.places("carol", &[comment(91)], noon(0), Some(20)).unwrap(), [Allowance::Mail]);
        assert_eq!(place(&counts, &comment(92), 1), Allowance::Mail, "another day");
    }

    #[test]
    fn a_delivery_is_counted_once_however_often_it_is_tried_and_whoever_tries() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..5 {
            // Each time a new process, as after a crash, and one process that stays.
            let old = Counts::open(folder.path(), noon(0)).unwrap();
            let new = Counts::open(folder.path(), noon(0)).unwrap();
            for n in 0..20 {
                assert_eq!(place(&old, &comment(n), round), Allowance::Mail, "round {round}, {n}");
                assert_eq!(place(&new, &comment(n), round), Allowance::Mail);
            }
            assert_eq!(place(&new, &comment(20), 0), Allowance::Notice);
            assert_eq!(place(&old, &comment(20), 0), Allowance::Notice);
            assert_eq!(place(&old, &comment(21), 0), Allowance::Nothing);
        }
    }

    #[test]
    fn what_goes_in_one_mail_takes_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Counts::open(folder.path(), noon(0)).unwrap();
        let many: Vec<CountedMail> = (0..50).map(comment).collect();
        assert!(counts.places("bob", &many, noon(0), Some(2)).unwrap().iter().all(|a| *a == Allowance::Mail));
        // The same mail, retried together with later items.
        let more: Vec<CountedMail> = (0..60).map(comment).collect();
        assert!(counts.places("bob", &more, noon(0), Some(2)).unwrap().iter().all(|a| *a == Allowance::Mail));
        assert_eq!(counts.places("bob", &[comment(60)], noon(0), Some(2)).unwrap(), [Allowance::Mail]);
        assert_eq!(counts.places("bob", &[comment(61)], noon(0), Some(2)).unwrap(), [Allowance::Notice]);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_counts_for_nothing_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Counts::open(folder.path(), noon(0)).unwrap();
        place(&counts, &comment(0), 0);
        let path = folder.path().join("counts");
        let whole = fs::read(&path).unwrap();
        // A line that is cut off does not count. A line that lacks only its line feed does.
        for cut in 0..whole.len() - 1 {
            fs::write(&path, &whole[..cut]).unwrap();
            let counts = Counts::open(folder.path(), noon(0)).unwrap();
            assert_eq!(counts.places("bob", &[comment(1)], noon(0), Some(1)).unwrap(), [Allowance::Mail], "{cut}");
            let after = Counts::open(folder.path(), noon(0)).unwrap();
            assert_eq!(after.places("bob", &[comment(1)], noon(0), Some(1)).unwrap(), [Allowance::Mail]);
            assert_eq!(after.places("bob", &[comment(2)], noon(0), Some(1)).unwrap(), [Allowance::Notice]);
        }
    }

    #[test]
    fn old_counts_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Counts::open(folder.path(), noon(0)).unwrap();
        place(&counts, &comment(0), 0);
        place(&counts, &comment(1), KEEP);
        drop(counts);
        Counts::open(folder.path(), noon(KEEP + 1)).unwrap();
        let left = fs::read_to_string(folder.path().join("counts")).unwrap();
        assert!(!left.contains("c0") && left.contains("c1"), "{left}");
    }
}
