//! What the writer remembers of streams: their numbers and last revisions, so that most appends need no look-up.

use std::collections::HashMap;

use domain::event::{Revision, StreamName};

/// Streams in one generation; two are kept, about 100 bytes each stream.
const GENERATION: usize = 65_536;

/// A stream as the writer knows it.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Its number in the file.
    pub id: i64,
    /// Its last revision.
    pub last: Revision,
}

/// A bounded map in two generations: when the young one is full the old one is forgotten, so what was used lately stays.
#[derive(Debug, Default)]
pub struct Heads {
    young: HashMap<StreamName, Head>,
    old: HashMap<StreamName, Head>,
}

impl Heads {
    pub fn get(&mut self, name: &StreamName) -> Option<Head> {
        if let Some(head) = self.young.get(name) {
            return Some(*head);
        }
        let (name, head) = self.old.remove_entry(name)?;
        self.put(name, head);
        Some(head)
    }

    pub fn set(&mut self, name: &StreamName, head: Head) {
        match self.young.get_mut(name) {
            Some(known) => *known = head,
            None => self.put(name.clone(), head),
        }
    }

    fn put(&mut self, name: StreamName, head: Head) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&name);
        self.young.insert(name, head);
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: usize) -> StreamName {
        StreamName::new("device", &i)
    }

    #[test]
    fn what_was_used_lately_stays_and_memory_is_bounded() {
        let mut heads = Heads::default();
        for i in 0..5 * GENERATION {
            heads.set(&name(i), Head { id: 1, last: i as u64 });
            assert_eq!(heads.get(&name(0)).map(|head| head.last), Some(0), "after {i}");
        }
        assert!(heads.young.len() + heads.old.len() <= 2 * GENERATION);
        assert!(heads.get(&name(1)).is_none());
        assert_eq!(heads.get(&name(5 * GENERATION - 1)).unwrap().last, 5 * GENERATION as u64 - 1);
    }

    #[test]
    fn an_old_value_never_comes_back() {
        let mut heads = Heads::default();
        heads.set(&name(0), Head { id: 1, last: 1 });
        for i in 1..=GENERATION {
            heads.set(&name(i), Head { id: 1, last: 0 });
        }
        heads.set(&name(0), Head { id: 1, last: 2 });
        for i in 1..=GENERATION {
            heads.set(&name(GENERATION + i), Head { id: 1, last: 0 });
        }
        assert!(heads.get(&name(0)).is_none_or(|head| head.last == 2));
    }
}
