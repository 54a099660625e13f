//! The tags that the versions of a model may have, in a Bloom filter: a search by tag skips most models without reading
//! their versions.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::index::VersionFacts;

/// The size of the filter, in words of 64 bits.
const WORDS: usize = 4;

/// Bits that tags set and that are never cleared. If the bits of a tag are not set, no version has the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TagFilter([u64; WORDS]);

impl TagFilter {
    /// Adds the tags of a version.
    pub(super) fn note(&mut self, version: &VersionFacts<'_>) {
        version.tags.iter().for_each(|tag| self.put(&tag.key, &tag.value));
    }

    fn put(&mut self, key: &str, value: &str) {
        let Self(bits) = Self::of(key, value);
        self.0.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits);
    }

    /// Returns whether a version may have a tag with this value.
    pub(super) fn may_have(&self, key: &str, value: &str) -> bool {
        let Self(bits) = Self::of(key, value);
        self.0.iter().zip(bits).all(|(word, bits)| word & bits == bits)
    }

    /// Returns the two bits of a tag.
    fn of(key: &str, value: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (key, value).hash(&mut hasher);
        let hash = hasher.finish();
        let mut bits = [0; WORDS];
        for part in [hash, hash >> 32] {
            // The upper part selects the word, the lower part the bit.
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
        let mut seen = TagFilter::default();
        (0..10).for_each(|n| seen.put("team", &format!("t{n}")));
        assert!((0..10).all(|n| seen.may_have("team", &format!("t{n}"))));
        let wrong = (10..1000).filter(|n| seen.may_have("team", &format!("t{n}"))).count();
        assert!(wrong < 50, "{wrong} of 990 others seem to be there");
        assert!(!TagFilter::default().may_have("team", "t1"));
    }
}
