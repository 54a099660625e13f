//! What git is told of the registry's files: which files of models are Git LFS pointers, and which are themselves.
//!
//! The registry's own `.gitattributes` gives all files under `artifacts/` to Git LFS but for names that promise small
//! text ([`INLINE`]). A file with such a name that is a pointer nevertheless, as it is too large or no text, gets a
//! line in a `.gitattributes` of its version: `artifacts/data/big.json filter=lfs diff=lfs merge=lfs -text`.

/// Names of model files that are committed as themselves when they are small texts; all others become pointers.
pub const INLINE: [&str; 10] =
    ["MLmodel", "*.yaml", "*.yml", "*.json", "*.txt", "*.md", "*.toml", "*.cfg", "*.ini", "*.py"];

/// What makes a file Git LFS's.
const LFS: &str = "filter=lfs diff=lfs merge=lfs -text";

/// The folders of model files in the two layouts. Each `*` is one folder, so that no name of a model is taken for one.
const FOLDERS: [&str; 2] = ["models/*/versions/*/artifacts", "models/*/*/versions/*/*/artifacts"];

/// What switches off that a user's own settings convert a file or run a program on it.
const AS_IT_IS: &str = "-ident !eol !filter !working-tree-encoding";

/// What a file of text gets that people edit: line feeds in git and in the work tree, whatever an editor writes.
const TEXT: &str = "text eol=lf -ident !filter !working-tree-encoding";

/// Files of the registry that people or editors read.
const TEXTS: [&str; 5] = ["*.toml", ".greenroom/**", ".gitattributes", ".lfsconfig", ".mailmap"];

/// The registry's own `.gitattributes`.
pub fn registry() -> String {
    let mut out = "# Written by `greenroom init`. A user's own settings change no file, texts have line feeds everywhere, and the\n\
                   # files of models are Git LFS's, small texts aside.\n"
        .to_owned();
    out.push_str(&format!("models/** -text {AS_IT_IS}\n"));
    for pattern in TEXTS {
        out.push_str(&format!("{pattern} {TEXT}\n"));
    }
    for folder in FOLDERS {
        out.push_str(&format!("{folder}/** {LFS} !eol\n"));
    }
    for folder in FOLDERS {
        for pattern in INLINE {
            out.push_str(&format!("{folder}/**/{pattern} !filter !diff !merge -text !eol\n"));
        }
    }
    out
}

/// Whether a file of a model may be committed as itself, by its path alone.
pub fn may_be_inline(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    INLINE.iter().any(|pattern| matches(pattern, name))
}

/// The `.gitattributes` of a version whose files at `stored` (paths in the model folder) are pointers; none if no
/// file needs a line of its own.
///
/// Where git ignores case, `README.MD` is taken for a small text too, so such names get a line as well.
pub fn version<'p>(stored: impl IntoIterator<Item = &'p str>) -> Option<String> {
    let needs_line = |path: &&str| may_be_inline(path) || in_any_case(path);
    let lines: String = stored
        .into_iter()
        .filter(needs_line)
        .map(|p| format!("{} {LFS}\n", pattern(&format!("artifacts/{p}"))))
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// Whether a text is a version's `.gitattributes` as [`version`] writes it: it says nothing but that files of the
/// model are Git LFS's.
pub fn is_of_version(text: &str) -> bool {
    let is_ours = |line: &str| {
        let file = line.strip_suffix(LFS).and_then(|l| l.strip_suffix(' '));
        file.is_some_and(|f| {
            let quoted = f.strip_prefix('"').and_then(|f| f.strip_suffix('"'));
            quoted.unwrap_or(f).starts_with("artifacts/") && (quoted.is_some() || !f.contains(char::is_whitespace))
        })
    };
    text.ends_with('\n') && text.lines().all(is_ours)
}

fn in_any_case(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    INLINE.iter().any(|pattern| matches(&pattern.to_lowercase(), &name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == pattern,
    }
}

/// A path as a pattern that matches it alone: what git takes for wildcards is escaped, white space is quoted.
fn pattern(path: &str) -> String {
    let mut out = String::new();
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    if !out.contains(char::is_whitespace) {
        return out;
    }
    format!("\"{}\"", out.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whether_a_file_may_be_itself() {
        for yes in ["MLmodel", "sub/MLmodel", "conda.yaml", "a/b/x.json", ".json", "requirements.txt"] {
            assert!(may_be_inline(yes), "{yes}");
        }
        for no in ["MLmodel.bak", "model.pkl", "README", "x.JSON", "a.json/model.bin"] {
            assert!(!may_be_inline(no), "{no}");
        }
    }

    #[test]
    fn only_pointers_that_look_like_text_get_a_line() {
        assert_eq!(version(["model.pkl", "data/weights.bin"]), None);
        assert_eq!(
            version(["model.pkl", "data/big.json", "README.MD"]).as_deref(),
            Some(
                "artifacts/data/big.json filter=lfs diff=lfs merge=lfs -text\n\
                 artifacts/README.MD filter=lfs diff=lfs merge=lfs -text\n"
            )
        );
    }

    #[test]
    fn odd_names_match_themselves_alone() {
        assert_eq!(pattern("artifacts/a[1]*.json"), r"artifacts/a\[1]\*.json");
        assert_eq!(pattern("artifacts/a b.json"), "\"artifacts/a b.json\"");
        assert_eq!(pattern("artifacts/a \"b\"?.json"), r#""artifacts/a \"b\"\\?.json""#);
    }

    #[test]
    fn nothing_else_may_be_said_of_a_version() {
        let ours = version(["big.json", "my notes.txt", "a[1].md"]).unwrap_or_default();
        assert!(is_of_version(&ours), "{ours}");
        for bad in [
            "* filter=lfs diff=lfs merge=lfs -text\n",
            "artifacts/x.json filter=evil\n",
            "artifacts/x.json text filter=lfs diff=lfs merge=lfs -text\n",
            "version.toml filter=lfs diff=lfs merge=lfs -text\n",
            "[attr]x filter\n",
            "artifacts/x.json filter=lfs diff=lfs merge=lfs -text",
            "",
        ] {
            assert!(!is_of_version(bad), "{bad:?}");
        }
    }
}
