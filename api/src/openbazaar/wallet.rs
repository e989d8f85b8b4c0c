//! The wallet's history: what proves that a payment happened.

use std::collections::HashSet;

use domain::{money::Money, time::Time};

use super::{
    client::{Answered, Client},
    wire::{Transaction, time_of},
};

/// Transactions asked for at once.
const PAGE: usize = 200;
/// Transactions looked through at most.
const MAX_LOOKED: usize = 100_000;
/// Clocks differ: what is this much older than the beginning of a payment, in seconds, is still looked at.
const MARGIN_S: i64 = 7_200;

/// What a miner may have got beyond an amount for it to be taken for a payment of that amount, besides a tenth of it, in
/// hundred-millionths of a coin.
const MAX_FEE: i128 = 100_000;

/// Whether what is older than this was before `since`, whatever the clocks say.
fn is_before(tx: &Transaction, since: Time) -> bool {
    time_of(&tx.timestamp).is_some_and(|at| at.plus(MARGIN_S) < since)
}

/// Looks through a wallet's transactions back to `since`, the newest first, for the one that is wanted. One that never
/// happens is not it.
///
/// # Errors
/// When the node does not answer.
pub async fn find(
    node: &Client,
    coin: &str,
    since: Time,
    is_wanted: impl Fn(&Transaction) -> bool,
) -> Answered<Option<Transaction>> {
    let (mut after, mut looked) = (String::new(), 0);
    loop {
        let page = node.transactions(coin, PAGE, &after).await?.transactions;
        let Some(last) = page.last() else { return Ok(None) };
        let is_over = page.len() < PAGE || is_before(last, since);
        looked += page.len();
        after.clone_from(&last.txid);
        if let Some(found) = page.into_iter().find(|tx| !tx.is_dead() && is_wanted(tx)) {
            return Ok(Some(found));
        }
        if is_over || looked >= MAX_LOOKED {
            return Ok(None);
        }
    }
}

/// Which of these transactions will never happen, of those that the wallet saw since then.
///
/// # Errors
/// When the node does not answer.
pub async fn dead(
    node: &Client,
    coin: &str,
    since: Time,
    among: &HashSet<String>,
) -> Answered<HashSet<String>> {
    let mut dead = HashSet::new();
    let (mut after, mut looked) = (String::new(), 0);
    loop {
        let page = node.transactions(coin, PAGE, &after).await?.transactions;
        let Some(last) = page.last() else { return Ok(dead) };
        let is_over = page.len() < PAGE || is_before(last, since);
        looked += page.len();
        after.clone_from(&last.txid);
        dead.extend(page.into_iter().filter(|tx| tx.is_dead() && among.contains(&tx.txid)).map(|tx| tx.txid));
        if is_over || looked >= MAX_LOOKED {
            return Ok(dead);
        }
    }
}

/// The payment with this memo.
///
/// # Errors
/// When the node does not answer.
pub async fn by_memo(node: &Client, coin: &str, since: Time, memo: &str) -> Answered<Option<Transaction>> {
    find(node, coin, since, |tx| tx.memo == memo && tx.value.0 < 0).await
}

/// The newest transaction.
///
/// # Errors
/// When the node does not answer.
pub async fn newest(node: &Client, coin: &str) -> Answered<Option<String>> {
    let page = node.transactions(coin, 1, "").await?.transactions;
    Ok(page.into_iter().next().map(|tx| tx.txid))
}

/// Whether there is a payment after that transaction that could be one of `amount` and says nothing about itself: the
/// node pays before it notes what for.
///
/// # Errors
/// When the node does not answer.
pub async fn has_nameless(node: &Client, coin: &str, after: Option<&str>, amount: Money) -> Answered<bool> {
    let fee = MAX_FEE * 10_i128.pow(amount.asset().scale().saturating_sub(8));
    let amount = amount.minor();
    let most = amount.saturating_add(amount / 10).saturating_add(fee);
    let could_be = |tx: &Transaction| tx.memo.is_empty() && (amount..=most).contains(&-tx.value.0);
    let first = find(node, coin, Time::MIN, |tx| after == Some(tx.txid.as_str()) || could_be(tx)).await?;
    Ok(first.is_some_and(|tx| after != Some(tx.txid.as_str())))
}
