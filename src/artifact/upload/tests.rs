//! What an upload accepts, counts, stores and removes.

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Bench {
    dir: tempfile::TempDir,
    uploads: Uploads,
    id: UploadId,
    alice: UserName,
}

impl Bench {
    fn new(limits: ArtifactLimits) -> Result<Self, Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let uploads = Uploads::of(Store::at(dir.path().join("lfs")), limits);
        let id = UploadId::new(&"a".repeat(32)).ok_or("an id")?;
        Ok(Self { dir, uploads, id, alice: "alice".parse()? })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<CopyReport, UploadError> {
        let mut incoming = self.uploads.begin(&self.id, &self.alice, FilePath::new(path)?)?;
        incoming.write(bytes)?;
        incoming.finish(None, None)
    }

    fn names(&self) -> Result<Vec<String>, UploadError> {
        let files = self.uploads.files(&self.id, &self.alice)?;
        Ok(files.iter().map(|f| f.path.to_string()).collect())
    }

    fn store(&self) -> Store {
        Store::at(self.dir.path().join("lfs"))
    }

    fn later() -> SystemTime {
        SystemTime::now() + UNUSED + Duration::from_secs(60)
    }
}

#[test]
fn an_unused_upload_goes_and_what_was_made_of_it_stays() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    let big = vec![0xff; 20_000];
    bench.put("MLmodel", b"flavors: {}\n")?;
    let put = bench.put("weights.bin", &big)?;
    assert_eq!(bench.uploads.sweep(SystemTime::now()), 0);
    let taken = bench.uploads.take(&bench.id, &bench.alice, None)?;
    assert_eq!(taken.files.iter().filter(|f| f.place == Content::Stored).count(), 1);
    bench.store().verify(&put.sha256, put.size)?;
    assert_eq!(bench.uploads.sweep(Bench::later()), 1);
    assert!(matches!(bench.names(), Err(UploadError::Unknown(_))));
    bench.store().verify(&put.sha256, put.size)?;
    assert!(!bench.uploads.folder(&bench.id).exists());
    // The id is free again, for any person.
    bench.put("other", b"x")?;
    assert_eq!(bench.names()?, ["other"]);
    Ok(())
}

#[test]
fn an_upload_that_is_worked_on_stays_however_old_it_is() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    bench.put("a", b"1")?;
    let mut incoming = bench.uploads.begin(&bench.id, &bench.alice, FilePath::new("b")?)?;
    incoming.write(b"2")?;
    assert_eq!(bench.uploads.sweep(Bench::later()), 0);
    assert!(matches!(bench.uploads.remove(&bench.id, &bench.alice, None), Err(UploadError::Busy(_))));
    incoming.finish(Some(1), None)?;
    assert_eq!(bench.names()?, ["a", "b"]);
    assert_eq!(bench.uploads.sweep(Bench::later()), 1);
    Ok(())
}

#[test]
fn what_a_crash_left_goes_too() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    bench.put("a", b"1")?;
    fs::create_dir(bench.uploads.root.join(".new-x"))?;
    fs::create_dir_all(bench.uploads.root.join(".gone-x/b"))?;
    bench.uploads.sweep(Bench::later());
    assert_eq!(fs::read_dir(&bench.uploads.root)?.count(), 0);
    Ok(())
}

#[test]
fn another_process_knows_the_upload_and_its_owner() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    bench.put("a", b"1")?;
    let other = Uploads::of(bench.store(), ArtifactLimits::default());
    assert_eq!(other.files(&bench.id, &bench.alice)?.len(), 1);
    let bob: UserName = "bob".parse()?;
    assert!(matches!(other.files(&bench.id, &bob), Err(UploadError::Unknown(_))));
    assert!(matches!(other.begin(&bench.id, &bob, FilePath::new("b")?), Err(UploadError::Unknown(_))));
    Ok(())
}

#[test]
fn files_and_bytes_are_limited_and_what_is_dropped_does_not_count() -> Outcome {
    let bench = Bench::new(ArtifactLimits { files: 2, total: 10, ..ArtifactLimits::default() })?;
    bench.put("a", b"12345")?;
    assert!(matches!(bench.put("b", b"123456"), Err(UploadError::TooLarge { max: 10 })));
    bench.put("b", b"12345")?;
    assert!(matches!(bench.put("c", b""), Err(UploadError::TooMany { max: 2 })));
    bench.uploads.remove(&bench.id, &bench.alice, Some(&FilePath::new("a")?))?;
    bench.put("c", b"")?;
    Ok(())
}

#[test]
fn short_and_wrong_bytes_leave_nothing() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    let send = |length, digest: Option<&Digest>| {
        let mut incoming = bench.uploads.begin(&bench.id, &bench.alice, FilePath::new("a")?)?;
        incoming.write(b"123")?;
        incoming.finish(length, digest)
    };
    assert!(matches!(send(Some(4), None), Err(UploadError::Short { announced: 4, got: 3 })));
    let other = copy::sha256(b"124");
    assert!(matches!(send(None, Some(&other)), Err(UploadError::Digest { .. })));
    assert_eq!(bench.names()?, Vec::<String>::new());
    assert_eq!(fs::read_dir(bench.dir.path().join("lfs/incoming"))?.count(), 0);
    send(Some(3), Some(&copy::sha256(b"123")))?;
    assert_eq!(bench.names()?, ["a"]);
    Ok(())
}

#[test]
fn a_record_without_its_bytes_is_no_file() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    let put = bench.put("a", b"123")?;
    fs::remove_file(bench.uploads.folder(&bench.id).join(bytes_of("a", &put.sha256)))?;
    assert_eq!(bench.names()?, Vec::<String>::new());
    assert!(bench.uploads.take(&bench.id, &bench.alice, None).is_err());
    Ok(())
}

#[test]
fn a_file_that_is_sent_again_or_removed_counts_no_longer_and_its_bytes_are_gone() -> Outcome {
    let bench = Bench::new(ArtifactLimits { files: 2, total: 10, ..ArtifactLimits::default() })?;
    let kept = || -> Result<usize, io::Error> {
        let all = fs::read_dir(bench.uploads.folder(&bench.id))?.collect::<Result<Vec<_>, _>>()?;
        Ok(all.iter().filter(|e| e.file_name().to_string_lossy().starts_with("bytes-")).count())
    };
    for _ in 0..3 {
        bench.put("a", b"123456")?;
        bench.put("b", b"1234")?;
    }
    bench.put("a", b"654321")?;
    assert_eq!((bench.names()?, kept()?), (vec!["a".to_owned(), "b".to_owned()], 2));
    bench.uploads.remove(&bench.id, &bench.alice, Some(&FilePath::new("a")?))?;
    assert_eq!(kept()?, 1);
    bench.put("c", b"123456")?;
    assert!(matches!(bench.put("b", b"12345"), Err(UploadError::TooLarge { max: 10 })));
    // Another process counts the same.
    let other = Uploads::of(bench.store(), bench.uploads.limits);
    let counted = [&other, &bench.uploads].map(|u| u.of_user(&bench.id, &bench.alice));
    for live in counted {
        let live = live?;
        assert_eq!((live.files.load(Ordering::Relaxed), live.bytes.load(Ordering::Relaxed)), (2, 10));
    }
    Ok(())
}

#[test]
fn files_of_the_same_bytes_do_not_share_their_fate() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    let big = vec![0xff; 20_000];
    for path in ["a/x.bin", "a/y.bin", "b.bin"] {
        bench.put(path, &big)?;
    }
    bench.uploads.remove(&bench.id, &bench.alice, Some(&FilePath::new("a/x.bin")?))?;
    bench.put("b.bin", b"other")?;
    let folder = FilePath::new("a")?;
    let taken = bench.uploads.take(&bench.id, &bench.alice, Some(&folder))?;
    assert_eq!(taken.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["y.bin"]);
    bench.store().verify(&copy::sha256(&big), 20_000)?;
    Ok(())
}

#[test]
fn who_is_too_late_to_make_an_upload_works_on_the_one_that_is_there() -> Outcome {
    let bench = Bench::new(ArtifactLimits::default())?;
    let first = bench.uploads.begin(&bench.id, &bench.alice, FilePath::new("a")?)?;
    // The second request looked for the upload before the first one had created it, and continues here.
    bench.uploads.forget_removed(&bench.id);
    let second = bench.uploads.begin(&bench.id, &bench.alice, FilePath::new("b")?)?;
    assert!(Arc::ptr_eq(&first.reserved.live, &second.reserved.live), "one would not know of the other's files");
    drop(second);
    fs::remove_dir_all(bench.uploads.folder(&bench.id))?;
    bench.uploads.forget_removed(&bench.id);
    assert!(matches!(bench.names(), Err(UploadError::Unknown(_))), "a file that was removed by hand is gone");
    Ok(())
}
