//! The ledger as it grows, as server-sent events.
//!
//! # Correctness
//! An event's id is its position, so a client that comes back with `Last-Event-ID` misses nothing and sees nothing
//! twice. The stream ends when the server stops or the caller's token no longer works: that is asked before each batch is
//! sent, and at least every `RECHECK`.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use utoipa::IntoParams;

use super::{
    auth::{Auditor, recognise},
    events::{Event, Filter},
    extract::Query,
    machine::in_range,
};
use crate::{app::App, error::Problem};

/// Streams open at once.
const MAX_STREAMS: usize = 256;
/// Events read at once.
const BATCH: usize = 100;
/// How often it is checked that the caller may still read.
const RECHECK: Duration = Duration::from_secs(15);
/// How often something is sent so that nobody takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

static STREAMS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_STREAMS)));

/// Which events.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Only what came after this position; `Last-Event-ID` goes before it. From the beginning when left out.
    after: Option<u64>,
    /// Only events of this name, such as `RentalStarted`.
    r#type: Option<String>,
    /// Only events of this stream, such as `device-<id>`.
    stream: Option<String>,
}

/// Where an open stream is.
struct Open {
    app: App,
    headers: HeaderMap,
    filter: Filter,
    after: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    /// The next events, none when nothing came for a while; `None` at the end. Whether the caller may read them is asked
    /// after they came.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        let found = self.filter.wait(&self.app, self.after, BATCH, Instant::now() + RECHECK).await;
        let (found, after) =
            found.inspect_err(|e| tracing::error!(error = %e, "an event stream ends")).ok()?;
        let allowed =
            recognise(&self.app, &self.headers).await.is_ok_and(|(_, roles)| Auditor::lets_in(&roles));
        if !allowed || self.app.stop.is_cancelled() {
            return None;
        }
        self.after = after;
        let events = found.into_iter().map(Event::try_from).collect::<Result<_, _>>().ok()?;
        Some((events, self))
    }
}

/// The events of the ledger as they happen. `id` is the position, `event` the type, `data` as in `GET /v1/events`.
#[utoipa::path(get, path = "/v1/events/stream", tag = "audit",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The last position received")),
    security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "Server-sent events", body = Event, content_type = "text/event-stream")))]
pub async fn stream_events(
    State(app): State<App>,
    _caller: Auditor,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, axum::Error>>>, Problem> {
    let permit = STREAMS.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
    let filter = Filter::new(query.r#type, query.stream)?;
    let last = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse().ok()));
    let after = match last {
        Some(None) => return Err(Problem::malformed("Last-Event-ID must be a position")),
        Some(Some(last)) => Some(last),
        None => query.after,
    };
    let open = Open { app, headers, filter, after: in_range(after), _permit: permit };
    let batches = stream::unfold(open, Open::next);
    let events = batches.flat_map(|batch| stream::iter(batch.into_iter().map(|event| written(&event))));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn written(event: &Event) -> Result<sse::Event, axum::Error> {
    sse::Event::default().id(event.position.to_string()).event(&event.r#type).json_data(event)
}
