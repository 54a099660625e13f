//! Circles of files: a file must not depend on itself through files of other folders.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rust::{self, Token};
use super::{Fault, Source};

/// Circles within a folder that may stay, each with its files and the reason. A circle through the root of a folder
/// (`mod.rs`, or `name.rs` beside `name/`) needs no row: the root names its parts, and the parts use its types.
pub type Reason = (&'static [&'static str], &'static str);

/// The files of a crate, and which of them names which.
struct Graph {
    paths: Vec<String>,
    named: Vec<BTreeSet<usize>>,
}

/// The module of a file: `["server", "context"]` for `src/server/context/mod.rs`.
fn module(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if inner == "lib" { Vec::new() } else { inner.split('/').collect() }
}

/// Whether a file is the root of a folder.
fn is_root(path: &str, paths: &BTreeSet<&str>) -> bool {
    let folder = format!("{}/", path.trim_end_matches(".rs"));
    path.ends_with("/mod.rs") || path == "src/lib.rs" || paths.iter().any(|other| other.starts_with(&folder))
}

/// The folder of a file. The root of a folder belongs to the folder.
fn folder<'p>(path: &'p str, paths: &BTreeSet<&str>) -> &'p str {
    let inner = path.trim_end_matches(".rs");
    match inner.strip_suffix("/mod") {
        Some(folder) => folder,
        None if is_root(path, paths) => inner,
        None => inner.rsplit_once('/').map_or("", |(folder, _)| folder),
    }
}

/// The tokens of the program's own code, without `in` paths of visibilities, which name no code.
fn code(text: &str) -> Vec<Token<'_>> {
    let (mut out, mut hidden): (Vec<Token<'_>>, bool) = (Vec::new(), false);
    for token in rust::tokens(text) {
        hidden |= token.text == "in" && out.last().is_some_and(|last| last.text == "(");
        hidden &= token.text != ")";
        if !hidden {
            out.push(token);
        }
    }
    out
}

impl Graph {
    fn of(sources: &[Source]) -> Self {
        let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/") || path == "src/main.rs";
        let kept: Vec<&Source> = sources.iter().filter(|s| !is_test(&s.path)).collect();
        let modules: BTreeMap<Vec<&str>, usize> = kept.iter().enumerate().map(|(i, s)| (module(&s.path), i)).collect();
        let named = kept.iter().enumerate().map(|(own, source)| {
            let here = module(&source.path);
            let tokens = code(&source.text);
            // Modules within a file are its tests.
            // A single word is a visibility, `pub(super)`, or a name of the file.
            let paths = rust::paths(&tokens).into_iter().filter(|path| path.depth == 0 && path.segments.len() > 1);
            let wholes = paths.filter_map(|path| absolute(&here, &path.segments, &modules));
            let files =
                wholes.filter_map(|path| (0..=path.len()).rev().find_map(|end| modules.get(path.get(..end)?)).copied());
            files.filter(|file| *file != own).collect()
        });
        let named = named.collect();
        Self { paths: kept.iter().map(|s| s.path.clone()).collect(), named }
    }

    /// The shortest way from one file to another, both included; `None` if there is none.
    fn way(&self, from: usize, to: usize, may_pass: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let mut way = vec![at];
                while let Some(earlier) = way.last().filter(|last| **last != from).and_then(|last| before.get(last)) {
                    way.push(*earlier);
                }
                way.reverse();
                return Some(way);
            }
            for next in self.named.get(at).into_iter().flatten().copied().filter(|next| may_pass(*next)) {
                if next != from && !before.contains_key(&next) {
                    before.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Each pair of files that depend on each other, by the files of a shortest circle through them.
    fn circles(&self, may_pass: impl Fn(usize) -> bool + Copy) -> BTreeSet<Vec<usize>> {
        let edges = self.named.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)));
        let edges = edges.filter(|(from, to)| may_pass(*from) && may_pass(*to));
        let found = edges.filter_map(|(from, to)| self.way(to, from, may_pass));
        // The same circle is found once for each of its files.
        let mut once: BTreeMap<BTreeSet<usize>, Vec<usize>> = BTreeMap::new();
        for circle in found {
            once.entry(circle.iter().copied().collect()).or_insert(circle);
        }
        once.into_values().collect()
    }

    fn text(&self, circle: &[usize]) -> String {
        let names: Vec<&str> = circle.iter().chain(circle.first()).map(|file| self.paths[*file].as_str()).collect();
        names.join(" → ")
    }
}

/// The path from the root of the crate; `None` for a path that leads out of the crate, or only to a name of the file.
fn absolute<'a>(here: &[&'a str], segments: &[&'a str], modules: &BTreeMap<Vec<&str>, usize>) -> Option<Vec<&'a str>> {
    let supers = segments.iter().take_while(|s| **s == "super").count();
    match segments.first()? {
        &"crate" => Some(segments.get(1..)?.to_vec()),
        &"self" => Some([here, segments.get(1..)?].concat()),
        &"super" => Some([here.get(..here.len().checked_sub(supers)?)?, segments.get(supers..)?].concat()),
        child if modules.contains_key(&[here, &[*child]].concat()) => Some([here, segments].concat()),
        _ => None,
    }
}

/// Faults: circles of files of several folders, circles within a folder without a reason, and reasons without a circle.
pub fn judge(sources: &[Source], reasons: &[Reason]) -> Vec<Fault> {
    let graph = Graph::of(sources);
    let paths: BTreeSet<&str> = graph.paths.iter().map(String::as_str).collect();
    let path = |file: usize| graph.paths.get(file).map_or("", String::as_str);
    let fault = |circle: &Vec<usize>, say: &str| {
        Fault::new(circle.first().map_or("", |file| path(*file)), 1, format!("{say}: {}", graph.text(circle)))
    };
    let folders = |circle: &Vec<usize>| circle.iter().map(|file| folder(path(*file), &paths)).collect::<BTreeSet<_>>();
    let across = graph.circles(|_| true).into_iter().filter(|circle| folders(circle).len() > 1);
    let mut faults: Vec<Fault> = across.map(|circle| fault(&circle, "a circle of files of several folders")).collect();
    let mut used: BTreeSet<usize> = BTreeSet::new();
    for circle in graph.circles(|file| !is_root(path(file), &paths)) {
        let is_listed = |files: &[&str]| circle.iter().all(|file| files.contains(&path(*file)));
        match reasons.iter().position(|(files, _)| is_listed(files)) {
            Some(row) => drop(used.insert(row)),
            None => faults.push(fault(&circle, "a circle of files without a reason")),
        }
    }
    let unused = reasons.iter().enumerate().filter(|(row, _)| !used.contains(row));
    faults.extend(unused.map(|(_, (files, _))| {
        Fault::new("tests/it/tidy.rs", 1, format!("there is no circle of {} any more", files.join(", ")))
    }));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)], reasons: &[Reason]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        judge(&sources, reasons).into_iter().map(|f| f.say).collect()
    }

    #[test]
    fn a_circle_over_folders_is_found_with_its_path() {
        let files = [
            ("src/a/one.rs", "use crate::b::two::Two;"),
            ("src/a/mod.rs", "mod one;"),
            ("src/b/two.rs", "pub struct Two(crate::c::Three);"),
            ("src/b/mod.rs", "pub mod two;"),
            ("src/c.rs", "use crate::a::one::One;"),
        ];
        let say = "a circle of files of several folders: src/a/one.rs → src/b/two.rs → src/c.rs → src/a/one.rs";
        let found = said(&files, &[]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|f| f.contains("several folders")), "{found:?} instead of {say}");
    }

    #[test]
    fn a_circle_through_the_root_of_a_folder_needs_no_reason_and_another_one_does() {
        let root = [("src/a/mod.rs", "mod one; use one::One;"), ("src/a/one.rs", "use super::Root;")];
        assert_eq!(said(&root, &[]), [] as [&str; 0]);
        let pair = [("src/a/one.rs", "use super::two::Two;"), ("src/a/two.rs", "use super::one::One;")];
        assert_eq!(said(&pair, &[]).len(), 1);
        let reason: Reason = (&["src/a/one.rs", "src/a/two.rs"], "they read each other");
        assert_eq!(said(&pair, &[reason]), [] as [&str; 0]);
        assert_eq!(said(&pair[..1], &[reason]).len(), 1, "a reason without a circle is a fault");
    }

    #[test]
    fn visibilities_and_tests_are_no_dependencies() {
        let files = [
            ("src/a/one.rs", "pub(in crate::b) fn f() {} #[cfg(test)] mod tests { use crate::b::B; }"),
            ("src/b.rs", "use crate::a::one::f;"),
        ];
        assert_eq!(said(&files, &[]), [] as [&str; 0]);
    }
}
