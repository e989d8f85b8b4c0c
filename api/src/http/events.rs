//! The ledger itself, for auditors.
//!
//! # Shape
//! [`Filter`] reads a page of the log, or of one stream, after a position. A page may be empty although more follows: it
//! costs at most `MAX_SCANNED` events, however rare what is asked for.

use std::time::Duration;

use axum::extract::State;
use chrono::SecondsFormat;
use domain::{
    any::AnyEvent,
    event::{MAX_PAYLOAD, Position, Recorded, Revision, StreamName},
    time::Time,
};
use projections::log::{LogError, MAX_PAGE, MAX_STREAM_NAME};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::Auditor,
    extract::Query,
    list::Part,
    machine::{Feed, in_range},
};
use crate::{app::App, error::Problem, polls::MAX_WAIT_S};

/// The most events that one page looks at.
const MAX_SCANNED: usize = 10_000;
/// How often a waiter looks without a hint: other processes append too.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// An event of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its place in the whole log, from 0.
    pub position: u64,
    /// Its stream, such as `device-<id>`.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its id.
    pub id: Uuid,
    /// Its name, such as `RentalStarted`.
    pub r#type: String,
    /// The version of the form of its data.
    pub schema: u32,
    /// What happened, exactly as it was written down.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
    /// When it was written down.
    #[schema(format = DateTime)]
    pub recorded_at: String,
    /// When it counts from.
    #[schema(value_type = String, format = DateTime)]
    pub effective_at: Time,
    /// Who acted: `account:<id>`, `device:<id>` or `system:<part>`.
    pub actor: String,
    /// For whom, when not for itself.
    #[schema(required)]
    pub on_behalf_of: Option<Uuid>,
    /// The command it comes from.
    pub command_id: Uuid,
    /// The event that caused the command.
    #[schema(required)]
    pub causation_id: Option<Uuid>,
    /// The request or moment that everything goes back to.
    pub correlation_id: Uuid,
}

impl TryFrom<Recorded> for Event {
    type Error = Problem;

    fn try_from(recorded: Recorded) -> Result<Self, Problem> {
        let event = recorded.event;
        debug_assert!(event.payload.len() <= MAX_PAYLOAD);
        let data = String::from_utf8(event.payload).map_err(|e| Problem::internal(&e))?;
        Ok(Self {
            position: recorded.position,
            stream: recorded.stream.to_string(),
            revision: recorded.revision,
            id: event.id.0,
            r#type: event.kind,
            schema: event.schema,
            data: RawValue::from_string(data).map_err(|e| Problem::internal(&e))?,
            recorded_at: event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            effective_at: event.effective_at,
            actor: event.meta.actor.to_string(),
            on_behalf_of: event.meta.on_behalf_of.map(|account| account.0),
            command_id: event.meta.command_id.0,
            causation_id: event.meta.causation_id.map(|event| event.0),
            correlation_id: event.meta.correlation_id.0,
        })
    }
}

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only what came after this position; from the beginning when left out.
    pub after: Option<u64>,
    /// Only events of this name, such as `RentalStarted`.
    pub r#type: Option<String>,
    /// Only events of this stream, such as `device-<id>`.
    pub stream: Option<String>,
    /// Events wanted: 1 to 200, 50 when not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// How long to wait for news, in seconds; at most 30.
    #[param(maximum = 30)]
    pub wait: Option<u64>,
}

/// Which events are wanted, checked.
#[derive(Debug, Clone)]
pub struct Filter {
    kind: Option<String>,
    stream: Option<StreamName>,
}

impl Filter {
    /// Checks the names.
    ///
    /// # Errors
    /// 400 for a name that no event or stream has.
    pub fn new(kind: Option<String>, stream: Option<String>) -> Result<Self, Problem> {
        if let Some(kind) = kind.as_deref().filter(|kind| !AnyEvent::kinds().any(|(known, _)| known == *kind))
        {
            return Err(Problem::malformed(format!(
                "there is no event named {:?}",
                kind.chars().take(60).collect::<String>()
            )));
        }
        if stream.as_ref().is_some_and(|stream| stream.len() > MAX_STREAM_NAME) {
            return Err(Problem::malformed("the stream's name is too long"));
        }
        Ok(Self { kind, stream: stream.map(StreamName::stored) })
    }

    /// The next events after a position, and the last position looked at.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn page(
        &self,
        app: &App,
        after: Option<Position>,
        limit: usize,
    ) -> Result<(Vec<Recorded>, Option<Position>), LogError> {
        let (mut found, mut seen, mut scanned) = (Vec::new(), after, 0);
        let mut revision = match &self.stream {
            Some(stream) => first_after(app, stream, after).await?,
            None => 0,
        };
        while scanned < MAX_SCANNED {
            let page = match &self.stream {
                Some(stream) => app.executor.log().read_stream(stream, revision, MAX_PAGE).await?,
                None => app.executor.log().read_all(seen.map_or(0, |seen| seen + 1), limit.max(200)).await?,
            };
            if page.is_empty() {
                break;
            }
            scanned += page.len();
            for recorded in page {
                (seen, revision) = (Some(recorded.position), recorded.revision + 1);
                if self.kind.as_ref().is_none_or(|kind| *kind == recorded.event.kind) {
                    found.push(recorded);
                }
                if found.len() == limit {
                    return Ok((found, seen));
                }
            }
        }
        Ok((found, seen))
    }

    /// As [`Filter::page`], but not empty before `deadline` unless the server stops.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn wait(
        &self,
        app: &App,
        after: Option<Position>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(Vec<Recorded>, Option<Position>), LogError> {
        let (mut hint, mut after) = (app.executor.log().follow(), after);
        loop {
            hint.mark_unchanged();
            let (found, seen) = self.page(app, after, limit).await?;
            let moved = seen != after;
            after = seen;
            if !found.is_empty() || Instant::now() >= deadline || app.stop.is_cancelled() {
                return Ok((found, after));
            }
            if !moved {
                let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
                tokio::select! {
                    () = app.stop.cancelled() => {}
                    _ = tokio::time::timeout_at(look_again, hint.changed()) => {}
                }
            }
        }
    }
}

/// The first revision of a stream that lies after a position: positions rise with revisions.
async fn first_after(app: &App, stream: &StreamName, after: Option<Position>) -> Result<Revision, LogError> {
    let Some(after) = after else { return Ok(0) };
    let (mut low, mut high) = (0, after + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let event = app.executor.log().read_stream(stream, middle, 1).await?;
        if event.first().is_some_and(|event| event.position <= after) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    Ok(low)
}

/// The events of the ledger in their order. With `wait`, waits for news.
#[utoipa::path(get, path = "/v1/events", tag = "audit", params(EventsQuery),
    security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "Events", body = Feed<Event>)))]
pub async fn list_events(
    State(app): State<App>,
    _caller: Auditor,
    Query(query): Query<EventsQuery>,
) -> Result<Answer<Feed<Event>>, Problem> {
    let limit = Part { limit: query.limit, cursor: None }.limit()?;
    let filter = Filter::new(query.r#type, query.stream)?;
    let wait = query.wait.unwrap_or(0);
    if wait > MAX_WAIT_S.into() {
        return Err(Problem::invalid(format!("wait must be at most {MAX_WAIT_S}")));
    }
    let wait = Duration::from_secs(wait);
    let (found, after) = filter.wait(&app, in_range(query.after), limit, Instant::now() + wait).await?;
    let items = found.into_iter().map(Event::try_from).collect::<Result<_, _>>()?;
    Ok(Answer::ok(Feed { items, after }))
}
