//! Leaving: a person is forgotten, an operator steps down.
//!
//! # Shape
//! [`erase`] waits until the steward and the views know all that is in the log, looks for what the account still has to
//! do with, and forgets the person only when there is nothing. Neither [`erase`] nor [`revoke`] leaves the server without
//! an operator.
//!
//! # Correctness
//! Money on its way, or in dispute, needs the person's address, and a rented device needs its owner: whoever has one of
//! them stays. What the log held when it was asked has led to all its consequences after [`ROUNDS`] waits for the steward,
//! so nothing is overlooked because it was not due yet. The last operator is found while nobody else looks for
//! it at any server, so of two operators who dismiss each other one stays. A request of the account that was let in at the same instant may still be carried out;
//! then the account is erased and what the request made stays in the ledger for an operator to see to.

use std::{collections::BTreeSet, time::Duration};

use axum::http::StatusCode;
use domain::{
    account::{Account, AccountCommand, Role},
    event::{Position, Revision},
    id::AccountId,
};
use projections::views::{
    MAX_LIMIT, Page, ViewError,
    contracts::{ContractRow, ContractScope, ContractStatus},
    devices::DeviceRow,
    purses::PurseRow,
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done},
    steward::place,
};

/// How often the steward is waited for: an order leads to its rejection, and that to a refund that is due.
const ROUNDS: usize = 3;
/// How long the steward and the views may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many things of a kind a refusal names.
const MAX_NAMED: usize = 20;
/// People read at once.
const PAGE: u32 = 500;

/// Forgets the person behind an account that has nothing left to do with the ledger; answers what was written.
///
/// # Errors
/// When the account is unknown, has changed since `only_at`, is in use, or is the last operator's.
pub async fn erase(
    app: &App,
    account: AccountId,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Option<Position>, Problem> {
    let revision = app.executor.load::<Account>(&account).await?.revision;
    if only_at.is_some_and(|wanted| wanted != revision) {
        return Err(Problem::stale(revision));
    }
    know_all(app).await?;
    refuse_in_use(app, account).await?;
    let position = change(app, account, AccountCommand::Erase, only_at, by).await?;
    app.private.forget_person(account).await?;
    Ok(position)
}

/// Takes a role from an account; answers what was written.
///
/// # Errors
/// When the account is unknown, has changed since `only_at`, or is the last operator's and the role is operator.
pub async fn revoke(
    app: &App,
    account: AccountId,
    role: Role,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Option<Position>, Problem> {
    change(app, account, AccountCommand::Revoke { role }, only_at, by).await
}

/// Carries out a command after which the account may be no operator any more.
async fn change(
    app: &App,
    account: AccountId,
    command: AccountCommand,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Option<Position>, Problem> {
    let _alone = app.private.alone("operators").await?;
    let loaded = app.executor.load::<Account>(&account).await?;
    if only_at.is_some_and(|wanted| wanted != loaded.revision) {
        return Err(Problem::stale(loaded.revision));
    }
    let dismisses =
        matches!(command, AccountCommand::Erase | AccountCommand::Revoke { role: Role::Operator });
    if dismisses && loaded.state.may(Role::Operator) {
        refuse_last_operator(app, account).await?;
    }
    let done: Done<Account> = match only_at {
        Some(revision) => app.executor.execute_at(&account, command, by, revision).await?,
        None => app.executor.execute(&account, command, by).await?,
    };
    Ok(done.position)
}

async fn refuse_last_operator(app: &App, leaving: AccountId) -> Result<(), Problem> {
    let mut after = None;
    loop {
        let people = app.private.people(after, PAGE).await?;
        let Some((last, _)) = people.last() else { break };
        after = Some(*last);
        for (account, _) in people.into_iter().filter(|(account, _)| *account != leaving) {
            if app.executor.load::<Account>(&account).await?.state.may(Role::Operator) {
                return Ok(());
            }
        }
    }
    let detail = "this is the last operator; nobody else could run the server";
    let action = "give another account the role operator first";
    Err(Problem::new(StatusCode::CONFLICT, "last-operator", detail, action))
}

/// Waits until what is in the log now has led to all its consequences, and the views show them.
async fn know_all(app: &App) -> Result<(), Problem> {
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..ROUNDS {
        let Some(head) = app.executor.log().head().await? else { return Ok(()) };
        timeout_at(deadline, place::passed(app, head)).await.map_err(|_| Problem::overloaded())?;
    }
    let Some(head) = app.executor.log().head().await? else { return Ok(()) };
    let shown = app.views.wait_for(head, deadline.saturating_duration_since(Instant::now())).await?;
    if shown { Ok(()) } else { Err(Problem::overloaded()) }
}

async fn refuse_in_use(app: &App, account: AccountId) -> Result<(), Problem> {
    let in_service = |row: DeviceRow| row.retired_at.is_none().then_some(row.device.0);
    let devices = open(|page| app.views.devices_of(account, page), |row| row.position, in_service).await?;

    let mut contracts = BTreeSet::new();
    for scope in [ContractScope::Owner(account), ContractScope::Renter(account)] {
        let runs = |row: ContractRow| {
            // Until the payout is issued the renter may get something back of a dispute.
            let open = row.status == ContractStatus::Running || row.payout.is_none();
            open.then_some(row.contract.0)
        };
        contracts
            .extend(open(|page| app.views.contracts(scope, None, page), |row| row.position, runs).await?);
    }

    let wanted = SettlementFilter { recipient: Some(account), ..SettlementFilter::default() };
    let on_its_way = |row: SettlementRow| {
        let over = matches!(row.status, SettlementStatus::Settled | SettlementStatus::Withdrawn);
        (!over).then_some(row.settlement.0)
    };
    let settlements =
        open(|page| app.views.settlements(wanted.clone(), page), |row| row.position, on_its_way).await?;

    let held = |row: PurseRow| Some(row.purse.to_string());
    let purses = open(|page| app.views.purses(Some(account), page), |row| row.position, held).await?;

    let found = [
        ("devices", "devices in service", devices),
        (
            "contracts",
            "rentals that run, are disputed or wait for their payout",
            contracts.into_iter().collect(),
        ),
        ("settlements", "refunds or payouts that have not arrived", settlements),
        ("purses", "payouts that wait to be worth sending", purses),
    ];
    let found: Vec<_> = found.into_iter().filter(|(_, _, ids)| !ids.is_empty()).collect();
    if found.is_empty() {
        return Ok(());
    }
    let said: Vec<_> = found.iter().map(|(_, what, ids)| format!("{what}: {}", ids.len())).collect();
    let detail = format!("the account is still needed; {}", said.join(", "));
    let action = "retire or transfer the devices, let the rentals end, disputes be decided and payouts fall due, \
                  release the purses, settle what is on its way, then erase the account";
    let problem = Problem::new(StatusCode::CONFLICT, "account-in-use", detail, action);
    Err(found.into_iter().fold(problem, |problem, (name, _, mut ids)| {
        ids.truncate(MAX_NAMED);
        problem.with(name, ids)
    }))
}

/// Walks a list to its end and keeps the names of what is open.
async fn open<R, I: ToString, F: Future<Output = Result<Vec<R>, ViewError>>>(
    ask: impl Fn(Page) -> F,
    position: impl Fn(&R) -> Position,
    id: impl Fn(R) -> Option<I>,
) -> Result<Vec<String>, ViewError> {
    let (mut found, mut page) = (Vec::new(), Page::oldest(MAX_LIMIT));
    loop {
        let rows = ask(page).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        page.after = Some(position(last));
        found.extend(rows.into_iter().filter_map(&id).map(|id| id.to_string()));
    }
}
