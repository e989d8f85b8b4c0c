//! How every aggregate decides: pure and synchronous, over a state folded from its own events.

use std::{error::Error, fmt};

use crate::{
    event::{Events, StreamName},
    time::Time,
};

/// What a command leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision<E> {
    /// These events happen, all or none.
    Events(Vec<E>),
    /// It has happened before; nothing new.
    AlreadyDone,
}

impl<E> Decision<E> {
    /// One event.
    pub fn event(event: impl Into<E>) -> Self {
        Self::Events(vec![event.into()])
    }
}

/// A consistency boundary: one stream, one state, one set of rules.
///
/// Facts from elsewhere are looked up by the caller and put into the command. The same state, command and time always
/// give the same decision.
pub trait Aggregate: Default + Clone + fmt::Debug + Send + Sync + 'static {
    /// What tells two of them apart; its text is the stream's key.
    type Id: fmt::Display + Clone + fmt::Debug + Send + Sync;
    /// What can be asked of it.
    type Command: Clone + fmt::Debug + Send + Sync;
    /// What can happen to it.
    type Event: Events;
    /// Why it says no.
    type Refusal: Error + Clone + PartialEq + Send + Sync;

    /// The first part of the stream's name.
    const CATEGORY: &'static str;

    /// Decides what a command leads to; a repeated command is [`Decision::AlreadyDone`].
    ///
    /// # Errors
    /// The refusal, in the business's words.
    fn decide(&self, command: Self::Command, now: Time) -> Result<Decision<Self::Event>, Self::Refusal>;

    /// The state after an event; total, because what happened cannot be refused.
    fn apply(&mut self, event: &Self::Event);

    /// When the event counts from, when that is not the time of writing.
    fn effective_at(_event: &Self::Event) -> Option<Time> {
        None
    }

    /// The stream of `id`.
    fn stream(id: &Self::Id) -> StreamName {
        StreamName::new(Self::CATEGORY, id)
    }
}

/// The state after `events`.
#[must_use]
pub fn replay<'a, A: Aggregate>(events: impl IntoIterator<Item = &'a A::Event>) -> A
where
    A::Event: 'a,
{
    let mut state = A::default();
    for event in events {
        state.apply(event);
    }
    state
}
