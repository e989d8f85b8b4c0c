//! What this process remembers of streams: their numbers and last revisions, so that most appends and most reads of
//! what is new in a stream need no look-up.
//!
//! # Correctness
//! [`Known`] is the log as it was up to a position. The writer changes it after a commit and before it answers, so
//! whatever was answered here is in it. What other processes append is not; whoever uses it compares its position with
//! the file's first.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::event::{Position, Revision, StreamName};

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
struct Heads {
    young: HashMap<StreamName, Head>,
    old: HashMap<StreamName, Head>,
}

impl Heads {
    fn get(&mut self, name: &StreamName) -> Option<Head> {
        if let Some(head) = self.young.get(name) {
            return Some(*head);
        }
        let (name, head) = self.old.remove_entry(name)?;
        self.put(name, head);
        Some(head)
    }

    fn set(&mut self, name: &StreamName, head: Head) {
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
}

/// The log as this process knows it.
#[derive(Debug, Default)]
pub struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: Position,
    heads: Heads,
}

impl Known {
    /// Nothing but the next position.
    pub fn new(next: Position) -> Self {
        Self(Mutex::new(State { next, heads: Heads::default() }))
    }

    /// A stream's head, if known, and the next position at the same moment.
    pub fn head(&self, name: &StreamName) -> Option<(Head, Position)> {
        let mut state = self.lock();
        state.heads.get(name).map(|head| (head, state.next))
    }

    /// Forgets all streams unless the next position is the known one.
    pub fn is_at(&self, next: Position) {
        let mut state = self.lock();
        if state.next != next {
            *state = State { next, heads: Heads::default() };
        }
    }

    /// Takes in what was committed.
    pub fn committed<'a>(&self, next: Position, heads: impl IntoIterator<Item = (&'a StreamName, Head)>) {
        let mut state = self.lock();
        state.next = next;
        for (name, head) in heads {
            state.heads.set(name, head);
        }
    }

    /// Forgets all streams.
    pub fn forget(&self) {
        self.lock().heads = Heads::default();
    }

    /// Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
