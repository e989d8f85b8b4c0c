//! A thing's whole history as a file: one event on a line, in the form of `GET /v1/events`.
//!
//! # Correctness
//! Lines are made as they are sent, so a history of any length takes the memory of one page. What cannot be read on the
//! way breaks the answer off: a file that came to its end is whole.

use std::collections::VecDeque;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use domain::{
    event::Position,
    id::{AccountId, ContractId, DeviceId, MarketplaceName, OrderId, OrderKey, SettlementId},
};
use futures_util::stream;

use super::{
    super::{failure::Failure, visit::Member},
    authorise,
    thing::Thing,
    timeline::read,
};
use crate::{
    app::App,
    error::Problem,
    http::{events::Event, extract::Path},
};

/// Positions looked up at once.
const BATCH: usize = 200;
/// Events in one piece of the answer.
const PIECE: usize = 20;

/// A download on its way.
struct Download {
    app: App,
    thing: Thing,
    after: Option<Position>,
    ahead: VecDeque<Position>,
}

impl Download {
    /// The next lines; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.ahead.is_empty() {
            self.ahead = self.thing.positions(&self.app, self.after, BATCH).await?.into();
            self.after = self.ahead.back().copied();
        }
        let piece: Vec<_> = self.ahead.drain(..self.ahead.len().min(PIECE)).collect();
        if piece.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        for recorded in read(&self.app, &piece).await? {
            let event = Event::try_from(recorded)?;
            serde_json::to_writer(&mut lines, &event).map_err(|e| Problem::internal(&e))?;
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }
}

async fn send(app: App, member: &Member, thing: Thing) -> Result<Response, Failure> {
    authorise(member)?;
    if thing.positions(&app, None, 1).await?.is_empty() {
        return Err(Problem::not_found(&thing.kind().to_lowercase()).into());
    }
    let name = format!("{}.jsonl", thing.stream());
    let download = Download { app, thing, after: None, ahead: VecDeque::new() };
    let lines = stream::try_unfold(download, |mut download| async move {
        let lines =
            download.next().await.inspect_err(|e| tracing::error!(error = %e, "a download broke off"))?;
        Ok::<_, Problem>(lines.map(|lines| (lines, download)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// A contract's history.
pub async fn contract(
    State(app): State<App>,
    member: Member,
    Path(id): Path<ContractId>,
) -> Result<Response, Failure> {
    send(app, &member, Thing::Contract(id)).await
}

/// A device's history.
pub async fn device(
    State(app): State<App>,
    member: Member,
    Path(id): Path<DeviceId>,
) -> Result<Response, Failure> {
    send(app, &member, Thing::Device(id)).await
}

/// An order's history.
pub async fn order(
    State(app): State<App>,
    member: Member,
    Path((marketplace, id)): Path<(MarketplaceName, OrderId)>,
) -> Result<Response, Failure> {
    send(app, &member, Thing::Order(OrderKey { marketplace, id })).await
}

/// An account's history.
pub async fn account(
    State(app): State<App>,
    member: Member,
    Path(id): Path<AccountId>,
) -> Result<Response, Failure> {
    send(app, &member, Thing::Account(id)).await
}

/// A settlement's history.
pub async fn settlement(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
) -> Result<Response, Failure> {
    send(app, &member, Thing::Settlement(id)).await
}
