//! What happened to a thing, across all streams.

use axum::extract::State;
use domain::{event::Position, id::OrderKey};
use projections::views::timeline::Subject;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::Auditor,
    events::Event,
    extract::{Path, Query},
    list::Part,
    machine::Feed,
};
use crate::{app::App, error::Problem};

/// Which part of a timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// Only what came after this position.
    after: Option<Position>,
    /// Events wanted: 1 to 200, 50 when not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Every event about a device, contract, settlement or account (by its id) or an order (`<marketplace>-<order id>`).
#[utoipa::path(get, path = "/v1/timeline/{subject}", tag = "audit", params(("subject" = String, Path), TimelineQuery),
    security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "Events", body = Feed<Event>)))]
pub async fn subject_timeline(
    State(app): State<App>,
    _caller: Auditor,
    Path(subject): Path<String>,
    Query(TimelineQuery { after, limit }): Query<TimelineQuery>,
) -> Result<Answer<Feed<Event>>, Problem> {
    let limit = Part { limit, cursor: None }.limit()?;
    let id = subject.parse::<Uuid>().ok().map(Subject::Id);
    let subject = id.or_else(|| subject.parse::<OrderKey>().ok().map(Subject::Order));
    let unreadable = || Problem::malformed("the subject must be an id, or <marketplace>-<order id>");
    let mut items = Vec::new();
    for position in app.views.timeline(subject.ok_or_else(unreadable)?, after, limit).await? {
        let found = app.executor.log().read_all(position, 1).await?;
        items.extend(found.into_iter().map(Event::try_from).collect::<Result<Vec<_>, _>>()?);
    }
    let after = items.last().map_or(after, |event| Some(event.position));
    Ok(Answer::ok(Feed { items, after }))
}
