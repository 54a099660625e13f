//! The `.gitattributes` of a registry: which model files are Git LFS pointers, and which are plain git blobs.
//!
//! The registry's own `.gitattributes` hands all files under `artifacts/` to Git LFS, except names of usually small
//! text files ([`INLINE`]). A file with such a name can still be a pointer, because it is too large or not text. It
//! gets a line in the `.gitattributes` of its version: `artifacts/data/big.json filter=lfs diff=lfs merge=lfs -text`.

/// Names of model files that are stored as plain git blobs if they are small texts; all other files become pointers.
pub const INLINE: [&str; 10] =
    ["MLmodel", "*.yaml", "*.yml", "*.json", "*.txt", "*.md", "*.toml", "*.cfg", "*.ini", "*.py"];

/// The attributes that hand a file to Git LFS.
const LFS: &str = "filter=lfs diff=lfs merge=lfs -text";

/// The folders of model files in the two layouts. Each `*` is one folder, so the name of a model never matches by
/// chance.
const FOLDERS: [&str; 2] = ["models/*/versions/*/artifacts", "models/*/*/versions/*/*/artifacts"];

/// Attributes that stop a user's own git settings from converting a file or running a program on it.
const AS_IT_IS: &str = "-ident !eol !filter !working-tree-encoding";

/// Attributes of text files that people edit: line feeds in git and in the work tree, whatever an editor writes.
const TEXT: &str = "text eol=lf -ident !filter !working-tree-encoding";

/// Files of the registry that people edit or git reads.
const TEXTS: [&str; 5] = ["*.toml", ".greenroom/**", ".gitattributes", ".lfsconfig", ".mailmap"];

/// Returns the text of the registry's own `.gitattributes`.
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

/// Returns whether a model file may be a plain git blob, by its name alone.
pub fn may_be_inline(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    INLINE.iter().any(|pattern| matches(pattern, name))
}

/// Returns the `.gitattributes` of a version whose files at `stored` are Git LFS pointers. Paths are relative to
/// `artifacts/`. Returns `None` if no file needs a line.
///
/// Where git ignores case, `README.MD` also counts as a small text, so such names get a line too.
pub fn version<'p>(stored: impl IntoIterator<Item = &'p str>) -> Option<String> {
    let needs_line = |path: &&str| may_be_inline(path) || in_any_case(path);
    let lines: String = stored
        .into_iter()
        .filter(needs_line)
        .map(|p| format!("{} {LFS}\n", pattern(&format!("artifacts/{p}"))))
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// Returns whether a text is a version's `.gitattributes` as [`version`] writes it: every line hands a model file to
/// Git LFS, and there is no other line.
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

/// Returns a pattern that matches one path alone: git's wildcards are escaped, white space is quoted.
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
