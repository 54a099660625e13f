//! Merges two snapshots file by file. The merge is cautious, so that a host which merges lines never does more than
//! this merge predicts.
//!
//! A file that one side changed is taken from that side. A file that both sides changed in the same way has that
//! content. Anything else is a conflict, even where git could merge the lines, because the merged content was never
//! judged.

use std::collections::BTreeMap;

use crate::tree::{self, CompareLimits, FileChange, Objects, Oid, Patch, TreeError};

/// The result of a merge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MergeComparison {
    /// The changes to our side.
    pub patch: Patch,
    /// The files that both sides changed differently, sorted. Our side's version stays.
    pub conflicts: Vec<String>,
}

/// Merges two root trees with their common ancestor (`None`: there is no common ancestor). `within` selects the paths
/// that are merged.
///
/// # Errors
/// [`TreeError`] if an object cannot be read.
pub fn three_way(
    objects: &dyn Objects,
    ancestor: Option<Oid>,
    ours: Option<Oid>,
    theirs: Option<Oid>,
    within: &dyn Fn(&str) -> bool,
) -> Result<MergeComparison, TreeError> {
    let changed = |to: Option<Oid>| -> Result<BTreeMap<String, FileChange>, TreeError> {
        let all = tree::changes((objects, ancestor), (objects, to), CompareLimits::default())?;
        Ok(all.into_iter().filter(|f| within(&f.path)).map(|f| (f.path.clone(), f)).collect())
    };
    let (mine, others) = (changed(ours)?, changed(theirs)?);
    let mut out = MergeComparison::default();
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

/// Whether our side has a file where `path` needs a folder, or has files below `path`.
fn in_the_way(mine: &BTreeMap<String, FileChange>, path: &str) -> bool {
    let folder = format!("{path}/");
    let below = mine.range(folder.clone()..).take_while(|(p, _)| p.starts_with(&folder));
    let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter_map(|p| mine.get_key_value(p));
    below.chain(above).any(|(_, f)| f.after.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Memory, Stage as _, TreeChange};

    fn merged(old: &[(&str, &str)], ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let store = Memory::default();
        let put = |files: &[(&str, &str)]| store.put_files(files.iter().map(|(p, b)| (*p, b.as_bytes())));
        let (old, ours, theirs) = (put(old), put(ours), put(theirs));
        let merged = three_way(&store, Some(old), Some(ours), Some(theirs), &|_| true).unwrap();
        let tree = store.stage(Some(ours), &merged.patch).unwrap();
        let files = tree::changes((&store, None), (&store, Some(tree)), CompareLimits::default()).unwrap();
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
        assert_eq!(merged, MergeComparison::default());
        let all = three_way(&store, Some(old), Some(old), Some(theirs), &|_| true).unwrap();
        assert!(matches!(all.patch.files.get("x/a"), Some(TreeChange::Link(..))));
    }
}
