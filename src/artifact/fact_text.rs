//! Texts of a model folder as facts: read within limits, made fit for `version.toml`.

use crate::text::{Text, one_line};

/// The longest recorded text, in bytes; longer texts are truncated.
pub(super) const MAX_FACT: usize = 4096;

/// The largest recorded schema or environment, in bytes of text: `version.toml` must stay small.
pub(super) const MAX_PART: usize = 96 * 1024;

/// A function that reads a file of the model folder by path, with a size limit in bytes. Returns `None` if the file
/// does not exist, and else an error of one line.
pub type FileReader<'r> = &'r dyn Fn(&str, u64) -> Result<Option<Vec<u8>>, String>;

/// Converts text from a model folder for storage: one line, escaped. Truncated text ends in `…`.
pub(super) fn text(s: &str) -> Text {
    let shown = one_line(s);
    let cut = if shown.len() <= MAX_FACT {
        shown
    } else {
        let end = shown.floor_char_boundary(MAX_FACT);
        format!("{}…", shown.get(..end).unwrap_or_default()).into()
    };
    Text::new(&cut).unwrap_or_default()
}

/// Whether a part is small enough to be recorded; notes a part that is not.
pub(super) fn small(what: &str, bytes: usize, notes: &mut Vec<String>) -> bool {
    if bytes > MAX_PART {
        notes.push(format!(
            "{what} has {bytes} bytes of text, at most {MAX_PART} are recorded; all of it is in the model's own files"
        ));
    }
    bytes <= MAX_PART
}
