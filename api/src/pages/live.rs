//! Telling a page that it is outdated.
//!
//! # Shape
//! A page that changes by itself holds `/live` open and loads itself again when an event about one of its contracts,
//! devices or settlements has happened: server-sent events `changed`, each with the position it is about.
//!
//! # Correctness
//! Nothing but "something changed" is told, and only of what the visitor may see. The first position that is looked at is
//! the one the views had reached when the stream was opened, and the page was made before, so what happens in between is
//! told: a page is never left outdated. At most [`MAX_STREAMS`] are open. Whoever signed out is told nothing more: the
//! stream ends, and the browser, which connects again, is told with 204 to let it be.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use domain::{
    account::Role,
    event::Position,
    id::{ContractId, DeviceId, SettlementId},
    key::Digest,
};
use futures_util::stream;
use projections::views::timeline::Subject;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{failure::Failure, visit::Member};
use crate::{app::App, error::Problem, http::extract::Query, logins};

/// Things that one page hears of.
pub const MAX_SUBJECTS: usize = 60;
/// Streams open at once.
const MAX_STREAMS: usize = 2_000;
/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(700);

static STREAMS: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(MAX_STREAMS)));

/// What a page wants to hear of.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// Ids of contracts, devices and settlements, separated by commas; `all` for every event.
    of: String,
    /// The position that the page was made at.
    #[serde(default)]
    after: Option<Position>,
}

/// What is looked at.
enum Scope {
    All,
    Subjects(Vec<Subject>),
}

struct Watch {
    app: App,
    scope: Scope,
    after: Option<Position>,
    session: Digest,
    _permit: OwnedSemaphorePermit,
}

/// What the visitor may hear of.
async fn scope(app: &App, member: &Member, wanted: &Wanted) -> Result<Scope, Problem> {
    let sees_all = member.is_any(&[Role::Operator, Role::Auditor]);
    if wanted.of == "all" {
        member.require(&[Role::Operator, Role::Auditor])?;
        return Ok(Scope::All);
    }
    let mut subjects = vec![Subject::from(member.account())];
    for id in wanted.of.split(',').filter_map(|id| Uuid::try_parse(id).ok()).take(MAX_SUBJECTS) {
        let (account, contract, device) = (member.account(), ContractId(id), DeviceId(id));
        let settlement = SettlementId(id);
        if let Some(row) = app.views.contract(contract).await? {
            if sees_all || row.renter == account || row.owner == account {
                subjects.push(contract.into());
            }
        } else if let Some(row) = app.views.device(device).await?
            && (sees_all || row.owner == account)
        {
            subjects.push(device.into());
        } else if let Some(row) = app.views.settlement(settlement).await?
            && (sees_all || row.recipient == account)
        {
            subjects.push(settlement.into());
        }
    }
    Ok(Scope::Subjects(subjects))
}

impl Watch {
    /// The next position that concerns the page; `None` when the visitor has signed out or the server stops.
    async fn next(&mut self) -> Option<Position> {
        let mut log = self.app.executor.log().follow();
        loop {
            let found = match self.look().await {
                Ok(found) => found,
                Err(e) => {
                    tracing::error!(error = %e, "a page cannot be told what changed");
                    return None;
                }
            };
            if let Some(position) = found {
                self.after = Some(position);
                return self.is_signed_in().await.then_some(position);
            }
            let stop = self.app.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                changed = log.changed() => changed.ok()?,
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Whether the session that the page was opened in goes on.
    async fn is_signed_in(&self) -> bool {
        let now = self.app.clock.time();
        let session = self.app.private.session(self.session, now, now.plus(-logins::IDLE_S)).await;
        matches!(session, Ok(Some(_)))
    }

    /// The latest position after the last one that concerns the page, once the views hold it.
    async fn look(&self) -> Result<Option<Position>, Problem> {
        let reached = self.app.views.checkpoint().await?.checked_sub(1);
        if reached <= self.after {
            return Ok(None);
        }
        let Scope::Subjects(subjects) = &self.scope else { return Ok(reached) };
        for subject in subjects {
            if !self.app.views.timeline(*subject, self.after, 1).await?.is_empty() {
                return Ok(reached);
            }
        }
        Ok(None)
    }
}

/// Tells a page when it is outdated.
///
/// # Errors
/// 403 for every event without the role; 503 when too many are open.
pub async fn stream(
    State(app): State<App>,
    member: Option<Member>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let Some(member) = member else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let full = || {
        let detail = "too many pages are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail, "load the page by hand")
    };
    let permit = STREAMS.clone().try_acquire_owned().map_err(|_| full())?;
    let scope = scope(&app, &member, &wanted).await?;
    let after = match wanted.after {
        Some(after) => Some(after),
        None => app.views.checkpoint().await?.checked_sub(1),
    };
    let watch = Watch { app, scope, after, session: member.visitor.session, _permit: permit };
    let events = stream::unfold(watch, |mut watch| async {
        let position = watch.next().await?;
        // Browsers pass over an event without data.
        let event = Event::default().event("changed").data(position.to_string());
        Some((Ok::<_, Infallible>(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}
