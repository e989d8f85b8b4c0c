//! Which keys a table may hold: a Bloom filter.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

/// Bits, and so a mebibyte: with a million keys one in twenty is taken for written although it was not.
const BITS: u64 = 1 << 23;

/// Remembers keys; may take a key for remembered that is not, never the other way round.
pub struct Written {
    bits: Vec<u64>,
    hasher: RandomState,
}

impl Default for Written {
    fn default() -> Self {
        let words = usize::try_from(BITS / 64).unwrap_or(usize::MAX);
        Self { bits: vec![0; words], hasher: RandomState::new() }
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl Written {
    pub fn add(&mut self, key: &impl Hash) {
        for (word, bit) in self.places(key) {
            self.bits[word] |= bit;
        }
    }

    pub fn may_have(&self, key: &impl Hash) -> bool {
        self.places(key).iter().all(|(word, bit)| self.bits[*word] & bit != 0)
    }

    /// Two bits out of the two halves of one hash.
    fn places(&self, key: &impl Hash) -> [(usize, u64); 2] {
        let hash = self.hasher.hash_one(key);
        [hash % BITS, (hash >> 32) % BITS]
            .map(|bit| (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_and_little_else_is() {
        let mut written = Written::default();
        (0..100_000_u64).for_each(|key| written.add(&key));
        assert!((0..100_000_u64).all(|key| written.may_have(&key)));
        let wrong = (100_000..200_000_u64).filter(|key| written.may_have(key)).count();
        assert!(wrong < 1_000, "{wrong}");
    }
}
