//! Money on its way out of escrow: which is where, and what can be done about one.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{event::Position, id::SettlementId, money::Money, settlement::SettlementKind, time::Time};
use projections::views::settlements::{SettlementFilter, SettlementRow, SettlementStatus};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        audit::told::{self, Named},
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
    Part, authorise, cut,
    steps::Typed,
};
use crate::{
    app::App,
    error::Problem,
    http::{
        extract::{Path, Query},
        settlements::Status as Wanted,
    },
    settling,
};

/// Every state that can be asked for.
pub const STATUSES: [SettlementStatus; 6] = [
    SettlementStatus::Quarantined,
    SettlementStatus::Failed,
    SettlementStatus::Started,
    SettlementStatus::Due,
    SettlementStatus::Settled,
    SettlementStatus::Withdrawn,
];

/// A state in a word.
#[must_use]
pub const fn word(status: &SettlementStatus) -> &'static str {
    match status {
        SettlementStatus::Due => "due",
        SettlementStatus::Started => "started",
        SettlementStatus::Settled => "settled",
        SettlementStatus::Failed => "failed",
        SettlementStatus::Quarantined => "quarantined",
        SettlementStatus::Withdrawn => "withdrawn",
    }
}

/// How bad a state is, as a class.
#[must_use]
pub const fn class(status: &SettlementStatus) -> &'static str {
    match status {
        SettlementStatus::Quarantined => "bad",
        SettlementStatus::Failed => "warn",
        SettlementStatus::Settled => "good",
        _ => "",
    }
}

const fn kind(kind: SettlementKind) -> &'static str {
    match kind {
        SettlementKind::Refund => "Refund",
        SettlementKind::Payout => "Payout",
        SettlementKind::Moderation => "Moderator's part",
    }
}

/// A settlement.
#[derive(Debug, Clone)]
pub struct SettlementLine {
    /// Which.
    pub settlement: Uuid,
    /// Refund, payout, or what a moderator gets.
    pub kind: &'static str,
    /// How far it is.
    pub status: SettlementStatus,
    /// How much.
    pub amount: Money,
    /// Who gets it.
    pub to: Named,
    /// The marketplace that holds the money.
    pub marketplace: String,
    /// The order that paid.
    pub order: String,
    /// What it is for.
    pub contract: Option<Uuid>,
    /// Since when it is due.
    pub due_at: Time,
    /// Tries so far.
    pub attempt: u32,
    /// How the last try was made.
    pub method: Option<String>,
    /// When the last try began.
    pub started_at: Option<Time>,
    /// Why the last try failed or is in doubt.
    pub reason: Option<String>,
    /// The transaction, once it moved.
    pub reference: Option<String>,
    /// What arrived, once it moved.
    pub moved: Option<Money>,
    /// What the network took on top.
    pub network_fee: Option<Money>,
}

impl SettlementLine {
    /// Its state in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        word(&self.status)
    }

    /// How bad that is.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        class(&self.status)
    }

    fn is(&self, wanted: &[SettlementStatus]) -> bool {
        wanted.contains(&self.status)
    }
}

/// Settlements.
#[derive(Template)]
#[template(path = "operator/settlements.html")]
pub struct SettlementsPage {
    /// What is around it.
    pub shell: Shell,
    /// Only those that are this far.
    pub status: Option<SettlementStatus>,
    /// The newest first.
    pub settlements: Vec<SettlementLine>,
    /// Where the next ones begin.
    pub next: Option<Position>,
}

/// One settlement with what can be done about it.
#[derive(Template)]
#[template(path = "operator/settlement.html")]
pub struct SettlementPage {
    /// What is around it.
    pub shell: Shell,
    /// The settlement.
    pub settlement: SettlementLine,
    /// Where whoever gets it wants it.
    pub address: Option<String>,
    /// What was typed before.
    pub typed: Typed,
    /// What was wrong with that.
    pub wrong: Option<String>,
}

impl SettlementsPage {
    /// Whether only settlements of this state are shown.
    #[must_use]
    pub fn is_of(&self, status: &SettlementStatus) -> bool {
        self.status.as_ref() == Some(status)
    }
}

impl SettlementPage {
    /// Whether a try may begin.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.settlement.is(&[SettlementStatus::Due, SettlementStatus::Failed])
    }

    /// Whether a try is under way.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.settlement.is(&[SettlementStatus::Started])
    }

    /// Whether somebody must find out.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.settlement.is(&[SettlementStatus::Quarantined])
    }
}

/// Settlements with the names of whoever gets them.
///
/// # Errors
/// When the private store fails.
pub async fn lines(app: &App, rows: Vec<SettlementRow>) -> Result<Vec<SettlementLine>, Problem> {
    let recipients: Vec<_> = rows.iter().map(|row| row.recipient).collect();
    let names = app.private.account_names(&recipients).await?;
    let line = |row: SettlementRow| SettlementLine {
        settlement: row.settlement.0,
        kind: kind(row.kind),
        status: row.status,
        amount: row.amount,
        to: told::account(row.recipient, &names),
        marketplace: row.marketplace.to_string(),
        order: row.order_key.id.to_string(),
        contract: row.contract.map(|contract| contract.0),
        due_at: row.due_at,
        attempt: row.attempt,
        method: row.method.map(settling::shown),
        started_at: row.started_at,
        reason: row.reason,
        reference: row.reference,
        moved: row.moved,
        network_fee: row.network_fee,
    };
    Ok(rows.into_iter().map(line).collect())
}

/// Which settlements.
#[derive(Debug, Default, Deserialize)]
pub struct Which {
    status: Option<Wanted>,
    after: Option<Position>,
}

/// Lists settlements.
pub async fn list(
    State(app): State<App>,
    member: Member,
    Query(Which { status, after }): Query<Which>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let status = status.map(SettlementStatus::from);
    let wanted = SettlementFilter { status, ..SettlementFilter::default() };
    let mut rows = app.views.settlements(wanted, Part { after }.page()).await?;
    let next = cut(&mut rows, |row| row.position);
    let settlements = lines(&app, rows).await?;
    let shell = member.shell("Settlements").live_all();
    Ok(page(&SettlementsPage { shell, status, settlements, next }))
}

/// The page of a settlement, as the ledger has it now.
///
/// # Errors
/// When there is none.
pub async fn of(
    app: &App,
    member: &Member,
    id: SettlementId,
    typed: Typed,
    wrong: Option<String>,
) -> Result<Response, Failure> {
    let row = app.views.settlement(id).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    let (recipient, refund) = (row.recipient, row.kind == SettlementKind::Refund);
    let person = app.private.person(recipient).await?;
    let address =
        person.and_then(|person| if refund { person.refund_address } else { person.payout_address });
    let state = app.executor.load::<domain::settlement::Settlement>(&id).await?;
    let attempt = state.state.attempt().to_string();
    // What was typed was about another try: nobody must report this one with it.
    let typed = if typed.attempt.is_empty() || typed.attempt == attempt { typed } else { Typed::default() };
    let typed = Typed { attempt, ..typed };
    let typed = Typed { revision: state.revision.unwrap_or_default().to_string(), ..typed };
    let line = lines(app, vec![row]).await?.pop().ok_or_else(|| Problem::not_found("settlement"))?;
    let shell = member.shell(format!("{} of {}", line.kind, line.amount));
    let shell = if wrong.is_some() { shell } else { shell.live_all() };
    Ok(page(&SettlementPage { shell, settlement: line, address, typed, wrong }))
}

/// Shows a settlement.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    of(&app, &member, id, Typed::default(), None).await
}
