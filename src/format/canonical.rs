//! The canonical form of a file that people wrote: the program's order and spacing, with the comments and the
//! spelled-out defaults of the file.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::{EntityFile, Problem, parse_strict, print};

/// Returns the canonical form of a file.
///
/// Comments stay where they are, above their key or behind their value. A comment without a place in the canonical form
/// goes to the top of the file. Keys that only repeat the default stay too.
///
/// # Errors
/// All faults of the file, if it has any: a file that cannot be read with certainty is not rewritten.
pub fn canonical<T: EntityFile>(path: &str, text: &str) -> Result<String, Vec<Problem>> {
    let (value, problems) = parse_strict::<T>(path, text.as_bytes());
    let Some(value) = value.filter(|_| problems.is_empty()) else { return Err(problems) };
    let unreadable = |e: toml_edit::TomlError| vec![Problem::of_file(path, "toml", e.message().to_owned())];
    let old: DocumentMut = text.parse().map_err(unreadable)?;
    let mut new: DocumentMut = print(&value).parse().map_err(unreadable)?;
    dress(new.as_table_mut(), old.as_table());
    new.set_trailing(comments(old.trailing().as_str()));
    let dressed = finish(&new.to_string(), text);
    // If a comment changed the meaning of the result, keep the file as it is.
    match parse_strict::<T>(path, dressed.as_bytes()) {
        (Some(again), problems) if again == value && problems.is_empty() => Ok(dressed),
        _ => Ok(text.to_owned()),
    }
}

/// Copies comments, and keys that repeat the default, from the table that was read to the printed one.
fn dress(new: &mut Table, old: &dyn TableLike) {
    let mut before: Option<String> = None;
    let mut spelled: Vec<(Option<String>, String, Item)> = Vec::new();
    for (key, item) in old.iter() {
        if new.contains_key(key) {
            before = Some(key.to_owned());
        } else if item.is_value() {
            spelled.push((before.replace(key.to_owned()), key.to_owned(), item.clone()));
        }
    }
    for (after, key, item) in spelled {
        insert(new, after.as_deref(), &key, item);
    }
    let keys: Vec<String> = new.iter().map(|(k, _)| k.to_owned()).collect();
    for key in keys {
        let Some((old_key, old_item)) = old.get_key_value(&key) else { continue };
        let said = |decor: &toml_edit::Decor| comments(decor.prefix().and_then(|p| p.as_str()));
        let mut above = said(old_key.leaf_decor());
        if let Item::Table(table) = old_item {
            above.push_str(&said(table.decor()));
        }
        let Some((mut new_key, new_item)) = new.get_key_value_mut(&key) else { continue };
        match new_item {
            Item::Table(table) => {
                if let Some(old) = old_item.as_table_like() {
                    dress(table, old);
                }
                let behind = match old_item {
                    Item::Table(old) => comments(old.decor().suffix().and_then(|s| s.as_str())),
                    Item::None | Item::Value(_) | Item::ArrayOfTables(_) => String::new(),
                };
                if !above.is_empty() || !behind.is_empty() {
                    table.set_implicit(false);
                    table.decor_mut().set_prefix(format!("\n{above}"));
                    table.decor_mut().set_suffix(behind_of(&behind));
                }
            }
            Item::ArrayOfTables(tables) => {
                if let Item::ArrayOfTables(old) = old_item {
                    dress_blocks(tables, old);
                }
            }
            Item::Value(value) => {
                new_key.leaf_decor_mut().set_prefix(above);
                if let Item::Value(old) = old_item {
                    dress_value(value, old);
                }
            }
            Item::None => {}
        }
    }
}

/// Inserts a key after another one, or first.
fn insert(table: &mut Table, after: Option<&str>, key: &str, mut item: Item) {
    if let Item::Value(value) = &mut item {
        value.decor_mut().set_prefix(" ");
    }
    let names: Vec<String> = table.iter().map(|(k, _)| k.to_owned()).collect();
    let at = after.and_then(|a| names.iter().position(|n| n == a)).map_or(0, |i| i + 1);
    table.insert(key, item);
    let order = |name: &str| match names.iter().position(|n| n == name) {
        Some(i) if i < at => (i, 0),
        Some(i) => (i, 1),
        None => (at, 0),
    };
    table.sort_values_by(|a, _, b, _| order(a.get()).cmp(&order(b.get())));
}

fn dress_blocks(new: &mut ArrayOfTables, old: &ArrayOfTables) {
    for (new, old) in new.iter_mut().zip(old.iter()) {
        let above = comments(old.decor().prefix().and_then(|p| p.as_str()));
        dress(new, old);
        if !above.is_empty() {
            new.decor_mut().set_prefix(format!("\n{above}"));
        }
        let behind = comments(old.decor().suffix().and_then(|s| s.as_str()));
        new.decor_mut().set_suffix(behind_of(&behind));
    }
}

fn dress_value(new: &mut Value, old: &Value) {
    if let (Value::Array(new), Value::Array(old)) = (&mut *new, old) {
        dress_array(new, old);
    }
    let behind = comments(old.decor().suffix().and_then(|s| s.as_str()));
    new.decor_mut().set_prefix(" ");
    new.decor_mut().set_suffix(behind_of(&behind));
}

/// Copies the comments of array elements, each above its element. A comment behind an element belongs to that element.
fn dress_array(new: &mut Array, old: &Array) {
    let mut said: Vec<(String, String)> = Vec::new();
    let mut rest = String::new();
    for value in old.iter() {
        let prefix = value.decor().prefix().and_then(|p| p.as_str()).unwrap_or_default();
        let (behind, above) = behind_and_below(prefix);
        give(&mut said, behind);
        said.push((plain(value), std::mem::take(&mut rest) + &above));
        // Without a trailing comma, the text after the last element is the suffix of that element.
        let suffix = value.decor().suffix().and_then(|s| s.as_str()).unwrap_or_default();
        let (behind, below) = behind_and_below(suffix);
        give(&mut said, behind);
        rest = below;
    }
    let (behind, below) = behind_and_below(old.trailing().as_str().unwrap_or_default());
    give(&mut said, behind);
    rest.push_str(&below);
    if said.iter().all(|(_, c)| c.is_empty()) && rest.is_empty() {
        return;
    }
    for value in new.iter_mut() {
        let meant = plain(value);
        let found = said.iter().position(|(v, _)| *v == meant).map(|i| said.remove(i).1).unwrap_or_default();
        let lines: String = found.lines().map(|l| format!("\n    {l}")).collect();
        value.decor_mut().set_prefix(format!("{lines}\n    "));
    }
    let lines: String = rest.lines().map(|l| format!("\n    {l}")).collect();
    new.set_trailing(format!("{lines}\n"));
    new.set_trailing_comma(!new.is_empty());
}

/// Adds a comment to the last element.
fn give(said: &mut [(String, String)], comment: &str) {
    if let Some((_, all)) = said.last_mut() {
        all.push_str(comment);
    }
}

/// Returns the comment in the rest of a line, and the comments in the lines below it.
fn behind_and_below(space: &str) -> (&str, String) {
    let end = space.find('\n').map_or(space.len(), |i| i + 1);
    let (line, below) = space.split_at(end);
    let line = line.trim_start();
    (if line.starts_with('#') { line } else { "" }, comments(Some(below)))
}

/// Returns the comments in the space between two items, each on a line of its own.
fn comments(space: Option<&str>) -> String {
    let lines = space.unwrap_or_default().lines().map(str::trim).filter(|l| l.starts_with('#'));
    lines.map(|l| format!("{l}\n")).collect()
}

/// Returns comments joined into one, to stand behind a value on its line.
fn behind_of(comments: &str) -> String {
    let lines: Vec<&str> = comments.lines().collect();
    if lines.is_empty() { String::new() } else { format!(" {}", lines.join(" ")) }
}

/// Puts comments that have no other place at the top, and ends the file with one line feed.
fn finish(dressed: &str, old: &str) -> String {
    let count = |text: &str, comment: &str| comments_of(text).iter().filter(|c| *c == comment).count();
    let mut lost: Vec<String> = Vec::new();
    for comment in comments_of(old) {
        let there = count(dressed, &comment) + lost.iter().filter(|l| **l == comment).count();
        if there < count(old, &comment) {
            lost.push(comment);
        }
    }
    let top: String = lost.iter().map(|l| format!("{l}\n")).collect();
    let body = dressed.trim_matches('\n');
    if body.is_empty() { top } else { format!("{top}{body}\n") }
}

/// Returns the comments of a text. A `#` within a string starts no comment.
fn comments_of(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '#' => {
                let end = rest.find('\n').unwrap_or(rest.len());
                out.extend(rest.get(..end).map(|s| s.trim_end().to_owned()));
                end
            }
            '"' | '\'' => string_len(rest, c),
            _ => c.len_utf8(),
        };
        rest = rest.get(skip.max(1)..).unwrap_or_default();
    }
    out
}

/// Returns the length of the string at the start of a text, in bytes.
fn string_len(text: &str, quote: char) -> usize {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let fence = if text.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = fence.len();
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        if rest.starts_with(&fence) {
            // Up to two more quotes may belong to the end of a long string.
            let more = if fence.len() == 3 {
                rest.bytes().skip(3).take(2).take_while(|b| char::from(*b) == quote).count()
            } else {
                0
            };
            return at + fence.len() + more;
        }
        let escape = quote == '"' && rest.starts_with('\\');
        at += rest.chars().take(if escape { 2 } else { 1 }).map(char::len_utf8).sum::<usize>();
    }
    text.len()
}

/// Returns the meaning of a value as text, without comments and spacing.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => format!("{:?}", s.value()),
        Value::Integer(i) => i.value().to_string(),
        Value::Float(f) => format!("{:?}", f.value()),
        Value::Boolean(b) => b.value().to_string(),
        Value::Datetime(d) => d.value().to_string(),
        Value::Array(a) => format!("[{}]", a.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::InlineTable(t) => {
            let mut fields: Vec<String> = t.iter().map(|(k, v)| format!("{k:?}={}", plain(v))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{Access, Settings, StagePointer};

    const HEAD: &str = "id = \"0198c0de-0000-7000-8000-000000000001\"\nname = \"r\"\nformat = 1\n";

    #[track_caller]
    fn becomes<T: EntityFile>(text: &str, wanted: &str) {
        let once = canonical::<T>("f", text).unwrap();
        assert_eq!(once, wanted);
        assert_eq!(canonical::<T>("f", &once).unwrap(), once, "a second time");
    }

    #[test]
    fn order_and_spacing_change_and_comments_stay() {
        becomes::<Settings>(
            "# Ours\n\n  name='r'   # the name\nformat=1\nid = \"0198c0de-0000-7000-8000-000000000001\"\n\n\n\n# Production is careful.\n[stages.Production]\n# two of us\napprovals=2\n  exclusive = false # as before\n# the end\n",
            "id = \"0198c0de-0000-7000-8000-000000000001\"\n# Ours\nname = \"r\" # the name\nformat = 1\n\n# Production is careful.\n[stages.Production]\n# two of us\napprovals = 2\nexclusive = false # as before\n# the end\n",
        );
    }

    #[test]
    fn lists_are_laid_out_and_keep_the_comments_of_their_elements() {
        becomes::<StagePointer>(
            "versions = [1,2, # b\n 3 # c\n # end\n]\n",
            "versions = [\n    1,\n    # b\n    2,\n    # c\n    3,\n    # end\n]\n",
        );
        becomes::<StagePointer>("versions = [2, # two\n 1]\n", "versions = [\n    1,\n    # two\n    2,\n]\n");
        becomes::<StagePointer>("versions = [ # one\n1]\n", "# one\nversions = [1]\n");
        becomes::<Access>(
            "grants = [{level = 'CAN_READ', to='bob'}] # all\n",
            "grants = [{ to = \"bob\", level = \"CAN_READ\" }] # all\n",
        );
    }

    #[test]
    fn a_header_with_a_comment_stays() {
        let text = format!("{HEAD}\n# all of them\n[stages] # here\n\n[stages.Production]\napprovals = 1\n");
        becomes::<Settings>(&text, &text);
    }

    #[test]
    fn a_comment_without_a_place_goes_to_the_top() {
        becomes::<Access>("# only a comment\n", "# only a comment\n");
        assert_eq!(finish("a = 1 # x\n", "a = 1 # x\n# y\n# x\n"), "# x\n# y\na = 1 # x\n");
    }

    #[test]
    fn what_has_faults_is_not_rewritten() {
        let faults = canonical::<Settings>("f", &format!("{HEAD}other = 1\n")).unwrap_err();
        assert_eq!(faults.first().map(|p| p.rule), Some("unknown-key"));
    }

    #[test]
    fn a_sign_in_a_string_is_no_comment() {
        assert_eq!(
            comments_of("a = \"# no \\\" # no\" # yes\nb = '#' # b\nc = \"\"\"\n# no\"\"\"\"\" # c"),
            ["# yes", "# b", "# c"]
        );
    }
}
