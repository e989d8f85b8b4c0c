//! Payments out of the node: every refund and payout that is due here.
//!
//! # Shape
//! [`Payments::settle`] attends to each settlement that is due, failed or started, one after the other. One that is due is
//! planned ([`plan`]), started in the ledger, and made ([`make`]); one that was started, now or before a crash, is only
//! looked for ([`found`]).
//!
//! # Correctness
//! The node knows no idempotency, so the ledger is the lock: `SettlementStarted` is written at the revision that was read
//! before anything is asked of the node, and by one server only. From then on that attempt is never made again. It ends
//! settled when the node proves it (a transaction with the settlement's id as its memo, or the order's own refund);
//! failed when the node said no before anything could move, and its wallet agrees; and else, when the time is over in which
//! a call can still have its effect, quarantined for an operator. One payment is under way at a time. What leaves an
//! escrow can leave it once, whatever is asked: only that may be asked again.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    id::SettlementId,
    order::Fate,
    settlement::{Settlement, SettlementKind, Status},
    time::{Seconds, Time},
};
use projections::views::{
    MAX_LIMIT, Page,
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};

use super::{
    desk::{Desk, Failure, node_id},
    escrow, found,
    lease::Lease,
    make, plan,
    plan::{Back, Plan},
    report::{Case, DISPUTE, Next, settle_found},
    sources, wallet,
    wanted::{Recorded, recorded},
    wire::{Method, State},
};
use crate::{error::Problem, execute::Loaded, steward::QUARANTINED};

/// What operators are told of a settlement that does not get on.
pub(super) const WAITS: &str = "payment waits";
/// What operators are told of a payment that never arrives though it was sent.
const DIED: &str = "payment died";
/// Seconds for which payments that were sent are watched.
const WATCHED_S: Seconds = 3 * 86_400;
/// The longest wait before a settlement is attended to again, in seconds.
const MAX_WAIT_S: Seconds = 3_600;

/// Settlements that wait, and until when.
#[derive(Debug, Default)]
pub(super) struct Payments {
    waiting: HashMap<SettlementId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    order: String,
    until: Time,
    tries: u32,
    why: String,
}

impl Payments {
    /// Settlements that wait for something.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Something happened to an order: what waits because of it does not wait any longer.
    pub fn wake(&mut self, order: &str) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.order == order) {
            (waiting.until, waiting.tries) = (Time::MIN, 0);
        }
    }

    /// Attends to everything that is to be paid here.
    pub async fn settle(&mut self, desk: &Desk, lease: &mut Lease) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        for status in [SettlementStatus::Started, SettlementStatus::Due, SettlementStatus::Failed] {
            let marketplace = Some(desk.settings().marketplace.clone());
            let wanted =
                SettlementFilter { status: Some(status), marketplace, ..SettlementFilter::default() };
            let mut page = Page::oldest(MAX_LIMIT);
            loop {
                let rows = desk.app.views.settlements(wanted.clone(), page).await?;
                let Some(last) = rows.last() else { break };
                page.after = Some(last.position);
                for row in rows {
                    seen.insert(row.settlement);
                    if desk.app.stop.is_cancelled()
                        || !lease.keep(&desk.app).await.map_err(|e| Problem::internal(&e))?
                    {
                        return Ok(());
                    }
                    self.attend(desk, row).await?;
                }
            }
        }
        // What an operator saw to does not wait any more.
        for (id, _) in self.waiting.extract_if(|id, _| !seen.contains(id)) {
            desk.end(&format!("settlement-{id}"), WAITS).await?;
        }
        Ok(())
    }

    /// Looks whether a payment that counts as arrived will never be confirmed after all: then an operator must see to it.
    pub async fn watch(&self, desk: &Desk) -> Result<(), Failure> {
        let since = desk.app.clock.time().plus(-WATCHED_S);
        let marketplace = Some(desk.settings().marketplace.clone());
        let wanted = SettlementFilter {
            status: Some(SettlementStatus::Settled),
            marketplace,
            ..SettlementFilter::default()
        };
        let rows = desk.app.views.settlements(wanted, Page::newest(MAX_LIMIT)).await?;
        let recent = rows.into_iter().filter(|row| row.ended_at.is_some_and(|at| at >= since));
        let mut by_coin: BTreeMap<String, HashMap<String, SettlementId>> = BTreeMap::new();
        for row in recent {
            if let (Some(coin), Some(txid)) = (desk.coin(row.amount.asset()), row.reference) {
                by_coin.entry(coin.to_owned()).or_default().insert(txid, row.settlement);
            }
        }
        self.prove(desk).await?;
        for (coin, payments) in by_coin {
            let among = payments.keys().cloned().collect();
            for txid in wallet::dead(&desk.node, &coin, since, &among).await? {
                let detail = format!("the transaction {txid} is dead, so nothing arrived; pay it by hand");
                desk.call(&format!("settlement-{}", payments[&txid]), DIED, detail).await?;
            }
        }
        Ok(())
    }

    /// Tells operators of a payment in quarantine that the wallet's history shows by now.
    async fn prove(&self, desk: &Desk) -> Result<(), Failure> {
        let (status, marketplace) =
            (Some(SettlementStatus::Quarantined), Some(desk.settings().marketplace.clone()));
        let wanted = SettlementFilter { status, marketplace, ..SettlementFilter::default() };
        for row in all(desk, wanted).await? {
            let since = row.started_at.unwrap_or(row.due_at);
            let Some(coin) = desk.coin(row.amount.asset()) else { continue };
            if let Some(tx) = wallet::by_memo(&desk.node, coin, since, &row.settlement.to_string()).await? {
                let detail = format!("it moved: the wallet shows {} for it; resolve it as moved", tx.txid);
                desk.call(&format!("settlement-{}", row.settlement), QUARANTINED, detail).await?;
            }
        }
        Ok(())
    }

    async fn attend(&mut self, desk: &Desk, row: SettlementRow) -> Result<(), Failure> {
        let (now, id) = (desk.app.clock.time(), row.settlement);
        if self.waiting.get(&id).is_some_and(|waiting| waiting.until > now) {
            return Ok(());
        }
        let order = node_id(&row.order_key).to_owned();
        let next = match attend(desk, &row).await {
            Ok(next) => next,
            Err(failure) if failure.stops_all() => return Err(failure),
            Err(failure) => Next::Wait(failure.to_string()),
        };
        let subject = format!("settlement-{id}");
        match next {
            Next::Done => {
                self.waiting.remove(&id);
                desk.end(&subject, WAITS).await?;
            }
            Next::Wait(why) => {
                let waiting = self.waiting.entry(id).or_insert_with(|| Waiting {
                    order,
                    until: now,
                    tries: 0,
                    why: String::new(),
                });
                let wait = desk.settings().poll_s.saturating_mul(1 << waiting.tries.min(16)).min(MAX_WAIT_S);
                (waiting.until, waiting.tries) = (now.plus(wait), waiting.tries.saturating_add(1));
                if waiting.why != why {
                    waiting.why.clone_from(&why);
                    desk.call(&subject, WAITS, why).await?;
                }
            }
        }
        Ok(())
    }
}

async fn attend(desk: &Desk, row: &SettlementRow) -> Result<Next, Failure> {
    let Loaded { state, revision } = desk.app.executor.load::<Settlement>(&row.settlement).await?;
    let Some(due) = state.due().cloned() else { return Ok(Next::Done) };
    let Some(coin) = desk.coin(due.amount.asset()).map(str::to_owned) else {
        return Ok(Next::Wait(format!("the node has no wallet for {}", due.amount.asset())));
    };
    let mut case = Case {
        id: row.settlement,
        due,
        coin,
        revision,
        attempt: state.attempt(),
        failed: None,
        since: row.started_at.unwrap_or(row.due_at),
    };
    match state.status() {
        Status::Due => begin(desk, case).await,
        Status::Failed(reason) => {
            if let Some(why) = not_again(desk, row, reason) {
                return Ok(Next::Wait(why));
            }
            case.failed = Some(reason.clone());
            begin(desk, case).await
        }
        Status::Started(method) => found::recover(desk, &case, method, None).await,
        _ => Ok(Next::Done),
    }
}

/// Why a payment that failed is not tried again now.
fn not_again(desk: &Desk, row: &SettlementRow, reason: &str) -> Option<String> {
    if reason.contains("ERROR_DUST_AMOUNT") {
        return Some(format!("{reason}: it is too small to be sent; settle it by hand"));
    }
    let wait = desk.settings().poll_s.saturating_mul(1 << row.attempt.min(16)).min(MAX_WAIT_S);
    let again = row.ended_at.unwrap_or(row.due_at).plus(wait);
    (again > desk.app.clock.time()).then(|| reason.to_owned())
}

/// Plans a payment, and makes it.
async fn begin(desk: &Desk, case: Case) -> Result<Next, Failure> {
    match case.due.kind {
        SettlementKind::Payout => {
            if let Some(why) = sources::not_collected(desk, &case).await? {
                return Ok(Next::Wait(why));
            }
            let person = desk.app.private.person(case.due.to).await?;
            match person.and_then(|person| person.payout_address) {
                Some(address) => make::spend(desk, case, &address).await,
                None => Ok(Next::Wait(format!("the account {} has no payout_address; set it", case.due.to))),
            }
        }
        SettlementKind::Refund => back(desk, case).await,
        SettlementKind::Moderation => {
            let order = desk.node.order(case.order()).await?;
            match (order.out(), order.split()) {
                (Some(out), Some(split)) if split.moderator_output.big_amount.0 > 0 => {
                    settle_found(desk, &case, &out.txid, split.moderator_output.big_amount.0, 0).await
                }
                _ => Ok(Next::Wait("the moderator's part has not left the escrow yet".into())),
            }
        }
    }
}

async fn back(desk: &Desk, case: Case) -> Result<Next, Failure> {
    let order = desk.node.order(case.order()).await?;
    let known = recorded(desk, case.order()).await?;
    let due = case.due.amount.minor();
    // Whoever looked at the order may have been cut off before this.
    if order.payment().method == Method::Direct {
        escrow::collect(desk, case.order(), &order, &known).await?;
    }
    if order.received(0) < known.total() {
        return Ok(Next::Wait("what was paid is not on the chain any more; see the node".into()));
    }
    // Out of an address of several keys all goes back, whatever came beyond; out of the wallet, all that was ever paid.
    let from_wallet = !matches!(order.state, State::Pending | State::Declined | State::Canceled);
    let exact = order.payment().method == Method::Moderated || !from_wallet || order.received(0) == due;
    let whole = known.parts.len() == 1 && known.total() == due && exact;
    let by_split = match order.out() {
        Some(out) => !is_used(desk, &case, &out.txid).await?,
        None => true,
    };
    let is_late = case.due.order.id.as_str() != case.order();
    let late = is_late.then(|| known.parts.iter().skip(1).map(|part| part.paid.minor()).sum());
    let plan = plan::refund(Back { order: &order, due, late, whole, by_split });
    tracing::debug!(settlement = %case.id, ?plan, "a refund is planned");
    let bad_address = case.failed.as_deref().is_some_and(make::is_bad_address);
    let own = Some(order.contract.buyer_order.refund_address.trim());
    let own = own.filter(|address| make::is_plausible(address) && !bad_address);
    let moderated = order.payment().method == Method::Moderated;
    let by_wallet = plan == Plan::Spend || plan == Plan::Refund && !moderated;
    if by_wallet && let Some(why) = sources::not_in_wallet(desk, &order).await? {
        return Ok(Next::Wait(why));
    }
    match plan {
        Plan::Refund if moderated && own.is_none() => {
            Ok(Next::Wait("the node cannot pay back to the order's refund address; see the node".into()))
        }
        Plan::Refund | Plan::Spend if own.is_none() => {
            let person = desk.app.private.person(case.due.to).await?;
            match person.and_then(|person| person.refund_address) {
                Some(address) => make::spend(desk, case, &address).await,
                None => Ok(Next::Wait(format!(
                    "the order's refund address is missing or invalid; set refund_address of the account {}",
                    case.due.to
                ))),
            }
        }
        Plan::Refund => make::refund(desk, case).await,
        Plan::Reject => make::reject(desk, case).await,
        Plan::Spend => make::spend(desk, case, own.unwrap_or_default()).await,
        Plan::Dispute if case.failed.as_deref().is_some_and(|why| why.contains("too old")) => {
            desk.node.release_escrow(case.order()).await?;
            Ok(Next::Wait("the escrow is being released, because it is too old for a moderator".into()))
        }
        Plan::Dispute => make::dispute(desk, case).await,
        Plan::Found { txid, moved } if txid == order.contract.refund.refund_transaction.txid => {
            // The node was seen to name a refund that never happened.
            match wallet::find(&desk.node, &case.coin, Time::MIN, |tx| tx.txid == txid).await? {
                Some(tx) => settle_found(desk, &case, &txid, moved, -tx.value.0 - moved).await,
                None => Ok(Next::Wait(format!(
                    "the order names the refund {txid}, which the wallet does not know; settle it by hand"
                ))),
            }
        }
        Plan::Found { txid, moved } => settle_found(desk, &case, &txid, moved, 0).await,
        Plan::Wait(why) => Ok(Next::Wait(why.into())),
    }
}

/// Whether another refund of the order was already settled with a transaction.
pub(super) async fn is_used(desk: &Desk, case: &Case, txid: &str) -> Result<bool, Failure> {
    let Some(contract) = case.due.contract else {
        // Of an order that was refused: its refund, and the rests of it.
        let mut id = SettlementId::rejected_order(&case.due.order);
        while id != case.id {
            match desk.app.executor.load::<Settlement>(&id).await?.state.status() {
                Status::Settled(movement) if movement.reference == txid => return Ok(true),
                Status::Settled(_) => id = SettlementId::rest_of(id),
                _ => break,
            }
        }
        return Ok(false);
    };
    let wanted = SettlementFilter { contract: Some(contract), ..SettlementFilter::default() };
    let used = |row: &SettlementRow| {
        row.settlement != case.id
            && row.kind == SettlementKind::Refund
            && node_id(&row.order_key) == case.order()
            && row.reference.as_deref() == Some(txid)
    };
    Ok(all(desk, wanted).await?.iter().any(used))
}

/// Whether a dispute about an order was opened here, to pay one of its settlements.
pub(super) async fn disputes(desk: &Desk, known: &Recorded) -> Result<bool, Failure> {
    let Some(part) = known.parts.first() else { return Ok(false) };
    let by_dispute = |row: &SettlementRow| {
        node_id(&row.order_key) == node_id(&part.order) && row.method.as_deref() == Some(DISPUTE)
    };
    let Some(Fate::Accepted(accepted)) = &known.fate else {
        let refund = desk.app.views.settlement(SettlementId::rejected_order(&part.order)).await?;
        return Ok(refund.as_ref().is_some_and(by_dispute));
    };
    let wanted = SettlementFilter { contract: Some(accepted.contract), ..SettlementFilter::default() };
    Ok(all(desk, wanted).await?.iter().any(by_dispute))
}

/// All settlements that a filter lets through; meant for few, such as those of one contract.
async fn all(desk: &Desk, wanted: SettlementFilter) -> Result<Vec<SettlementRow>, Failure> {
    let (mut rows, mut page) = (Vec::<SettlementRow>::new(), Page::oldest(MAX_LIMIT));
    loop {
        let next = desk.app.views.settlements(wanted.clone(), page).await?;
        let Some(last) = next.last() else { return Ok(rows) };
        page.after = Some(last.position);
        rows.extend(next);
    }
}
