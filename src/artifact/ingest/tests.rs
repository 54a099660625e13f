//! What a folder yields, what is refused, and that a refused folder leaves nothing behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::walk::GitFolders;
use super::*;
use crate::tree::TreeChange;

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Bench {
    dir: TempDir,
    store: Store,
}

impl Bench {
    fn new(files: &[(&str, &[u8])]) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        for (path, bytes) in files {
            let path = dir.path().join("model").join(path);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(path, bytes)?;
        }
        let store = Store::at(dir.path().join("lfs"));
        Ok(Self { dir, store })
    }

    fn model(&self) -> PathBuf {
        self.dir.path().join("model")
    }

    fn ingest(&self) -> Result<IngestedFolder, ArtifactError> {
        ingest(&self.model(), ByteStorage::In(&self.store), &ArtifactLimits::default(), &|_, _| {})
    }

    /// Returns the names of all files in the store, below `objects` and `incoming`.
    fn stored(&self) -> Vec<String> {
        let all = Root::open(&self.dir.path().join("lfs"))
            .and_then(|r| r.walk(&Selection::default(), &ArtifactLimits::default()));
        all.map(|w| w.files.iter().map(|f| f.path.to_string()).collect()).unwrap_or_default()
    }
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
}

#[test]
fn a_real_model_is_taken_in() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::at(dir.path());
    let taken = ingest(&sample("sklearn-skops"), ByteStorage::In(&store), &ArtifactLimits::default(), &|_, _| {})?;
    let stored: Vec<&str> =
        taken.files.iter().filter(|f| f.place == Content::Stored).map(|f| f.path.as_str()).collect();
    assert_eq!(stored, ["model.skops"]);
    assert_eq!(taken.artifacts.files, 7);
    // Computed independently: printf 'path\0size\0sha256\n' for each file, sorted, through sha256sum.
    assert_eq!(taken.artifacts.digest.as_str(), "d8218a113d84a3902af34772cc6f259ce99422ce3688be121a93f5cdcebd97d2");

    let facts = taken.facts;
    assert_eq!(facts.run_id.as_str(), "2a4fd374733e49018e75e9befbe11c25");
    assert_eq!(facts.model_id.as_str(), "m-8fb24cba5a744161b48aafd2d8034da2");
    assert_eq!(
        facts.artifact_uri.as_str(),
        "file:///srv/mlflow/mlruns/0/models/m-8fb24cba5a744161b48aafd2d8034da2/artifacts"
    );
    let model = facts.model.unwrap_or_default();
    let flavors: Vec<_> = model.flavors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(flavors, [("python_function", ""), ("sklearn", "1.9.1")]);
    assert_eq!((model.mlflow_version.as_str(), model.python_version.as_str()), ("3.17.2", "3.11.7"));
    assert_eq!(model.created_at.map(|t| t.to_string()).as_deref(), Some("2026-11-22T15:44:48.570Z"));
    let schema = facts.schema.unwrap_or_default();
    let shown: Vec<_> = [schema.inputs, schema.outputs, schema.params]
        .concat()
        .iter()
        .map(|c| format!("{}: {} {}", c.name, c.kind, c.default))
        .collect();
    let want = [
        "alcohol: double ",
        "malic_acid: double ",
        "ash: double ",
        ": tensor(float64, [-1]) ",
        "threshold: double 0.5",
    ];
    assert_eq!(shown, want);
    let environment = facts.environment.unwrap_or_default();
    assert_eq!((environment.conda.len(), environment.pip.len()), (2, 6));
    assert_eq!(facts.notes, Vec::<String>::new());
    Ok(())
}

#[test]
fn findings_follow_from_what_was_recorded() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::at(dir.path());
    let found = |name: &str| -> Result<Vec<_>, ArtifactError> {
        let facts = ingest(&sample(name), ByteStorage::In(&store), &ArtifactLimits::default(), &|_, _| {})?.facts;
        let found = crate::artifact::findings::findings(facts.model.as_ref(), facts.environment.as_ref());
        Ok(found.iter().map(|f| format!("{} {}", f.level, f.id)).collect())
    };
    assert_eq!(found("conda-defaults")?, ["warning conda-defaults-channel"]);
    assert_eq!(found("sklearn-cloudpickle")?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_same_bytes_are_stored_once() -> Outcome {
    let weights = vec![7; 100_000];
    let bench = Bench::new(&[("a.bin", &weights), ("sub/b.bin", &weights)])?;
    let first = bench.ingest()?;
    let second = bench.ingest()?;
    assert_eq!(first, second);
    let sha = copy::sha256(&weights);
    assert_eq!(bench.stored(), [format!("objects/{}/{}/{sha}", &sha.as_str()[..2], &sha.as_str()[2..4])]);
    Ok(())
}

#[test]
fn small_text_is_committed_and_the_rest_gets_pointers() -> Outcome {
    let nearly = "version https://git-lfs.github.com/spec/v1\n# a text about pointers\n";
    let long = "a".repeat(8193);
    let bench = Bench::new(&[
        ("text.txt", b"gr\xc3\xbc\xc3\x9fe\n"),
        ("empty", b""),
        ("binary", b"a\0b"),
        ("short", b"text of another name"),
        ("zero.txt", b"a\0b"),
        ("latin1.md", b"gr\xfc\xdfe"),
        ("nearly.json", nearly.as_bytes()),
        ("long list.json", long.as_bytes()),
        ("MLmodel", &long.as_bytes()[1..]),
    ])?;
    let taken = bench.ingest()?;
    let mut patch = Patch::default();
    add_to_patch(&taken, "models/m/versions/1/artifacts", &mut patch);
    let written = |name: &str| match patch.files.get(&format!("models/m/versions/1/artifacts/{name}")) {
        Some(TreeChange::Write(bytes)) => bytes.clone(),
        Some(TreeChange::Link(..) | TreeChange::Remove) | None => Vec::new(),
    };
    for (name, is_pointer) in [
        ("text.txt", false),
        ("empty", false),
        ("MLmodel", false),
        ("binary", true),
        ("short", true),
        ("zero.txt", true),
        ("latin1.md", true),
        ("nearly.json", true),
        ("long list.json", true),
    ] {
        assert_eq!(matches!(Pointer::parse(&written(name)), Ok(Some(_))), is_pointer, "{name}");
    }
    let attributes = attributes(&taken).unwrap_or_default();
    let listed: Vec<&str> =
        attributes.lines().filter_map(|l| l.strip_suffix(" filter=lfs diff=lfs merge=lfs -text")).collect();
    let want = ["artifacts/latin1.md", "\"artifacts/long list.json\"", "artifacts/nearly.json", "artifacts/zero.txt"];
    assert_eq!(listed, want);
    Ok(())
}

#[test]
fn without_a_store_the_same_is_said_and_nothing_kept() -> Outcome {
    let large = format!("flavors: {{}}\n{}", "#".repeat(9000));
    let bench = Bench::new(&[("MLmodel", large.as_bytes()), ("m.bin", &[0; 3 << 20]), ("a.txt", b"a")])?;
    let dry = ingest(&bench.model(), ByteStorage::Nothing, &ArtifactLimits::default(), &|_, _| {})?;
    assert_eq!(bench.stored(), Vec::<String>::new());
    assert!(dry.facts.model.is_some());
    assert_eq!(dry, bench.ingest()?);
    Ok(())
}

#[test]
fn what_is_no_file_is_refused_by_name() -> Outcome {
    let secret = tempfile::NamedTempFile::new()?;
    type Make<'m> = &'m dyn Fn(&Path) -> io::Result<()>;
    let cases: [(&str, Make<'_>); 4] = [
        ("symbolic link", &|at| symlink(secret.path(), at)),
        ("symbolic link", &|at| symlink("/etc", at)),
        ("named pipe", &|at| Ok(rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RUSR)?)),
        ("socket", &|at| std::os::unix::net::UnixListener::bind(at).map(drop)),
    ];
    for (kind, make) in cases {
        let bench = Bench::new(&[("sub/file", b"x")])?;
        make(&bench.model().join("sub/odd"))?;
        let told = bench.ingest().map_err(|e| e.to_string());
        assert!(told.is_err_and(|e| e.contains("sub/odd") && e.contains(kind)), "{kind}");
        assert_eq!(bench.stored(), Vec::<String>::new());
    }
    let bench = Bench::new(&[("file", b"x")])?;
    let link = bench.dir.path().join("link");
    symlink(bench.model(), &link)?;
    let taken = ingest(&link, ByteStorage::In(&bench.store), &ArtifactLimits::default(), &|_, _| {});
    assert!(matches!(taken, Err(ArtifactError::NotAFile { kind: "symbolic link", .. })));
    Ok(())
}

#[test]
fn hostile_names_empty_folders_and_clashes_are_refused() -> Outcome {
    for bad in ["a\\b", "C:b", "\u{202e}gpj.exe", "new\nline"] {
        assert!(matches!(Bench::new(&[(bad, b"x")])?.ingest(), Err(ArtifactError::Path(_))), "{bad:?}");
    }
    let odd = Bench::new(&[("ok", b"x")])?;
    let latin = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"gr\xfc\xdfe");
    if fs::write(odd.model().join(latin), b"x").is_ok() {
        assert!(matches!(odd.ingest(), Err(ArtifactError::Path(_))));
    }
    let both = Bench::new(&[("Model.bin", b"x"), ("model.bin", b"y")])?;
    if both.model().join("Model.bin").metadata()?.len() == 1 && fs::read_dir(both.model())?.count() == 2 {
        assert!(matches!(both.ingest(), Err(ArtifactError::Clash(..))));
    }
    let empty = Bench::new(&[])?;
    fs::create_dir_all(empty.model().join("sub/sub"))?;
    assert!(matches!(empty.ingest(), Err(ArtifactError::Empty(_))));
    assert!(matches!(
        ingest(Path::new("/nowhere/at/all"), ByteStorage::In(&empty.store), &ArtifactLimits::default(), &|_, _| {}),
        Err(ArtifactError::Io { .. })
    ));
    Ok(())
}

#[test]
fn limits_hold() -> Outcome {
    let bench = Bench::new(&[("a", b"1"), ("b", b"22"), ("c", b"3")])?;
    let with = |limits: ArtifactLimits| ingest(&bench.model(), ByteStorage::In(&bench.store), &limits, &|_, _| {});
    let defaults = ArtifactLimits::default();
    assert!(matches!(
        with(ArtifactLimits { files: 2, ..defaults }),
        Err(ArtifactError::TooMuch { what: "files and folders", max: 2 })
    ));
    assert!(matches!(
        with(ArtifactLimits { total: 3, ..defaults }),
        Err(ArtifactError::TooMuch { what: "bytes", max: 3 })
    ));
    assert!(with(ArtifactLimits { files: 3, total: 4, ..defaults }).is_ok());
    Ok(())
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() -> Outcome {
    let bench = Bench::new(&[("big.bin", &vec![1; 8 << 20])])?;
    let file = bench.model().join("big.bin");
    let tamper = |_, _| drop(fs::write(&file, vec![2; 8 << 20]));
    let taken = ingest(&bench.model(), ByteStorage::In(&bench.store), &ArtifactLimits::default(), &tamper);
    assert!(matches!(taken, Err(ArtifactError::Changed(path)) if path == file));
    assert_eq!(bench.stored(), Vec::<String>::new(), "nothing of it stays");
    Ok(())
}

#[test]
fn what_tools_leave_behind_is_left_out_and_said() -> Outcome {
    let bench = Bench::new(&[
        ("m.bin", b"\0"),
        ("registered_model_meta", b"model_name: x"),
        ("sub/.DS_Store", b"\0"),
        ("sub/registered_model_meta", b"mine"),
        ("sub/MLmodel", b"flavors: {}"),
    ])?;
    let taken = bench.ingest()?;
    let names: Vec<&str> = taken.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(names, ["m.bin", "sub/MLmodel", "sub/registered_model_meta"]);
    let notes = taken.facts.notes.join("\n");
    for part in ["no MLmodel file at the top", "if 'sub' is the model", "registered_model_meta", "sub/.DS_Store"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    Ok(())
}

#[test]
fn a_single_file_is_a_model_too() -> Outcome {
    let bench = Bench::new(&[("model.onnx", b"\0onnx"), ("other", b"x")])?;
    let taken = ingest(
        &bench.model().join("model.onnx"),
        ByteStorage::In(&bench.store),
        &ArtifactLimits::default(),
        &|_, _| {},
    )?;
    assert_eq!(taken.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["model.onnx"]);
    Ok(())
}

#[test]
fn a_faulty_mlmodel_is_a_note() -> Outcome {
    let large = "#".repeat((16 << 20) + 1);
    for bad in ["{{{", "- a", &large] {
        let bench = Bench::new(&[("MLmodel", bad.as_bytes()), ("requirements.txt", b"mlflow")])?;
        let facts = bench.ingest()?.facts;
        let model = facts.model.unwrap_or_default();
        assert!(model.flavors.is_empty() && !model.findings.is_empty(), "what is wrong stays with the version");
        assert!(facts.environment.is_some());
        assert!(facts.notes.iter().any(|n| n.starts_with("MLmodel cannot be read")), "{:?}", facts.notes);
    }
    Ok(())
}

#[test]
fn progress_ends_at_the_total() -> Outcome {
    let bench = Bench::new(&[("a", b"text"), ("b.bin", &vec![0; 3 << 20])])?;
    let last = AtomicU64::new(0);
    let note = |done: u64, total: u64| {
        assert!(done <= total);
        last.fetch_max(done, Ordering::Relaxed);
    };
    let taken = ingest(&bench.model(), ByteStorage::In(&bench.store), &ArtifactLimits::default(), &note)?;
    assert_eq!(last.into_inner(), taken.artifacts.size);
    Ok(())
}

/// Reads the selected files of the model.
fn select(bench: &Bench, patterns: &[&str], links: Links) -> Result<IngestedFolder, ArtifactError> {
    let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
    let exclude =
        Exclude::new(&patterns).map_err(|e| ArtifactError::Patterns { path: String::new(), why: e.to_string() })?;
    let selection =
        Selection { exclude, links, git: GitFolders::Take, objects: vec![bench.store.clone()], ..Selection::default() };
    ingest_selected(&bench.model(), &selection, ByteStorage::In(&bench.store), &ArtifactLimits::default(), &|_, _| {})
}

fn paths(taken: &IngestedFolder) -> Vec<&str> {
    taken.files.iter().map(|f| f.path.as_str()).collect()
}

#[test]
fn names_that_steer_git_are_stored_under_others() -> Outcome {
    let files: [(&str, &[u8]); 5] = [
        ("MLmodel", b""),
        (".gitattributes", b"*.bin filter=lfs\n"),
        ("code/p/.gitignore", b"*\n"),
        (".git/config", b"x"),
        ("a?.json", b"{}"),
    ];
    let bench = Bench::new(&files)?;
    fs::create_dir(bench.model().join("assets"))?;
    let taken = select(&bench, &[], Links::Refuse)?;
    let mut patch = Patch::default();
    add_to_patch(&taken, "", &mut patch);
    let stored: Vec<&str> = patch.files.keys().map(String::as_str).collect();
    assert_eq!(
        stored,
        ["%2Egit/config", "%2Egitattributes", "MLmodel", "a%3F.json", "assets/%2F", "code/p/%2Egitignore"]
    );
    assert_eq!(paths(&taken), [".git/config", ".gitattributes", "MLmodel", "a?.json", "code/p/.gitignore"]);
    assert!(taken.facts.notes.iter().any(|n| n.contains("git repository inside")), "{:?}", taken.facts.notes);
    Ok(())
}

#[test]
fn patterns_leave_out_and_say_so() -> Outcome {
    let bench = Bench::new(&[
        ("m.bin", b"\0"),
        (".git/HEAD", b"x"),
        ("bad\\name/x", b"x"),
        ("logs/a.log", b"x"),
        ("code/b.log", b"x"),
        ("code/.greenroomignore", b"!b.log\n"),
        (".greenroomignore", b"*.log\n"),
    ])?;
    let taken = select(&bench, &[".git", "bad*"], Links::Refuse)?;
    assert_eq!(paths(&taken), ["code/b.log", "m.bin"]);
    let notes = taken.facts.notes.join("\n");
    for part in ["left out by a pattern", ".git/", "logs/a.log", ".greenroomignore"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    fs::write(bench.model().join(".greenroomignore"), b"{a\n")?;
    assert!(matches!(select(&bench, &[], Links::Refuse), Err(ArtifactError::Patterns { .. })));
    Ok(())
}

#[test]
fn links_are_followed_where_a_person_says_so_and_in_a_snapshot_of_the_hub() -> Outcome {
    let bench = Bench::new(&[("snapshots/r1/config.json", b"{}"), ("blobs/w", b"\0weights"), ("blobs/d/x", b"\0")])?;
    let snapshot = bench.model().join("snapshots/r1");
    symlink("../../blobs/w", snapshot.join("model.safetensors"))?;
    symlink("../../blobs/d", snapshot.join("d"))?;
    let taken = ingest(&snapshot, ByteStorage::In(&bench.store), &ArtifactLimits::default(), &|_, _| {})?;
    assert_eq!(paths(&taken), ["config.json", "d/x", "model.safetensors"]);
    assert_eq!(
        taken,
        ingest(&snapshot, ByteStorage::Nothing, &ArtifactLimits::default(), &|_, _| {})?,
        "a dry run says the same"
    );
    let secret = tempfile::NamedTempFile::new()?;
    symlink(secret.path(), snapshot.join("secret"))?;
    let refused = ingest(&snapshot, ByteStorage::In(&bench.store), &ArtifactLimits::default(), &|_, _| {});
    assert!(refused.is_err_and(|e| e.to_string().contains("--follow-links")));

    let other = Bench::new(&[("a/b/x", b"1")])?;
    symlink(secret.path(), other.model().join("secret"))?;
    assert_eq!(paths(&select(&other, &[], Links::Follow)?), ["a/b/x", "secret"]);
    symlink("../..", other.model().join("a/b/up"))?;
    let refused = select(&other, &[], Links::Follow);
    assert!(refused.is_err_and(|e| e.to_string().contains("folder that it lies in")));
    assert_eq!(paths(&select(&other, &["up"], Links::Follow)?), ["a/b/x", "secret"]);
    Ok(())
}

#[test]
fn a_pointer_is_its_object_or_refused() -> Outcome {
    let (here, away) = (copy::sha256(b"\0weights"), copy::sha256(b"away"));
    let text = |sha256: &crate::name::Digest, size| Pointer { sha256: sha256.clone(), size }.to_string();
    let bench = Bench::new(&[("m.bin", text(&here, 8).as_bytes()), ("MLmodel", b"flavors: {}")])?;
    assert!(matches!(select(&bench, &[], Links::Refuse), Err(ArtifactError::Pointers(..))));
    assert_eq!(bench.stored(), Vec::<String>::new(), "nothing is written");
    bench.store.receive(&mut &b"\0weights"[..], &copy::CopyReport { sha256: here.clone(), size: 8 })?;
    let taken = select(&bench, &[], Links::Refuse)?;
    let of = |taken: &IngestedFolder| {
        taken.files.iter().find(|f| f.path.as_str() == "m.bin").map(|f| (f.size, f.sha256.clone()))
    };
    assert_eq!(of(&taken), Some((8, here)));
    assert!(
        matches!(bench.ingest(), Err(ArtifactError::Pointers(..))),
        "over the network nobody gets bytes by their hash"
    );
    fs::write(bench.model().join("n.bin"), text(&away, 4))?;
    let told = select(&bench, &[], Links::Refuse).map_err(|e| e.to_string()).err().unwrap_or_default();
    for part in ["1 file", "n.bin (4 bytes)", "git lfs pull", "--exclude"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(paths(&select(&bench, &["n.bin"], Links::Refuse)?), ["MLmodel", "m.bin"]);
    Ok(())
}
