//! Commits as values: every commit that git can follow is read, and oddities in its headers are reported.
//!
//! Not only git writes histories. Imports, mirrors and faulty programs leave commits without authors, with time zones
//! of 99 hours and with times beyond any calendar, and git still reads them. So this module parses headers by git's own
//! rules and not with a library that trusts them. A commit is damaged only if git cannot follow it either: it has no
//! tree, or a parent that is not an id.

use std::fmt;

use gix::bstr::ByteSlice as _;
use gix::objs::Kind as ObjectKind;

use super::{GitError, Repo, stamp};
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// The largest offset from UTC that is read unchanged, in minutes: git writes four digits.
const MAX_OFFSET: i64 = 99 * 60 + 59;

/// The largest offset of any real time zone, in minutes.
const REAL_OFFSET: i64 = 15 * 60;

/// A person and a time, as a commit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// The name as written; it may be empty.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The time; commits store whole seconds.
    pub time: Timestamp,
    /// The offset of the local time from UTC in seconds, east positive.
    pub offset: i32,
}

impl Ident {
    /// Returns an identity at a time in UTC.
    pub fn new(name: impl Into<String>, email: impl Into<String>, time: Timestamp) -> Self {
        Self { name: name.into(), email: email.into(), time, offset: 0 }
    }

    /// Converts from the library's form. A time that cannot be read counts as 1970, as in git.
    pub(super) fn from_git(who: gix::actor::SignatureRef<'_>) -> Self {
        let (time, offset) = moment(who.time.as_bytes()).unwrap_or_default();
        Self {
            name: who.name.trim().to_str_lossy().into_owned(),
            email: who.email.trim().to_str_lossy().into_owned(),
            time: Timestamp::from_seconds(time),
            offset: seconds(offset),
        }
    }

    /// Converts to the library's form. Like git, drops characters that would break the commit's header, and limits the
    /// offset to what git can write.
    pub(super) fn to_git(&self) -> gix::actor::Signature {
        let offset = i64::from(self.offset).clamp(-60 * MAX_OFFSET, 60 * MAX_OFFSET);
        gix::actor::Signature {
            name: clean(&self.name).into(),
            email: clean(&self.email).into(),
            time: gix::date::Time::new(self.time.as_seconds(), i32::try_from(offset).unwrap_or_default()),
        }
    }
}

/// Drops the characters that git drops from names and addresses.
fn clean(s: &str) -> String {
    let crud = |c: char| c <= ' ' || matches!(c, '.' | ',' | ':' | ';' | '<' | '>' | '"' | '\\' | '\'');
    s.trim_matches(crud).chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\r' | '\0')).collect()
}

/// The header of a commit that contains an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The person who made the change.
    Author,
    /// The person who committed it.
    Committer,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Committer => "committer",
        }
    }
}

/// An oddity of a commit that can be read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitOddity {
    /// The header is missing; the identity counts as empty.
    Missing(Role),
    /// The header appears more than once; the first one counts.
    Repeated(Role),
    /// The identity is not a name and an address; it counts as empty.
    Identity(Role),
    /// The time is not between the years 1970 and 9999. The nearest such time counts, and 1970 if there is no time.
    Time(Role),
    /// No time zone on earth has this offset from UTC. The offset is only shown.
    Zone(Role),
    /// The commit is not UTF-8. Invalid bytes are shown as replacement characters.
    Encoding,
    /// The commit contains a NUL byte.
    Nul,
    /// No empty line follows the headers. The message counts as empty.
    NoMessage,
}

impl fmt::Display for CommitOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(role) => write!(f, "it has no {}", role.as_str()),
            Self::Repeated(role) => write!(f, "it has more than one {}; the first counts", role.as_str()),
            Self::Identity(role) => write!(f, "its {} is not a name and an address", role.as_str()),
            Self::Time(role) => write!(f, "the time of its {} is not between the years 1970 and 9999", role.as_str()),
            Self::Zone(role) => write!(f, "the time zone of its {} does not exist", role.as_str()),
            Self::Encoding => write!(f, "it is not UTF-8"),
            Self::Nul => write!(f, "it contains a NUL byte"),
            Self::NoMessage => write!(f, "it has no empty line after its headers"),
        }
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The id of the commit.
    pub id: Oid,
    /// The id of the root tree.
    pub tree: Oid,
    /// The parent commits: none for a root commit, several for a merge.
    pub parents: Vec<Oid>,
    /// The person who made the change.
    pub author: Ident,
    /// The person who committed it. The time is the commit's own time, to the millisecond if a trailer gives it.
    pub committer: Ident,
    /// The first paragraph of the message, on one line.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// Whether the commit carries a signature. The signature may be invalid.
    pub signed: bool,
    /// Oddities of the commit, sorted. The gate refuses a commit with any of them; an older history may hold such
    /// commits.
    pub oddities: Vec<CommitOddity>,
}

impl Repo {
    /// Reads a commit.
    ///
    /// # Errors
    /// [`GitError::Object`] if the object is missing, unreadable or not a commit that git can follow.
    pub fn commit(&self, id: &Oid) -> Result<Commit, GitError> {
        let bytes = self.object(id, ObjectKind::Commit)?;
        let parts = self.parts(id, &bytes)?;
        let mut oddities = Vec::new();
        let (headers, message) = parts.rest(&mut oddities);
        let author = ident(Role::Author, &headers, &mut oddities);
        let mut committer = ident(Role::Committer, &headers, &mut oddities);
        committer.time = stamp::own_time(committer.time, message);
        if bytes.contains(&0) {
            oddities.push(CommitOddity::Nul);
        }
        if std::str::from_utf8(&bytes).is_err() {
            oddities.push(CommitOddity::Encoding);
        }
        oddities.sort_unstable();
        let message = gix::objs::commit::MessageRef::from_bytes(message);
        Ok(Commit {
            id: *id,
            tree: parts.tree,
            parents: parts.parents,
            author,
            committer,
            subject: message.summary().to_str_lossy().into_owned(),
            body: message.body.unwrap_or_default().to_str_lossy().trim_end().to_owned(),
            signed: headers.iter().any(|(name, _)| matches!(*name, b"gpgsig" | b"gpgsig-sha256")),
            oddities,
        })
    }

    /// Reads the root tree of a commit.
    ///
    /// # Errors
    /// The same as [`Self::commit`].
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let bytes = self.object(commit, ObjectKind::Commit)?;
        Ok(self.parts(commit, &bytes)?.tree)
    }

    /// Reads the tree and the parents of a commit, and the second at which it was committed.
    pub(super) fn lead(&self, commit: &Oid) -> Result<(Oid, Vec<Oid>, Timestamp), GitError> {
        let bytes = self.object(commit, ObjectKind::Commit)?;
        let parts = self.parts(commit, &bytes)?;
        let committer = header(parts.rest, b"committer").map(line).unwrap_or_default();
        let time = committer.time;
        Ok((parts.tree, parts.parents, time))
    }

    /// Reads the second at which a commit with these bytes was committed, and its message.
    pub(super) fn second_and_message<'b>(&self, id: &Oid, bytes: &'b [u8]) -> Result<(Timestamp, &'b [u8]), TreeError> {
        let parts = self.parts(id, bytes)?;
        let committer = header(parts.rest, b"committer").map(line).unwrap_or_default();
        Ok((committer.time, parts.rest(&mut Vec::new()).1))
    }

    fn parts<'b>(&self, id: &Oid, bytes: &'b [u8]) -> Result<CommitParts<'b>, TreeError> {
        CommitParts::of(bytes, 2 * self.id_len()).map_err(|why| TreeError::Damaged { id: *id, why: why.to_owned() })
    }
}

/// The parts of a commit that git must be able to read, and the remaining bytes.
struct CommitParts<'b> {
    tree: Oid,
    parents: Vec<Oid>,
    rest: &'b [u8],
}

/// Names and values of headers. Of a header with several lines, only the first line.
type Headers<'b> = Vec<(&'b [u8], &'b [u8])>;

impl<'b> CommitParts<'b> {
    /// Reads the start of a commit as git does: the tree, and the parents that directly follow.
    fn of(bytes: &'b [u8], hex: usize) -> Result<Self, &'static str> {
        let mut rest = bytes;
        let tree = take_id(&mut rest, b"tree ", hex).ok_or("it does not begin with the id of a tree")?;
        let mut parents = Vec::new();
        while rest.starts_with(b"parent ") {
            parents.push(take_id(&mut rest, b"parent ", hex).ok_or("it names a parent with text that is not an id")?);
        }
        Ok(Self { tree, parents, rest })
    }

    /// Returns the headers after the parents, and the message.
    fn rest(&self, oddities: &mut Vec<CommitOddity>) -> (Headers<'b>, &'b [u8]) {
        let mut headers = Headers::new();
        let mut rest = self.rest;
        while !rest.is_empty() {
            let line = take_line(&mut rest);
            if line.is_empty() {
                return (headers, rest);
            }
            if !line.starts_with(b" ") {
                headers.push(split(line));
            }
        }
        oddities.push(CommitOddity::NoMessage);
        (headers, rest)
    }
}

/// Takes a line with an id from the front.
fn take_id(rest: &mut &[u8], name: &[u8], hex: usize) -> Option<Oid> {
    let mut after = *rest;
    let line = take_line(&mut after).strip_prefix(name)?;
    let id = Oid::from_hex(std::str::from_utf8(line).ok().filter(|l| l.len() == hex)?)?;
    *rest = after;
    Some(id)
}

/// Takes the next line from the front, without its line feed.
fn take_line<'b>(rest: &mut &'b [u8]) -> &'b [u8] {
    let (line, after) = rest.split_once_str(b"\n").unwrap_or((*rest, b""));
    *rest = after;
    line
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    line.split_once_str(b" ").unwrap_or((line, b""))
}

/// Returns the value of the first header with this name.
fn header<'b>(mut rest: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    while !rest.is_empty() {
        let line = take_line(&mut rest);
        match split(line) {
            _ if line.is_empty() => return None,
            (found, value) if found == name => return Some(value),
            _ => {}
        }
    }
    None
}

/// Reads the identity of a role and records its oddities.
fn ident(role: Role, headers: &[(&[u8], &[u8])], oddities: &mut Vec<CommitOddity>) -> Ident {
    let mut all = headers.iter().filter(|(name, _)| *name == role.as_str().as_bytes()).map(|(_, value)| *value);
    let Some(first) = all.next() else {
        oddities.push(CommitOddity::Missing(role));
        return Ident::new("", "", Timestamp::from_seconds(0));
    };
    if all.next().is_some() {
        oddities.push(CommitOddity::Repeated(role));
    }
    let read = line(first);
    if !read.is_identity {
        oddities.push(CommitOddity::Identity(role));
    }
    if !read.is_time {
        oddities.push(CommitOddity::Time(role));
    }
    if read.is_time && read.offset.abs() > REAL_OFFSET {
        oddities.push(CommitOddity::Zone(role));
    }
    let text = |bytes: &[u8]| bytes.to_str_lossy().into_owned();
    Ident { name: text(read.name), email: text(read.email), time: read.time, offset: seconds(read.offset) }
}

/// An identity as it was read, before it is checked.
#[derive(Default)]
struct IdentLine<'b> {
    name: &'b [u8],
    email: &'b [u8],
    time: Timestamp,
    /// In minutes.
    offset: i64,
    is_identity: bool,
    is_time: bool,
}

/// Reads `Name <address> seconds +hhmm` like git's `split_ident_line`: the address is in the first pair of angle
/// brackets, the time after the last closing bracket.
fn line(value: &[u8]) -> IdentLine<'_> {
    let Some((name, rest)) = value.split_once_str(b"<") else { return IdentLine::default() };
    let Some((email, _)) = rest.split_once_str(b">") else { return IdentLine::default() };
    let after = rest.rsplit_once_str(b">").map(|(_, after)| after).unwrap_or_default();
    let (name, email) = (name.trim(), email.trim());
    let read = moment(after);
    let (seconds, offset) = read.unwrap_or_default();
    let time = Timestamp::from_seconds(seconds);
    let is_time = read.is_some() && seconds >= 0 && time.as_seconds() == seconds;
    IdentLine { name, email, time, offset, is_identity: !email.is_empty() && !email.contains(&b'<'), is_time }
}

/// Reads seconds since 1970 and an offset in minutes. Returns `None` without digits. Numbers that are too large
/// saturate.
fn moment(text: &[u8]) -> Option<(i64, i64)> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (number, rest) = number(digits)?;
    let rest = rest.trim_start();
    let zone = match rest.split_first() {
        Some((b'+', zone)) => number_of_zone(zone),
        Some((b'-', zone)) => -number_of_zone(zone),
        Some(_) | None => 0,
    };
    Some((sign * number, zone))
}

/// Reads the leading digits as `hhmm` and returns minutes, at most the largest offset that git can write.
fn number_of_zone(zone: &[u8]) -> i64 {
    number(zone).map_or(0, |(n, _)| (n / 100).saturating_mul(60).saturating_add(n % 100).min(MAX_OFFSET))
}

/// Reads the number at the start of a text, saturated at `i64::MAX`, and returns it with the remaining bytes.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
    let add = |n: i64, digit: &u8| n.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    Some((digits.iter().fold(0, add), rest))
}

/// Converts minutes to seconds.
fn seconds(minutes: i64) -> i32 {
    i32::try_from(minutes.clamp(-MAX_OFFSET, MAX_OFFSET) * 60).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    /// Reads the identity of the author from a commit with this line.
    fn author(value: &str) -> (Ident, Vec<CommitOddity>) {
        let mut oddities = Vec::new();
        let bytes = format!("tree {TREE}\nauthor {value}\n\nm\n");
        let parts = CommitParts::of(bytes.as_bytes(), 40).unwrap_or_else(|e| panic!("{e}"));
        let (headers, message) = parts.rest(&mut oddities);
        assert_eq!(message, b"m\n");
        (ident(Role::Author, &headers, &mut oddities), oddities)
    }

    #[test]
    fn identities_are_read_as_git_reads_them() {
        for (value, name, email, time, offset) in [
            ("Ann B <ann@example.org> 1700000000 +0130", "Ann B", "ann@example.org", 1_700_000_000, 5400),
            ("<ann@example.org> 1 -0700", "", "ann@example.org", 1, -25_200),
            ("  Ann   <ann@example.org>   7   +0000", "Ann", "ann@example.org", 7, 0),
            ("Ann <a@b> <c@d> 9 +0000", "Ann", "a@b", 9, 0),
            ("Ann <a@b> 9", "Ann", "a@b", 9, 0),
        ] {
            let (who, oddities) = author(value);
            let read = (who.name.as_str(), who.email.as_str(), who.time.as_seconds(), who.offset);
            assert_eq!((read, oddities), ((name, email, time, offset), Vec::new()), "{value}");
        }
    }

    #[test]
    fn what_is_odd_is_read_and_said() {
        let (time, zone, identity) =
            (CommitOddity::Time(Role::Author), CommitOddity::Zone(Role::Author), CommitOddity::Identity(Role::Author));
        for (value, seconds, offset, said) in [
            ("A <a@b> 1700000000 +9999", 1_700_000_000, 359_940, vec![zone]),
            ("A <a@b> 1700000000 +99999999999999999999999", 1_700_000_000, 359_940, vec![zone]),
            ("A <a@b> 1700000000 -9999", 1_700_000_000, -359_940, vec![zone]),
            ("A <a@b> 1700000000 +", 1_700_000_000, 0, vec![]),
            ("A <a@b> -5 +0000", -5, 0, vec![time]),
            ("A <a@b> 99999999999999999999999999 +0000", 253_402_300_799, 0, vec![time]),
            ("A <a@b> 253402300800 +0000", 253_402_300_799, 0, vec![time]),
            ("A <a@b> -99999999999999999999999999 +0000", -62_135_596_800, 0, vec![time]),
            ("A <a@b>", 0, 0, vec![time]),
            ("A <a@b> yesterday", 0, 0, vec![time]),
            ("A <> 5 +0000", 5, 0, vec![identity]),
            ("A 5 +0000", 0, 0, vec![identity, time]),
            ("A <a@b 5 +0000", 0, 0, vec![identity, time]),
            ("", 0, 0, vec![identity, time]),
        ] {
            let (who, oddities) = author(value);
            assert_eq!((who.time.as_seconds(), who.offset, oddities), (seconds, offset, said), "{value}");
            // The identity can be written again, and a mailmap can resolve it.
            let mut buf = gix::date::parse::TimeBuf::default();
            assert!(who.to_git().to_ref(&mut buf).time.len() <= 28, "{value}");
        }
    }

    #[test]
    fn only_what_git_cannot_follow_is_damage() {
        let id = "1".repeat(40);
        for (bytes, parents) in [
            (format!("tree {TREE}"), 0),
            (format!("tree {TREE}\nparent {id}\nparent {id}\n"), 2),
            (format!("tree {TREE}\nauthor A <a@b> 1 +0000\nparent {id}\n"), 0),
            (format!("tree {TREE}\n\nparent {id}\n"), 0),
        ] {
            assert_eq!(CommitParts::of(bytes.as_bytes(), 40).map(|p| p.parents.len()).ok(), Some(parents), "{bytes}");
        }
        for bytes in [String::new(), "tree 1\n".to_owned(), format!("tree {TREE}\nparent 1\n"), format!("tree {TREE}1")]
        {
            assert!(CommitParts::of(bytes.as_bytes(), 40).is_err(), "{bytes}");
        }
        let mut oddities = Vec::new();
        let bytes = format!("tree {TREE}\nauthor A <a@b> 1 +0000\nauthor B <b@b> 1 +0000\ncommitter C <c@b> 1 +0000");
        let (headers, _) = CommitParts::of(bytes.as_bytes(), 40).ok().unwrap().rest(&mut oddities);
        assert_eq!(ident(Role::Author, &headers, &mut oddities).email, "a@b");
        assert_eq!(oddities, [CommitOddity::NoMessage, CommitOddity::Repeated(Role::Author)]);
    }
}
