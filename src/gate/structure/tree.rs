//! Checks a tree's own bytes: order, modes, names, ids. No other code has checked them before.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::git::{NameFilter, Repo};
use crate::name::fold;
use crate::text::{is_plain, quoted};
use crate::tree::Oid;

/// An entry as its bytes state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw<'b> {
    pub mode: &'b [u8],
    pub name: &'b [u8],
    pub id: Oid,
}

/// The kind of an entry, if git writes its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Tree,
    File,
    Link,
    Submodule,
}

impl Raw<'_> {
    /// Returns the kind; `None` for a mode that git does not write.
    pub(super) fn kind(&self, inside: bool) -> Option<Mode> {
        match self.mode {
            b"40000" => Some(Mode::Tree),
            b"100644" | b"100755" => Some(Mode::File),
            // An early git wrote this mode, and git's own check accepts it in old histories.
            b"100664" if !inside => Some(Mode::File),
            b"120000" => Some(Mode::Link),
            b"160000" => Some(Mode::Submodule),
            _ => None,
        }
    }

    /// Returns the name for messages and paths.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    fn is_tree(&self) -> bool {
        matches!(self.mode, b"40000" | b"040000")
    }

    /// Compares in git's order: a folder sorts as if its name ended in a slash.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        let next = |e: &Self| e.name.get(common).copied().unwrap_or(if e.is_tree() { b'/' } else { 0 });
        let start = self.name.get(..common).cmp(&other.name.get(..common));
        start.then_with(|| next(self).cmp(&next(other))).then_with(|| self.name.len().cmp(&other.name.len()))
    }
}

/// Splits the bytes of a tree into its entries. Returns `None` if they are truncated or malformed.
pub(super) fn entries(bytes: &[u8], id_len: usize) -> Option<Vec<Raw<'_>>> {
    let mut out = Vec::with_capacity(bytes.len() / 40);
    let mut rest = bytes;
    while !rest.is_empty() {
        // The longest mode has seven bytes, including a leading zero.
        let space = rest.iter().take(8).position(|b| *b == b' ')?;
        let (mode, after) = (rest.get(..space)?, rest.get(space + 1..)?);
        let nul = after.iter().position(|b| *b == 0)?;
        let id = after.get(nul + 1..nul + 1 + id_len)?;
        out.push(Raw { mode, name: after.get(..nul)?, id: Oid::from_bytes(id)? });
        rest = after.get(nul + 1 + id_len..)?;
    }
    Some(out)
}

/// A fault of an entry (with its name), or of the whole tree (without a name).
pub(super) type TreeFinding = (Option<String>, String);

/// Judges the entries of a tree. Inside a registry's folder, names must satisfy more than that they do not control git.
pub(super) fn judge(entries: &[Raw<'_>], inside: bool) -> Vec<TreeFinding> {
    let mut found = Vec::new();
    if entries.windows(2).any(|w| matches!(w, [a, b] if a.order(b) != Ordering::Less)) {
        found.push((None, "its entries are not in git's order, or one is listed twice".to_owned()));
    } else if let Some(name) = twice(entries) {
        found.push((Some(name), "a file and a folder have this name".to_owned()));
    }
    for entry in entries {
        if let Some(say) = entry_fault(entry, inside) {
            found.push((Some(entry.shown()), say));
        }
    }
    found
}

/// Returns a name that is both a folder and a file, in a tree that is in order.
fn twice(entries: &[Raw<'_>]) -> Option<String> {
    let (folders, files): (Vec<&Raw<'_>>, Vec<&Raw<'_>>) = entries.iter().partition(|e| e.is_tree());
    let (few, many) = if folders.len() < files.len() { (folders, files) } else { (files, folders) };
    if few.is_empty() {
        return None;
    }
    let names: HashSet<&[u8]> = few.iter().map(|e| e.name).collect();
    many.iter().find(|e| names.contains(e.name)).map(|e| e.shown())
}

fn entry_fault(entry: &Raw<'_>, inside: bool) -> Option<String> {
    let kind = match entry.kind(inside) {
        Some(Mode::Link) if inside => return Some("a symbolic link is not allowed in a registry".to_owned()),
        Some(Mode::Submodule) if inside => return Some("a submodule is not allowed in a registry".to_owned()),
        Some(kind) => kind,
        None => {
            let mode = quoted(&String::from_utf8_lossy(entry.mode));
            return Some(format!("its mode {mode} is not a mode that git writes"));
        }
    };
    if entry.id.as_bytes().iter().all(|b| *b == 0) {
        return Some("it does not name an object".to_owned());
    }
    let wanted = if inside { NameFilter::Portable } else { NameFilter::Harmless };
    if let Some(why) = Repo::name_fault(entry.name, kind == Mode::Link, wanted) {
        return Some(why);
    }
    if inside { name_fault(entry.name) } else { None }
}

/// Returns what people, terminals and file systems could misinterpret in a name.
fn name_fault(name: &[u8]) -> Option<String> {
    // Fast path for ordinary names.
    if name.len() <= 255 && name.iter().all(|b| b.is_ascii_graphic() && *b != b'\\') {
        return None;
    }
    let Ok(name) = std::str::from_utf8(name) else { return Some("its name is not UTF-8".to_owned()) };
    if name.len() > 255 {
        return Some("its name has more than 255 bytes".to_owned());
    }
    if !name.chars().all(|c| is_plain(c) && c != '\\') {
        return Some("its name contains a control or invisible character, or a backslash".to_owned());
    }
    (!unicode_normalization::is_nfc(name)).then(|| "its name is not in Unicode's composed form (NFC)".to_owned())
}

/// Finds a new name that differs from another name of its folder only by case or Unicode normalisation: the two could
/// not both be checked out on every system. Returns both, the new one first.
pub(super) fn clash(new: &[&[u8]], entries: &[Raw<'_>]) -> Option<(String, String)> {
    let folded = |name: &[u8]| fold(&String::from_utf8_lossy(name));
    let same = |a: &[u8], b: &[u8]| {
        if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { folded(a) == folded(b) }
    };
    let show = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if new.len() <= 8 {
        let pairs = new.iter().flat_map(|n| entries.iter().map(move |e| (*n, e.name)));
        let mut clashing = pairs.filter(|(a, b)| a != b && same(a, b));
        return clashing.next().map(|(a, b)| (show(a), show(b)));
    }
    let new: HashSet<&[u8]> = new.iter().copied().collect();
    let mut seen: std::collections::HashMap<String, &[u8]> = std::collections::HashMap::new();
    for entry in entries {
        let Some(other) = seen.insert(folded(entry.name), entry.name) else { continue };
        if other == entry.name {
            continue;
        }
        match (new.contains(entry.name), new.contains(other)) {
            (true, _) => return Some((show(entry.name), show(other))),
            (false, true) => return Some((show(other), show(entry.name))),
            (false, false) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(list: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (mode, name) in list {
            out.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            out.extend_from_slice(&[7; 20]);
        }
        out
    }

    #[track_caller]
    fn refused(list: &[(&str, &str)], inside: bool, words: &str) {
        let bytes = tree(list);
        let found = judge(&entries(&bytes, 20).unwrap(), inside);
        assert!(found.iter().any(|(_, say)| say.contains(words)), "{list:?}: {found:?}");
    }

    #[track_caller]
    fn accepted(list: &[(&str, &str)], inside: bool) {
        let bytes = tree(list);
        assert_eq!(judge(&entries(&bytes, 20).unwrap(), inside), [], "{list:?}");
    }

    #[test]
    fn trees_as_git_writes_them_pass() {
        accepted(&[("100644", "a"), ("100644", "a.b"), ("40000", "a0"), ("100755", "b")], true);
        accepted(&[("100644", "a-b"), ("40000", "a"), ("100644", "a0")], true);
        accepted(&[("100644", ".gitattributes"), ("40000", "Wine%20quality"), ("100644", "größe ☃.toml")], true);
        accepted(&[("120000", "link"), ("160000", "module"), ("100664", "old")], false);
        accepted(&[("100644", "aux"), ("100644", "a\u{200b}"), ("100644", "what?")], false);
    }

    #[test]
    fn entries_are_in_gits_order_and_each_is_there_once() {
        refused(&[("100644", "b"), ("100644", "a")], false, "git's order");
        refused(&[("40000", "a"), ("100644", "a-b")], false, "git's order");
        refused(&[("100644", "a"), ("100644", "a")], true, "git's order");
        refused(&[("100644", "a"), ("40000", "a")], false, "a file and a folder");
        refused(&[("100644", "a"), ("100644", "a.b"), ("40000", "a")], true, "a file and a folder");
    }

    #[test]
    fn modes_are_those_that_git_writes() {
        for mode in ["040000", "0100644", "100600", "100777", "100645", "0", "", "10064x", "644", "140000"] {
            refused(&[(mode, "a")], false, "is not a mode that git writes");
        }
        refused(&[("100664", "a")], true, "is not a mode that git writes");
    }

    #[test]
    fn links_and_submodules_stay_out_of_the_registry() {
        refused(&[("120000", "a")], true, "symbolic link");
        refused(&[("160000", "a")], true, "submodule");
    }

    #[test]
    fn no_name_steers_git_whatever_the_file_system() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git. .",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git::$INDEX_ALLOCATION",
            ".git\\x",
            "..",
            ".",
            "",
            "a/b",
        ] {
            for inside in [false, true] {
                refused(&[("100644", name)], inside, "");
            }
        }
        refused(&[("120000", ".gitmodules")], false, ".gitmodules");
    }

    #[test]
    fn names_in_the_registry_can_be_shown_and_checked_out_everywhere() {
        for name in [
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\nb",
            "e\u{301}",
            "con",
            "AUX.toml",
            "a ",
            "a.",
            "a:b",
            "a\\b",
            "a?b",
            "a*",
            "<a>",
            "C:x",
        ] {
            refused(&[("100644", name)], true, "");
        }
        refused(&[("100644", &"x".repeat(256))], true, "255 bytes");
        let latin = [b"100644 caf\xe9\0".as_slice(), &[7; 20]].concat();
        let found = judge(&entries(&latin, 20).unwrap(), true);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn an_id_of_zeros_names_nothing() {
        let bytes = [b"100644 a\0".as_slice(), &[0; 20]].concat();
        assert_eq!(
            judge(&entries(&bytes, 20).unwrap(), false),
            [(Some("a".to_owned()), "it does not name an object".to_owned())]
        );
    }

    #[test]
    fn names_that_differ_by_case_or_normalisation_clash() {
        let clashes = |list: &[(&str, &str)], new: &str| {
            let bytes = tree(list);
            let all = entries(&bytes, 20).unwrap();
            let few = clash(&[new.as_bytes()], &all).is_some();
            let padding: Vec<String> = (0..9).map(|i| format!("pad{i}")).collect();
            let mut many: Vec<&[u8]> = padding.iter().map(|s| s.as_bytes()).collect();
            many.push(new.as_bytes());
            assert_eq!(clash(&many, &all).is_some(), few, "{list:?}");
            few
        };
        assert!(clashes(&[("40000", "Churn"), ("40000", "churn")], "churn"));
        assert!(clashes(&[("40000", "stra\u{df}e"), ("40000", "STRA\u{df}E")], "STRA\u{df}E"));
        assert!(clashes(&[("100644", "K"), ("100644", "\u{212a}")], "K"));
        assert!(clashes(&[("100644", "e\u{301}"), ("100644", "\u{e9}")], "\u{e9}"));
        assert!(!clashes(&[("40000", "churn"), ("40000", "churn2")], "churn2"));
        assert!(
            !clashes(&[("40000", "Old"), ("100644", "new"), ("40000", "old")], "new"),
            "what was there is not judged"
        );
    }

    #[test]
    fn bytes_that_are_cut_off_are_no_tree() {
        let bytes = tree(&[("100644", "a"), ("40000", "b")]);
        let whole = [0, "100644 a".len() + 21, bytes.len()];
        for cut in (0..=bytes.len()).filter(|c| !whole.contains(c)) {
            assert!(entries(&bytes[..cut], 20).is_none(), "{cut}");
        }
        assert!(entries(b"100644 a\0", 20).is_none());
        assert!(entries(&[b'1'; 5000], 20).is_none());
    }
}
