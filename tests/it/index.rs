//! The derived index gives the same answers as a fresh walk of the history, whatever happens to the history or its
//! files.

mod life;
mod oracle;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use greenroom::index::{self, Health, Index};
use greenroom::name::Id;
use greenroom::registry::Registry;
use life::Life;
use oracle::Answers;

use super::support::Sandbox;

fn open(registry: &Registry) -> Index<'_> {
    Index::open(registry, &mut |_| {}).expect("an index can always be opened")
}

/// The ids of the current models.
fn ids_of(registry: &Registry) -> BTreeSet<Id> {
    let models = registry.snapshot().unwrap().models().unwrap();
    models.iter().filter_map(|m| m.file().unwrap()?.value).map(|m| m.id).collect()
}

/// Demands that the index answers as a fresh walk does.
#[track_caller]
fn assert_right(index: &mut Index<'_>, registry: &Registry, when: &str) {
    let (said, walked) = (Answers::of_index(index, registry), Answers::of_walk(registry));
    said.assert_eq(&walked, when);
}

#[test]
fn it_says_what_a_walk_says_after_any_history() {
    let seeds = if std::env::var_os("GREENROOM_FULL").is_some() { 12 } else { 3 };
    for seed in 1..=seeds {
        let life = Life::new(seed);
        let registry = life.registry();
        let mut kept = open(&registry);
        for round in 0..5 {
            life.go_on(40);
            let when = format!("seed {seed}, round {round}");
            kept.refresh().expect("it can be brought up to date");
            assert_right(&mut kept, &registry, &format!("{when}, kept in memory"));
            assert_right(&mut open(&registry), &registry, &format!("{when}, opened"));
            assert_eq!(kept.unstored(), None);
        }
        let mut anew = Index::rebuild(&registry, &mut |_| {}).expect("it can be rebuilt");
        assert_right(&mut anew, &registry, &format!("seed {seed}, built anew"));
    }
}

#[test]
fn a_rewritten_history_is_read_anew() {
    let life = Life::new(11);
    life.go_on(60);
    let registry = life.registry();
    assert_right(&mut open(&registry), &registry, "at first");
    let mut kept = open(&registry);
    for back in [1, 20] {
        life.rewind(back);
        kept.refresh().expect("it can be brought up to date");
        assert_right(&mut kept, &registry, &format!("{back} steps back"));
        life.go_on(10);
        assert_right(&mut open(&registry), &registry, &format!("{back} steps back and on"));
    }
}

#[test]
fn an_old_index_over_a_newer_one_is_only_behind() {
    let life = Life::new(12);
    life.go_on(20);
    let registry = life.registry();
    open(&registry);
    let folder = index::status(&registry).unwrap().folder;
    let old = read_all(&folder);
    life.go_on(20);
    open(&registry);
    let new = read_all(&folder);
    write_all(&folder, &old);
    assert_eq!(index::status(&registry).unwrap().health, Health::Behind);
    assert_right(&mut open(&registry), &registry, "all files old");
    // A head file that counts more bytes than the other files hold.
    for (name, _) in new.iter().filter(|(name, _)| name != "head") {
        write_all(&folder, &new);
        let shorter = old.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, bytes)| bytes);
        fs::write(folder.join(name), shorter).unwrap();
        assert_right(&mut open(&registry), &registry, &format!("an old {name} under a new head"));
    }
}

#[test]
fn whatever_happens_to_its_files_the_answers_stay_right() {
    let life = Life::new(13);
    life.go_on(40);
    let registry = life.registry();
    let walked = Answers::of_walk(&registry);
    open(&registry);
    let folder = index::status(&registry).unwrap().folder;
    let ids = ids_of(&registry);
    let tip = registry.head().unwrap().expect("a history");
    let used = index::used_in(&registry, tip, &ids).unwrap();
    assert!(!used.is_empty());
    let whole = read_all(&folder);
    assert_eq!(whole.len(), 7, "head and six parts: {:?}", whole.iter().map(|f| &f.0).collect::<Vec<_>>());
    let mut noticed = 0;
    for (name, bytes) in &whole {
        let n = bytes.len();
        let mut ways: Vec<(String, Option<Vec<u8>>)> = vec![("removed".into(), None), ("emptied".into(), Some(vec![]))];
        for at in [1, n / 3, n / 2, n - 1] {
            ways.push((format!("cut at {at}"), Some(bytes[..at].to_vec())));
        }
        for at in [0, 7, n / 4, n / 2, n - 9, n - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            ways.push((format!("flipped at {at}"), Some(flipped)));
        }
        ways.push(("overwritten with zeros".into(), Some(vec![0; n])));
        ways.push(("doubled".into(), Some(bytes.repeat(2))));
        for (way, damaged) in ways {
            write_all(&folder, &whole);
            match &damaged {
                Some(bytes) => fs::write(folder.join(name), bytes).unwrap(),
                None => fs::remove_file(folder.join(name)).unwrap(),
            }
            let health = index::status(&registry).unwrap().health;
            // Bytes behind the counted ones have no effect.
            assert!(way == "doubled" || health != Health::Current, "{name} {way}: {health:?}");
            noticed += usize::from(matches!(health, Health::Damaged(_)));
            let mut index = open(&registry);
            Answers::of_index(&mut index, &registry).assert_eq(&walked, &format!("{name} {way}"));
            // The last query found the damage and repaired it, if it read the damaged file at all.
            assert_eq!(index.unstored(), None, "{name} {way}");
            assert_eq!(index::used_in(&registry, tip, &ids).unwrap(), used, "{name} {way}");
            // Of the id files, queries read only the blocks that may hold the wanted ids.
            if name.starts_with("ids-") {
                continue;
            }
            assert_eq!(index::status(&registry).unwrap().health, Health::Current, "{name} {way}");
        }
    }
    assert!(noticed > 50, "{noticed}");
}

#[test]
fn damage_found_while_history_goes_on_is_mended() {
    let life = Life::new(14);
    life.go_on(30);
    let registry = life.registry();
    open(&registry);
    let folder = index::status(&registry).unwrap().folder;
    for (name, mut bytes) in read_all(&folder) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.join(&name), bytes).unwrap();
        life.go_on(3);
        assert_right(&mut open(&registry), &registry, &format!("{name} flipped before more happened"));
    }
}

#[test]
fn what_cannot_be_stored_is_answered_from_memory() {
    let life = Life::new(15);
    life.go_on(20);
    let registry = life.registry();
    fs::create_dir_all(registry.state_dir()).unwrap();
    fs::write(registry.state_dir().join("index"), "a file where the folder belongs").unwrap();
    let mut index = open(&registry);
    assert!(index.unstored().is_some());
    assert_right(&mut index, &registry, "from memory");
    life.go_on(20);
    index.refresh().expect("it can be brought up to date");
    assert_right(&mut index, &registry, "brought up to date in memory");
    let refused = Index::rebuild(&registry, &mut |_| {}).map(drop).unwrap_err();
    assert!(refused.to_string().contains("cannot be written"), "{refused}");
}

#[test]
fn who_finds_it_locked_answers_from_memory() {
    let life = Life::new(16);
    life.go_on(20);
    let registry = life.registry();
    open(&registry);
    let folder = index::status(&registry).unwrap().folder;
    let lock = fs::File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    life.go_on(10);
    let mut index = open(&registry);
    assert!(index.unstored().is_some_and(|why| why.contains("another process")));
    assert_right(&mut index, &registry, "locked");
    assert!(Index::rebuild(&registry, &mut |_| {}).is_err());
    drop(lock);
    index.refresh().expect("it can be brought up to date");
    assert_right(&mut open(&registry), &registry, "free again");
    assert_eq!(index::status(&registry).unwrap().health, Health::Current);
}

#[test]
fn processes_that_ask_and_write_at_once_all_get_right_answers() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["model", "create", "churn"]).success();
    std::thread::scope(|threads| {
        for writer in 0..2 {
            let alice = &alice;
            threads.spawn(move || {
                for i in 0..15 {
                    alice.greenroom(["model", "create", &format!("m{writer}-{i}")]).success();
                }
            });
        }
        for reader in 0..4 {
            let alice = &alice;
            threads.spawn(move || {
                let mut last = 0;
                for i in 0..15 {
                    if reader == 0 && i % 5 == 0 {
                        // Another process may hold the lock; then rebuild reports it and changes nothing.
                        let rebuilt =
                            alice.command(env!("CARGO_BIN_EXE_greenroom")).args(["index", "rebuild"]).output();
                        assert!(matches!(rebuilt.unwrap().status.code(), Some(0 | 6)));
                    }
                    let log = alice.greenroom(["log", "-o", "json"]).success().json();
                    let models = alice.greenroom(["search", "models", "-o", "json"]).success().json();
                    let (log, models) = (log.as_array().unwrap().len(), models.as_array().unwrap().len());
                    assert!(log >= last && models + 1 >= log, "{log} entries after {last}, then {models} models");
                    last = log;
                }
            });
        }
    });
    let registry = Registry::discover(&sandbox.path("registry")).unwrap();
    assert_eq!(registry.snapshot().unwrap().models().unwrap().len(), 31);
    assert_right(&mut open(&registry), &registry, "in the end");
}

#[test]
fn a_shallow_clone_says_what_is_missing() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    sandbox.alice().within("registry").greenroom(["model", "create", "churn"]).success();
    let from = format!("file://{}", sandbox.path("registry").display());
    sandbox.git(["clone", "--quiet", "--depth", "1", &from, "clone"]).success();
    let clone = sandbox.alice().within("clone");
    for question in [&["log"][..], &["search", "models"], &["show", "HEAD"]] {
        let said = clone.greenroom(question).code(1);
        assert!(said.stderr().contains("git fetch --unshallow"), "{question:?}: {}", said.stderr());
    }
    clone.greenroom(["show", "churn"]).success();
    clone.git(["fetch", "--quiet", "--unshallow"]).success();
    let log = clone.greenroom(["log", "-o", "json"]).success().json();
    assert_eq!(log.as_array().unwrap().len(), 2);
}

#[test]
fn a_changed_mailmap_changes_who_did_it() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    let alice = sandbox.alice().within("registry");
    let who = || alice.greenroom(["log", "-o", "json"]).success().json()[0]["by"].clone();
    alice.greenroom(["model", "create", "churn"]).success();
    assert_eq!(who(), "alice");
    sandbox.write("registry/.mailmap", "Bob <bob@example.org> <alice@example.org>\n");
    assert_eq!(who(), "bob@example.org");
}

fn read_all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> =
        names.filter(|n| n != "lock").map(|n| (n.clone(), fs::read(folder.join(n)).unwrap())).collect();
    files.sort();
    files
}

fn write_all(folder: &PathBuf, files: &[(String, Vec<u8>)]) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}
