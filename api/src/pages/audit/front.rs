//! Where an audit begins: a search, the books, and the latest events.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    event::{Position, Recorded},
    id::EventId,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
    authorise,
    books::{Book, at_a_glance},
    event,
    thing::find as find_thing,
    timeline::SHOWN,
    told::{self, Told},
};
use crate::{
    app::App,
    error::Problem,
    http::{extract::Query, machine::in_range},
};

/// Which events.
#[derive(Debug, Default, Deserialize)]
pub struct Earlier {
    /// Only those before this position.
    before: Option<Position>,
}

/// What is looked for.
#[derive(Debug, Deserialize)]
pub struct Sought {
    /// An id of anything, an order, a position or a stream.
    #[serde(default)]
    what: String,
}

/// Where an audit begins.
#[derive(Template)]
#[template(path = "audit/front.html")]
pub struct AuditPage {
    /// What is around it.
    pub shell: Shell,
    /// What was looked for in vain.
    pub sought: Option<String>,
    /// The books, in each asset.
    pub books: Vec<Book>,
    /// Events, the newest first.
    pub events: Vec<Told>,
    /// Whether these are not the latest.
    pub earlier: bool,
    /// Where the events before these begin.
    pub before: Option<Position>,
}

async fn front(
    app: &App,
    member: &Member,
    before: Option<Position>,
    sought: Option<String>,
) -> Result<Response, Failure> {
    let end = app.executor.log().head().await?.map_or(0, |head| head + 1);
    let until = in_range(before).unwrap_or(end).min(end);
    let from = until.saturating_sub(SHOWN as u64);
    let wanted = usize::try_from(until - from).unwrap_or(SHOWN);
    let mut events: Vec<Recorded> = Vec::new();
    if wanted > 0 {
        events = app.executor.log().read_all(from, wanted).await?;
    }
    let names = told::names(app, &events).await?;
    let told = events.iter().rev().map(|recorded| told::tell(recorded, &events, &names)).collect();
    let shell = member.shell("Audit");
    Ok(page(&AuditPage {
        shell: if before.is_none() && sought.is_none() { shell.live_all() } else { shell },
        sought,
        books: at_a_glance(app).await?,
        events: told,
        earlier: before.is_some(),
        before: Some(from).filter(|from| *from > 0),
    }))
}

/// Shows where an audit begins.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Query(Earlier { before }): Query<Earlier>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    front(&app, &member, before, None).await
}

async fn find_any(app: &App, what: &str) -> Result<Option<String>, Problem> {
    if let Some(path) = find_thing(app, what).await? {
        return Ok(Some(path));
    }
    let Ok(id) = Uuid::try_parse(what.trim()) else { return Ok(None) };
    Ok(event::find(app, EventId(id)).await?.map(|position| format!("/audit/events/{position}")))
}

/// Leads to the page of what is looked for.
pub async fn find(
    State(app): State<App>,
    member: Member,
    Query(Sought { what }): Query<Sought>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    if let Some(path) = find_any(&app, &what).await? {
        return Ok(Redirect::to(&path).into_response());
    }
    let sought = what.chars().take(200).collect();
    let mut response = front(&app, &member, None, Some(sought)).await?;
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}
