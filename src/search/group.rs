//! The parser of MLflow's grammar: groups words as `sqlparse` does, and then picks clauses as MLflow does.
//!
//! Each pass joins some of the items of the previous pass, without recursion. A pair of parentheses with its contents
//! stays one opaque item.

use super::error::SearchError;
use super::lex::{Kind, Token, is_space, tokens};
use super::python;

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
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
pub(super) struct Item {
    piece: Piece,
    start: usize,
    end: usize,
}

/// A clause `left comparator right`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause<'a> {
    /// The left side. It is a key if it is an identifier.
    pub(super) left: (Piece, &'a str),
    /// The comparator in upper case, including `IN` and `NOT IN`.
    pub(super) comparator: String,
    /// The right side. `None` for `IS NULL` and `IS NOT NULL`.
    pub(super) right: Option<(Piece, &'a str)>,
}

/// Parses the clauses of a filter. The filter holds if all clauses hold.
pub(super) fn clauses(filter: &str) -> Result<Vec<Clause<'_>>, SearchError> {
    let words = tokens(filter);
    if words.iter().all(|t| t.kind == Kind::Space) {
        return Err(SearchError::Filter(filter.to_owned()));
    }
    if has_several_statements(&words) {
        return Err(SearchError::Statements(python::text(filter)));
    }
    let grouped = Grouped::new(filter, &words);
    grouped.clauses()
}

/// Returns the items of an entry of an order. The caller refuses white space at its beginning and end.
pub(super) fn pieces(order: &str) -> Vec<(Piece, &str)> {
    let items = identifiers(&parentheses(&tokens(order)));
    items.iter().map(|i| (i.piece, order.get(i.start..i.end).unwrap_or_default())).collect()
}

/// Returns whether a word follows a semicolon outside of parentheses.
fn has_several_statements(words: &[Token<'_>]) -> bool {
    let mut level = 0_i32;
    let mut ended = false;
    for word in words {
        if word.kind == Kind::Space {
            continue;
        }
        if ended {
            return true;
        }
        level += i32::from(word.kind == Kind::Open) - i32::from(word.kind == Kind::Close);
        ended = word.kind == Kind::Semicolon && level <= 0;
    }
    false
}

/// A filter, grouped into items and comparisons.
struct Grouped<'a> {
    filter: &'a str,
    items: Vec<Item>,
    /// The left side, comparator and right side of each comparison.
    comparisons: Vec<[Item; 3]>,
}

/// A clause that [`Grouped::pick`] found.
enum Found {
    Comparison(usize),
    In { left: Item, not: bool, list: Item },
    Null { left: Item, not: bool },
}

impl<'a> Grouped<'a> {
    fn new(filter: &'a str, words: &[Token<'_>]) -> Self {
        let items = operations(&identifiers(&parentheses(words)));
        let (items, comparisons) = comparisons(&items);
        Self { filter, items: lists(&aliases(&items)), comparisons }
    }

    fn text(&self, item: Item) -> &'a str {
        self.filter.get(item.start..item.end).unwrap_or_default()
    }

    fn is_keyword(&self, item: Item, word: &str) -> bool {
        let text = self.text(item);
        matches!(item.piece, Piece::Keyword | Piece::Null | Piece::And)
            && text.split(is_space).filter(|w| !w.is_empty()).map(str::to_ascii_uppercase).eq(word.split(' '))
    }

    /// Picks the clauses. Any remaining item other than `AND` is an error.
    fn clauses(&self) -> Result<Vec<Clause<'a>>, SearchError> {
        let mut found = Vec::new();
        let mut wrong = Vec::new();
        let mut rest = self.items.as_slice();
        while let Some(first) = rest.first() {
            let (taken, one) = self.pick(rest);
            let is_picked = one.is_some();
            found.extend(one);
            // MLflow expects a list after a name. Without a list, MLflow skips all four items.
            let taken = if !is_picked && first.piece == Piece::Identifier { 4.min(rest.len()) } else { taken };
            let (passed, behind) = rest.split_at(taken);
            rest = behind;
            for item in passed.iter().filter(|_| !is_picked) {
                if let Piece::Comparison(at) = item.piece {
                    found.push(Found::Comparison(at));
                } else if item.piece != Piece::And {
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
    fn pick(&self, items: &[Item]) -> (usize, Option<Found>) {
        let &[left, second, third, ..] = items else { return (1, None) };
        let keyword = |item, word| self.is_keyword(item, word);
        if left.piece != Piece::Identifier {
            (1, None)
        } else if keyword(second, "IN") && third.piece == Piece::Parenthesis {
            (3, Some(Found::In { left, not: false, list: third }))
        } else if keyword(second, "IS") && keyword(third, "NULL") {
            (3, Some(Found::Null { left, not: false }))
        } else if keyword(second, "IS") && keyword(third, "NOT NULL") {
            (3, Some(Found::Null { left, not: true }))
        } else if let Some(&list) = items.get(3).filter(|l| l.piece == Piece::Parenthesis)
            && keyword(second, "NOT")
            && keyword(third, "IN")
        {
            (4, Some(Found::In { left, not: true, list }))
        } else {
            (1, None)
        }
    }

    fn clause(&self, found: &Found) -> Clause<'a> {
        let side = |item: Item| (item.piece, self.text(item));
        match *found {
            Found::Comparison(at) => match self.comparisons.get(at) {
                Some(&[left, comparator, right]) => Clause {
                    left: side(left),
                    comparator: self.text(comparator).to_uppercase(),
                    right: Some(side(right)),
                },
                None => Clause { left: (Piece::Other, ""), comparator: String::new(), right: None },
            },
            Found::In { left, not, list } => {
                let comparator = if not { "NOT IN" } else { "IN" }.to_owned();
                Clause { left: side(left), comparator, right: Some(side(list)) }
            }
            Found::Null { left, not } => {
                let comparator = if not { "IS NOT NULL" } else { "IS NULL" }.to_owned();
                Clause { left: side(left), comparator, right: None }
            }
        }
    }
}

/// Makes each word an item, and each pair of parentheses with its contents one item.
fn parentheses(words: &[Token<'_>]) -> Vec<Item> {
    let mut closes = vec![None; words.len()];
    let mut open = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if word.kind == Kind::Open {
            open.push(i);
        } else if word.kind == Kind::Close
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
            out.push(Item { piece: Piece::Parenthesis, start: word.start, end });
            i = close + 1;
            continue;
        }
        if let Some(piece) = piece(word) {
            out.push(Item { piece, start: word.start, end: word.end() });
        }
        i += 1;
    }
    out
}

/// Returns the kind of item for a single word, or `None` for white space.
fn piece(word: &Token<'_>) -> Option<Piece> {
    Some(match word.kind {
        Kind::Space => return None,
        Kind::Name | Kind::Quoted => Piece::Identifier,
        Kind::Text => Piece::Text,
        Kind::Integer => Piece::Integer,
        Kind::Float => Piece::Float,
        Kind::Comparator => Piece::Comparator,
        Kind::Keyword if word.is_keyword("AND") => Piece::And,
        Kind::Keyword if word.is_keyword("NULL") => Piece::Null,
        Kind::Keyword => Piece::Keyword,
        Kind::Operator => Piece::Operator,
        Kind::Dot => Piece::Dot,
        Kind::Comma => Piece::Comma,
        Kind::Open | Kind::Close | Kind::Semicolon | Kind::Other => Piece::Other,
    })
}

/// Joins names with following parentheses, and names with dots.
fn identifiers(items: &[Item]) -> Vec<Item> {
    let mut called: Vec<Item> = Vec::with_capacity(items.len());
    for &item in items {
        match called.last_mut() {
            Some(last) if item.piece == Piece::Parenthesis && last.piece == Piece::Identifier => {
                *last = Item { piece: Piece::Function, end: item.end, ..*last };
            }
            _ => called.push(item),
        }
    }
    let mut out: Vec<Item> = Vec::with_capacity(called.len());
    let mut after_dot = false;
    for item in called {
        let is_name = matches!(item.piece, Piece::Identifier | Piece::Text | Piece::Function);
        let joins = item.piece == Piece::Dot || (after_dot && is_name);
        match out.last_mut() {
            Some(last) if joins && last.piece == Piece::Identifier => {
                last.end = item.end;
                after_dot = item.piece == Piece::Dot;
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
fn operations(items: &[Item]) -> Vec<Item> {
    let operand = |p: Piece| is_value(p) && p != Piece::Null;
    join(items, Piece::Operator, Piece::Operation, operand)
}

/// Joins lists with commas; this affects only error messages.
fn lists(items: &[Item]) -> Vec<Item> {
    let listed = |p: Piece| is_value(p) || matches!(p, Piece::Comparison(_) | Piece::Keyword | Piece::And);
    join(items, Piece::Comma, Piece::Other, |p| listed(p) || p == Piece::Other)
}

/// Joins pairs of operands with a `middle` between them, from left to right. `operand` tells which items are operands.
fn join(items: &[Item], middle: Piece, into: Piece, operand: impl Fn(Piece) -> bool) -> Vec<Item> {
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let next = items.get(i + 1).filter(|n| operand(n.piece));
        match (out.last_mut(), next) {
            (Some(last), Some(next)) if item.piece == middle && operand(last.piece) => {
                *last = Item { piece: into, end: next.end, ..*last };
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
const fn is_value(piece: Piece) -> bool {
    match piece {
        Piece::Identifier
        | Piece::Text
        | Piece::Integer
        | Piece::Float
        | Piece::Parenthesis
        | Piece::Function
        | Piece::Operation
        | Piece::Null => true,
        Piece::Comparator
        | Piece::Comparison(_)
        | Piece::And
        | Piece::Keyword
        | Piece::Dot
        | Piece::Comma
        | Piece::Operator
        | Piece::Other => false,
    }
}

/// Joins comparisons. A comparison may be the left side of another comparison, as in `a = b = c`.
fn comparisons(items: &[Item]) -> (Vec<Item>, Vec<[Item; 3]>) {
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    let mut found = Vec::new();
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let next = items.get(i + 1).filter(|n| is_value(n.piece));
        match (out.last_mut(), next) {
            (Some(last), Some(&next))
                if item.piece == Piece::Comparator
                    && (is_value(last.piece) || matches!(last.piece, Piece::Comparison(_))) =>
            {
                found.push([*last, item, next]);
                *last = Item { piece: Piece::Comparison(found.len() - 1), end: next.end, ..*last };
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
fn aliases(items: &[Item]) -> Vec<Item> {
    let mut out = Vec::with_capacity(items.len());
    let mut i = 0;
    while let Some(&item) = items.get(i) {
        let is_value = is_value(item.piece) && !matches!(item.piece, Piece::Text | Piece::Null);
        let takes = is_value || matches!(item.piece, Piece::Comparison(_));
        match items.get(i + 1).filter(|n| takes && n.piece == Piece::Identifier) {
            Some(next) => {
                out.push(Item { piece: Piece::Identifier, end: next.end, ..item });
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
