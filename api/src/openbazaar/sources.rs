//! Where a payout's money comes from: it is paid only once all of it is in the wallet for good.

use domain::{
    aggregate::Aggregate,
    contract::Contract,
    event::Events,
    id::{ContractId, OrderKey, SettlementId},
    purse::{Purse, PurseEvent, PurseId},
    time::Time,
};
use projections::log::MAX_PAGE;

use super::{
    desk::{Desk, Failure, node_id},
    escrow::{self, is_divided},
    orders as looks,
    payments::disputes,
    plan::is_collected,
    report::Case,
    wallet,
    wanted::recorded,
    wire::{Method, Order, State},
};
use crate::error::Problem;

/// Why a payout must wait, if it must; an escrow whose time is up is released.
pub(super) async fn not_collected(desk: &Desk, case: &Case) -> Result<Option<String>, Failure> {
    for key in orders(desk, case).await? {
        let id = node_id(&key);
        let order = desk.node.order(id).await?;
        if let Err(why) = is_collected(&order) {
            if order.payment().method == Method::Moderated && order.state == State::Fulfilled {
                // Refused while the time is not up; then only waiting is left.
                match desk.node.release_escrow(id).await {
                    Ok(()) => {}
                    Err(trouble) if trouble.is_down() => return Err(trouble.into()),
                    Err(trouble) => return Ok(Some(format!("order {id}: {why} ({trouble})"))),
                }
            }
            return Ok(Some(format!("order {id}: {why}")));
        }
        if let Some(why) = not_in_wallet(desk, &order).await? {
            return Ok(Some(why));
        }
        let recorded = recorded(desk, id).await?;
        let (there, known) = (order.received(0), recorded.total());
        if there < known {
            return Ok(Some(format!("order {id}: what was paid is not on the chain any more; see the node")));
        }
        // Whoever looked at the order may have been cut off before this.
        if order.payment().method == Method::Direct {
            escrow::collect(desk, id, &order, &recorded).await?;
        }
        // Nothing tells of a payment that comes after the order was handed over, or of an escrow that was let go.
        if there > known || order.payment().method == Method::Moderated {
            looks::look(desk, id).await?;
        }
        let given = order.split().map_or(0, |split| split.buyer_output.big_amount.0);
        if given > 0 && !is_divided(desk, &recorded).await? && !disputes(desk, &recorded).await? {
            return Ok(Some(format!("order {id}: a moderator gave its buyer a part; settle this by hand")));
        }
    }
    Ok(None)
}

/// Why an order's money cannot be paid from the wallet: what swept it in, or released it, must be in the wallet's history
/// and alive. Whoever else has a key may have taken it.
pub(super) async fn not_in_wallet(desk: &Desk, order: &Order) -> Result<Option<String>, Failure> {
    let by_split = order.split().is_some_and(|split| split.vendor_output.big_amount.0 == 0);
    let out = match (order.payment().method, order.out()) {
        (Method::AddressRequest, _) => return Ok(None),
        (Method::Direct, None) => return Ok(Some("the order's money was not swept into the wallet".into())),
        (_, Some(out)) if !by_split => out,
        _ => return Ok(None),
    };
    let coin = &order.payment().amount_currency.code;
    let since = order.paid_at().unwrap_or(Time::MIN);
    let found = wallet::find(&desk.node, coin, since, |tx| tx.txid == out.txid && tx.value.0 > 0).await?;
    let why = || format!("{} emptied the order's address, but not into the wallet; see the node", out.txid);
    Ok(found.is_none().then(why))
}

/// The orders that paid for what is paid out.
async fn orders(desk: &Desk, case: &Case) -> Result<Vec<OrderKey>, Failure> {
    let contracts = match case.due.contract {
        Some(contract) => vec![contract],
        None => released(desk, case).await?,
    };
    let mut all = Vec::new();
    for contract in contracts {
        let state = desk.app.executor.load::<Contract>(&contract).await?.state;
        let segments = state.rental().map(|rental| rental.segments.as_slice()).unwrap_or_default();
        let closed = (0..segments.len()).find(|i| SettlementId::segment_payout(contract, *i) == case.id);
        match closed {
            Some(i) => all.push(segments[i].order.clone()),
            None => all.extend(segments.iter().map(|segment| segment.order.clone())),
        }
    }
    Ok(all)
}

/// The contracts whose payouts a purse released together.
async fn released(desk: &Desk, case: &Case) -> Result<Vec<ContractId>, Failure> {
    let (owner, marketplace) = (case.due.to, case.due.order.marketplace.clone());
    let stream = Purse::stream(&PurseId { owner, marketplace, asset: case.due.amount.asset() });
    let (mut from, mut held, mut found) = (0, std::collections::HashMap::new(), Vec::new());
    loop {
        let page = desk.app.executor.log().read_stream(&stream, from, MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        from = last.revision + 1;
        for recorded in &page {
            let event = &recorded.event;
            let decoded = PurseEvent::decode(&event.kind, event.schema, &event.payload).transpose();
            match decoded.map_err(|e| Problem::internal(&e))? {
                Some(PurseEvent::PayoutHeld(e)) => drop(held.insert(e.payout, e.contract)),
                Some(PurseEvent::PayoutsReleased(e)) if e.settlement == case.id => {
                    found.extend(e.payouts.iter().filter_map(|payout| held.get(payout).copied()));
                }
                _ => {}
            }
        }
    }
}
