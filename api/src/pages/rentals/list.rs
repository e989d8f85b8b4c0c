//! What somebody rents, and what they rented.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    account::Role,
    id::ContractId,
    money::Money,
    time::{Seconds, Time},
};
use projections::views::{
    Page,
    contracts::{ContractRow, ContractScope, ContractStatus},
};
use serde::Deserialize;

use crate::{
    app::App,
    http::{extract::Query, machine::in_range},
    pages::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
};

/// Rentals of each kind on one page.
const SHOWN: usize = 25;

/// Somebody's rentals.
#[derive(Template)]
#[template(path = "rentals/list.html")]
pub struct RentalsPage {
    /// What is around it.
    pub shell: Shell,
    /// Those that run, the newest first.
    pub running: Vec<Item>,
    /// Where those go on.
    pub more_running: Option<u64>,
    /// Those that are over, the newest first.
    pub past: Vec<Item>,
    /// Where those go on.
    pub more_past: Option<u64>,
    /// Whether this is not the first page.
    pub later: bool,
}

/// A rental.
#[derive(Debug, Clone)]
pub struct Item {
    /// The contract.
    pub contract: ContractId,
    /// The device's title when it was rented.
    pub title: String,
    /// When it started.
    pub starts_at: Time,
    /// The end of the paid time, or when it ended.
    pub until: Time,
    /// How far it is.
    pub status: ContractStatus,
    /// Seconds left.
    pub left_s: Seconds,
    /// All that was received.
    pub paid: Money,
    /// All that goes back.
    pub refunded: Money,
    /// Last moment to pay for more time, if that was asked for.
    pub pay_until: Option<Time>,
}

impl Item {
    fn new(row: ContractRow, now: Time) -> Self {
        Self {
            contract: row.contract,
            title: row.offer.title,
            starts_at: row.starts_at,
            until: row.ended_at.unwrap_or(row.ends_at),
            status: row.status,
            left_s: row.ends_at.since(now).max(0),
            paid: row.paid,
            refunded: row.refunded,
            pay_until: row.extension.map(|pending| pending.lapses_at).filter(|at| *at > now),
        }
    }
}

/// Where the lists go on.
#[derive(Debug, Default, Deserialize)]
pub struct After {
    #[serde(default)]
    running: Option<String>,
    #[serde(default)]
    past: Option<String>,
}

fn position(text: Option<&String>) -> Option<u64> {
    in_range(text.and_then(|text| text.parse().ok()))
}

/// A page of rows, and where the list goes on.
fn cut(mut rows: Vec<ContractRow>, now: Time) -> (Vec<Item>, Option<u64>) {
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    let next = rows.last().filter(|_| more).map(|row| row.position);
    (rows.into_iter().map(|row| Item::new(row, now)).collect(), next)
}

/// Shows somebody's rentals.
///
/// # Errors
/// 403 for whoever does not rent.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Query(After { running, past }): Query<After>,
) -> Result<Response, Failure> {
    member.require(&[Role::Renter])?;
    let (scope, now) = (ContractScope::Renter(member.account()), member.visit.now);
    let part = |after| Page { after, ..Page::newest(SHOWN + 1) };
    let (running, past) = (position(running.as_ref()), position(past.as_ref()));
    let rows = app.views.contracts(scope, Some(ContractStatus::Running), part(running)).await?;
    let (items, more_running) = cut(rows, now);
    let mut over = Vec::new();
    for status in [ContractStatus::Expired, ContractStatus::Terminated] {
        over.extend(app.views.contracts(scope, Some(status), part(past)).await?);
    }
    over.sort_unstable_by_key(|row| std::cmp::Reverse(row.position));
    let (past_items, more_past) = cut(over, now);
    Ok(page(&RentalsPage {
        shell: member.shell("Your rentals").live(items.iter().map(|item| item.contract.to_string())),
        running: items,
        more_running,
        past: past_items,
        more_past,
        later: running.is_some() || past.is_some(),
    }))
}
