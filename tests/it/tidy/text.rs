//! Checks of a file as text: its first line, its size, forbidden words, undeclared modules.

use super::rust;
use super::{Fault, Source};

/// The largest number of lines of a file.
pub const FILE_LINES: usize = 600;
/// The largest number of lines of a function.
pub const FUNCTION_LINES: usize = 70;

/// The fault of a file whose first line does not describe it.
pub fn judge_header(source: &Source) -> Option<Fault> {
    let says = source.text.starts_with("//! ") || source.text.starts_with("#![doc = include_str!");
    (!says).then(|| Fault::new(&source.path, 1, "the first line says after `//! ` what the file holds"))
}

/// Faults of files and functions that are too long to read at once.
pub fn judge_size(source: &Source) -> Vec<Fault> {
    let lines = source.text.lines().count();
    let file = (lines > FILE_LINES).then(|| {
        Fault::new(&source.path, lines, format!("the file has {lines} lines; at most {FILE_LINES}, split it"))
    });
    let tokens = rust::tokens(&source.text);
    let functions = rust::functions(&tokens).into_iter().filter(|f| f.length > FUNCTION_LINES).map(|f| {
        let say = format!("`{}` has {} lines; at most {FUNCTION_LINES}, split it", f.name, f.length);
        Fault::new(&source.path, f.line, say)
    });
    file.into_iter().chain(functions).collect()
}

/// Words that mark unfinished work, in comments and code (in two halves, so that this line is not found).
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Macros that mark unfinished work.
const UNFINISHED_MACROS: &[&str] = &["dbg", "todo", "unimplemented"];

/// Faults of a file with marks of unfinished work.
pub fn judge_finished(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|w| UNFINISHED.contains(w)) {
            faults.push(Fault::new(&source.path, index + 1, format!("`{word}`: finish it, or take it out")));
        }
    }
    for pair in rust::tokens(&source.text).windows(2) {
        if UNFINISHED_MACROS.contains(&pair[0].text) && pair[1].text == "!" {
            faults.push(Fault::new(
                &source.path,
                pair[0].line,
                format!("`{}!`: finish it, or take it out", pair[0].text),
            ));
        }
    }
    faults
}

/// The usual names of variables that hold the text of an error or message.
const MESSAGES: &[&str] = &["to_string()", "message", "message()", "why", "error", "err", "stderr", "reason"];

/// The part of a file before its tests.
fn code(source: &Source) -> &str {
    if source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
        return "";
    }
    source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// Faults of code that decides by the text of an error: the text is for people and may change. Code must use the kind.
pub fn judge_words(source: &Source) -> Vec<Fault> {
    let code = code(source);
    let questions = [".contains(\"", ".starts_with(\"", ".ends_with(\"", " == \"", " != \""];
    let mut faults = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let asks = |end: usize| {
            let before = &line[..end];
            let of = |name: &&str| {
                let rest = before.strip_suffix(*name);
                rest.is_some_and(|r| !r.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            };
            MESSAGES.iter().any(of)
        };
        if questions.iter().any(|q| line.match_indices(q).any(|(at, _)| asks(at))) {
            faults.push(Fault::new(
                &source.path,
                index + 1,
                "asks for the words of a message; tell errors by their kind",
            ));
        }
    }
    faults
}

/// Files that may start threads: the supervisor, and code whose threads end with their caller.
const STARTERS: &[&str] =
    &["src/supervisor.rs", "src/hook/alarm.rs", "src/deliver/webhook/post.rs", "src/cli/delivery/watch.rs"];

/// Faults of code that starts a thread whose panic would go unnoticed.
pub fn judge_threads(source: &Source) -> Vec<Fault> {
    if STARTERS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let code = code(source);
    let starts = |line: &str| line.contains("thread::spawn(") || line.contains("thread::Builder");
    let found = code.lines().enumerate().filter(|(_, line)| starts(line));
    found
        .map(|(n, _)| Fault::new(&source.path, n + 1, "starts a thread; `Supervisor::spawn` notices its panic"))
        .collect()
}

/// Faults of a file that names a folder of the machine it was written on.
pub fn judge_host_paths(source: &Source, folders: &[&str]) -> Vec<Fault> {
    let goes_on = |c: char| c.is_alphanumeric() || "._-~*})>".contains(c);
    let mut faults = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for folder in folders {
            // `https://host/work/x` and `../work/x` are not such folders: there the path began earlier.
            let begins = |(at, _): (usize, &str)| !line[..at].ends_with(goes_on);
            if line.match_indices(folder).any(begins) {
                let say = format!("names `{folder}`, a folder of the machine it was written on");
                faults.push(Fault::new(&source.path, index + 1, say));
            }
        }
    }
    faults
}

/// Faults of files that no `mod` line reaches, so that they are never compiled.
pub fn judge_declared(sources: &[Source]) -> Vec<Fault> {
    let declares = |parent: &str, name: &str| {
        let parent = sources.iter().find(|s| s.path == parent);
        parent.is_some_and(|p| rust::declared(&rust::tokens(&p.text)).contains(&name))
    };
    let mut faults = Vec::new();
    for source in sources {
        let Some((name, parents)) = parents(&source.path) else { continue };
        if !parents.iter().any(|parent| declares(parent, name)) {
            let say = format!("no `mod {name};` in {}: nothing compiles this file", parents.join(" or "));
            faults.push(Fault::new(&source.path, 1, say));
        }
    }
    faults
}

/// The module's name and the files that may declare it; `None` for the root of a crate.
fn parents(path: &str) -> Option<(&str, Vec<String>)> {
    if ["src/lib.rs", "src/main.rs", "tests/it/main.rs"].contains(&path) {
        return None;
    }
    let stem = path.strip_suffix(".rs")?;
    let (folder, name) = stem.strip_suffix("/mod").unwrap_or(stem).rsplit_once('/')?;
    let parents = match folder {
        "src" => vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()],
        "tests/it" => vec!["tests/it/main.rs".to_owned()],
        _ => vec![format!("{folder}.rs"), format!("{folder}/mod.rs")],
    };
    Some((name, parents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/a.rs", text)
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(judge_header(&source("//! Names.\n")), None);
        assert!(judge_header(&source("use std::fmt;\n")).is_some());
    }

    #[test]
    fn sizes_have_a_limit() {
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
        assert_eq!(judge_size(&source(&function(FUNCTION_LINES))), []);
        let long = judge_size(&source(&function(FUNCTION_LINES + 1)));
        assert_eq!(long, [Fault::new("src/a.rs", 1, "`f` has 71 lines; at most 70, split it")]);
        assert_eq!(judge_size(&source(&"\n".repeat(FILE_LINES))), []);
        assert_eq!(judge_size(&source(&"\n".repeat(FILE_LINES + 1))).len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_in_comments_and_code() {
        let text = format!("// {}: later\nfn f() {{ {}!() }}\nlet dbg = 1; // xxx mastodon", UNFINISHED[0], "todo");
        assert_eq!(judge_finished(&source(&text)).iter().map(|f| f.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn decisions_by_words_and_unwatched_threads_are_found() {
        let lines = "if e.to_string().contains(\"pipe\") {}\nif e.message == \"no\" {}\nlet x = my_error == \"no\";\n\
                     if name.contains(\"why\") {}\n#[cfg(test)]\nmod tests { why.contains(\"x\") }";
        let found: Vec<String> = judge_words(&source(lines)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(judge_threads(&source("std::thread::spawn(f);\nscope.spawn(f);")).len(), 1);
    }

    #[test]
    fn folders_of_this_machine_are_found_where_a_path_begins() {
        let judge = |text| judge_host_paths(&source(text), &["/here/"]).len();
        assert_eq!(judge("see /here/main.rs"), 1);
        assert_eq!(judge("file:///here/main.rs"), 1);
        assert_eq!(judge("https://a.b/here/ ../here/ {dir}/here/"), 0);
    }

    #[test]
    fn a_forgotten_file_is_found() {
        let file = |path, text| Source::new(path, text);
        let mut all = vec![
            file("src/lib.rs", "mod a;"),
            file("src/a/mod.rs", "mod b;"),
            file("src/a/b.rs", ""),
            file("tests/it/main.rs", "mod race;"),
            file("tests/it/race.rs", "mod part;"),
            file("tests/it/race/part.rs", ""),
        ];
        assert_eq!(judge_declared(&all), []);
        all.push(file("src/a/c.rs", ""));
        all.push(file("tests/it/kill.rs", ""));
        let found: Vec<_> = judge_declared(&all).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["src/a/c.rs", "tests/it/kill.rs"]);
    }
}
