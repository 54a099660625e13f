//! Patterns of `LIKE` and `ILIKE`: `%` stands for any number of characters, `_` for one character. There are no
//! escapes.
//!
//! No pattern makes a match slow. The segments between two `%` are searched from left to right, each at its first
//! occurrence. A segment without `_` uses the linear search of the standard library. A segment with `_` uses Shift-And,
//! which stores all partial matches as bits of a few words.

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The start of the text, up to the first `%`.
    first: PatternPart,
    /// The segments that follow anywhere, in this order.
    middle: Vec<Search>,
    /// The end of the text, after the last `%`. `None` if the pattern has no `%`: the text is then exactly `first`.
    last: Option<PatternPart>,
    any_case: bool,
}

/// The start or the end of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternPart {
    /// A segment without `_`.
    Plain(String),
    /// A segment with `_`, which is stored as `None`.
    Wild(Vec<Option<char>>),
}

/// A segment between two `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Search {
    /// A segment without `_`.
    Plain(String),
    /// A segment with `_`.
    Wild(ShiftAnd),
}

/// The Shift-And automaton of a segment: for each character, the positions of the segment that it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShiftAnd {
    len: usize,
    /// For each character of the segment, one bit for each position; sorted by character.
    fits: Vec<(char, Vec<u64>)>,
    /// The positions that any character fits: those of `_`.
    wild: Vec<u64>,
}

impl Pattern {
    /// Parses a pattern. With `any_case` (`ILIKE`), the pattern and the texts are compared in lower case, mapped
    /// character by character as in Unicode.
    pub(super) fn new(pattern: &str, any_case: bool) -> Self {
        let pattern = if any_case { lower(pattern) } else { pattern.to_owned() };
        let mut parts: Vec<&str> = pattern.split('%').collect();
        let last = if parts.len() > 1 { parts.pop().map(PatternPart::new) } else { None };
        let mut parts = parts.into_iter();
        let first = PatternPart::new(parts.next().unwrap_or_default());
        let middle = parts.filter(|p| !p.is_empty()).map(Search::new).collect();
        Self { first, middle, last, any_case }
    }

    /// Returns whether the whole text matches. The time is linear in the length of the text.
    pub(super) fn matches(&self, text: &str) -> bool {
        if !self.any_case {
            return self.matches_folded(text);
        }
        let mut buffer = [0_u8; 128];
        if let Some(short) = buffer.get_mut(..text.len()).filter(|_| text.is_ascii()) {
            short.copy_from_slice(text.as_bytes());
            short.make_ascii_lowercase();
            return std::str::from_utf8(short).is_ok_and(|s| self.matches_folded(s));
        }
        self.matches_folded(&lower(text))
    }

    fn matches_folded(&self, text: &str) -> bool {
        let Some(rest) = self.first.behind_start(text) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        let rest = self.middle.iter().try_fold(rest, |rest, search| search.behind_first(rest));
        rest.is_some_and(|rest| last.is_end(rest))
    }
}

/// Returns a text in lower case, mapped character by character.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

impl PatternPart {
    fn new(part: &str) -> Self {
        if part.contains('_') {
            Self::Wild(part.chars().map(|c| (c != '_').then_some(c)).collect())
        } else {
            Self::Plain(part.to_owned())
        }
    }

    /// Returns the rest of the text after this part, if the text starts with this part.
    fn behind_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Plain(s) => text.strip_prefix(s.as_str()),
            Self::Wild(wanted) => {
                let mut chars = text.chars();
                let fits = wanted.iter().all(|w| chars.next().is_some_and(|c| w.is_none_or(|w| w == c)));
                fits.then_some(chars.as_str())
            }
        }
    }

    /// Returns whether the text ends with this part.
    fn is_end(&self, text: &str) -> bool {
        match self {
            Self::Plain(s) => text.ends_with(s.as_str()),
            Self::Wild(wanted) => {
                let mut chars = text.chars().rev();
                wanted.iter().rev().all(|w| chars.next().is_some_and(|c| w.is_none_or(|w| w == c)))
            }
        }
    }
}

impl Search {
    fn new(part: &str) -> Self {
        if part.contains('_') { Self::Wild(ShiftAnd::new(part)) } else { Self::Plain(part.to_owned()) }
    }

    /// Returns the rest of the text after the first occurrence of the segment.
    fn behind_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Plain(s) => text.split_once(s.as_str()).map(|(_, behind)| behind),
            Self::Wild(search) => search.behind_first(text),
        }
    }
}

impl ShiftAnd {
    fn new(part: &str) -> Self {
        let len = part.chars().count();
        let none = vec![0_u64; len.div_ceil(64)];
        let mut wild = none.clone();
        let mut letters: Vec<char> = part.chars().filter(|&c| c != '_').collect();
        letters.sort_unstable();
        letters.dedup();
        let mut fits: Vec<_> = letters.into_iter().map(|c| (c, none.clone())).collect();
        for (i, c) in part.chars().enumerate() {
            let (word, bit) = (i / 64, 1_u64 << (i % 64));
            let sets = fits.iter_mut().filter(|(letter, _)| c == '_' || *letter == c).map(|(_, set)| set);
            for set in sets.chain((c == '_').then_some(&mut wild)) {
                if let Some(w) = set.get_mut(word) {
                    *w |= bit;
                }
            }
        }
        Self { len, fits, wild }
    }

    /// Returns the rest of the text after the first match.
    fn behind_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut state = vec![0_u64; self.wild.len()];
        let goal = 1_u64 << ((self.len + 63) % 64);
        for (at, c) in text.char_indices() {
            let found = self.fits.binary_search_by_key(&c, |(letter, _)| *letter);
            let fits = found.ok().and_then(|i| self.fits.get(i)).map_or(&self.wild, |(_, set)| set);
            let mut carry = 1;
            for (word, fit) in state.iter_mut().zip(fits) {
                let next = *word >> 63;
                *word = (*word << 1 | carry) & fit;
                carry = next;
            }
            if state.last().is_some_and(|w| w & goal != 0) {
                return text.get(at + c.len_utf8()..);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of a match, character by character.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            (['%', rest @ ..], _) => (0..=text.len()).any(|i| naive(rest, &text[i..])),
            (['_', p @ ..], [_, t @ ..]) => naive(p, t),
            ([a, p @ ..], [b, t @ ..]) => a == b && naive(p, t),
            (_, []) => false,
        }
    }

    #[test]
    fn percent_is_any_text_and_underscore_one_character() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("wine%", "wine quality", true),
            ("wine%", "Wine quality", false),
            ("%quality", "wine quality", true),
            ("%ne q%", "wine quality", true),
            ("a%a", "a", false),
            ("%%", "x\ny", true),
            ("w_ne", "wine", true),
            ("w_ne", "wne", false),
            ("_", "ß", true),
            ("%_i_e%", "red wine", true),
            (r"100\%", r"100\x", true),
            (r"100\%", "100%", false),
        ] {
            assert_eq!(Pattern::new(pattern, false).matches(text), want, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn ilike_ignores_case_beyond_ascii() {
        for (pattern, text, want) in [
            ("%WINE%", "red Wine", true),
            ("straẞe", "STRAßE", true),
            ("ÄPFEL%", "äpfelmus", true),
            ("%x%", "red Wine", false),
        ] {
            assert_eq!(Pattern::new(pattern, true).matches(text), want, "{pattern:?} {text:?}");
        }
        assert!(Pattern::new("A%Z", true).matches(&format!("a{}Z", "b".repeat(500))));
    }

    /// With a backtracking search, this test would not end.
    #[test]
    fn a_hostile_pattern_ends() {
        let text = "a".repeat(100_000);
        let patterns = [format!("{}b", "a%".repeat(4000)), format!("%{}b%", "a_".repeat(2000)), "%_%_b".repeat(1000)];
        for pattern in patterns {
            assert!(!Pattern::new(&pattern, false).matches(&text));
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab%_]{0,8}", text in "[abc]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern, false).matches(&text), naive(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn long_segments_agree_too(gap in 0_usize..70, tail in 0_usize..70, text in "[ab]{0,150}") {
            let pattern = format!("%{}a{}b%", "_".repeat(gap + 1), "_".repeat(tail));
            let chars: Vec<char> = text.chars().collect();
            let want = (gap + 1..chars.len()).any(|i| chars[i] == 'a' && chars.get(i + tail + 1) == Some(&'b'));
            prop_assert_eq!(Pattern::new(&pattern, false).matches(&text), want);
        }
    }
}
