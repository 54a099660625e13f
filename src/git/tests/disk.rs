//! Work trees on file systems that lack features, and files that git converts: published files are clean for git, and
//! have the bytes that git would check out.

use super::*;
use crate::tree::EntryKind;

/// Lets git check out all files again, under the current settings.
fn check_out_anew(sandbox: &Sandbox, dir: &Path) {
    sandbox.git(dir, &["rm", "-rq", "--cached", "."]);
    sandbox.git(dir, &["reset", "-q", "--hard"]);
}

/// Publishes over a model's file and returns its bytes on disk. Git must call the file clean.
#[track_caller]
fn written(sandbox: &Sandbox, dir: &Path, text: &str) -> Vec<u8> {
    let repo = open(dir);
    commit(&repo, &patch(&[("models/a/model.toml", text)]), "change");
    sandbox.clean(dir);
    // Git looks at the bytes, whatever the index says about the file.
    sandbox.git(dir, &["update-index", "--really-refresh"]);
    sandbox.git(dir, &["add", "--renormalize", "."]);
    sandbox.clean(dir);
    let ours = std::fs::read(dir.join("models/a/model.toml")).unwrap();
    check_out_anew(sandbox, dir);
    assert_eq!(std::fs::read(dir.join("models/a/model.toml")).unwrap(), ours, "git checks out other bytes");
    ours
}

#[test]
fn line_ends_are_as_git_would_write_them() {
    for (settings, attributes, expected) in [
        (&[("core.autocrlf", "true")][..], "", "a\r\nb\r\n"),
        (&[("core.autocrlf", "input")], "", "a\nb\n"),
        (&[], "* text=auto eol=crlf\n", "a\r\nb\r\n"),
        (&[("core.eol", "crlf")], "* text\n", "a\r\nb\r\n"),
        (&[("core.autocrlf", "true")], "*.toml -text\n", "a\nb\n"),
        (&[("core.autocrlf", "true")], "*.toml text eol=lf\n", "a\nb\n"),
    ] {
        let sandbox = Sandbox::new();
        let dir = sandbox.with_commit("r");
        if !attributes.is_empty() {
            std::fs::write(dir.join(".gitattributes"), attributes).unwrap();
            sandbox.git(&dir, &["add", "."]);
            sandbox.git(&dir, &["commit", "-qm", "attributes"]);
        }
        for (key, value) in settings {
            sandbox.git(&dir, &["config", key, value]);
        }
        check_out_anew(&sandbox, &dir);
        // No stat in the index matches now, so the bytes decide.
        std::fs::write(dir.join("models/a/model.toml"), std::fs::read(dir.join("models/a/model.toml")).unwrap())
            .unwrap();
        assert_eq!(written(&sandbox, &dir, "a\nb\n"), expected.as_bytes(), "{settings:?} {attributes}");
        std::fs::write(dir.join("models/a/model.toml"), "a\r\nb\r\nc\r\n").unwrap();
        let other = try_commit(&open(&dir), &patch(&[("models/a/model.toml", "x\n")]), "change");
        assert!(matches!(other, Err(PublishError::Dirty { .. })), "{settings:?} {attributes}");
    }
}

#[test]
fn ids_and_encodings_are_as_git_would_write_them() {
    for (attributes, text, expected) in [
        ("*.toml ident\n", "# $Id$\n", None),
        ("*.toml working-tree-encoding=UTF-16\n", "é\n", Some(vec![0xff, 0xfe, 0xe9, 0, 10, 0])),
        ("*.toml working-tree-encoding=latin1\n", "é\n", Some(vec![0xe9, 10])),
    ] {
        let sandbox = Sandbox::new();
        let dir = sandbox.with_commit("r");
        std::fs::write(dir.join(".git/info/attributes"), attributes).unwrap();
        check_out_anew(&sandbox, &dir);
        let found = written(&sandbox, &dir, text);
        assert_ne!(found, text.as_bytes(), "{attributes}");
        if let Some(expected) = expected {
            assert_eq!(found, expected, "{attributes}");
        }
        // The same again over the converted file.
        written(&sandbox, &dir, &format!("{text}# more\n"));
    }
}

#[test]
fn attributes_of_the_same_commit_count() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    sandbox.git(&dir, &["config", "core.autocrlf", "true"]);
    let repo = open(&dir);
    commit(&repo, &patch(&[(".gitattributes", "*.toml -text\n"), ("b.toml", "a\n"), ("b.md", "a\n")]), "both");
    assert_eq!(std::fs::read_to_string(dir.join("b.toml")).unwrap(), "a\n");
    assert_eq!(std::fs::read_to_string(dir.join("b.md")).unwrap(), "a\r\n");
    sandbox.clean(&dir);
}

#[test]
fn modes_and_links_that_the_disk_cannot_tell_do_not_count() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    std::os::unix::fs::symlink("README.md", dir.join("link")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-qm", "link"]);
    for (key, value) in [("core.fileMode", "false"), ("core.symlinks", "false")] {
        sandbox.git(&dir, &["config", key, value]);
    }
    check_out_anew(&sandbox, &dir);
    for file in ["README.md", "models/a/model.toml"] {
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.join(file), all).unwrap();
    }
    sandbox.clean(&dir);
    assert!(dir.join("link").is_file() && !dir.join("link").is_symlink());
    let repo = open(&dir);
    let files = repo.work_files("").unwrap().unwrap();
    let kinds: Vec<(&str, EntryKind)> = files
        .iter()
        .map(|(path, file)| match file {
            WorkFile::Recorded(kind, _) | WorkFile::Changed(kind, _) => (path.as_str(), *kind),
        })
        .collect();
    assert_eq!(
        kinds,
        [("README.md", EntryKind::File), ("link", EntryKind::Symlink), ("models/a/model.toml", EntryKind::File)]
    );
    let mut change = patch(&[("models/a/model.toml", "name = \"b\"\n")]);
    change.link("link", EntryKind::Symlink, repo.stage_blob(b"models/a/model.toml").unwrap());
    commit(&repo, &change, "change");
    assert_eq!(std::fs::read_to_string(dir.join("link")).unwrap(), "models/a/model.toml");
    sandbox.clean(&dir);
    assert!(sandbox.git(&dir, &["ls-files", "-s", "link"]).starts_with("120000"));
}

#[test]
fn a_name_may_change_its_case_where_the_disk_ignores_it() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    // On such a file system both names lead to one file. Here a hard link has the same effect.
    std::fs::hard_link(dir.join("README.md"), dir.join("readme.md")).unwrap();
    let repo = open(&dir);
    let mut change = patch(&[("readme.md", "other\n")]);
    change.remove("README.md");
    commit(&repo, &change, "rename");
    assert_eq!(std::fs::read_to_string(dir.join("readme.md")).unwrap(), "other\n");
    assert!(!dir.join("README.md").exists());
    sandbox.clean(&dir);
    // A separate file is still in the way.
    std::fs::write(dir.join("ReadMe.md"), "mine\n").unwrap();
    let mut change = patch(&[("ReadMe.md", "theirs\n")]);
    change.remove("readme.md");
    assert!(matches!(try_commit(&repo, &change, "rename"), Err(PublishError::Dirty { .. })));
}

#[test]
fn what_is_assumed_unchanged_is_so() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    sandbox.git(&dir, &["update-index", "--assume-unchanged", "README.md"]);
    std::fs::write(dir.join("README.md"), "changed\n").unwrap();
    sandbox.clean(&dir);
    let files = open(&dir).work_files("").unwrap().unwrap();
    assert!(matches!(files.get("README.md"), Some(WorkFile::Recorded(EntryKind::File, _))));
    // But the file is not overwritten.
    let over = try_commit(&open(&dir), &patch(&[("README.md", "x\n")]), "change");
    assert!(matches!(over, Err(PublishError::Dirty { .. })));
}
