//! The parser of MLflow's grammar: groups words as `sqlparse` does, and then picks clauses as MLflow does.
//!
//! Each pass joins some of the items of the previous pass, without recursion. A pair of parentheses with its contents
//! stays one opaque item.

use super::error::SearchError;
use super::lex::{Token, TokenKind, is_space, tokens};
use super::python;

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextPiece {
    /// A name with its dots, or a text in double quotes, or any item followed by a name as its SQL alias.
    Identifier,
    /// A text in single quotes.
    Text,
    /// An integer.
    Integer,
    /// A number that is not an integer.
    Float,
    /// A pair of parentheses with its contents.
    Parenthesis,
    /// A name followed by a parenthesis.
    Function,
    /// Operands with an operator between them.
    Operation,
    /// A comparator.
    Comparator,
    /// A comparison: an index into [`Grouped::comparisons`].
    Comparison(usize),
    /// The word `NULL`.
    Null,
    /// The word `AND`.
    And,
    /// Another reserved word.
    Keyword,
    /// `.`
    Dot,
    /// `,`
    Comma,
    /// `+` and similar operators.
    Operator,
    /// Anything else.
    Other,
}

/// An item of the filter: its kind and its byte range.
#[derive(Debug, Clone, Copy)]
pub(super) struct PositionedPiece {
    piece: TextPiece,
    start: usize,
    end: usize,
}

/// A clause `left comparator right`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawClause<'a> {
    /// The left side. It is a key if it is an identifier.
    pub(super) left: (TextPiece, &'a str),
    /// The comparator in upper case, including `IN` and `NOT IN`.
    pub(super) comparator: String,
    /// The right side. `None` for `IS NULL` and `IS NOT NULL`.
    pub(super) right: Option<(TextPiece, &'a str)>,
}

/// Parses the clauses of a filter. The filter holds if all clauses hold.
pub(super) fn clauses(filter: &str) -> Result<Vec<RawClause<'_>>, SearchError> {
    let words = tokens(filter);
    if words.iter().all(|t| t.kind == TokenKind::Space) {
        return Err(SearchError::Filter(filter.to_owned()));
    }
    if has_several_statements(&words) {
        return Err(SearchError::Statements(python::text(filter)));
    }
    let grouped = Grouped::new(filter, &words);
    grouped.clauses()
}

/// Returns the items of an entry of an order. The caller refuses white space at its beginning and end.
pub(super) fn pieces(order: &str) -> Vec<(TextPiece, &str)> {
    let items = identifiers(&parentheses(&tokens(order)));
    items.iter().map(|i| (i.piece, order.get(i.start..i.end).unwrap_or_default())).collect()
}

/// Returns whether a word follows a semicolon outside of parentheses.
fn has_several_statements(words: &[Token<'_>]) -> bool {
    let mut level = 0_i32;
    let mut ended = false;
    for word in words {
        if word.kind == TokenKind::Space {
            continue;
        }
        if ended {
            return true;
        }
        level += i32::from(word.kind == TokenKind::Open) - i32::from(word.kind == TokenKind::Close);
        ended = word.kind == TokenKind::Semicolon && level <= 0;
    }
    false
}

/// A filter, grouped into items and comparisons.
struct Grouped<'a> {
    filter: &'a str,
    items: Vec<PositionedPiece>,
    /// The left side, comparator and right side of each comparison.
    comparisons: Vec<[PositionedPiece; 3]>,
}

/// A clause that [`Grouped::pick`] found.
enum GroupedComparison {
    Comparison(usize),
    In { left: PositionedPiece, not: bool, list: PositionedPiece },
    Null { left: PositionedPiece, not: bool },
}

impl<'a> Grouped<'a> {
    fn new(filter: &'a str, words: &[Token<'_>]) -> Self {
        let items = operations(&identifiers(&parentheses(words)));
        let (items, comparisons) = comparisons(&items);
        Self { filter, items: lists(&aliases(&items)), comparisons }
    }

    fn text(&self, item: PositionedPiece) -> &'a str {
        self.filter.get(item.start..item.end).unwrap_or_default()
    }

    fn is_keyword(&self, item: PositionedPiece, word: &str) -> bool {
        let text = self.text(item);
        matches!(item.piece, TextPiece::Keyword | TextPiece::Null | TextPiece::And)
            && text.split(is_space).filter(|w| !w.is_empty()).map(str::to_ascii_uppercase).eq(word.split(' '))
    }

    /// Picks the clauses. Any remaining item other than `AND` is an error.
    fn clauses(&self) -> Result<Vec<RawClause<'a>>, SearchError> {
        let mut found = Vec::new();
        let mut wrong = Vec::new();
        let mut rest = self.items.as_slice();
        while let Some(first) = rest.first() {
            let (taken, one) = self.pick(rest);
            let is_picked = one.is_some();
            found.extend(one);
            // MLflow expects a list after a name. Without a list, MLflow skips all four items.
            let taken = if !is_picked && first.piece == TextPiece::Identifier { 4.min(rest.len()) } else { taken };
            let (passed, behind) = rest.split_at(taken);
            rest = behind;
            for item in passed.iter().filter(|_| !is_picked) {
                if let TextPiece::Comparison(at) = item.piece {
                    found.push(GroupedComparison::Comparison(at));
                } else if item.piece != TextPiece::And {
                    wrong.push(self.text(*item));
                }
            }
        }
        if wrong.is_empty() {
            Ok(found.into_iter().map(|f| self.clause(&f)).collect())
        } else {
            Err(SearchError::Clauses(wrong.join(", ")))
        }
    }

    /// Finds `key IN (…)`, `key NOT IN (…)` or `key IS [NOT] NULL` at the start. Returns the number of its items and
    /// the clause.
    fn pick(&self, items: &[PositionedPiece]) -> (usize, Option<GroupedComparison>) {
        let &[left, second, third, ..] = items else { return (1, None) };
        let keyword = |item, word| self.is_keyword(item, word);
        if left.piece != TextPiece::Identifier {
            (1, None)
        } else if keyword(second, "IN") && third.piece == TextPiece::Parenthesis {
            (3, Some(GroupedComparison::In { left, not: false, list: third }))
        } else if keyword(second, "IS") && keyword(third, "NULL") {
            (3, Some(GroupedComparison::Null { left, not: false }))
        } else if keyword(second, "IS") && keyword(third, "NOT NULL") {
            (3, Some(GroupedComparison::Null { left, not: true }))
        } else if let Some(&list) = items.get(3).filter(|l| l.piece == TextPiece::Parenthesis)
            && keyword(second, "NOT")
            && keyword(third, "IN")
        {
            (4, Some(GroupedComparison::In { left, not: true, list }))
        } else {
            (1, None)
        }
    }

    fn clause(&self, found: &GroupedComparison) -> RawClause<'a> {
        let side = |item: PositionedPiece| (item.piece, self.text(item));
        match *found {
            GroupedComparison::Comparison(at) => match self.comparisons.get(at) {
                Some(&[left, comparator, right]) => RawClause {
                    left: side(left),
                    comparator: self.text(comparator).to_uppercase(),
                    right: Some(side(right)),
                },
                None => RawClause { left: (TextPiece::Other, ""), comparator: String::new(), right: None },
            },
            GroupedComparison::In { left, not, list } => {
                let comparator = if not { "NOT IN" } else { "IN" }.to_owned();
                RawClause { left: side(left), comparator, right: Some(side(list)) }
            }
            GroupedComparison::Null { left, not } => {
                let comparator = if not { "IS NOT NULL" } else { "IS NULL" }.to_owned();
                RawClause { left: side(left), comparator, right: None }
            }
        }
    }
}

/// Makes each word an item, and each pair of parentheses with its contents one item.
fn parentheses(words: &[Token<'_>]) -> Vec<PositionedPiece> {
    let mut closes = vec![None; words.len()];
    let mut open = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if word.kind == TokenKind::Open {
            open.push(i);
        } else if word.kind == TokenKind::Close
            && let Some(close) = open.pop().and_then(|o: usize| closes.get_mut(o))
        {
            *close = Some(i);
        }
    }
    let mut out = Vec::with_capacity(words.len());
    let mut i = 0;
    while let Some(word) = words.get(i) {
        if let Some(close) = closes.get(i).copied().flatten() {
            let end = words.get(close).map_or(word.end(), Token::end);
            out.push(PositionedPiece { piece: TextPiece::Parenthesis, start: word.start, end });
            i = close + 1;
            continue;
        }
        if let Some(piece) = piece(word) {
            out.push(PositionedPiece { piece, start: word.start, end: word.end() });
        }
        i += 1;
    }
    out
}

/// Returns the kind of item for a single word, or `None` for white space.
fn piece(word: &Token<'_>) -> Option<TextPiece> {
    Some(match word.kind {
        TokenKind::Space => return None,
        TokenKind::Name | TokenKind::Quoted => TextPiece::Identifier,
        TokenKind::Text => TextPiece::Text,
        TokenKind::Integer => TextPiece::Integer,
        TokenKind::Float => TextPiece::Float,
        TokenKind::Comparator => TextPiece::Comparator,
        TokenKind::Keyword if word.is_keyword("AND") => TextPiece::And,
        TokenKind::Keyword if word.is_keyword("NULL") => TextPiece::Null,
        TokenKind::Keyword => TextPiece::Keyword,
        TokenKind::Operator => TextPiece::Operator,
        TokenKind::Dot => TextPiece::Dot,
        TokenKind::Comma => TextPiece::Comma,
        TokenKind::Open | TokenKind::Close | TokenKind::Semicolon | TokenKind::Other => TextPiece::Other,
    })
}

/// Joins names with following parentheses, and names with dots.
fn identifiers(items: &[PositionedPiece]) -> Vec<PositionedPiece> {
    let mut called: Vec<PositionedPiece> = Vec::with_capacity(items.len());
    for &item in items {
        match called.last_mut() {
            Some(last) if item.piece == TextPiece::Parenthesis && last.piece == TextPiece::Identifier => {
                *last = PositionedPiece { piece: TextPiece::Function, end: item.end, ..*last };
            }
            _ => called.push(item),
        }
    }
    let mut out: Vec<PositionedPiece> = Vec::with_capacity(called.len());
    let mut after_dot = false;
    for item in called {
        let is_name = matches!(item.piece, TextPiece::Identifier | TextPiece::Text | TextPiece::Function);
        let joins = item.piece == TextPiece::Dot || (after_dot && is_name);
        match out.last_mut() {
            Some(last) if joins && last.piece == TextPiece::Identifier => {
                last.end = item.end;
                after_dot = item.piece == TextPiece::Dot;
            }
            _ => {
                out.push(item);
                after_dot = false;
            }
        }
    }
    out
}

/// Joins operands that have an operator between them.
fn operations(items: &[PositionedPiece]) -> Vec<PositionedPiece> {
    let operand = |p: TextPiece| is_value(p) && p != TextPiece::Null;
    join(items, TextPiece::Operator, TextPiece::Operation, operand)
}

/// Joins lists with commas; this affects only error messages.
fn lists(items: &[PositionedPiece]) -> Vec<PositionedPiece> {
    let listed =
        |p: TextPiece| is_value(p) || matches!(p, TextPiece::Comparison(_) | TextPiece::Keyword | TextPiece::And);
    join(items, TextPiece::Comma, TextPiece::Other, |p| listed(p) || p == TextPiece::Other)
}

/// Joins pairs of operands with a `middle` between them, from left to right. `operand` tells which items are operands.
fn join(
    items: &[PositionedPiece],
    middle: TextPiece,
    into: TextPiece,
    operand: impl Fn(TextPiece) -> bool,
) -> Vec<PositionedPiece> {
    let mut out: Vec<PositionedPiece> = Vec::with_capacity(items.len());
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let next = items.get(i + 1).filter(|n| operand(n.piece));
        match (out.last_mut(), next) {
            (Some(last), Some(next)) if item.piece == middle && operand(last.piece) => {
                *last = PositionedPiece { piece: into, end: next.end, ..*last };
                i += 2;
            }
            _ => {
                out.push(item);
                i += 1;
            }
        }
    }
    out
}

/// Returns whether the item may be a side of a comparison.
const fn is_value(piece: TextPiece) -> bool {
    match piece {
        TextPiece::Identifier
        | TextPiece::Text
        | TextPiece::Integer
        | TextPiece::Float
        | TextPiece::Parenthesis
        | TextPiece::Function
        | TextPiece::Operation
        | TextPiece::Null => true,
        TextPiece::Comparator
        | TextPiece::Comparison(_)
        | TextPiece::And
        | TextPiece::Keyword
        | TextPiece::Dot
        | TextPiece::Comma
        | TextPiece::Operator
        | TextPiece::Other => false,
    }
}

/// Joins comparisons. A comparison may be the left side of another comparison, as in `a = b = c`.
fn comparisons(items: &[PositionedPiece]) -> (Vec<PositionedPiece>, Vec<[PositionedPiece; 3]>) {
    let mut out: Vec<PositionedPiece> = Vec::with_capacity(items.len());
    let mut found = Vec::new();
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let next = items.get(i + 1).filter(|n| is_value(n.piece));
        match (out.last_mut(), next) {
            (Some(last), Some(&next))
                if item.piece == TextPiece::Comparator
                    && (is_value(last.piece) || matches!(last.piece, TextPiece::Comparison(_))) =>
            {
                found.push([*last, item, next]);
                *last = PositionedPiece { piece: TextPiece::Comparison(found.len() - 1), end: next.end, ..*last };
                i += 2;
            }
            _ => {
                out.push(item);
                i += 1;
            }
        }
    }
    (out, found)
}

/// Joins an item and a following name, which SQL reads as an alias.
fn aliases(items: &[PositionedPiece]) -> Vec<PositionedPiece> {
    let mut out = Vec::with_capacity(items.len());
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let is_value = is_value(item.piece) && !matches!(item.piece, TextPiece::Text | TextPiece::Null);
        let takes = is_value || matches!(item.piece, TextPiece::Comparison(_));
        match items.get(i + 1).filter(|n| takes && n.piece == TextPiece::Identifier) {
            Some(next) => {
                out.push(PositionedPiece { piece: TextPiece::Identifier, end: next.end, ..item });
                i += 2;
            }
            None => {
                out.push(item);
                i += 1;
            }
        }
    }
    out
}
