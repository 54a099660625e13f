//! Rust source text as the tidy checks see it: words without comments and strings, the paths they form, functions.

/// A word, a `::`, or any other single character of the code, with its line (from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of a source text, without comments, strings, characters and lifetimes.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(c) = lexer.rest().chars().next() {
        let (start, line) = (lexer.at, lexer.line);
        let rest = lexer.rest();
        if rest.starts_with("//") {
            lexer.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            lexer.skip(block_comment(rest));
        } else if c == '"' {
            lexer.skip(string(rest));
        } else if c == '\'' {
            lexer.skip(quote(rest));
        } else if let Some(length) = prefixed_literal(rest) {
            lexer.skip(length);
        } else {
            lexer.skip(token_length(rest, c));
            if !c.is_whitespace() {
                found.push(Token { line, text: &source[start..lexer.at] });
            }
        }
    }
    found
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest()[..length].matches('\n').count();
        self.at += length;
    }
}

fn token_length(rest: &str, first: char) -> usize {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    if in_word(first) {
        rest.find(|c| !in_word(c)).unwrap_or(rest.len())
    } else if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    }
}

/// The length of a comment that begins with `/*`; such comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a string with escapes that begins with its quotation mark.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// The length of a character literal, or of a lifetime.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let Some((_, first)) = chars.next() else { return 1 };
    if first == '\\' {
        let escaped = chars.next().map_or(rest.len(), |(at, c)| at + c.len_utf8());
        return rest[escaped..].find('\'').map_or(rest.len(), |end| escaped + end + 1);
    }
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 1 + token_length(&rest[1..], first),
    }
}

/// The length of a literal with a prefix, such as `b'x'`, `c"…"`, `br##"…"##`.
fn prefixed_literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|p| rest.starts_with(p))?;
    let literal = &rest[prefix.len()..];
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if prefix.ends_with('r') && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        return Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()));
    }
    match literal.chars().next()? {
        '"' => Some(prefix.len() + string(literal)),
        '\'' if prefix == "b" => Some(prefix.len() + quote(literal)),
        _ => None,
    }
}

/// A path such as `crate::name::Key`; a `use` with braces gives a path for each leaf.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// The line of its last segment.
    pub line: usize,
    /// The words between the `::`.
    pub segments: Vec<&'a str>,
    /// The number of modules in this file that surround it.
    pub depth: usize,
    /// Whether a `use` names it.
    pub imported: bool,
}

/// All paths of a file, including those of a single word.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |t| t.text);
    let (mut found, mut braces, mut modules) = (Vec::new(), 0_usize, Vec::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let (before, earlier) = (text(at.checked_sub(1)), text(at.checked_sub(2)));
        match token.text {
            "{" => {
                braces += 1;
                if earlier == "mod" {
                    modules.push(braces);
                }
            }
            "}" => {
                modules.pop_if(|opened| *opened == braces);
                braces = braces.saturating_sub(1);
            }
            _ if token.is_word() && (before != "." || earlier == ".") => {
                let imported = before == "use" || (before == "::" && earlier == "use");
                let mut leaves = Vec::new();
                at = expand(tokens, at, &[], &mut leaves);
                found.extend(leaves.into_iter().map(|(line, segments)| Path {
                    line,
                    segments,
                    depth: modules.len(),
                    imported,
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Collects the paths that begin with `prefix` and continue at a token; returns the index after them.
fn expand<'a>(tokens: &[Token<'a>], at: usize, prefix: &[&'a str], leaves: &mut Vec<(usize, Vec<&'a str>)>) -> usize {
    let Some(token) = tokens.get(at) else { return at };
    let segments = [prefix, &[token.text]].concat();
    let next = |ahead: usize| tokens.get(at + ahead).map_or("", |t| t.text);
    if next(1) != "::" {
        leaves.push((token.line, segments));
        return at + 1;
    }
    if next(2) == "{" {
        let mut inner = at + 3;
        while let Some(item) = tokens.get(inner).filter(|t| t.text != "}") {
            let renamed = tokens.get(inner.saturating_sub(1)).is_some_and(|t| t.text == "as");
            let names_a_path = (item.is_word() && item.text != "as" && !renamed) || item.text == "*";
            inner = if names_a_path { expand(tokens, inner, &segments, leaves) } else { inner + 1 };
        }
        return inner + 1;
    }
    if next(2) == "*" || tokens.get(at + 2).is_some_and(Token::is_word) {
        return expand(tokens, at + 2, &segments, leaves);
    }
    leaves.push((token.line, segments));
    at + 1
}

/// The modules that a file declares as files of their own: `mod name;`.
pub fn declared<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let of = |w: &[Token<'a>]| (w[0].text == "mod" && w[2].text == ";").then_some(w[1].text);
    tokens.windows(3).filter_map(of).collect()
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    pub name: &'a str,
    /// The line of its `fn`.
    pub line: usize,
    /// The number of lines from there to its closing brace.
    pub length: usize,
}

/// The functions of a file, including nested ones.
pub fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].text != "fn" || !pair[1].is_word() {
            continue;
        }
        if let Some(end) = body_end(&tokens[at..]) {
            let line = pair[0].line;
            found.push(Function { name: pair[1].text, line, length: end - line + 1 });
        }
    }
    found
}

/// The line of the brace that closes the body, if there is a body.
fn body_end(tokens: &[Token<'_>]) -> Option<usize> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for token in tokens {
        match token.text {
            "(" | "[" if braces == 0 => brackets += 1,
            ")" | "]" if braces == 0 => brackets = brackets.saturating_sub(1),
            ";" if braces == 0 && brackets == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[test]
fn comments_and_literals_are_no_code() {
    let source =
        "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# b'k' '\\'' '\\u{1F}' 'l' &'m n::o br\"p\" q.r\nstring";
    let words: Vec<_> = tokens(source).iter().map(|t| (t.line, t.text)).collect();
    let want =
        [(1, "a"), (2, "f"), (2, "&"), (2, "n"), (2, "::"), (2, "o"), (2, "q"), (2, "."), (2, "r"), (3, "string")];
    assert_eq!(words, want);
}

#[test]
fn a_use_with_braces_names_each_of_its_leaves() {
    let source = "use crate::{a::{B, C as D}, e,\n f::*}; mod tests { use super::g; x.y(..::h::i::<J>::k()); }";
    let found: Vec<_> = paths(&tokens(source)).into_iter().filter(|p| p.segments.len() > 1).collect();
    let path = |line, text: &'static str, depth, imported| Path {
        line,
        segments: text.split("::").collect(),
        depth,
        imported,
    };
    let want = [
        path(1, "crate::a::B", 0, true),
        path(1, "crate::a::C", 0, true),
        path(1, "crate::e", 0, true),
        path(2, "crate::f::*", 0, true),
        path(2, "super::g", 1, true),
        path(2, "h::i", 1, false),
    ];
    assert_eq!(found, want);
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let source = "fn a(x: [u8; 2]) -> fn(u8) {\n  { }\n}\ntrait T {\n fn b();\n fn c() {\n }\n}";
    let found: Vec<_> = functions(&tokens(source)).iter().map(|f| (f.name, f.line, f.length)).collect();
    assert_eq!(found, [("a", 1, 3), ("c", 6, 2)]);
    assert_eq!(declared(&tokens("mod a; pub mod b;\nmod c { }")), ["a", "b"]);
}
