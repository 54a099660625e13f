//! What merging two states comes to, file by file: cautious, so that a host which merges lines can do no more than this
//! promises.
//!
//! A file that one side changed is taken from that side. A file that both changed to the same is that. Anything else
//! is a conflict, even where git could merge the lines: nobody judged what comes out of it.

use std::collections::BTreeMap;

use crate::tree::{self, FileChange, Limits, Objects, Oid, Patch, TreeError};

/// The two sides of a merge, compared file by file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// What the merge does to our side.
    pub patch: Patch,
    /// The files that both sides changed differently, sorted; our side keeps them.
    pub conflicts: Vec<String>,
}

/// Compares what two root trees made of their common ancestor (none: they have nothing in common); `within` says which
/// paths count.
///
/// # Errors
/// When an object cannot be read.
pub fn three_way(
    objects: &dyn Objects,
    ancestor: Option<Oid>,
    ours: Option<Oid>,
    theirs: Option<Oid>,
    within: &dyn Fn(&str) -> bool,
) -> Result<Merged, TreeError> {
    let changed = |to: Option<Oid>| -> Result<BTreeMap<String, FileChange>, TreeError> {
        let all = tree::changes((objects, ancestor), (objects, to), Limits::default())?;
        Ok(all.into_iter().filter(|f| within(&f.path)).map(|f| (f.path.clone(), f)).collect())
    };
    let (mine, others) = (changed(ours)?, changed(theirs)?);
    let mut out = Merged::default();
    for (path, change) in others {
        let what = |f: &FileChange| f.after.as_ref().map(|e| (e.kind, e.id));
        match mine.get(&path) {
            Some(own) if what(own) == what(&change) => continue,
            Some(_) => out.conflicts.push(path),
            None if change.after.is_some() && in_the_way(&mine, &path) => out.conflicts.push(path),
            None => match change.after {
                Some(entry) => out.patch.link(path, entry.kind, entry.id),
                None => out.patch.remove(path),
            },
        }
    }
    Ok(out)
}

/// Whether our side put a file where `path` needs a folder, or files into a folder where it is a file.
fn in_the_way(mine: &BTreeMap<String, FileChange>, path: &str) -> bool {
    let folder = format!("{path}/");
    let below = mine.range(folder.clone()..).take_while(|(p, _)| p.starts_with(&folder));
    let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter_map(|p| mine.get_key_value(p));
    below.chain(above).any(|(_, f)| f.after.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Change, Memory, Stage as _};

    fn merged(old: &[(&str, &str)], ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let store = Memory::default();
        let put = |files: &[(&str, &str)]| store.put_files(files.iter().map(|(p, b)| (*p, b.as_bytes())));
        let (old, ours, theirs) = (put(old), put(ours), put(theirs));
        let merged = three_way(&store, Some(old), Some(ours), Some(theirs), &|_| true).unwrap();
        let tree = store.stage(Some(ours), &merged.patch).unwrap();
        let files = tree::changes((&store, None), (&store, Some(tree)), Limits::default()).unwrap();
        let text = |f: &FileChange| {
            let bytes = store.blob(&f.after.as_ref().unwrap().id, 100).unwrap();
            format!("{}={}", f.path, String::from_utf8(bytes).unwrap())
        };
        (files.iter().map(text).collect(), merged.conflicts)
    }

    #[test]
    fn each_side_keeps_its_changes() {
        let (files, conflicts) = merged(
            &[("a", "1"), ("b/x", "1"), ("b/y", "1"), ("c", "1")],
            &[("a", "2"), ("b/x", "1"), ("b/y", "1"), ("both", "3")],
            &[("a", "1"), ("b/x", "2"), ("new", "1"), ("c", "1"), ("both", "3")],
        );
        assert_eq!((files, conflicts), (["a=2", "b/x=2", "both=3", "new=1"].map(String::from).to_vec(), vec![]));
    }

    #[test]
    fn what_both_changed_differently_is_a_conflict_and_ours_stays() {
        let (files, conflicts) = merged(
            &[("edited", "1"), ("gone", "1"), ("kept", "1")],
            &[("edited", "2"), ("kept", "2"), ("added", "1")],
            &[("edited", "3"), ("gone", "2"), ("added", "2")],
        );
        assert_eq!(files, ["added=1", "edited=2", "kept=2"]);
        assert_eq!(conflicts, ["added", "edited", "gone", "kept"]);
    }

    #[test]
    fn a_file_cannot_take_the_place_of_the_others_folder() {
        let (files, conflicts) = merged(&[("z", "1")], &[("z", "1"), ("a/b", "1")], &[("z", "1"), ("a", "2")]);
        assert_eq!((files, conflicts), (vec!["a/b=1".to_owned(), "z=1".to_owned()], vec!["a".to_owned()]));
        let (files, conflicts) = merged(&[("z", "1")], &[("z", "1"), ("a", "1")], &[("z", "1"), ("a/b/c", "2")]);
        assert_eq!((files, conflicts), (vec!["a=1".to_owned(), "z=1".to_owned()], vec!["a/b/c".to_owned()]));
    }

    #[test]
    fn what_does_not_count_is_neither_taken_nor_in_conflict() {
        let store = Memory::default();
        let [old, ours, theirs] = ["1", "2", "3"].map(|b| store.put_files([("x/a", b.as_bytes()), ("y", b"0")]));
        let merged = three_way(&store, Some(old), Some(ours), Some(theirs), &|p| !p.starts_with("x/")).unwrap();
        assert_eq!(merged, Merged::default());
        let all = three_way(&store, Some(old), Some(old), Some(theirs), &|_| true).unwrap();
        assert!(matches!(all.patch.files.get("x/a"), Some(Change::Link(..))));
    }
}
