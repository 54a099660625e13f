//! Filters with `OR` and parentheses, split into conjunctions in MLflow's grammar. MLflow itself refuses all such
//! filters.
//!
//! A parenthesis groups clauses if it is at a position where a clause could begin. Elsewhere, for example after `IN`,
//! it is a part of its clause.

use super::lex::{Token, TokenKind, tokens};

/// The maximum nesting depth of parentheses.
const MAX_DEPTH: usize = 16;

/// A conjunction, which is one side of an `OR`: all of its parts must hold.
pub(super) type All<'a> = Vec<ConjunctionPart<'a>>;

/// A part of a conjunction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConjunctionPart<'a> {
    /// Clauses in MLflow's own grammar.
    Clauses(&'a str),
    /// A disjunction of conjunctions: at least one must hold.
    Any(Vec<All<'a>>),
}

/// Parses a filter as a disjunction of conjunctions. Returns `None` if its parentheses or words do not match, or if it
/// nests deeper than [`MAX_DEPTH`].
pub(super) fn alternatives(filter: &str) -> Option<Vec<All<'_>>> {
    let words: Vec<Token<'_>> = tokens(filter).into_iter().filter(|t| t.kind != TokenKind::Space).collect();
    let mut reader = NestReader { filter, words: &words, at: 0 };
    let found = reader.any(0)?;
    (reader.at == words.len()).then_some(found)
}

struct NestReader<'a, 't> {
    filter: &'a str,
    words: &'t [Token<'a>],
    at: usize,
}

impl<'a> NestReader<'a, '_> {
    fn next_is(&self, kind: TokenKind) -> bool {
        self.words.get(self.at).is_some_and(|t| t.kind == kind)
    }

    /// Consumes a reserved word if it is the next word, and returns whether it was.
    fn takes(&mut self, keyword: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|t| t.is_keyword(keyword));
        self.at += usize::from(found);
        found
    }

    /// Parses `all (OR all)*`.
    fn any(&mut self, depth: usize) -> Option<Vec<All<'a>>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut out = vec![self.all(depth)?];
        while self.takes("OR") {
            out.push(self.all(depth)?);
        }
        Some(out)
    }

    /// Parses `part (AND part)*`.
    fn all(&mut self, depth: usize) -> Option<All<'a>> {
        let mut out = vec![self.part(depth)?];
        while self.takes("AND") {
            out.push(self.part(depth)?);
        }
        Some(out)
    }

    /// Parses `( any )`, or clauses up to the next `AND`, `OR` or `)`.
    fn part(&mut self, depth: usize) -> Option<ConjunctionPart<'a>> {
        if self.next_is(TokenKind::Open) {
            self.at += 1;
            let found = self.any(depth + 1)?;
            let is_closed = self.next_is(TokenKind::Close);
            self.at += 1;
            return is_closed.then_some(ConjunctionPart::Any(found));
        }
        let first = self.at;
        let mut open = 0_usize;
        while let Some(word) = self.words.get(self.at) {
            match word.kind {
                TokenKind::Open => open += 1,
                TokenKind::Close if open == 0 => break,
                TokenKind::Close => open -= 1,
                TokenKind::Keyword if open == 0 && (word.is_keyword("AND") || word.is_keyword("OR")) => break,
                _ => {}
            }
            self.at += 1;
        }
        let (begin, end) = (self.words.get(first)?, self.words.get(self.at.checked_sub(1)?)?);
        let text = self.filter.get(begin.start..end.end()).filter(|_| self.at > first && open == 0)?;
        Some(ConjunctionPart::Clauses(text))
    }
}

#[cfg(test)]
mod tests {
    use super::ConjunctionPart::{Any, Clauses};
    use super::*;

    #[test]
    fn or_binds_weaker_than_and() {
        let found = alternatives("a = '1' AND b = '2' or c = '3'").unwrap();
        assert_eq!(found, [vec![Clauses("a = '1'"), Clauses("b = '2'")], vec![Clauses("c = '3'")]]);
        let found = alternatives("a = '1' AND (b = '2' OR c IN ('3', '4'))").unwrap();
        let inner = Any(vec![vec![Clauses("b = '2'")], vec![Clauses("c IN ('3', '4')")]]);
        assert_eq!(found, [vec![Clauses("a = '1'"), inner]]);
    }

    #[test]
    fn what_does_not_fit_together_is_none() {
        for bad in ["", "a OR", "OR a", "(a", "a)", "()", "(a) b", "a IN (", "a AND", &"(".repeat(9000)] {
            assert_eq!(alternatives(bad), None, "{bad}");
        }
        let deep = |n: usize| format!("{}a = 'x'{}", "(".repeat(n), ")".repeat(n));
        assert!(alternatives(&deep(MAX_DEPTH)).is_some() && alternatives(&deep(MAX_DEPTH + 1)).is_none());
    }
}
