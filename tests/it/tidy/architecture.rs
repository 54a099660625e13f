//! `ARCHITECTURE.md` names files and functions that exist.

use std::fs;
use std::path::Path;

/// A file that the page names, with the functions that it names after it.
struct Mention<'t> {
    file: &'t str,
    functions: Vec<&'t str>,
}

/// The words in backticks, in order: a path begins a mention, and names of functions right behind it belong to it.
fn mentions(text: &str) -> Vec<Mention<'_>> {
    let mut out: Vec<Mention<'_>> = Vec::new();
    let mut rest = text;
    let mut is_behind_path = false;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((word, tail)) = after.split_once('`') else { break };
        let is_path = (word.starts_with("src/") || word.starts_with("tests/")) && !word.contains("NAME");
        let is_function = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_path {
            out.push(Mention { file: word, functions: Vec::new() });
        } else if is_function && is_behind_path && before.trim().is_empty() {
            out.last_mut().expect("a path came before").functions.push(word);
        }
        is_behind_path = is_path;
        rest = tail;
    }
    out
}

/// What is wrong with a page: files that are not there, functions that their file does not define.
fn faults(text: &str, root: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for Mention { file, functions } in mentions(text) {
        let path = root.join(file);
        if !path.exists() {
            out.push(format!("{file} does not exist"));
            continue;
        }
        // A folder defines no function.
        let source = fs::read_to_string(path).unwrap_or_default();
        for function in functions {
            if !source.contains(&format!("fn {function}(")) && !source.contains(&format!("fn {function}<")) {
                out.push(format!("{file} has no function {function}"));
            }
        }
    }
    out
}

#[test]
fn the_architecture_page_names_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it is there");
    let journeys: usize = mentions(&page).iter().map(|m| m.functions.len()).sum();
    assert!(journeys > 20, "the page names {journeys} functions");
    assert_eq!(faults(&page, root), Vec::<String>::new());
}

#[test]
fn a_name_that_does_not_exist_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(
        faults("see `src/none.rs` and `src/main.rs` `begin`, then `main`", root),
        ["src/none.rs does not exist", "src/main.rs has no function begin",]
    );
    assert!(faults("`src/main.rs` `main`", root).is_empty());
}
