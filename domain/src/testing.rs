//! given / when / then for aggregates.

use std::fmt::Debug;

use crate::{
    aggregate::{Aggregate, Decision, replay},
    event::Events,
    time::Time,
};

/// What has happened so far.
#[derive(Debug)]
pub struct Given<A: Aggregate> {
    state: A,
}

/// A decision to be checked.
#[derive(Debug)]
#[must_use]
pub struct Outcome<A: Aggregate> {
    state: A,
    decision: Result<Decision<A::Event>, A::Refusal>,
}

/// Starts from these events.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let events: Vec<_> = events.into_iter().collect();
    Given { state: replay(&events) }
}

impl<A: Aggregate> Given<A> {
    /// Asks for a decision at `now`.
    pub fn when(&self, command: A::Command, now: Time) -> Outcome<A> {
        Outcome { state: self.state.clone(), decision: self.state.decide(command, now) }
    }
}

impl<A: Aggregate> Outcome<A> {
    /// Exactly these events happen; and asking once more after them is what the caller tests with the answer.
    ///
    /// # Panics
    /// When anything else was decided.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> Given<A>
    where
        A::Refusal: Debug,
    {
        let expected: Vec<_> = events.into_iter().collect();
        assert_eq!(self.decision, Ok(Decision::Events(expected.clone())));
        let mut state = self.state;
        for event in &expected {
            let read = A::Event::decode(event.kind(), event.schema(), &event.payload());
            assert_eq!(read, Some(Ok(event.clone())), "an event must read back as it was written");
            state.apply(event);
        }
        Given { state }
    }

    /// Nothing new happens.
    ///
    /// # Panics
    /// When anything else was decided.
    #[track_caller]
    pub fn then_already_done(self) {
        assert_eq!(self.decision, Ok(Decision::AlreadyDone));
    }

    /// It is refused for this reason.
    ///
    /// # Panics
    /// When anything else was decided.
    #[track_caller]
    pub fn then_refused(self, refusal: A::Refusal) {
        assert_eq!(self.decision, Err(refusal));
    }
}
