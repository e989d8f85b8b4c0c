//! What happened to a thing, across all streams.

use axum::extract::State;
use domain::id::{ContractId, OrderKey};
use projections::views::timeline::Subject;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::Answer,
    auth::Auditor,
    events::Event,
    extract::{Path, Query},
    list::Part,
    machine::{Feed, in_range},
};
use crate::{app::App, error::Problem};

/// Which part of a timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// Only what came after this position.
    after: Option<u64>,
    /// Events wanted: 1 to 200, 50 when not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Every event about a device, contract, settlement or account (by its id) or an order (`<marketplace>-<order id>`). A
/// contract's orders and settlements belong to it.
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
    let after = in_range(after);
    let positions = match (subject.parse(), subject.parse::<OrderKey>()) {
        // Ids are never the same for two things, so any id may be asked for as a contract's.
        (Ok(id), _) => app.views.history_of(ContractId(id), after, limit).await?,
        (_, Ok(order)) => app.views.timeline(Subject::from(&order), after, limit).await?,
        _ => return Err(Problem::malformed("the subject must be an id, or <marketplace>-<order id>")),
    };
    let mut items = Vec::new();
    for position in positions {
        let found = app.executor.log().read_all(position, 1).await?;
        items.extend(found.into_iter().map(Event::try_from).collect::<Result<Vec<_>, _>>()?);
    }
    let after = items.last().map_or(after, |event| Some(event.position));
    Ok(Answer::ok(Feed { items, after }))
}
