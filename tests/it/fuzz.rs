//! A short run of the fuzz targets with every test: the examples of the test suite, each broken in many ways.
//!
//! The long run is `cargo +nightly fuzz run TARGET --fuzz-dir tests/fuzz`, which finds more than random inputs do.

mod history;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// The number of broken inputs for each target.
const RUNS: usize = 3_000;

/// The number of histories with a broken commit.
const HISTORIES: usize = 40;

/// Valid inputs of all readers, and some lines.
fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out: Vec<Vec<u8>> = [
        "0000000000000000000000000000000000000000 0123456789abcdef0123456789abcdef01234567 refs/heads/main",
        "models/ch%75rn/versions/3/requests/019cbd39-ae80-73f7-bdf5-37c46724392c.toml",
        "models/3f/churn/versions/0/3/artifacts/data/model.pkl",
        "name ILIKE '%churn%' AND tags.`a b` = 'c'\nname DESC\nlast_updated_timestamp ASC",
        "models:/churn/Production@{2026-03-01}",
        "models:/churn@champion",
        "Ann Example <ann@example.org> A <old@example.org>\n# a comment\n",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
    ]
    .map(|s| s.as_bytes().to_vec())
    .into();
    for folder in ["tests/cases/base", "tests/data/fuzz", "tests/toml/invalid", "examples/registry"] {
        files(&root.join(folder), &mut out);
    }
    out
}

fn files(folder: &Path, out: &mut Vec<Vec<u8>>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).expect("it is there").flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(fs::read(&path).expect("readable"));
        }
    }
}

/// Pseudo-random numbers, the same on each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % n.max(1)
    }
}

/// Breaks an input: changes, cuts or doubles bytes, or takes bytes from another input.
fn broken(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut data = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(data.len() + 1);
        match dice.below(6) {
            0 => data.truncate(at),
            1 => data.insert(at, u8::try_from(dice.below(256)).expect("a byte")),
            2 if at < data.len() => data[at] ^= 1 << dice.below(8),
            3 => {
                let end = (at + dice.below(40)).min(data.len());
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
            4 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len());
                let end = (from + dice.below(60)).min(other.len());
                data.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                const MEAN: [&str; 8] =
                    ["\u{1b}", "\u{202e}", "\0", "\"\"\"", "[[", "\r\n", "9999999999999999999", "%"];
                data.splice(at..at, MEAN[dice.below(MEAN.len())].bytes());
            }
        }
    }
    data
}

#[test]
fn no_reader_of_outside_bytes_panics_or_contradicts_itself() {
    let seeds = seeds();
    assert!(seeds.len() > 100);
    for (name, target) in targets::ALL {
        let mut dice = Dice(0x5eed);
        let inputs = seeds.iter().cloned().chain(std::iter::repeat_with(|| broken(&seeds, &mut dice)).take(RUNS));
        for input in inputs.collect::<Vec<_>>() {
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name} on {:?}", String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn no_odd_commit_or_tag_ends_who_reads_history() {
    let mut seeds = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz/commits"), &mut seeds);
    assert!(seeds.len() > 20);
    let mut dice = Dice(0x0dd);
    let inputs = seeds.iter().cloned().chain(std::iter::repeat_with(|| broken(&seeds, &mut dice)).take(HISTORIES));
    for input in inputs.collect::<Vec<_>>() {
        let outcome = std::panic::catch_unwind(|| history::history(&input));
        assert!(outcome.is_ok(), "history on {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn each_target_has_its_fuzzer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it is there");
    for (name, _) in targets::ALL.iter().copied().chain([("history", history::history as fn(&[u8]))]) {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is missing in tests/fuzz/Cargo.toml");
        let text = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).expect("it is there");
        assert!(text.contains(&format!("targets::{name}(")), "{name}");
    }
}
