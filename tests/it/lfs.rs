//! The stock `git lfs` client transfers model files: it pushes them to a remote, and a fresh clone gets them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Sandbox, tools};

/// Every file below a folder, by its path.
fn read_all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("the folder can be listed") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned();
                out.insert(name, fs::read(&path).expect("the file can be read"));
            }
        }
    }
    out
}

/// A model with a file of each kind: text that is committed, text that is too large, binary data, names that git's
/// attributes must quote, and an empty file.
fn model(sandbox: &Sandbox) {
    sandbox.write("model/MLmodel", "flavors: {}\n");
    sandbox.write("model/README.MD", "small, and its name is a text's only where case does not matter");
    sandbox.write("model/weights.bin", vec![7; 300_000]);
    sandbox.write("model/data/big.json", format!("[{}0]", "1,".repeat(20_000)));
    sandbox.write("model/data/my notes [1].txt", vec![0xff; 10]);
    sandbox.write("model/data/#quoted'.md", "a\0b");
    sandbox.write("model/data/version https.txt", "see https://git-lfs.github.com/spec/v1");
    sandbox.write("model/data/none.bin", "");
    sandbox.write("model/data/none.txt", "");
    sandbox.write("model/artifacts/MLmodel", "a folder with the name of the registry's own");
    sandbox.write("model/artifacts/model.toml", "a = 1\n");
}

/// Registers the model, pushes it with git and git-lfs to a bare repository, and clones that.
fn pushed_and_cloned(sandbox: &Sandbox, layout: &str, name: &str) {
    tools::git_lfs();
    model(sandbox);
    sandbox.greenroom(["init", "registry", "--layout", layout]).success();
    let registry = sandbox.alice().within("registry");
    registry.git(["lfs", "install", "--local"]).success();
    registry.greenroom(["register", name, "../model", "--alias", "champion"]).success();
    assert_eq!(registry.git(["status", "--porcelain"]).success().stdout(), "", "after the registration");
    sandbox.git(["init", "--quiet", "--bare", "remote.git"]).success();
    registry.git(["remote", "add", "origin", "../remote.git"]).success();
    registry.git(["push", "--quiet", "origin", "main"]).success();
    sandbox.git(["config", "--global", "filter.lfs.process", "git-lfs filter-process"]).success();
    sandbox.git(["config", "--global", "filter.lfs.clean", "git-lfs clean -- %f"]).success();
    sandbox.git(["config", "--global", "filter.lfs.smudge", "git-lfs smudge -- %f"]).success();
    sandbox.git(["config", "--global", "filter.lfs.required", "true"]).success();
    sandbox.git(["clone", "--quiet", "remote.git", "clone"]).success();
}

#[test]
fn a_fresh_clone_gets_the_bytes_and_is_clean() {
    for (layout, name, folder) in [
        ("flat", "wine", "models/wine/versions/1"),
        // Names that the patterns of .gitattributes must not confuse with their own folders.
        ("flat", "artifacts", "models/artifacts/versions/1"),
        ("flat", "versions", "models/versions/versions/1"),
    ] {
        let sandbox = Sandbox::new();
        pushed_and_cloned(&sandbox, layout, name);
        let clone = sandbox.alice().within("clone");
        assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "", "{name}");
        let files = read_all(&sandbox.path(format!("clone/{folder}/artifacts")));
        assert_eq!(files, read_all(&sandbox.path("model")), "{name}");
        clone.git(["lfs", "fsck"]).success();
        // git hashes every byte again, whatever its index says about the files.
        clone.git(["add", "--renormalize", "."]).success();
        assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "", "{name}, renormalized");
        clone.greenroom(["fetch", &format!("models:/{name}@champion"), "../out"]).success();
        assert_eq!(read_all(&sandbox.path("out")), read_all(&sandbox.path("model")), "{name}");
    }
}

#[test]
fn so_it_is_in_the_sharded_layout() {
    let sandbox = Sandbox::new();
    pushed_and_cloned(&sandbox, "sharded", "versions");
    let clone = sandbox.alice().within("clone");
    clone.git(["add", "--renormalize", "."]).success();
    assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "");
    let files = clone.git(["ls-files", "*/artifacts/weights.bin"]).success();
    let path = files.stdout().trim().to_owned();
    assert_eq!(fs::read(sandbox.path("clone").join(path)).expect("it is there").len(), 300_000);
}

#[test]
fn a_clone_without_the_files_says_which_are_missing() {
    let sandbox = Sandbox::new();
    pushed_and_cloned(&sandbox, "flat", "wine");
    let bare = sandbox.alice().env("GIT_LFS_SKIP_SMUDGE", "1");
    bare.git(["clone", "--quiet", "remote.git", "without"]).success();
    let without = sandbox.alice().within("without");
    let said = without.greenroom(["fetch", "wine/1", "../missing"]).code(3);
    assert!(said.stderr().contains("weights.bin") && said.stderr().contains("git lfs fetch"), "{}", said.stderr());
    without.git(["lfs", "fetch"]).success();
    without.greenroom(["fetch", "wine/1", "../there"]).success();
    assert_eq!(read_all(&sandbox.path("there")), read_all(&sandbox.path("model")));
}

#[test]
fn a_version_whose_files_were_checked_out_can_be_deleted() {
    let sandbox = Sandbox::new();
    pushed_and_cloned(&sandbox, "flat", "wine");
    let clone = sandbox.alice().within("clone");
    clone.greenroom(["version", "delete", "wine/1", "--yes"]).success();
    assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "");
    assert!(!sandbox.path("clone/models/wine/versions").exists());
}

#[test]
fn the_store_is_where_git_lfs_is_told_to_keep_it() {
    tools::git_lfs();
    let sandbox = Sandbox::new();
    sandbox.write("model/weights.bin", "weights");
    sandbox.greenroom(["init", "registry"]).success();
    let registry = sandbox.alice().within("registry");
    registry.git(["config", "lfs.storage", "elsewhere"]).success();
    registry.git(["lfs", "install", "--local"]).success();
    registry.greenroom(["register", "wine", "../model"]).success();
    assert!(sandbox.path("registry/.git/elsewhere/objects").is_dir() && !sandbox.path("registry/.git/lfs").exists());
    registry.git(["lfs", "checkout"]).success();
    assert_eq!(sandbox.read("registry/models/wine/versions/1/artifacts/weights.bin"), "weights");
}
