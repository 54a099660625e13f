//! Python's notation of values: MLflow prints texts with `repr`, and evaluates lists as Python literals.

use std::fmt::Write as _;

use super::error::SearchError;

/// Writes a text as Python's `repr` does: in single quotes, or in double quotes if the text contains only single
/// quotes.
pub fn text(s: &str) -> String {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(s.len() + 2);
    out.push(quote);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if crate::text::is_plain(c) => out.push(c),
            c => {
                let code = c as u32;
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// Writes bytes as Python's `repr` does: `b'notjson'`.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    let mut out = format!("b{}", quote as char);
    for &b in bytes {
        match b {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b if b == quote => out.extend(['\\', b as char]),
            0x20..=0x7e => out.push(b as char),
            b => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push(quote as char);
    out
}

/// Writes a list of texts as Python's `repr` does.
pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|i| text(i)).collect::<Vec<_>>().join(", "))
}

/// Parses an integer as Python's `int` does: with white space around it, a sign, and single `_` between digits.
pub(super) fn int(text: &str) -> Option<i64> {
    let text = text.trim_matches(super::lex::is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let single = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if single { text.replace('_', "").parse().ok() } else { None }
}

/// The maximum nesting depth of parentheses in a list.
const MAX_DEPTH: usize = 32;

/// A value in a list.
enum Value {
    Text(String),
    /// A number, as written.
    Number(String),
    Tuple(Vec<Self>),
}

impl Value {
    fn repr(&self) -> String {
        match self {
            Self::Text(s) => text(s),
            Self::Number(n) => n.clone(),
            Self::Tuple(items) => tuple(items),
        }
    }
}

/// Writes a tuple as Python does: a comma follows a single item.
fn tuple(items: &[Value]) -> String {
    let inner = items.iter().map(Value::repr).collect::<Vec<_>>().join(", ");
    if items.len() == 1 { format!("({inner},)") } else { format!("({inner})") }
}

/// Parses a list of texts in parentheses as Python parses a tuple. Adjacent texts are joined, escapes are decoded, and
/// a trailing comma and additional outer parentheses are allowed.
pub(super) fn texts(source: &str) -> Result<Vec<String>, SearchError> {
    let mut reader = LiteralReader { rest: source };
    let value = reader.value(0).filter(|_| reader.rest.is_empty()).ok_or(SearchError::IllFormedList)?;
    let items = match value {
        Value::Tuple(items) => items,
        Value::Text(_) | Value::Number(_) => vec![value],
    };
    if items.is_empty() {
        return Err(SearchError::EmptyList);
    }
    let texts = items.iter().map(|v| if let Value::Text(s) = v { Some(s.clone()) } else { None });
    texts.collect::<Option<Vec<_>>>().ok_or_else(|| SearchError::ListType(tuple(&items)))
}

/// A parser of Python literals. Its methods return `None` if the source is not a list of texts and numbers.
struct LiteralReader<'a> {
    rest: &'a str,
}

impl LiteralReader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_space();
        let value = match self.rest.bytes().next()? {
            b'(' if depth < MAX_DEPTH => self.parenthesis(depth)?,
            b'\'' | b'"' => self.joined_texts()?,
            b'0'..=b'9' | b'-' | b'+' | b'.' => self.number()?,
            _ => return None,
        };
        self.skip_space();
        Some(value)
    }

    /// Parses parentheses. A single value without a comma stands for itself; anything else is a tuple.
    fn parenthesis(&mut self, depth: usize) -> Option<Value> {
        self.take('(');
        let mut items = Vec::new();
        let mut is_tuple = true;
        loop {
            self.skip_space();
            if self.take(')') {
                break;
            }
            if !is_tuple {
                return None;
            }
            items.push(self.value(depth + 1)?);
            is_tuple = self.take(',');
        }
        match items.pop() {
            Some(only) if !is_tuple && items.is_empty() => Some(only),
            Some(last) => {
                items.push(last);
                Some(Value::Tuple(items))
            }
            None => Some(Value::Tuple(items)),
        }
    }

    fn joined_texts(&mut self) -> Option<Value> {
        let mut out = String::new();
        while self.rest.starts_with(['\'', '"']) {
            self.one_text(&mut out)?;
            self.skip_space();
        }
        Some(Value::Text(out))
    }

    fn one_text(&mut self, out: &mut String) -> Option<()> {
        let quote = self.next()?;
        loop {
            match self.next()? {
                c if c == quote => return Some(()),
                '\n' | '\r' | '\0' => return None,
                '\\' => self.escape(out)?,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let c = self.next()?;
        let decoded = match c {
            '\n' => return Some(()),
            '\\' | '\'' | '"' => c,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            'N' => return None,
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let code = more_octal(c, self.rest.get(..more)?)?;
                self.rest = self.rest.get(more..)?;
                code
            }
            c => {
                out.push('\\');
                c
            }
        };
        out.push(decoded);
        Some(())
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let text = self.rest.get(..digits).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = self.rest.get(digits..)?;
        char::from_u32(u32::from_str_radix(text, 16).ok()?)
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_')));
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        text.parse::<f64>().ok()?;
        self.rest = rest;
        Some(Value::Number(text.to_owned()))
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn take(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
    }
}

/// Returns the character of an octal escape.
fn more_octal(first: char, rest: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(&format!("{first}{rest}"), 8).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_python_writes_them() {
        assert_eq!(text("plain"), "'plain'");
        assert_eq!(text("it's"), "\"it's\"");
        assert_eq!(text("it's \"so\"\n"), "'it\\'s \"so\"\\n'");
        assert_eq!(bytes(b"not\x00json"), "b'not\\x00json'");
        assert_eq!(list(&["a".into(), "b".into()]), "['a', 'b']");
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, want) in [(" 7 ", Some(7)), ("+1_000", Some(1000)), ("-3", Some(-3)), ("007", Some(7))] {
            assert_eq!(int(text), want, "{text}");
        }
        for text in ["", "1.5", "1__0", "_1", "x", "+-1", "99999999999999999999"] {
            assert_eq!(int(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_read_as_python_reads_tuples() {
        let ok = |items: &[&str]| Ok(items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts("('a', \"b\")"), ok(&["a", "b"]));
        assert_eq!(texts("( 'a' ,\n)"), ok(&["a"]));
        assert_eq!(texts("('a' 'b')"), ok(&["ab"]));
        assert_eq!(texts("(('a', 'b'))"), ok(&["a", "b"]));
        assert_eq!(texts("(('a'), ('b'))"), ok(&["a", "b"]));
        assert_eq!(texts(r"('a\'b\x41\q')"), ok(&[r"a'bA\q"]));
        assert_eq!(texts("()"), Err(SearchError::EmptyList));
        assert_eq!(texts("(1, 2)"), Err(SearchError::ListType("(1, 2)".into())));
        assert_eq!(texts("(1)"), Err(SearchError::ListType("(1,)".into())));
        assert_eq!(texts("(('a', 'b'), 'c')"), Err(SearchError::ListType("(('a', 'b'), 'c')".into())));
        for bad in ["(,)", "('a',,)", "('a' , b)", "(name)", "('a'", "('a') 'b'", "('a\nb')", "('a';)", "(['a'])"] {
            assert_eq!(texts(bad), Err(SearchError::IllFormedList), "{bad}");
        }
        assert_eq!(texts(&"(".repeat(8000)), Err(SearchError::IllFormedList));
    }
}
