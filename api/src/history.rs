//! A stream up to a moment: every event with the state after it.
//!
//! # Correctness
//! The state is folded from the log alone, by the rules of the domain, so it is what anybody else comes to.

use domain::{
    aggregate::Aggregate,
    event::{DecodeError, Events, Position, Recorded, StreamName},
    time::Time,
};
use projections::log::MAX_PAGE;

use crate::{app::App, error::Problem, execute::ExecutorError};

/// The last event that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The last one there is.
    End,
    /// The one at this position, or the last before it.
    Position(Position),
    /// The last one that was written down by then.
    Time(Time),
}

impl Until {
    /// A position, or a time like `2026-11-22T09:00:00Z`; the end for nothing.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = text else { return Ok(Self::End) };
        let position = text.parse().ok().map(Self::Position);
        let until = position.or_else(|| text.parse().ok().map(Self::Time));
        until
            .ok_or_else(|| Problem::malformed("as_of must be a position or a time like 2026-11-22T09:00:00Z"))
    }

    /// Whether events after a position may count.
    #[must_use]
    pub const fn is_after(&self, position: Position) -> bool {
        !matches!(self, Self::Position(last) if *last <= position)
    }

    /// Whether an event counts.
    #[must_use]
    pub fn covers(&self, recorded: &Recorded) -> bool {
        match self {
            Self::End => true,
            Self::Position(last) => recorded.position <= *last,
            Self::Time(last) => Time::from_unix(recorded.event.recorded_at.timestamp()) <= *last,
        }
    }
}

/// Folds a stream up to a moment and shows every event with the state after it; answers with the last state.
///
/// # Errors
/// When the log cannot be read.
pub async fn replay<A: Aggregate>(
    app: &App,
    stream: &StreamName,
    until: Until,
    mut show: impl FnMut(Recorded, &A) + Send,
) -> Result<A, Problem> {
    let (mut state, mut from, mut more) = (A::default(), 0, true);
    while more {
        let page = app.executor.log().read_stream(stream, from, MAX_PAGE).await?;
        more = page.last().is_some_and(|last| until.covers(last));
        for recorded in page.into_iter().filter(|recorded| until.covers(recorded)) {
            from = recorded.revision + 1;
            let event = &recorded.event;
            let unknown = || Err(DecodeError::UnknownKind(event.kind.clone()));
            let decoded = A::Event::decode(&event.kind, event.schema, &event.payload);
            state.apply(&decoded.unwrap_or_else(unknown).map_err(ExecutorError::from)?);
            show(recorded, &state);
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        assert_eq!(Until::parse(None).unwrap(), Until::End);
        assert_eq!(Until::parse(Some("7")).unwrap(), Until::Position(7));
        let time = Time::from_unix(0);
        assert_eq!(Until::parse(Some("1970-01-01T00:00:00Z")).unwrap(), Until::Time(time));
        for bad in ["", "-1", "yesterday", "99999999999999999999"] {
            assert!(Until::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
