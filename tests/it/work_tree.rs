//! Work trees as people have them: a tree that git calls clean is clean for every command, and commands write files as
//! git would check them out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Sandbox, Shell, tools};

/// A registry `r` with one version of a model that has a text and a stored file.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("model/notes.txt", "one\ntwo\n");
    sandbox.write("model/weights.bin", vec![7; 3000]);
    sandbox.greenroom(["init", "r"]).success();
    sandbox.alice().within("r").greenroom(["register", "churn", "../model"]).success();
    sandbox
}

#[track_caller]
fn clean(shell: &Shell<'_>) {
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
    // git hashes each file once more.
    shell.git(["add", "--renormalize", "."]).success();
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
}

/// Demands that every kind of command takes the work tree for clean, and leaves it so.
#[track_caller]
fn works(shell: &Shell<'_>) {
    clean(shell);
    let checked = shell.greenroom(["check"]).success();
    assert!(!checked.stdout().contains("not committed"), "{}", checked.stdout());
    let formatted = shell.greenroom(["fmt", "--check"]).success();
    assert!(formatted.stdout().contains("All files are in canonical form"), "{}", formatted.stdout());
    for line in ["tag set churn a=1", "tag set churn a=2", "comment add churn 1 hm", "model create risk"] {
        shell.greenroom(line.split(' ')).success();
        clean(shell);
    }
    shell.greenroom(["version", "delete", "churn/1", "--yes"]).success();
    clean(shell);
}

#[test]
fn all_files_may_seem_executable() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    shell.git(["config", "core.fileMode", "false"]).success();
    for file in shell.git(["ls-files"]).success().stdout().lines() {
        fs::set_permissions(shell.folder().join(file), fs::Permissions::from_mode(0o755)).expect("it is there");
    }
    works(&shell);
}

#[test]
fn a_users_own_attributes_change_no_file_of_a_registry() {
    tools::git_lfs();
    let sandbox = registry();
    sandbox.git(["clone", "--quiet", "--bare", "r", "far.git"]).success();
    sandbox.write("attributes", "* text=auto eol=crlf ident working-tree-encoding=UTF-16 filter=mine\n");
    let attributes = sandbox.path("attributes");
    for (key, value) in [
        ("core.attributesFile", attributes.to_str().expect("UTF-8")),
        ("core.autocrlf", "true"),
        ("filter.mine.clean", "tr a-z A-Z"),
        ("filter.mine.smudge", "tr a-z A-Z"),
    ] {
        sandbox.git(["config", "--global", key, value]).success();
    }
    sandbox.git(["clone", "--quiet", "far.git", "clone"]).success();
    let clone = sandbox.alice().within("clone");
    for file in clone.git(["ls-files"]).success().stdout().lines() {
        let committed = clone.git(["cat-file", "blob", &format!("HEAD:{file}")]).success();
        assert_eq!(sandbox.read(format!("clone/{file}")), committed.stdout(), "{file}");
    }
    works(&clone);
    // The same holds for a repository that is created under such settings.
    sandbox.greenroom(["init", "own"]).success();
    let own = sandbox.alice().within("own");
    own.greenroom(["register", "churn", "../model"]).success();
    assert!(!sandbox.read("own/models/churn/model.toml").contains('\r'));
    works(&own);
}

#[test]
fn files_of_an_editor_with_other_line_ends_are_taken() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let text = sandbox.read("r/models/churn/model.toml").replace('\n', "\r\n");
    sandbox.write("r/models/churn/model.toml", format!("# by hand\r\n{text}"));
    let checked = shell.greenroom(["check"]).success();
    assert!(checked.stdout().contains("1 change not committed"), "{}", checked.stdout());
    shell.git(["commit", "--quiet", "-am", "By hand"]).success();
    assert!(!shell.git(["show", "HEAD:models/churn/model.toml"]).success().stdout().contains('\r'));
    shell.greenroom(["check"]).success();
}

#[test]
fn a_registry_without_attributes_follows_the_settings() {
    for settings in [&["core.autocrlf=true"][..], &["core.autocrlf=input"], &["core.eol=crlf", "core.autocrlf=true"]] {
        let sandbox = registry();
        let shell = sandbox.alice().within("r");
        // A file of an older greenroom protects less; here nothing is protected.
        sandbox.write("r/.gitattributes", "models/*/versions/*/artifacts/** -text\n");
        shell.git(["commit", "--quiet", "-am", "No attributes"]).success();
        for (key, value) in settings.iter().filter_map(|s| s.split_once('=')) {
            shell.git(["config", key, value]).success();
        }
        shell.git(["rm", "-rq", "--cached", "."]).success();
        shell.git(["reset", "--quiet", "--hard"]).success();
        let crlf = settings.contains(&"core.autocrlf=true");
        assert_eq!(sandbox.read("r/models/churn/model.toml").contains("\r\n"), crlf, "{settings:?}");
        works(&shell);
        assert_eq!(sandbox.read("r/models/risk/model.toml").contains("\r\n"), crlf, "{settings:?}");
    }
}

#[test]
fn what_the_readme_names_leaves_the_source_clean() {
    let sandbox = Sandbox::new();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(sandbox.path("source")).expect("writable");
    let shell = sandbox.alice().within("source");
    let copy = "git -C \"$0\" ls-files -z --cached .gitignore README.md Cargo.toml examples | \
                (cd \"$0\" && xargs -0 tar -c) | tar -x";
    shell.run("sh", [std::ffi::OsStr::new("-c"), copy.as_ref(), source.as_os_str()]).success();
    shell.git(["init", "--quiet"]).success();
    shell.git(["add", "."]).success();
    shell.git(["commit", "--quiet", "-m", "The source"]).success();
    shell.greenroom(["demo", "--no-serve"]).success();
    sandbox.write("source/target/debug/greenroom", "");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        "../out",
    ];
    let pip = pip.into_iter().chain(["./examples/mlflow-plugin"]);
    // Python modules are cached beside their source, as by default.
    let python = shell.clone().env("PYTHONDONTWRITEBYTECODE", "");
    python.run(tools::python(), pip).success();
    python.run(tools::python(), ["-m", "compileall", "-q", "examples"]).success();
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
}

#[test]
fn what_shows_the_last_commit_says_that_files_differ_from_it() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let reads =
        ["show", "show churn", "show churn 1", "model list", "version list churn", "search models", "search versions"];
    let told = |line: &str| shell.greenroom(line.split(' ')).success().stderr().to_owned();
    let silent = |why: &str| reads.iter().for_each(|line| assert_eq!(told(line), "", "{line}: {why}"));
    silent("nothing differs");
    shell.run("touch", ["models/churn/model.toml", "models/churn/versions/1/artifacts/notes.txt"]).success();
    silent("only the time differs");
    sandbox.write("r/models/churn/versions/1/artifacts/notes.txt", "three\n");
    sandbox.write("r/notes.md", "untracked\n");
    silent("no file of the registry's own differs");
    let model = sandbox.read("r/models/churn/model.toml");
    sandbox.write("r/models/churn/model.toml", format!("{model}description = \"x\"\n"));
    for line in reads {
        let said = told(line);
        assert!(said.starts_with("note: models/churn/model.toml has edits that are not committed"), "{line}: {said}");
    }
    // A program asks for JSON; a question about the past is answered by the past.
    assert_eq!(told("show churn -o json"), "");
    assert_eq!(told("show churn --at HEAD"), "");
    // A staged edit differs from the last commit, too, and so does a deletion.
    shell.git(["add", "models/churn/model.toml"]).success();
    assert!(told("show churn").contains("models/churn/model.toml has edits"), "{}", told("show churn"));
    fs::remove_file(sandbox.path("r/greenroom.toml")).expect("it is there");
    assert!(told("show churn").contains("2 files have edits, the first greenroom.toml"), "{}", told("show churn"));
    let bare = sandbox.alice().within("bare");
    sandbox.git(["clone", "--quiet", "--bare", "r", "bare"]).success();
    assert_eq!(bare.greenroom(["show"]).success().stderr(), "");
}
