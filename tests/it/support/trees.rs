//! Folders on disk as trees in memory, as git would store them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use greenroom::tree::{EntryKind, Memory, Oid, TreeEntry};

/// Loads a folder with its files, executable bits and symbolic links; `None` for an empty folder, as in git.
pub fn load(store: &Memory, folder: &Path) -> Option<Oid> {
    let mut entries = Vec::new();
    for item in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let item = item.expect("the folder can be read");
        let (path, name) = (item.path(), item.file_name().into_string().expect("names in tests are UTF-8"));
        let meta = path.symlink_metadata().expect("the entry is there");
        let entry = if meta.is_symlink() {
            let target = fs::read_link(&path).expect("the link can be read");
            Some((EntryKind::Symlink, store.put_blob(target.to_string_lossy().as_bytes())))
        } else if meta.is_dir() {
            load(store, &path).map(|id| (EntryKind::Tree, id))
        } else {
            let kind = if meta.permissions().mode() & 0o100 == 0 { EntryKind::File } else { EntryKind::Executable };
            Some((kind, store.put_blob(&fs::read(&path).expect("the file can be read"))))
        };
        entries.extend(entry.map(|(kind, id)| TreeEntry { name, kind, id }));
    }
    (!entries.is_empty()).then(|| store.put_tree(entries))
}

/// All files below a folder, as sorted paths relative to it.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, out: &mut Vec<String>) {
        for item in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = item.expect("the folder can be read").path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                let inner = path.strip_prefix(root).expect("it is below").to_str().expect("names in tests are UTF-8");
                out.push(inner.to_owned());
            }
        }
    }
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}
