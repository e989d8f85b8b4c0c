//! Money that comes out of an order's own address into the wallet, and what that costs.
//!
//! # Correctness
//! What an order paid is in the ledger from the moment it was recorded; on its way into the wallet a miner takes some of
//! it, and of what a moderator divided, the moderator. That is recorded once for each transaction, so that the wallet and
//! the journal agree to the last unit. What went back to the buyer came from nobody's wallet and costs nobody here.

use domain::{
    contract::{Contract, Verdict},
    order::{Fate, Order as Ledger, OrderCommand},
    time::Time,
};

use super::{
    desk::{Desk, Failure},
    wallet,
    wanted::Recorded,
    wire::{Method, Order, State},
};

/// Seconds until it is looked again for what has not reached the wallet.
const AGAIN_S: i64 = 60;

/// Whether a state says that everything went back to the buyer.
const fn went_back(state: State) -> bool {
    matches!(state, State::Refunded | State::Declined | State::Canceled)
}

/// Records what it cost to bring an order's money into the wallet, once it is known; answers when to look again for it.
pub(super) async fn collect(
    desk: &Desk,
    id: &str,
    order: &Order,
    known: &Recorded,
) -> Result<Option<Time>, Failure> {
    if known.parts.is_empty() || order.payment().method == Method::AddressRequest || went_back(order.state) {
        return Ok(None);
    }
    let again = Some(desk.again(order, AGAIN_S));
    let Some(out) = order.out() else {
        // Whoever is content with a moderated order lets the escrow go; it may be on its way.
        return Ok(again.filter(|_| !order.state.is_open() && order.payment().method == Method::Moderated));
    };
    let key = desk.key(id, 0)?;
    if desk.app.executor.load::<Ledger>(&key).await?.state.has_collected(&out.txid) {
        return Ok(None);
    }
    let Some(arrived) = arrived(desk, order, known).await? else { return Ok(again) };
    if let Some(cost) = order.money(-out.big_value.0 - arrived).filter(|cost| !cost.is_zero()) {
        let collect = OrderCommand::Collect { reference: out.txid.clone(), cost };
        let done = desk.app.executor.execute::<Ledger>(&key, collect, &desk.by()).await;
        done.map_err(crate::error::Problem::from)?;
    }
    Ok(None)
}

/// How much of what left the order's address was not taken on the way; `None` while that is not known.
async fn arrived(desk: &Desk, order: &Order, known: &Recorded) -> Result<Option<i128>, Failure> {
    if let (State::Decided | State::Resolved, Some(split)) = (order.state, order.split()) {
        let both = split.buyer_output.big_amount.0 + split.vendor_output.big_amount.0;
        let moderated = if is_divided(desk, known).await? { split.moderator_output.big_amount.0 } else { 0 };
        return Ok(Some(both + moderated));
    }
    let (Some(out), coin) = (order.out(), &order.payment().amount_currency.code) else { return Ok(None) };
    let since = order.paid_at().unwrap_or(Time::MIN);
    let found = wallet::find(&desk.node, coin, since, |tx| tx.txid == out.txid).await?;
    Ok(found.map(|tx| tx.value.0))
}

/// Whether the ledger divides the order's money as a moderator did, the moderator's part included.
pub(super) async fn is_divided(desk: &Desk, known: &Recorded) -> Result<bool, Failure> {
    let Some(Fate::Accepted(accepted)) = &known.fate else { return Ok(false) };
    let state = desk.app.executor.load::<Contract>(&accepted.contract).await?.state;
    let segments = state.rental().map(|rental| rental.segments.as_slice()).unwrap_or_default();
    Ok(segments.iter().any(|s| {
        s.order == accepted.order && matches!(s.verdict, Verdict::Decided(_) | Verdict::Disputed { .. })
    }))
}
