//! Money that somebody moved by hand: started and settled in one go.
//!
//! # Correctness
//! Two steps are written, and a crash may come between them. Whoever finds a settlement started by hand goes on with the
//! second; whoever finds it settled is told so if it is the same movement, and refused if not. A movement that could not
//! be settled is refused before anything is started.

use domain::{
    aggregate::{Aggregate, Decision},
    event::Revision,
    id::SettlementId,
    money::Money,
    settlement::{Movement, Settlement, SettlementCommand, SettlementRefusal, Status},
    time::Time,
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done, ExecuteError},
};

/// How money is moved that is moved by hand.
pub const METHOD: &str = "manual";

/// What somebody moved by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The transaction's id or the mover's reference.
    pub reference: String,
    /// What arrived; all that is due when `None`.
    pub moved: Option<Money>,
    /// What the network took on top.
    pub network_fee: Option<Money>,
}

/// Starts a settlement and reports it as settled, or finishes that.
///
/// # Errors
/// When there is none, it has changed since `only_at`, another try is under way, it is withdrawn or in doubt, it settled
/// with another movement, or the movement has no reference or another asset.
pub async fn by_hand(
    app: &App,
    settlement: SettlementId,
    moved: ByHand,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Settlement>, Problem> {
    let loaded = app.executor.load::<Settlement>(&settlement).await?;
    if only_at.is_some_and(|wanted| wanted != loaded.revision) {
        return Err(Problem::stale(loaded.revision));
    }
    let (mut state, mut only_at) = (loaded.state, only_at);
    let due = state.due().ok_or(SettlementRefusal::Unknown)?.amount;
    let ByHand { reference, moved, network_fee } = moved;
    let movement = Movement { reference, moved: moved.unwrap_or(due), network_fee };
    if !has_begun(&state) {
        rehearse(state.clone(), &movement, app.clock.time())?;
        state = start(app, settlement, only_at.take(), by).await?;
    }
    let settle = SettlementCommand::Settle { attempt: state.attempt(), movement };
    let done = execute(app, settlement, settle, only_at, by).await?;
    // Whoever was faster may have settled it this moment: it is shown as it is by now.
    app.catch_up(app.executor.log().head().await?).await;
    Ok(done)
}

/// Whether only the second step is left, or none.
fn has_begun(state: &Settlement) -> bool {
    match state.status() {
        Status::Started(method) => method == METHOD,
        Status::Settled(_) => true,
        _ => false,
    }
}

/// Goes through both steps without writing anything.
fn rehearse(mut state: Settlement, movement: &Movement, now: Time) -> Result<(), SettlementRefusal> {
    if let Decision::Events(events) = state.decide(SettlementCommand::Start { method: METHOD.into() }, now)? {
        events.iter().for_each(|event| state.apply(event));
    }
    let settle = SettlementCommand::Settle { attempt: state.attempt(), movement: movement.clone() };
    state.decide(settle, now).map(|_| ())
}

/// Starts it, unless somebody else just began by hand.
async fn start(
    app: &App,
    settlement: SettlementId,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Settlement, Problem> {
    let command = SettlementCommand::Start { method: METHOD.into() };
    match execute(app, settlement, command, only_at, by).await {
        Ok(done) => Ok(done.state),
        Err(ExecuteError::Refused(refusal)) => {
            let state = app.executor.load::<Settlement>(&settlement).await?.state;
            if has_begun(&state) { Ok(state) } else { Err(refusal.into()) }
        }
        Err(other) => Err(other.into()),
    }
}

async fn execute(
    app: &App,
    settlement: SettlementId,
    command: SettlementCommand,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Settlement>, ExecuteError<SettlementRefusal>> {
    match only_at {
        Some(revision) => app.executor.execute_at(&settlement, command, by, revision).await,
        None => app.executor.execute(&settlement, command, by).await,
    }
}
