//! Finding out what came of a payment that was started.
//!
//! # Correctness
//! Nothing here pays from the wallet. What proves a payment is the node's own record of it: a transaction in the wallet's
//! history that bears the settlement's id, or the refund in the order, which the wallet must know too: the node was seen
//! to name a refund that never happened. Escrow leaves its address once, so turning an order down, a refund that the
//! buyer's node carries out, and each step of a dispute may be asked again.

use domain::time::Seconds;

use super::{
    client::Trouble,
    desk::{Desk, Failure},
    payments::is_used,
    plan::{gone_back, moved, percent},
    report::{Case, DISPUTE, FOUND, Next, REFUND, REJECT, SPEND, fail, settle, unproved},
    wallet,
    wire::{Method, Order, State},
};

/// Steps of a dispute in one go.
const MAX_STEPS: usize = 6;
/// What carrying a decision out costs the buyer at most, in the coin's smallest unit: more was never seen.
const MINER: i128 = 3_000;
/// Seconds after which the buyer's node is told again that there is a refund.
const REMIND_S: Seconds = 86_400;

/// Finds out what came of a try; `trouble` is what the node answered, when it was asked just now.
pub(super) async fn recover(
    desk: &Desk,
    case: &Case,
    method: &str,
    trouble: Option<&Trouble>,
) -> Result<Next, Failure> {
    match method {
        SPEND => spent(desk, case, trouble).await,
        REFUND => refunded(desk, case, trouble).await,
        REJECT => rejected(desk, case).await,
        DISPUTE => disputed(desk, case).await,
        // Somebody else's try, or one that broke off between its two steps: nothing was asked of the node.
        FOUND => fail(desk, case, "it broke off; nothing was asked of the node".into()).await,
        _ => Ok(Next::Done),
    }
}

async fn spent(desk: &Desk, case: &Case, trouble: Option<&Trouble>) -> Result<Next, Failure> {
    let amount = case.due.amount;
    match wallet::by_memo(&desk.node, &case.coin, case.since, &case.id.to_string()).await? {
        Some(tx) => {
            let left = -tx.value.0;
            let moved = left.min(amount.minor());
            settle(desk, case, &tx.txid, moved, left - moved).await
        }
        None => unproved(desk, case, "the wallet's history does not show the payment", trouble).await,
    }
}

async fn refunded(desk: &Desk, case: &Case, trouble: Option<&Trouble>) -> Result<Next, Failure> {
    let order = desk.node.order(case.order()).await?;
    let moderated = order.payment().method == Method::Moderated;
    match (order.state, gone_back(&order)) {
        (State::Refunded, Some(record)) if moderated => {
            settle(desk, case, &record.txid, moved(&order, &record, case.due.amount.minor()), 0).await
        }
        (State::Refunded, Some(record)) => {
            let tx = wallet::find(&desk.node, &case.coin, case.since, |tx| tx.txid == record.txid).await?;
            match tx {
                Some(tx) => {
                    let moved = record.big_value.0;
                    settle(desk, case, &record.txid, moved, -tx.value.0 - moved).await
                }
                None => {
                    unproved(desk, case, "the wallet does not know the refund that the order names", trouble)
                        .await
                }
            }
        }
        (State::Refunded, None) if moderated => {
            if case.since.plus(REMIND_S) <= desk.app.clock.time() {
                desk.node.resend_refund(case.order()).await?;
            }
            Ok(Next::Wait("the buyer's node has not taken its refund out of the escrow yet".into()))
        }
        (State::Refunded, None) => {
            unproved(desk, case, "the order does not say how it was refunded", trouble).await
        }
        _ if moderated => fail(desk, case, said("the node did not take the refund", trouble)).await,
        _ => unproved(desk, case, "the order is not refunded, but the wallet may have paid", trouble).await,
    }
}

fn said(what: &str, trouble: Option<&Trouble>) -> String {
    trouble.map_or_else(|| what.to_owned(), |trouble| format!("{what}: {trouble}"))
}

async fn rejected(desk: &Desk, case: &Case) -> Result<Next, Failure> {
    let order = desk.node.order(case.order()).await?;
    match (order.state, gone_back(&order)) {
        (State::Declined | State::Canceled | State::Refunded, Some(record)) => {
            settle(desk, case, &record.txid, moved(&order, &record, case.due.amount.minor()), 0).await
        }
        (State::Declined | State::Canceled | State::Refunded, None) => {
            Ok(Next::Wait("the buyer's node has not taken its money back yet".into()))
        }
        (state, _) => fail(desk, case, format!("the order is {} and not turned down", state.name())).await,
    }
}

/// Takes a dispute as far as it goes now.
async fn disputed(desk: &Desk, case: &Case) -> Result<Next, Failure> {
    for _ in 0..MAX_STEPS {
        let order = desk.node.order(case.order()).await?;
        let step = match (order.state, order.out()) {
            (State::Fulfilled, _) => {
                let claim = format!(
                    "{} of {} are to be paid back: settlement {}",
                    case.due.amount,
                    order.money(order.received(0)).map_or_else(String::new, |paid| paid.to_string()),
                    case.id
                );
                desk.node.open_dispute(case.order(), &claim).await
            }
            (State::Disputed, _) => match &desk.moderator {
                Some(moderator) => {
                    let given = given(desk, case, &order);
                    let text = format!("pro-rated: {given} percent, settlement {}", case.id);
                    match moderator.close_dispute(case.order(), &text, given).await {
                        // Its node being away is no reason to leave everything else.
                        Err(trouble @ (Trouble::Unreachable(_) | Trouble::Forbidden)) => {
                            return Ok(Next::Wait(format!("the moderator's node: {trouble}")));
                        }
                        other => other,
                    }
                }
                None => {
                    return Ok(Next::Wait(format!(
                        "the moderator has to give the buyer {} percent",
                        given(desk, case, &order)
                    )));
                }
            },
            (State::Decided, None) => desk.node.release_funds(case.order()).await,
            (State::Decided | State::Resolved, Some(out)) => {
                let given = order.split().map_or(0, |split| split.buyer_output.big_amount.0);
                if given == 0 || is_used(desk, case, &out.txid).await? {
                    return fail(desk, case, "the decision gave the buyer nothing for this".into()).await;
                }
                return settle(desk, case, &out.txid, given, 0).await;
            }
            (State::Refunded, Some(out)) => {
                let moved = moved(&order, &out, case.due.amount.minor());
                return settle(desk, case, &out.txid, moved, 0).await;
            }
            (State::Completed | State::PaymentFinalized, _) => {
                return fail(desk, case, "the escrow came to the wallet before a moderator decided".into())
                    .await;
            }
            (state, _) => {
                return Ok(Next::Wait(format!("the order is {}, where no dispute leads", state.name())));
            }
        };
        match step {
            Ok(()) => {}
            Err(trouble) if trouble.is_down() => return Err(trouble.into()),
            Err(trouble) if trouble.says("too old") => return fail(desk, case, trouble.to_string()).await,
            Err(trouble) => {
                // Its effect may have happened all the same.
                let after = desk.node.order(case.order()).await?;
                if (after.state, after.out()) == (order.state, order.out()) {
                    return Ok(Next::Wait(format!("the dispute does not get on: {trouble}")));
                }
            }
        }
    }
    Ok(Next::Wait("the dispute goes on".into()))
}

fn given(desk: &Desk, case: &Case, order: &Order) -> u8 {
    let fee_bps = desk.settings().moderator.fee_bps;
    percent(case.due.amount.minor(), order.received(0), fee_bps, MINER)
}
