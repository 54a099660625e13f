//! Read-only and full disks, and files with uncommitted changes.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{fill, head, models, need_root, registry, says, sound};
use crate::support::Sandbox;

/// A file system mounted for a test and unmounted when dropped; declare it after the sandbox that holds it.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Runs `mount` with these arguments and the folder, which is created.
    #[track_caller]
    pub fn new(at: &Path, args: &[&str]) -> Self {
        fs::create_dir_all(at).expect("the sandbox is writable");
        let said = Command::new("mount").args(args).arg(at).output().expect("this test needs `mount` (util-linux)");
        let why = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "this test must be allowed to mount (root, CAP_SYS_ADMIN): {why}");
        Self { at: at.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !ended.is_ok_and(|s| s.success()) {
            eprintln!("{} stays mounted", self.at.display());
        }
    }
}

#[test]
fn a_read_only_repository_can_be_read() {
    let sandbox = registry();
    need_root(&sandbox, "mount a folder read-only");
    let before = head(&sandbox.alice().within("r"));
    let source = sandbox.path("r");
    let at = sandbox.path("locked");
    let _mount = Mount::new(&at, &["--bind", source.to_str().unwrap()]);
    let remounted = sandbox.alice().run("mount", ["-o", "remount,bind,ro", at.to_str().unwrap()]);
    remounted.success();
    let shell = sandbox.alice().within("locked");
    says(&shell, 0, "model list", "churn");
    says(&shell, 0, "version show churn 1", "s3://models/1");
    says(&shell, 0, "log", "register churn version 1");
    says(&shell, 0, "search versions", "churn");
    says(&shell, 0, "show models:/churn/1@{HEAD}", "1 of churn");
    says(&shell, 0, "check", "No faults");
    says(&shell, 0, "doctor", "all files are valid");
    says(&shell, 0, "model create risk -n", "register the model risk");
    sandbox.write("model/weights.txt", "1\n");
    for line in
        ["model create risk", "transition churn 1 Staging", "register churn ../model", "reshard sharded", "init ."]
    {
        let said = says(&shell, 1, line, "");
        assert!(said.contains("read-only") || said.contains("Read-only file system"), "{line}: {said}");
    }
    assert_eq!(head(&shell), before);
}

/// Fills the disk of a folder until only `pages` pages are free.
pub fn leave(fill: &Path, pages: u64) {
    fs::remove_file(fill).ok();
    let mut file = OpenOptions::new().create_new(true).append(true).open(fill).expect("the disk takes a name");
    let page = vec![0_u8; 4096];
    while std::io::Write::write_all(&mut file, &page).is_ok() {}
    let full = file.metadata().expect("it is open").len();
    assert!(full >= pages * 4096, "the disk is too small for this test");
    file.set_len(full - pages * 4096).expect("a file can be shortened");
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let sandbox = Sandbox::new();
    need_root(&sandbox, "mount a small disk");
    let disk = sandbox.path("disk");
    let _mount = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=3m", "tmpfs"]);
    sandbox.greenroom(["init", "disk/r"]).success();
    let shell = sandbox.alice().within("disk/r");
    fill(&shell);
    let filler = disk.join("filler");
    let mut known = models(&shell);
    let (mut failed, mut landed) = (0, 0);
    // With more free pages the write gets further before it fails, until there is room for all of it.
    for pages in 0..24 {
        leave(&filler, pages);
        let before = head(&shell);
        let name = format!("m-{pages:02}");
        let done = shell.command(env!("CARGO_BIN_EXE_greenroom")).args(["model", "create", &name]).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        match done.status.code() {
            Some(0) => {
                known.push(name);
                landed += 1;
            }
            Some(1) => {
                assert!(said.contains("No space left on device"), "{pages} pages: {said}");
                assert_eq!(head(&shell), before, "{pages} pages: {said}");
                failed += 1;
            }
            code => panic!("{pages} pages: {code:?}: {said}"),
        }
        assert!(!said.contains("panicked"), "{said}");
        // The registry can be read on the full disk, and holds only acknowledged changes.
        assert_eq!(models(&shell), known, "{pages} pages");
        says(&shell, 0, "log", "register churn version 1");
        says(&shell, 0, "search versions", "churn");
    }
    eprintln!("{failed} writes failed, {landed} succeeded");
    assert!(failed > 3 && landed > 3, "{failed} failed, {landed} succeeded");
    leave(&filler, 0);
    sandbox.write("model/weights.bin", vec![7_u8; 100_000]);
    let said = says(&shell, 1, "register churn ../../model", "No space left on device");
    assert!(!said.contains("register churn version"), "{said}");
    fs::remove_file(&filler).unwrap();
    says(&shell, 0, "model create after", "register the model after");
    says(&shell, 0, "register churn ../../model", "register churn version 2");
    sound(&shell);
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "", "the work tree follows again");
    says(&shell, 0, "check", "No faults");
    assert_eq!(sandbox.alice().within("disk/r").run("find", [".git", "-name", "*.lock"]).success().stdout(), "");
}

#[test]
fn a_touched_file_with_changes_of_its_own_stops_the_write_before_anything_is_written() {
    let path = "models/churn/model.toml";
    let command = "model describe churn better";
    let edits: [(&str, &[&str]); 4] = [
        ("edited", &["sh", "-c", "echo '# mine' >> models/churn/model.toml"]),
        ("staged", &["sh", "-c", "echo '# mine' >> models/churn/model.toml && git add ."]),
        ("deleted", &["rm", path]),
        ("another kind", &["sh", "-c", "rm models/churn/model.toml && ln -s elsewhere models/churn/model.toml"]),
    ];
    for (what, edit) in edits {
        let sandbox = registry();
        let shell = sandbox.alice().within("r");
        shell.run(edit[0], &edit[1..]).success();
        let all = || {
            let status = shell.git(["status", "--porcelain"]).success().stdout().to_owned();
            let objects = shell.git(["count-objects", "-v"]).success().stdout().to_owned();
            (head(&shell), status, objects)
        };
        let before = all();
        let said = says(&shell, 6, command, "the change touches files with changes that are not committed");
        assert!(said.contains(path) && said.contains("commit, stash or move them first"), "{what}: {said}");
        assert_eq!(all(), before, "{what}");
        // Changes of an unrelated file do not block the command, and stay.
        says(&shell, 0, "model create risk", "register the model risk");
        assert_eq!(all().1, before.1, "{what}");
    }
}

#[test]
fn a_file_that_lies_where_a_new_one_belongs_stops_the_write() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    sandbox.write("r/models/risk/model.toml", "mine");
    let before = head(&shell);
    says(&shell, 6, "model create risk", "models/risk/model.toml");
    assert_eq!(head(&shell), before);
    assert_eq!(sandbox.read("r/models/risk/model.toml"), "mine");
}
