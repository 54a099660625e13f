//! The comments of a TOML text, found without parsing it, so that a text with faults hides no comment.

/// Returns the text of each comment, from behind its `#` to the end of the line, without spaces around it. Empty
/// comments are left out.
pub fn comments(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        let (_, from) = rest.split_at(at);
        rest = match from.strip_prefix('#') {
            Some(comment) => {
                let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
                out.extend(Some(line.trim().to_owned()).filter(|line| !line.is_empty()));
                after
            }
            None => behind_string(from),
        };
    }
    out
}

/// Returns the text behind the string at the start of `text`. A string without triple quotation marks must end on its
/// line; if it does not, it is taken to end there.
fn behind_string(text: &str) -> &str {
    for (mark, escapes, is_long) in
        [("\"\"\"", true, true), ("'''", false, true), ("\"", true, false), ("'", false, false)]
    {
        if let Some(inner) = text.strip_prefix(mark) {
            return behind(inner, mark, escapes, is_long);
        }
    }
    text
}

fn behind<'t>(inner: &'t str, mark: &str, escapes: bool, is_long: bool) -> &'t str {
    let mut rest = inner;
    loop {
        if let Some(after) = rest.strip_prefix(mark) {
            // Up to two quotation marks may stand before the three that end a long string.
            return if is_long { after.trim_start_matches(mark.get(..1).unwrap_or_default()) } else { after };
        }
        let mut chars = rest.chars();
        match chars.next() {
            None => return "",
            Some('\n') if !is_long => return rest,
            // A backslash at the end of a line continues long strings only.
            Some('\\') if escapes && (is_long || !chars.as_str().starts_with('\n')) => drop(chars.next()),
            Some(_) => {}
        }
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::comments;

    #[test]
    fn comments_are_told_from_strings() {
        let text = "# one\na = \"# no\" # two\nb = '# no \\' # three\nc = \"\"\"\n# no \\\"\"\"\n\"\"\"\"\" # four\n\
                    d = '''\n# no'''# five\ne = \"\\\"#\" #\n#six";
        assert_eq!(comments(text), ["one", "two", "three", "four", "five", "six"]);
    }

    #[test]
    fn a_text_with_faults_hides_no_comment() {
        assert_eq!(comments("a = \"no end\n# one\nb = 'nor here\n# two"), ["one", "two"]);
        assert_eq!(comments("a = \"no end \\\n# one"), Vec::<String>::from(["one".to_owned()]));
        assert_eq!(comments("\u{2603} = \"\u{2603}\" # \u{2603}"), ["\u{2603}"]);
    }
}
