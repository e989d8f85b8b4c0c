//! Telling a page that it is outdated.
//!
//! # Shape
//! A page that changes by itself holds `/live` open and loads itself again when an event about one of its contracts,
//! devices or settlements has happened: server-sent events `changed`, each with the position it is about.
//!
//! # Correctness
//! Nothing but "something changed" is told, and only of what the visitor may see. The first position that is looked at is
//! the one the views had reached when the stream was opened, and the page was made before, so what happens in between is
//! told: a page is never left outdated. At most [`MAX_STREAMS`] are open, [`MAX_OF_ACCOUNT`] of one account. Whoever signed out is told nothing more: the
//! stream ends, and the browser, which connects again, is told with 204 to let it be.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use domain::{
    account::Role,
    event::Position,
    id::{AccountId, ContractId, DeviceId, SettlementId},
    key::Digest,
};
use futures_util::stream;
use projections::views::timeline::Subject;
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use uuid::Uuid;

use super::{failure::Failure, visit::Member};
use crate::{app::App, error::Problem, http::extract::Query, logins};

/// Things that one page hears of.
pub const MAX_SUBJECTS: usize = 60;
/// Streams open at once.
const MAX_STREAMS: usize = 2_000;
/// Streams of one account.
const MAX_OF_ACCOUNT: usize = 24;
/// How long a stream lasts; the browser connects again, and who it is for is asked anew.
const LIFE: Duration = Duration::from_secs(600);

static STREAMS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_STREAMS)));
static PLACES: Mutex<BTreeMap<AccountId, usize>> = Mutex::new(BTreeMap::new());

/// One of the streams that an account may have.
struct Place(AccountId);

impl Place {
    fn take(account: AccountId) -> Option<Self> {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(account).or_default();
        *taken += 1;
        let free = *taken <= MAX_OF_ACCOUNT;
        drop(places);
        // Dropped, it is given back: also one too many.
        Some(Self(account)).filter(|_| free)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let left = places.get_mut(&self.0).map(|taken| {
            *taken -= 1;
            *taken
        });
        if left == Some(0) {
            places.remove(&self.0);
        }
    }
}

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

impl Scope {
    /// The shortest time between two looks: some page is always outdated where everything counts.
    const fn pause(&self) -> Duration {
        match self {
            Self::All => Duration::from_secs(3),
            Self::Subjects(_) => Duration::from_millis(700),
        }
    }
}

struct Watch {
    app: App,
    scope: Scope,
    after: Option<Position>,
    session: Digest,
    until: Instant,
    _permit: OwnedSemaphorePermit,
    _place: Place,
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
    /// The next position that concerns the page; `None` when the visitor has signed out, the server stops, or it is time
    /// to ask anew who listens.
    async fn next(&mut self) -> Option<Position> {
        let mut log = self.app.executor.log().follow();
        let stop = self.app.stop.clone();
        loop {
            let head = *log.borrow_and_update();
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
            // What the views do not hold yet is looked for again, though the log says nothing new.
            let behind = head > self.app.views.checkpoint().await.ok()?.checked_sub(1);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                changed = log.changed(), if !behind => changed.ok()?,
                () = std::future::ready(()), if behind => {}
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(self.scope.pause()) => {}
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
        let news = self.app.views.has_news(subjects.clone(), self.after).await?;
        Ok(reached.filter(|_| news))
    }
}

/// Tells a page when it is outdated.
///
/// # Errors
/// 403 for every event without the role; 503 when too many are open.
pub async fn stream(
    State(app): State<App>,
    member: Option<Member>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let Some(member) = member else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let full = || {
        let detail = "too many pages are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail, "load the page by hand")
    };
    let permit = STREAMS.clone().try_acquire_owned().map_err(|_| full())?;
    let place = Place::take(member.account()).ok_or_else(full)?;
    let scope = scope(&app, &member, &wanted).await?;
    // A browser that connects again says what it has heard of.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = match last.or(wanted.after) {
        Some(after) => Some(after),
        None => app.views.checkpoint().await?.checked_sub(1),
    };
    let (session, until) = (member.visitor.session, Instant::now() + LIFE);
    let watch = Watch { app, scope, after, session, until, _permit: permit, _place: place };
    let events = stream::unfold(watch, |mut watch| async {
        let position = watch.next().await?;
        // Browsers pass over an event without data.
        let position = position.to_string();
        let event = Event::default().event("changed").id(&position).data(&position);
        Some((Ok::<_, Infallible>(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}
