//! How every command is carried out: load, decide, append; again when somebody else was faster.
//!
//! # Shape
//! [`Executor::execute`] folds an aggregate's stream (cached by revision), lets it decide and appends what it decided at
//! the revision it decided on.
//!
//! # Correctness
//! The cache can be stale, because other processes append too. A decision that leads to events is checked by the log's
//! expected revision; one that leads to none ("already done", a refusal) is only believed after the stream's tail was
//! read. An unknown outcome is repeated with the same event ids, which the log recognises. Nothing here holds a lock
//! while it waits.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    aggregate::{Aggregate, Decision},
    event::{Actor, DecodeError, Events, Meta, NewEvent, Position, Revision, StreamName},
    id::{AccountId, CommandId, CorrelationId, EventId},
};
use projections::log::{Append, AppendError, Appended, EventLog, Expected, LogError, MAX_PAGE};

use crate::clock::{Clock, fresh_id};

/// How often a command is decided anew when its stream keeps moving.
const MAX_RETRIES: usize = 32;
/// How often an append of unknown outcome is repeated.
const MAX_REPEATS: usize = 5;
/// Aggregates kept in memory; when there are more, all are dropped.
const MAX_CACHED: usize = 20_000;

/// Who commands, and what the command belongs to.
#[derive(Debug, Clone)]
pub struct By {
    /// Who acts.
    pub actor: Actor,
    /// For whom.
    pub on_behalf_of: Option<AccountId>,
    /// The command's id; a repeated command has the same.
    pub command: CommandId,
    /// The event that caused it.
    pub causation: Option<EventId>,
    /// What it belongs to.
    pub correlation: CorrelationId,
}

impl By {
    fn meta(&self) -> Meta {
        Meta {
            actor: self.actor.clone(),
            on_behalf_of: self.on_behalf_of,
            command_id: self.command,
            causation_id: self.causation,
            correlation_id: self.correlation,
        }
    }
}

/// An aggregate as the log has it.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// Its state.
    pub state: A,
    /// Its last event; `None` when its stream is empty.
    pub revision: Option<Revision>,
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Done<A: Aggregate> {
    /// The state after it.
    pub state: A,
    /// The stream's last event.
    pub revision: Option<Revision>,
    /// The last position written; `None` when it was already done.
    pub position: Option<Position>,
    /// What happened; empty when it was already done.
    pub events: Vec<A::Event>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: std::error::Error> {
    /// The rules say no.
    #[error(transparent)]
    Refused(R),
    /// The caller saw an older state than there is.
    #[error("it has changed: {}", where_it_is(*.actual))]
    Stale {
        /// The stream's last event.
        actual: Option<Revision>,
    },
    /// The log said no.
    #[error(transparent)]
    Log(#[from] ExecutorError),
}

/// Where a stream is, in words.
#[must_use]
pub fn where_it_is(revision: Option<Revision>) -> String {
    let at = |revision| format!("it is at revision {revision}");
    revision.map_or_else(|| "it does not exist yet".into(), at)
}

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// It cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] LogError),
    /// An event in it cannot be understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// An aggregate's state at a revision.
type Cached = (Revision, Arc<dyn Any + Send + Sync>);

/// Carries out commands.
#[derive(Debug)]
pub struct Executor {
    log: Arc<dyn EventLog>,
    clock: Clock,
    cache: Mutex<HashMap<StreamName, Cached>>,
}

impl Executor {
    /// An executor over `log`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, clock: Clock) -> Self {
        Self { log, clock, cache: Mutex::default() }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// An aggregate as the log has it now.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, ExecutorError> {
        let stream = A::stream(id);
        let cached = self.cached(&stream);
        self.refresh(&stream, cached).await
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// The refusal, or the log's trouble.
    pub async fn execute<A: Aggregate>(
        &self,
        id: &A::Id,
        command: A::Command,
        by: &By,
    ) -> Result<Done<A>, ExecuteError<A::Refusal>> {
        self.run(id, command, by, None).await
    }

    /// Carries out a command if the aggregate is still at `revision`.
    ///
    /// # Errors
    /// As [`Executor::execute`], and [`ExecuteError::Stale`].
    pub async fn execute_at<A: Aggregate>(
        &self,
        id: &A::Id,
        command: A::Command,
        by: &By,
        revision: Option<Revision>,
    ) -> Result<Done<A>, ExecuteError<A::Refusal>> {
        self.run(id, command, by, Some(revision)).await
    }

    async fn run<A: Aggregate>(
        &self,
        id: &A::Id,
        command: A::Command,
        by: &By,
        only_at: Option<Option<Revision>>,
    ) -> Result<Done<A>, ExecuteError<A::Refusal>> {
        let stream = A::stream(id);
        let mut fresh = only_at.is_some();
        let mut loaded = self.cached::<A>(&stream);
        if fresh {
            loaded = self.refresh(&stream, loaded).await?;
        }
        for _ in 0..MAX_RETRIES {
            if only_at.is_some_and(|revision| revision != loaded.revision) {
                return Err(ExecuteError::Stale { actual: loaded.revision });
            }
            let events = match loaded.state.decide(command.clone(), self.clock.time()) {
                Ok(Decision::Events(events)) => events,
                Ok(Decision::AlreadyDone) | Err(_) if !fresh => {
                    loaded = self.refresh(&stream, loaded).await?;
                    fresh = true;
                    continue;
                }
                Ok(Decision::AlreadyDone) => {
                    tracing::debug!(stream = %stream, command_id = %by.command, "command was already done");
                    let Loaded { state, revision } = loaded;
                    return Ok(Done { state, revision, position: None, events: Vec::new() });
                }
                Err(refusal) => return Err(ExecuteError::Refused(refusal)),
            };
            match self.append::<A>(&stream, loaded.revision, &events, by).await {
                Ok(appended) => {
                    let mut state = loaded.state;
                    events.iter().for_each(|event| state.apply(event));
                    self.remember(&stream, appended.revision, &state);
                    let kinds: Vec<_> = events.iter().map(Events::kind).collect();
                    tracing::info!(
                        stream = %stream, events = kinds.join(","), position = appended.last, actor = %by.actor,
                        command_id = %by.command, correlation_id = %by.correlation, "command carried out"
                    );
                    let (revision, position) = (Some(appended.revision), Some(appended.last));
                    return Ok(Done { state, revision, position, events });
                }
                Err(AppendError::Conflict { .. }) => {
                    loaded = self.refresh(&stream, loaded).await?;
                    fresh = true;
                }
                Err(other) => return Err(ExecutorError::from(other).into()),
            }
        }
        Err(ExecutorError::from(AppendError::Overloaded).into())
    }

    async fn append<A: Aggregate>(
        &self,
        stream: &StreamName,
        revision: Option<Revision>,
        events: &[A::Event],
        by: &By,
    ) -> Result<Appended, AppendError> {
        let recorded_at = self.clock.now();
        let events = events.iter().map(|event| NewEvent {
            id: EventId(fresh_id(&self.clock)),
            kind: event.kind().to_string(),
            schema: event.schema(),
            payload: event.payload(),
            recorded_at,
            effective_at: A::effective_at(event).unwrap_or_else(|| self.clock.time()),
            meta: by.meta(),
        });
        let append =
            Append { stream: stream.clone(), expected: Expected::from(revision), events: events.collect() };
        let mut unknown = false;
        for _ in 0..MAX_REPEATS {
            match self.log.append(append.clone()).await {
                // What an earlier attempt came to, a refusal to write does not tell.
                Err(AppendError::Overloaded | AppendError::Fatal(_)) if unknown => break,
                Err(AppendError::OutcomeUnknown) => {
                    unknown = true;
                    tracing::warn!(stream = %stream, command_id = %by.command, "append has an unknown outcome; repeating it");
                }
                outcome => return outcome,
            }
        }
        Err(AppendError::OutcomeUnknown)
    }

    /// Folds in what was appended since `loaded`.
    async fn refresh<A: Aggregate>(
        &self,
        stream: &StreamName,
        loaded: Loaded<A>,
    ) -> Result<Loaded<A>, ExecutorError> {
        let Loaded { mut state, mut revision } = loaded;
        let before = revision;
        loop {
            let page = self.log.read_stream(stream, Expected::from(revision).next(), MAX_PAGE).await?;
            let Some(last) = page.last() else { break };
            revision = Some(last.revision);
            for recorded in &page {
                let event = &recorded.event;
                let decoded = A::Event::decode(&event.kind, event.schema, &event.payload);
                let unknown = || Err(DecodeError::UnknownKind(event.kind.clone()));
                state.apply(&decoded.unwrap_or_else(unknown)?);
            }
        }
        if let (true, Some(revision)) = (revision != before, revision) {
            self.remember(stream, revision, &state);
        }
        Ok(Loaded { state, revision })
    }

    fn cached<A: Aggregate>(&self, stream: &StreamName) -> Loaded<A> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = cache
            .get(stream)
            .and_then(|(revision, state)| Some((*revision, state.downcast_ref::<A>()?.clone())));
        hit.map_or_else(
            || Loaded { state: A::default(), revision: None },
            |(revision, state)| Loaded { state, revision: Some(revision) },
        )
    }

    fn remember<A: Aggregate>(&self, stream: &StreamName, revision: Revision, state: &A) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CACHED && !cache.contains_key(stream) {
            cache.clear();
        }
        let older = cache.get(stream).is_none_or(|(cached, _)| *cached < revision);
        if older {
            cache.insert(stream.clone(), (revision, Arc::new(state.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::account::AccountRefusal;

    use super::*;

    #[test]
    fn a_stale_state_is_named_in_words() {
        let said = |actual| ExecuteError::<AccountRefusal>::Stale { actual }.to_string();
        assert_eq!(said(Some(2)), "it has changed: it is at revision 2");
        assert_eq!(said(None), "it has changed: it does not exist yet");
    }
}
