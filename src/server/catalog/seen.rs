//! Which tags the versions of a model may have, in a few bits (a Bloom filter): a search by tag passes over most models
//! without a look at their versions.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::index::VersionFacts;

/// How many bits there are, in words.
const WORDS: usize = 4;

/// Bits that are set by tags and never taken back: a tag whose bits are missing is not there, another may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen([u64; WORDS]);

impl Seen {
    /// Notes the tags of a version.
    pub(super) fn note(&mut self, version: &VersionFacts<'_>) {
        version.tags.iter().for_each(|tag| self.put(&tag.key, &tag.value));
    }

    fn put(&mut self, key: &str, value: &str) {
        let Self(bits) = Self::of(key, value);
        self.0.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits);
    }

    /// Whether some version may have a tag with this value.
    pub(super) fn may_have(&self, key: &str, value: &str) -> bool {
        let Self(bits) = Self::of(key, value);
        self.0.iter().zip(bits).all(|(word, bits)| word & bits == bits)
    }

    /// The bits of a tag: two.
    fn of(key: &str, value: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (key, value).hash(&mut hasher);
        let hash = hasher.finish();
        let mut bits = [0; WORDS];
        for part in [hash, hash >> 32] {
            // The upper part says which word, the lower which bit of it.
            if let Some(word) = bits.get_mut((part >> 6) as usize % WORDS) {
                *word |= 1 << (part % 64);
            }
        }
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_may_be_there_and_hardly_anything_else() {
        let mut seen = Seen::default();
        (0..10).for_each(|n| seen.put("team", &format!("t{n}")));
        assert!((0..10).all(|n| seen.may_have("team", &format!("t{n}"))));
        let wrong = (10..1000).filter(|n| seen.may_have("team", &format!("t{n}"))).count();
        assert!(wrong < 50, "{wrong} of 990 others seem to be there");
        assert!(!Seen::default().may_have("team", "t1"));
    }
}
