//! The allowed dependencies of modules: the layers of `src/lib.rs`, the places of external crates, and pure code.

use super::rust::{self, Path};
use super::{Fault, Source};

/// The groups of modules of `src/lib.rs`, from the lowest to the highest.
#[derive(Debug, PartialEq, Eq)]
pub struct Layers(Vec<Vec<String>>);

impl Layers {
    /// Reads `src/lib.rs`: paragraphs of `mod` lines, each opened by a comment `// name: what it holds`.
    pub fn read(lib: &str) -> (Self, Vec<Fault>) {
        let (mut groups, mut faults) = (Vec::new(), Vec::new());
        let mut group: Vec<String> = Vec::new();
        let mut titled = false;
        for (index, line) in lib.lines().chain([""]).enumerate() {
            if let Some(name) = module_of(line) {
                if !titled {
                    faults.push(Fault::new("src/lib.rs", index + 1, "a group of modules begins with `// name: …`"));
                }
                titled = true;
                group.push(name.to_owned());
            } else if line.trim().is_empty() {
                titled = false;
                groups.extend(Some(std::mem::take(&mut group)).filter(|g| !g.is_empty()));
            } else if let Some(comment) = line.strip_prefix("// ") {
                titled |= comment.contains(": ");
            }
        }
        (Self(groups), faults)
    }

    /// The height of the module's group, from 0.
    fn height(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|group| group.iter().any(|m| m == module))
    }

    /// Whether the module is in a group above `git`, the lowest group with access to the outside world.
    fn is_pure(&self, module: &str) -> bool {
        let outside = self.height("git").unwrap_or(self.0.len());
        self.height(module).is_some_and(|height| height < outside)
    }

    /// Faults of files that name a module of their own group or of a lower group in the list.
    pub fn judge(&self, sources: &[Source]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for source in sources {
            let Some(own) = source.module() else { continue };
            let Some(height) = self.height(own) else {
                faults.push(Fault::new(&source.path, 1, format!("module `{own}` is in no group of src/lib.rs")));
                continue;
            };
            for path in rust::paths(&rust::tokens(&source.text)) {
                let Some(named) = crate_module(&path, source.depth()).filter(|named| *named != own) else { continue };
                let say = match self.height(named) {
                    Some(other) if other < height => continue,
                    Some(other) if other == height => {
                        format!("`{own}` names `{named}` of its own group; one of them belongs in another group")
                    }
                    Some(_) => format!("`{own}` names `{named}`, which is of a higher layer"),
                    None => format!("`{}` names no module of src/lib.rs", path.segments.join("::")),
                };
                faults.push(Fault::new(&source.path, path.line, say));
            }
        }
        faults
    }

    /// Faults of pure modules that name the disk, the environment, the clock, processes or the network.
    pub fn judge_purity(&self, sources: &[Source], outside: &[&str]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for source in sources.iter().filter(|s| s.module().is_some_and(|m| self.is_pure(m))) {
            for path in rust::paths(&rust::tokens(&source.text)) {
                for name in outside {
                    let wanted: Vec<&str> = name.split("::").collect();
                    if path.segments.windows(wanted.len()).any(|w| w == wanted) {
                        let say = format!("pure code names `{name}`; take what it gives as an argument");
                        faults.push(Fault::new(&source.path, path.line, say));
                    }
                }
            }
        }
        faults
    }
}

/// `name` of a line `pub mod name;` or `mod name;`.
fn module_of(line: &str) -> Option<&str> {
    line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
}

/// The top-level module of the crate that a path names, if the path goes through the crate's root.
fn crate_module<'a>(path: &Path<'a>, file_depth: usize) -> Option<&'a str> {
    let segments = path.segments.strip_prefix(&["self"]).unwrap_or(&path.segments);
    let steps = match *segments.first()? {
        "crate" => 1,
        "super" => segments.iter().take_while(|s| **s == "super").count(),
        _ => return None,
    };
    let reaches_root = segments.first() == Some(&"crate") || steps == file_depth + path.depth;
    segments.get(steps).filter(|_| reaches_root).copied()
}

/// The top-level modules of `src/` that may name an external crate; `None` allows all.
pub type Place = (&'static str, Option<&'static [&'static str]>);

/// Faults of files that name an external crate outside of its places.
pub fn judge_places(sources: &[Source], places: &[Place]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let own = source.module().unwrap_or("main");
        for path in rust::paths(&rust::tokens(&source.text)) {
            let named = path.segments.first().filter(|_| path.imported || path.segments.len() > 1);
            let place = places.iter().find(|(name, _)| Some(name) == named);
            let Some((name, Some(modules))) = place else { continue };
            if !modules.contains(&own) {
                let say = format!("`{name}` may be named only in {}", modules.join(", "));
                faults.push(Fault::new(&source.path, path.line, say));
            }
        }
    }
    faults
}

/// Faults of dependencies in Cargo.toml that have no row in the list of places.
pub fn judge_dependencies(manifest: &str, places: &[Place]) -> Vec<Fault> {
    let parsed: toml_edit::DocumentMut = manifest.parse().expect("Cargo.toml is TOML");
    let mut faults = Vec::new();
    for (name, _) in parsed["dependencies"].as_table().expect("dependencies are a table") {
        if places.iter().all(|(known, _)| *known != name.replace('-', "_")) {
            let line = manifest.lines().take_while(|l| !l.starts_with(name)).count() + 1;
            faults.push(Fault::new("Cargo.toml", line, format!("`{name}` has no row in tests/it/tidy.rs, PLACES")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str =
        "//! Doc.\n\n// low: a\npub mod a;\n\n// mid: b and c\npub mod b;\nmod c;\n\n// rim: git\nmod git;\n";

    fn faults(path: &str, text: &str) -> Vec<String> {
        let (layers, none) = Layers::read(LIB);
        assert_eq!(none, []);
        let sources = [Source::new(path, text)];
        let mut found = layers.judge(&sources);
        found.extend(layers.judge_purity(&sources, &["std::fs", "Timestamp::now"]));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_may_name_itself_and_those_above_it_in_the_list() {
        assert_eq!(
            faults("src/b.rs", "use crate::a::X;\nuse crate::b;\nuse super::a;\nmod tests { use super::*; }"),
            [""; 0]
        );
        assert_eq!(faults("src/b/x.rs", "use super::c;\nuse super::super::a;"), [""; 0]);
        assert_eq!(faults("src/main.rs", "use crate::git;"), [""; 0]);
    }

    #[test]
    fn a_module_may_not_name_its_own_group_or_what_follows() {
        let own = "src/b.rs:2: `b` names `c` of its own group; one of them belongs in another group";
        assert_eq!(faults("src/b.rs", "\nuse crate::{a::Y, c};"), [own]);
        let higher = "src/a/x.rs:1: `a` names `b`, which is of a higher layer";
        assert_eq!(faults("src/a/x.rs", "fn f() { super::super::b::g() }"), [higher]);
        assert_eq!(faults("src/a/x.rs", "mod tests { use super::super::super::b; }"), [higher]);
        assert_eq!(faults("src/a.rs", "use crate::*;"), ["src/a.rs:1: `crate::*` names no module of src/lib.rs"]);
        assert_eq!(faults("src/d.rs", ""), ["src/d.rs:1: module `d` is in no group of src/lib.rs"]);
    }

    #[test]
    fn groups_have_a_title() {
        let (layers, found) = Layers::read("// words\nmod a;\n\nmod b;\nmod c;\n");
        assert_eq!(layers, Layers(vec![vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]]));
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn pure_code_touches_nothing_outside() {
        let disk = "src/a.rs:1: pure code names `std::fs`; take what it gives as an argument";
        assert_eq!(faults("src/a.rs", "use std::{fmt, fs::File};"), [disk]);
        let clock = "src/c.rs:2: pure code names `Timestamp::now`; take what it gives as an argument";
        assert_eq!(faults("src/c.rs", "// std::fs\nlet t = jiff::Timestamp::now();"), [clock]);
        assert_eq!(faults("src/git/x.rs", "use std::fs;"), [""; 0]);
    }

    #[test]
    fn an_outside_crate_stays_in_its_place() {
        let judge = |path, text| judge_places(&[Source::new(path, text)], &[("gix", Some(&["git"])), ("serde", None)]);
        assert_eq!(judge("src/git/x.rs", "use gix::Repository;"), []);
        assert_eq!(judge("src/a.rs", "use serde::Serialize; let gix = 1; // gix::x"), []);
        let want = Fault::new("src/main.rs", 2, "`gix` may be named only in git");
        assert_eq!(judge("src/main.rs", "\nuse gix;"), [want]);
        assert_eq!(judge("src/a.rs", "fn f(x: ::gix::Repository) {}").len(), 1);
    }

    #[test]
    fn a_new_dependency_needs_a_place() {
        let manifest = "[dependencies]\nserde = \"1\"\nserde-saphyr = \"2\"";
        let found = judge_dependencies(manifest, &[("serde", None)]);
        let want = Fault::new("Cargo.toml", 3, "`serde-saphyr` has no row in tests/it/tidy.rs, PLACES");
        assert_eq!(found, [want]);
    }
}
