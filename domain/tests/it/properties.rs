//! The rules under any commands at any times.

mod contracts;
mod market;
mod values;

use domain::{
    aggregate::{Aggregate, Decision},
    event::{Events, MAX_PAYLOAD},
    time::Time,
};

/// An aggregate with everything that happened to it.
#[derive(Debug)]
struct Stream<A: Aggregate> {
    state: A,
    events: Vec<A::Event>,
}

impl<A: Aggregate> Default for Stream<A> {
    fn default() -> Self {
        Self { state: A::default(), events: Vec::new() }
    }
}

impl<A: Aggregate + PartialEq> Stream<A> {
    /// Asks, and keeps what happens: how many events. Whatever is asked:
    /// every event reads back as it was written and fits into the log, asking again adds none, and replay gives the state.
    fn ask(&mut self, command: A::Command, now: Time) -> Result<usize, A::Refusal> {
        let events = match self.state.decide(command.clone(), now)? {
            Decision::AlreadyDone => return Ok(0),
            Decision::Events(events) => events,
        };
        assert!(!events.is_empty(), "a decision without events is AlreadyDone");
        for event in &events {
            let payload = event.payload();
            assert!(payload.len() <= MAX_PAYLOAD, "{} has {} bytes", event.kind(), payload.len());
            let read = A::Event::decode(event.kind(), event.schema(), &payload);
            assert_eq!(read, Some(Ok(event.clone())), "an event must read back as it was written");
            self.state.apply(event);
        }
        let again = self.state.decide(command, now);
        assert!(!matches!(again, Ok(Decision::Events(_))), "asked twice it gives {again:?}");
        let added = events.len();
        self.events.extend(events);
        Ok(added)
    }

    /// The state is what its events give, and nothing else.
    fn check_replay(&self) {
        assert_eq!(domain::aggregate::replay::<A>(&self.events), self.state);
    }
}
