//! A contract's history: what happened to it, and how it stood at any moment.

use axum::{extract::State, http::StatusCode};
use domain::{
    aggregate::Aggregate,
    contract::{Contract as Ledger, Rental, Segment as Paid, Verdict},
    event::Recorded,
    id::ContractId,
    money::{Asset, Money},
    policy::EndedBy,
    prorate::Split,
    time::Time,
};
use projections::views::contracts::SegmentVerdict;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::Auditor,
    contracts::{Extension, Segment},
    events::Event,
    extract::{Path, Query},
    schema,
};
use crate::{
    app::App,
    error::Problem,
    history::{Until, replay},
};

/// The most events in one answer; the state is folded from all of them.
const MAX_SHOWN: usize = 1_000;

/// Up to when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AsOf {
    /// A position, or a time like `2026-11-22T09:00:00Z`: what was known then. Now when left out.
    as_of: Option<String>,
}

/// How the money is split, once that is decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct SplitMoney {
    /// Back to the renter.
    #[schema(value_type = schema::Money)]
    pub refund: Money,
    /// To the owner.
    #[schema(value_type = schema::Money)]
    pub owner: Money,
    /// To the operator.
    #[schema(value_type = schema::Money)]
    pub fee: Money,
}

/// How a contract stood.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContractState {
    /// Whether the lease was closed unrented.
    closed: bool,
    /// Who rented; null while nobody did.
    #[schema(required)]
    renter: Option<Uuid>,
    /// The end of the paid time.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ends_at: Option<Time>,
    /// What was paid for.
    segments: Vec<Segment>,
    /// The request for more time that waited to be paid.
    #[schema(required)]
    extension: Option<Extension>,
    /// Who or what had ended it.
    #[schema(value_type = Option<schema::EndedBy>, required)]
    ended_by: Option<EndedBy>,
    /// The instant the money was split at.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended_at: Option<Time>,
    /// How the money was split, once it had ended.
    #[schema(required)]
    split: Option<SplitMoney>,
    /// What whoever decided disputes got; null while nobody rented.
    #[schema(value_type = Option<schema::Money>, required)]
    moderation: Option<Money>,
    /// Whether the owner's payout was issued.
    paid_out: bool,
}

/// How the money of an ended rental is split.
pub fn split(rental: &Rental) -> Option<SplitMoney> {
    let splits = rental.splits(rental.ended.as_ref()?);
    let asset: Asset = rental.started.paid.asset();
    let sum = |part: fn(&Split) -> i128| Money::from_minor(splits.iter().map(part).sum(), asset).ok();
    Some(SplitMoney { refund: sum(|s| s.refund)?, owner: sum(|s| s.owner)?, fee: sum(|s| s.fee)? })
}

/// A segment with what was decided of it so far.
fn segment(rental: &Rental, paid: &Paid) -> Segment {
    let (verdict, refunded) = match paid.verdict {
        Verdict::Pending if rental.paid_out => (SegmentVerdict::Closed, rental.refunded_by_end(paid)),
        Verdict::Pending => (SegmentVerdict::Pending, rental.refunded_by_end(paid)),
        Verdict::Closed(split) => (SegmentVerdict::Closed, split.refund),
        Verdict::Disputed { refunded, .. } => (SegmentVerdict::Disputed, refunded),
        Verdict::Decided(division) => (SegmentVerdict::Decided, division.gone + division.renter),
    };
    Segment {
        start: paid.term.start,
        end: paid.term.end,
        paid: paid.paid,
        marketplace: paid.order.marketplace.to_string(),
        order_id: paid.order.id.to_string(),
        refunded: Money::from_minor(refunded, paid.paid.asset()).unwrap_or(paid.paid),
        verdict,
    }
}

/// What whoever decided disputes about a rental got.
fn moderation(rental: &Rental) -> Option<Money> {
    let part = |segment: &Paid| match segment.verdict {
        Verdict::Decided(division) => division.moderator,
        _ => 0,
    };
    Money::from_minor(rental.segments.iter().map(part).sum(), rental.started.paid.asset()).ok()
}

impl From<&Ledger> for ContractState {
    fn from(state: &Ledger) -> Self {
        let rental = state.rental();
        let segments = |rental: &Rental| rental.segments.iter().map(|paid| segment(rental, paid)).collect();
        let pending = rental.and_then(|rental| rental.pending.as_ref()).map(|pending| Extension {
            extension: pending.extension.0,
            term_s: pending.term_s,
            price: pending.price,
            lapses_at: pending.lapses_at,
        });
        let ended = rental.and_then(|rental| rental.ended.as_ref());
        Self {
            closed: state.is_closed(),
            renter: rental.map(|rental| rental.started.renter.0),
            ends_at: rental.map(Rental::until),
            segments: rental.map(segments).unwrap_or_default(),
            extension: pending,
            ended_by: ended.map(|ended| ended.by),
            ended_at: ended.map(|ended| ended.at),
            split: rental.and_then(split),
            moderation: rental.and_then(moderation),
            paid_out: rental.is_some_and(|rental| rental.paid_out),
        }
    }
}

/// What happened to a contract, and how it stood.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// Its events, the oldest first; at most the latest 1,000.
    events: Vec<Event>,
    /// How it stood after them.
    state: ContractState,
}

fn not_yet(first: &Recorded) -> Problem {
    let at = Time::from_unix(first.event.recorded_at.timestamp());
    let detail = format!("the contract began at position {}, at {at}", first.position);
    Problem::new(StatusCode::NOT_FOUND, "not-yet", detail, "ask as of that position or later")
}

/// What happened to a contract up to a moment: who, when, why, and how it stood then.
#[utoipa::path(get, path = "/v1/contracts/{contract}/history", tag = "audit",
    params(("contract" = Uuid, Path), AsOf), security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "The history", body = History)))]
pub async fn contract_history(
    State(app): State<App>,
    _caller: Auditor,
    Path(contract): Path<ContractId>,
    Query(as_of): Query<AsOf>,
) -> Result<Answer<History>, Problem> {
    let until = Until::parse(as_of.as_of.as_deref())?;
    let (stream, mut shown) = (Ledger::stream(&contract), Vec::new());
    let state: Ledger = replay(&app, &stream, until, |recorded, _| shown.push(recorded)).await?;
    if shown.is_empty() {
        let first = app.executor.log().read_stream(&stream, 0, 1).await?;
        return Err(first.first().map_or_else(|| Problem::not_found("contract"), not_yet));
    }
    let latest = shown.split_off(shown.len().saturating_sub(MAX_SHOWN));
    let events = latest.into_iter().map(Event::try_from).collect::<Result<_, _>>()?;
    Ok(Answer::ok(History { events, state: ContractState::from(&state) }))
}
