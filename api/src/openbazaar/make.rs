//! Making a payment: started in the ledger, asked of the node, and looked for.

use super::{
    client::{Spend, Trouble},
    desk::{Desk, Failure},
    found,
    report::{Case, DISPUTE, Next, REFUND, REJECT, SPEND, fail, settle, start},
    wallet,
    wire::State,
};

/// The longest address.
const MAX_ADDRESS: usize = 200;

/// What the wallet says before it pays anything.
const NOT_SPENT: [&str; 5] = [
    "ERROR_INSUFFICIENT_FUNDS",
    "ERROR_DUST_AMOUNT",
    "ERROR_INVALID_ADDRESS",
    "unknown currency",
    "Spend amount is invalid or empty",
];

/// What the node says of a refund before it pays anything.
const NOT_REFUNDED: [&str; 4] = [
    "ERROR_INSUFFICIENT_FUNDS",
    "order must be AWAITING_FULFILLMENT",
    "order not found",
    "unknown address type",
];

/// Whether a text can be an address.
pub(super) fn is_plausible(address: &str) -> bool {
    (1..=MAX_ADDRESS).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a payment failed because of its address.
pub(super) fn is_bad_address(reason: &str) -> bool {
    reason.contains("ERROR_INVALID_ADDRESS") || reason.contains("unknown address type")
}

/// Whether the node said no before anything could move.
pub(super) fn is_harmless(trouble: &Trouble, words: &[&str]) -> bool {
    matches!(trouble, Trouble::Unreachable(_)) || words.iter().any(|words| trouble.says(words))
}

/// Pays from the wallet.
pub(super) async fn spend(desk: &Desk, case: Case, address: &str) -> Result<Next, Failure> {
    let (amount, coin) = (case.due.amount, case.coin.clone());
    let memo = case.id.to_string();
    // A ledger that was restored from a backup may have forgotten it.
    let before = wallet::by_memo(&desk.node, &coin, case.since, &memo).await?;
    let newest = wallet::newest(&desk.node, &coin).await?;
    let Some(case) = start(desk, &case, SPEND).await? else { return Ok(Next::Done) };
    if let Some(tx) = before {
        let left = -tx.value.0;
        let moved = left.min(amount.minor());
        return settle(desk, &case, &tx.txid, moved, left - moved).await;
    }
    let fee_level = &desk.settings().fee_level;
    let spend = Spend { coin: &coin, address, amount, fee_level, memo: &memo, order: case.order() };
    let trouble = desk.node.spend(&spend).await.err();
    if let Some(trouble) = trouble.as_ref().filter(|trouble| is_harmless(trouble, &NOT_SPENT))
        && wallet::by_memo(&desk.node, &coin, case.since, &memo).await?.is_none()
        && !wallet::has_nameless(&desk.node, &coin, newest.as_deref(), amount).await?
    {
        return fail(desk, &case, trouble.to_string()).await;
    }
    found::recover(desk, &case, SPEND, trouble.as_ref()).await
}

/// Lets the node pay the whole order back.
pub(super) async fn refund(desk: &Desk, case: Case) -> Result<Next, Failure> {
    let (amount, coin) = (case.due.amount, case.coin.clone());
    let newest = wallet::newest(&desk.node, &coin).await?;
    let Some(case) = start(desk, &case, REFUND).await? else { return Ok(Next::Done) };
    let trouble = desk.node.refund(case.order()).await.err();
    if let Some(trouble) = trouble.as_ref().filter(|trouble| is_harmless(trouble, &NOT_REFUNDED))
        && desk.node.order(case.order()).await?.state != State::Refunded
        && !wallet::has_nameless(&desk.node, &coin, newest.as_deref(), amount).await?
    {
        return fail(desk, &case, trouble.to_string()).await;
    }
    found::recover(desk, &case, REFUND, trouble.as_ref()).await
}

/// Turns the order down.
pub(super) async fn reject(desk: &Desk, case: Case) -> Result<Next, Failure> {
    let Some(case) = start(desk, &case, REJECT).await? else { return Ok(Next::Done) };
    let trouble = desk.node.confirm(case.order(), true).await.err();
    found::recover(desk, &case, REJECT, trouble.as_ref()).await
}

/// Calls the moderator.
pub(super) async fn dispute(desk: &Desk, case: Case) -> Result<Next, Failure> {
    let Some(case) = start(desk, &case, DISPUTE).await? else { return Ok(Next::Done) };
    found::recover(desk, &case, DISPUTE, None).await
}
