//! Disputes that a buyer or a moderator brings to an order.
//!
//! # Correctness
//! Whoever opens it: while a moderator can decide, nothing is paid beside the escrow. A dispute that a buyer opened also
//! holds the segment's money in the ledger, and is decided there as the moderator decided, to the unit: what the buyer
//! got, what reached the wallet, what the moderator took, the miner's part counted as reached. One that was opened here
//! to pay a refund is not a dispute of the ledger: that refund is already decided.

use domain::{
    contract::{Contract, Verdict, Weights},
    id::ContractId,
    order::Fate,
    time::Time,
};

use super::{
    desk::{Desk, Failure},
    payments, people,
    wanted::Recorded,
    wire::{Order, State},
};
use crate::disputes;

/// What operators are told while a buyer and the shop disagree.
const DISPUTED: &str = "order disputed";

/// A segment of a contract, and how its money is decided.
struct Place {
    contract: ContractId,
    segment: u32,
    verdict: Verdict,
}

async fn place(desk: &Desk, known: &Recorded) -> Result<Option<Place>, Failure> {
    let Some(Fate::Accepted(accepted)) = &known.fate else { return Ok(None) };
    let state = desk.app.executor.load::<Contract>(&accepted.contract).await?.state;
    let found = state.rental().and_then(|rental| {
        let (i, segment) = rental.segments.iter().enumerate().find(|(_, s)| s.order == accepted.order)?;
        Some(Place { contract: accepted.contract, segment: i.try_into().ok()?, verdict: segment.verdict })
    });
    Ok(found)
}

/// A dispute goes on; answers when to look again.
pub(super) async fn follow(
    desk: &Desk,
    id: &str,
    order: &Order,
    known: &Recorded,
) -> Result<Option<Time>, Failure> {
    let soon = desk.again(order, desk.settings().poll_s);
    if payments::disputes(desk, known).await? {
        return Ok(None);
    }
    let subject = format!("order-{}", desk.key(id, 0)?);
    // One that is decided already stays so; of an order that was refused all goes back.
    if let Some(Place { contract, segment, verdict: Verdict::Pending }) = place(desk, known).await?
        && let Err(problem) = disputes::open(&desk.app, contract, segment, None, None, &desk.by()).await
    {
        if problem.status().is_server_error() {
            return Err(problem.into());
        }
        desk.call(&subject, DISPUTED, format!("the ledger cannot hold its money: {problem}")).await?;
    }
    let released;
    let order = if order.state == State::Decided && order.out().is_none() {
        desk.node.release_funds(id).await?;
        released = desk.node.order(id).await?;
        &released
    } else {
        order
    };
    conclude(desk, id, order, known).await?;
    // Whoever carries a decision out, the order may stay decided: what left the escrow counts.
    let is_over = matches!(order.state, State::Decided | State::Resolved) && order.out().is_some();
    Ok((!is_over).then_some(soon))
}

/// Decides a dispute in the ledger as the moderator did, once that is carried out.
pub(super) async fn conclude(desk: &Desk, id: &str, order: &Order, known: &Recorded) -> Result<(), Failure> {
    let Some(Place { contract, segment, verdict: Verdict::Disputed { .. } }) = place(desk, known).await?
    else {
        return Ok(());
    };
    let moderator = &order.payment().moderator;
    let weights = match (order.state, order.out(), order.split()) {
        (State::Decided | State::Resolved, Some(out), Some(split)) => {
            let (buyer, fee) = (split.buyer_output.big_amount.0, split.moderator_output.big_amount.0);
            weights(-out.big_value.0, buyer, fee)
        }
        // The buyer gave in, or time did.
        (State::Completed | State::PaymentFinalized, Some(_), _) => {
            Weights { renter: 0, owner: 1, moderator: 0 }
        }
        (State::Refunded, Some(_), _) => Weights { renter: 1, owner: 0, moderator: 0 },
        _ => return Ok(()),
    };
    let account = match weights.moderator {
        0 => None,
        _ => Some(people::renter(&desk.app, moderator).await?),
    };
    let decided = disputes::decide(&desk.app, contract, segment, weights, account, None, &desk.by()).await;
    let subject = format!("order-{}", desk.key(id, 0)?);
    match decided {
        Ok(_) => Ok(desk.end(&subject, DISPUTED).await?),
        Err(problem) if problem.status().is_server_error() => Err(problem.into()),
        Err(problem) => Ok(desk.call(&subject, DISPUTED, format!("decide it by hand: {problem}")).await?),
    }
}

/// What was held, as it was divided; scaled down together when it does not fit.
fn weights(held: i128, buyer: i128, moderator: i128) -> Weights {
    let owner = (held - buyer - moderator).max(0);
    let most = buyer.max(moderator).max(owner);
    let shift = (0..127).find(|shift| (most >> shift) <= i128::from(u32::MAX)).unwrap_or(0);
    let part = |amount: i128| u32::try_from(amount >> shift).unwrap_or(u32::MAX);
    Weights { renter: part(buyer), owner: part(owner), moderator: part(moderator) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_is_taken_over_to_the_unit_or_scaled_down() {
        assert_eq!(
            weights(1_000_000, 312_675, 49_868),
            Weights { renter: 312_675, owner: 637_457, moderator: 49_868 }
        );
        let large = weights(1 << 40, 1 << 39, 0);
        assert_eq!((large.renter, large.owner, large.moderator), (1 << 31, 1 << 31, 0));
    }
}
