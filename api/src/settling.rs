//! Money that somebody moved by hand: started and settled in one go.
//!
//! # Correctness
//! Two steps are written, and a crash may come between them. The first names the movement, so whoever repeats the request
//! goes on with the second, and nobody else does; whoever finds it settled is told so if it is the same movement, and
//! refused if not. A movement that could not be settled is refused before anything is started.

use domain::{
    aggregate::{Aggregate, Decision},
    event::{Revision, canonical_json},
    id::SettlementId,
    key::Digest,
    money::Money,
    settlement::{Movement, Settlement, SettlementCommand, SettlementRefusal, Status},
    time::Time,
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done, ExecuteError, Loaded},
};

/// How money is moved that is moved by hand; in the ledger a fingerprint of the movement follows.
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
    let Loaded { mut state, revision } = app.executor.load::<Settlement>(&settlement).await?;
    let due = state.due().ok_or(SettlementRefusal::Unknown)?.amount;
    let ByHand { reference, moved, network_fee } = moved;
    let movement = Movement { reference, moved: moved.unwrap_or(due), network_fee };
    let method = method(&movement);
    if !has_begun(&state, &method) {
        if only_at.is_some_and(|wanted| wanted != revision) {
            return Err(Problem::stale(revision));
        }
        rehearse(state.clone(), &method, &movement, app.clock.time())?;
        state = start(app, settlement, method, only_at, by).await?;
    }
    let settle = SettlementCommand::Settle { attempt: state.attempt(), movement };
    let done = app.executor.execute(&settlement, settle, by).await?;
    // Whoever was faster may have settled it this moment: it is shown as it is by now.
    app.catch_up(app.executor.log().head().await?).await;
    Ok(done)
}

/// How a movement by hand is started: the name tells it from every other, so only its own repetition goes on with it.
fn method(movement: &Movement) -> String {
    let fingerprint = Digest::of(&canonical_json(movement)).to_string();
    format!("{METHOD}:{}", &fingerprint[..16])
}

/// Whether only the second step of this movement is left, or none.
fn has_begun(state: &Settlement, own: &str) -> bool {
    match state.status() {
        Status::Started(method) => method == own,
        Status::Settled(_) => true,
        _ => false,
    }
}

/// Goes through both steps without writing anything.
fn rehearse(
    mut state: Settlement,
    method: &str,
    movement: &Movement,
    now: Time,
) -> Result<(), SettlementRefusal> {
    if let Decision::Events(events) = state.decide(SettlementCommand::Start { method: method.into() }, now)? {
        events.iter().for_each(|event| state.apply(event));
    }
    let settle = SettlementCommand::Settle { attempt: state.attempt(), movement: movement.clone() };
    state.decide(settle, now).map(|_| ())
}

/// Starts it, unless a repetition of the same request was faster.
async fn start(
    app: &App,
    settlement: SettlementId,
    method: String,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Settlement, Problem> {
    let command = SettlementCommand::Start { method: method.clone() };
    let done = match only_at {
        Some(revision) => app.executor.execute_at::<Settlement>(&settlement, command, by, revision).await,
        None => app.executor.execute::<Settlement>(&settlement, command, by).await,
    };
    match done {
        Ok(done) => Ok(done.state),
        Err(ExecuteError::Refused(refusal)) => {
            let state = app.executor.load::<Settlement>(&settlement).await?.state;
            if has_begun(&state, &method) { Ok(state) } else { Err(refusal.into()) }
        }
        Err(other) => Err(other.into()),
    }
}

/// A method as people read it: without the fingerprint of a movement by hand.
#[must_use]
pub fn shown(method: String) -> String {
    match method.split_once(':') {
        Some((METHOD, _)) => METHOD.into(),
        _ => method,
    }
}
