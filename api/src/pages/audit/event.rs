//! One event in full, and finding one by its id.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    event::{Position, Recorded},
    id::EventId,
    time::Time,
};
use uuid::Uuid;

use super::{
    super::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
    authorise, facts, fields,
    told::{self, Derived, Named, Told},
};
use crate::{
    app::App,
    error::Problem,
    http::{extract::Path, machine::in_range},
};

/// Events looked through for causes before an event, and for consequences after it.
const NEAR: usize = 200;
/// Consequences shown.
const MAX_CONSEQUENCES: usize = 20;
/// The longest payload that is also shown indented, in bytes.
const MAX_PRETTY: usize = 12_000;
/// Events looked through for an event of about that time.
const MAX_SCANNED: usize = 5_000;

/// An event in full.
#[derive(Template)]
#[template(path = "audit/event.html")]
pub struct EventPage {
    /// What is around it.
    pub shell: Shell,
    /// The event.
    pub event: Told,
    /// Its id.
    pub id: Uuid,
    /// Its place in its stream.
    pub revision: u64,
    /// The version of the form of its payload.
    pub schema: u32,
    /// When it was written down, to the microsecond.
    pub recorded_at: String,
    /// Who acted, as it is written down.
    pub actor: String,
    /// The payload, indented, unless it is long.
    pub pretty: Option<String>,
    /// The payload as it was stored.
    pub raw: String,
    /// The event before it in its stream.
    pub before: Option<Position>,
    /// The event after it in its stream.
    pub after: Option<Position>,
    /// What it has caused, as far as it followed soon.
    pub consequences: Vec<Named>,
}

/// Shows an event.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(position): Path<Position>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let position = in_range(Some(position)).unwrap_or_default();
    let from = position.saturating_sub(NEAR as u64);
    let log = app.executor.log();
    let found = log.read_all(position, 1).await?.pop().filter(|found| found.position == position);
    let found = found.ok_or_else(|| Problem::not_found("event"))?;
    let near = log.read_all(from, NEAR).await?;
    let later = log.read_all(position + 1, NEAR).await?;
    let of_stream = |event: Option<Recorded>| event.map(|event| event.position);
    let before = match found.revision.checked_sub(1) {
        Some(before) => log.read_stream(&found.stream, before, 1).await?.pop(),
        None => None,
    };
    let after = log.read_stream(&found.stream, found.revision + 1, 1).await?.pop();
    let one = std::slice::from_ref(&found);
    let names = told::names(&app, one).await?;
    let derived = Derived {
        changes: facts::changes(&app, one).await?,
        entries: told::entries(&app, &[position]).await?,
    };
    let caused = later.iter().filter(|event| event.event.meta.causation_id == Some(found.event.id));
    let consequences = caused.take(MAX_CONSEQUENCES).map(|event| Named {
        text: format!("{} (#{})", fields::title(&event.event.kind), event.position),
        href: Some(format!("/audit/events/{}", event.position)),
    });
    let raw = String::from_utf8_lossy(&found.event.payload).into_owned();
    let pretty = Some(&raw).filter(|raw| raw.len() <= MAX_PRETTY);
    let pretty = pretty.and_then(|raw| serde_json::from_str::<serde_json::Value>(raw).ok());
    Ok(page(&EventPage {
        shell: member.shell(format!("Event {position}")),
        id: found.event.id.0,
        revision: found.revision,
        schema: found.event.schema,
        recorded_at: found.event.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        actor: found.event.meta.actor.to_string(),
        pretty: pretty.and_then(|value| serde_json::to_string_pretty(&value).ok()),
        raw,
        before: of_stream(before),
        after: of_stream(after),
        consequences: consequences.collect(),
        event: derived.beside(told::tell(&found, &near, &names)),
    }))
}

/// Where the event with an id is. Ids begin with the time they were made at, and the log is in the order of time but for
/// clocks of different servers, so it is looked for around that time.
///
/// # Errors
/// When the log cannot be read.
pub async fn find(app: &App, id: EventId) -> Result<Option<Position>, Problem> {
    let Some((seconds, _)) = id.0.get_timestamp().map(|time| time.to_unix()) else { return Ok(None) };
    let early = Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX)).plus(-2);
    let log = app.executor.log();
    let Some(head) = log.head().await? else { return Ok(None) };
    let (mut low, mut high) = (0, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let event = log.read_all(middle, 1).await?;
        let before = |event: &Recorded| event.event.recorded_at.timestamp() < early.unix();
        if event.first().is_some_and(before) { low = middle + 1 } else { high = middle }
    }
    let mut scanned = 0;
    while scanned < MAX_SCANNED {
        let events = log.read_all(low, 1_000).await?;
        let Some(last) = events.last() else { break };
        low = last.position + 1;
        scanned += events.len();
        if let Some(found) = events.iter().find(|event| event.event.id == id) {
            return Ok(Some(found.position));
        }
    }
    Ok(None)
}
