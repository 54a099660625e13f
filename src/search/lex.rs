//! The lexer of filters: splits a filter into words such as names, texts, numbers and comparators.
//!
//! MLflow uses `sqlparse`. This lexer splits like `sqlparse` as far as that affects the meaning of a filter or its
//! error messages. Comments, dollar-quoted texts and similar words are [`Kind::Other`], because MLflow refuses every
//! filter with such words.

/// The kind of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// White space.
    Space,
    /// A name, plain or in backticks.
    Name,
    /// A name or text in double quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// `42`, `-1`.
    Integer,
    /// `1.5`, `1e3`. No attribute takes such a number.
    Float,
    /// `=`, `!=`, `LIKE`, `NOT LIKE`, and any other sequence of `<>=~!`.
    Comparator,
    /// A reserved word.
    Keyword,
    /// `+`, `-` and similar operators.
    Operator,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `.`
    Dot,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// Anything else.
    Other,
}

/// A word and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// The kind of the word.
    pub(super) kind: TokenKind,
    /// The text of the word.
    pub(super) text: &'a str,
    /// The position of its first byte in the filter.
    pub(super) start: usize,
}

impl Token<'_> {
    /// Returns the position after the last byte of the word.
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns whether the word is a reserved word. `word` is in upper case.
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == TokenKind::Keyword && self.text.eq_ignore_ascii_case(word)
    }
}

/// The common ones of the 800 reserved words of `sqlparse`. A reserved word cannot be a key without quotes.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "COMMENT",
    "CREATE",
    "DATE",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "FALSE",
    "FROM",
    "GO",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LIMIT",
    "NOT",
    "NULL",
    "OF",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OWNER",
    "SELECT",
    "SET",
    "SOURCE",
    "START",
    "TABLE",
    "TEXT",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "TYPE",
    "UNION",
    "UPDATE",
    "USER",
    "USING",
    "VALUE",
    "VALUES",
    "VERSION",
    "WHEN",
    "WHERE",
    "XOR",
];

/// The reserved words that `sqlparse` does not read as a function name before an opening parenthesis.
const NEVER_FUNCTIONS: &[&str] = &["CASE", "IN", "VALUES", "USING", "FROM", "AS"];

/// Keywords of two words, and comparators with NOT.
const PAIRS: &[(&str, &str, TokenKind)] = &[
    ("ORDER", "BY", TokenKind::Keyword),
    ("GROUP", "BY", TokenKind::Keyword),
    ("NOT", "NULL", TokenKind::Keyword),
    ("NOT", "LIKE", TokenKind::Comparator),
    ("NOT", "ILIKE", TokenKind::Comparator),
    ("NOT", "RLIKE", TokenKind::Comparator),
    ("NOT", "REGEXP", TokenKind::Comparator),
];

/// Returns whether `c` is white space for Python and `sqlparse`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn in_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Splits a text into words. The concatenation of all words is the text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out: Vec<Token<'_>> = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|r| !r.is_empty()) {
        let after_dot = out.last().is_some_and(|t| t.kind == TokenKind::Dot);
        let after_word = text.get(..start).and_then(|s| s.chars().next_back()).is_some_and(in_word);
        let (kind, len) = word(rest, after_dot, after_word);
        out.push(Token { kind, text: rest.get(..len).unwrap_or(rest), start });
        start += len.max(1);
    }
    out
}

/// Returns the kind and length of the first word. `after_dot`: the word directly follows a dot. `after_word`: the word
/// follows a letter, digit or underscore.
fn word(rest: &str, after_dot: bool, after_word: bool) -> (TokenKind, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    if let Some(len) = comment(rest) {
        return (TokenKind::Other, len);
    }
    if is_space(first) {
        return (TokenKind::Space, rest.find(|c| !is_space(c)).unwrap_or(rest.len()));
    }
    let quoted = match first {
        '`' => quoted(rest, b'`', false).map(|len| (TokenKind::Name, len)),
        '\'' => quoted(rest, b'\'', true).map(|len| (TokenKind::Text, len)),
        '"' => quoted(rest, b'"', true).map(|len| (TokenKind::Quoted, len)),
        '?' | '$' | ':' | '%' => placeholder(rest, after_word).map(|len| (TokenKind::Name, len)),
        _ => number(rest),
    };
    if let Some(found) = quoted {
        return found;
    }
    if in_word(first) {
        return name(rest, after_dot);
    }
    let run = |set: &str| rest.find(|c| !set.contains(c)).unwrap_or(rest.len());
    match first {
        '(' => (TokenKind::Open, 1),
        ')' => (TokenKind::Close, 1),
        '.' => (TokenKind::Dot, 1),
        ',' => (TokenKind::Comma, 1),
        ';' => (TokenKind::Semicolon, 1),
        '<' if rest.starts_with("<@") => (TokenKind::Operator, 2),
        '<' | '>' | '=' | '~' | '!' => (TokenKind::Comparator, run("<>=~!")),
        '-' => (TokenKind::Operator, 1),
        '*' => (TokenKind::Operator, 1),
        '+' | '/' | '@' | '#' | '%' | '^' | '&' | '|' => (TokenKind::Operator, run("+/@#%^&|-")),
        other => (TokenKind::Other, other.len_utf8()),
    }
}

/// Returns the length of a comment at the start of the text.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("--") || rest.starts_with("# ") {
        return Some(rest.find(['\r', '\n']).map_or(rest.len(), |at| at + 1));
    }
    let inner = rest.strip_prefix("/*")?;
    inner.find("*/").map(|at| at + 4)
}

/// Returns the length of a quoted text at the start of the text. A doubled quote does not end the text, nor, with
/// `escapes`, a quote after a backslash, unless the text has no other closing quote.
fn quoted(rest: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut fallback = None;
    let mut at = 1;
    while let Some(&b) = bytes.get(at) {
        let next_is_quote = bytes.get(at + 1) == Some(&quote);
        if b == quote && next_is_quote {
            fallback = Some(at + 1);
            at += 2;
        } else if b == quote {
            return Some(at + 1);
        } else if escapes && b == b'\\' && next_is_quote {
            fallback = Some(at + 2);
            at += 2;
        } else {
            at += 1;
        }
    }
    fallback
}

/// Returns the length of a placeholder such as `?`, `:x` or `%s` at the start of the text.
fn placeholder(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("%s") {
        return Some(2);
    }
    let name = rest.get(1..)?;
    let len = name.find(|c| !in_word(c)).unwrap_or(name.len());
    match rest.bytes().next()? {
        b'?' => Some(1),
        b'$' | b':' if !after_word && len > 0 => Some(1 + len),
        _ => None,
    }
}

/// Returns the kind and length of a number at the start of the text. A number directly before a letter does not count,
/// except for a number with an exponent.
fn number(rest: &str) -> Option<(TokenKind, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(sign);
    let mut end = sign + whole;
    let hex = rest.get(sign..)?.strip_prefix(['0']).and_then(|r| r.strip_prefix(['x', 'X']));
    if let Some(len) = hex.map(|h| h.bytes().take_while(u8::is_ascii_hexdigit).count()).filter(|&len| len > 0) {
        return Some((TokenKind::Other, sign + 2 + len));
    }
    let fraction = if bytes.get(end) == Some(&b'.') { digits(end + 1) } else { 0 };
    let exponent_at = if fraction > 0 { end + 1 + fraction } else { end };
    if whole > 0 && matches!(bytes.get(exponent_at), Some(b'e' | b'E')) {
        let minus = usize::from(bytes.get(exponent_at + 1) == Some(&b'-'));
        let exponent = digits(exponent_at + 1 + minus);
        if exponent > 0 {
            return Some((TokenKind::Float, exponent_at + 1 + minus + exponent));
        }
    }
    let mut kind = TokenKind::Integer;
    if bytes.get(end) == Some(&b'.') && whole + fraction > 0 {
        kind = TokenKind::Float;
        end += 1 + fraction;
    }
    let runs_on = rest.get(end..).and_then(|r| r.chars().next()).is_some_and(|c| c == '_' || c.is_alphabetic());
    if runs_on || (kind == TokenKind::Integer && whole == 0) { None } else { Some((kind, end)) }
}

/// Returns the kind and length of a name or keyword at the start of the text.
fn name(rest: &str, after_dot: bool) -> (TokenKind, usize) {
    let len = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(len);
    let is = |w: &&str| word.eq_ignore_ascii_case(w);
    let never_function = NEVER_FUNCTIONS.iter().any(is);
    let before_dot = behind.trim_start_matches(is_space).strip_prefix('.');
    let before_dot = before_dot.is_some_and(|r| !r.starts_with(|c: char| c.is_ascii_digit()));
    if !never_function && (after_dot || before_dot || behind.starts_with('(')) {
        return (TokenKind::Name, len);
    }
    for (one, two, kind) in PAIRS {
        let second = behind.trim_start_matches(is_space);
        let gap = behind.len() - second.len();
        if is(one) && gap > 0 && starts_with_word(second, two) {
            return (*kind, len + gap + two.len());
        }
    }
    if ["LIKE", "ILIKE", "RLIKE", "REGEXP"].iter().any(is) {
        return (TokenKind::Comparator, len);
    }
    (if KEYWORDS.iter().any(is) { TokenKind::Keyword } else { TokenKind::Name }, len)
}

fn starts_with_word(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word))
        && !text.get(word.len()..).is_some_and(|r| r.starts_with(in_word))
}

#[cfg(test)]
mod tests {
    use super::TokenKind::*;
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        tokens(text).into_iter().filter(|t| t.kind != Space).map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn a_filter_is_cut_into_words() {
        assert_eq!(
            kinds("name LIKE 'a%' and tags.`k 1`!=\"x\""),
            [
                (Name, "name"),
                (Comparator, "LIKE"),
                (Text, "'a%'"),
                (Keyword, "and"),
                (Name, "tags"),
                (Dot, "."),
                (Name, "`k 1`"),
                (Comparator, "!="),
                (Quoted, "\"x\""),
            ]
        );
        assert_eq!(kinds("NOT  ilike"), [(Comparator, "NOT  ilike")]);
        assert_eq!(
            kinds("run_id IN('a')"),
            [(Name, "run_id"), (Keyword, "IN"), (Open, "("), (Text, "'a'"), (Close, ")")]
        );
        assert_eq!(kinds("tags.version"), [(Name, "tags"), (Dot, "."), (Name, "version")]);
        assert_eq!(kinds("version"), [(Keyword, "version")]);
        assert_eq!(kinds("a -- b"), [(Name, "a"), (Other, "-- b")]);
    }

    #[test]
    fn a_quote_ends_where_sqlparse_ends_it() {
        assert_eq!(kinds("'it''s'"), [(Text, "'it''s'")]);
        assert_eq!(kinds(r"'a\'b'"), [(Text, r"'a\'b'")]);
        assert_eq!(kinds(r"'a\'"), [(Text, r"'a\'")]);
        assert_eq!(kinds("''"), [(Text, "''")]);
        assert_eq!(kinds("'''"), [(Text, "''"), (Other, "'")]);
        assert_eq!(kinds("'open"), [(Other, "'"), (Name, "open")]);
    }

    #[test]
    fn numbers_are_integers_or_not() {
        for (text, kind) in [
            ("42", Integer),
            ("-1", Integer),
            ("1.5", Float),
            (".5", Float),
            ("5.", Float),
            ("1e5", Float),
            ("0x1F", Other),
            ("1a", Name),
        ] {
            assert_eq!(kinds(text), [(kind, text)], "{text}");
        }
        assert_eq!(kinds("5-3"), [(Integer, "5"), (Integer, "-3")]);
        assert_eq!(kinds("-"), [(Operator, "-")]);
    }
}
