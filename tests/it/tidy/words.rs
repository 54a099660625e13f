//! Words that no text of the program, the documentation or the sources uses: CONTRIBUTING.md says what to write instead.

use super::{Fault, Source};

/// The words and phrases, in lower case. Each is looked for as whole words, in code, comments and pages alike.
const FORBIDDEN: &[&str] = &[
    "approval(s)",
    "commit(s)",
    "file(s)",
    "goes to who",
    "happening",
    "he has",
    "he may",
    "is nobody",
    "it is so already",
    "so many entries",
    "somebody",
    "the newest so many",
    "told of",
    "version(s)",
    "where nobody",
    "who lands",
    "who puts it on the branch",
    "whoever",
    "whose word",
];

/// The page with the glossary names the words.
const GLOSSARY: &str = "CONTRIBUTING.md";

/// Faults of a text that uses a forbidden word.
pub fn judge(source: &Source) -> Vec<Fault> {
    let is_page = source.path.ends_with(".md") && source.path != GLOSSARY && !source.path.starts_with("tests/");
    if !(is_page || source.path.starts_with("src/")) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = line.to_lowercase();
        for word in FORBIDDEN.iter().filter(|word| has(&line, word)) {
            let say = format!("`{word}`: write it in the words of the glossary in {GLOSSARY}");
            faults.push(Fault::new(&source.path, index + 1, say));
        }
    }
    faults
}

/// Whether a line has a phrase that begins and ends at the bounds of words.
fn has(line: &str, phrase: &str) -> bool {
    let is_inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + phrase.len()..].chars().next());
        !is_inner(before) && !is_inner(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found_in_sources_and_pages() {
        let found = |path: &str, text: &str| judge(&Source::new(path, text)).len();
        assert_eq!(found("src/a.rs", "/// Whoever asks is Somebody."), 2);
        assert_eq!(found("README.md", "2 approval(s)"), 1);
        assert_eq!(found("src/a.rs", "the manifesto told office"), 0);
        assert_eq!(found("tests/it/a.rs", "whoever"), 0);
        assert_eq!(found(GLOSSARY, "whoever"), 0);
    }
}
