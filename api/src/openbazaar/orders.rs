//! Orders: from the node into the ledger, and what was bought back to the buyer.
//!
//! # Shape
//! [`look`] reads one order and does the next thing for it, until nothing is left to do now: confirm it, record what was
//! paid, hand over what was bought. It answers when to look again although nothing changes.
//!
//! # Correctness
//! Each look starts from what the node and the ledger say at that moment, so one that was cut off is simply made again:
//! a payment is recorded once under its own name, and the node takes a confirmation or a fulfilment once. Only what was
//! received, after as many confirmations as the operator wants, is recorded. What cannot be taken is recorded too, and
//! the ledger makes it due to go back; paying it back is the matter of [`super::payments`].

use domain::{
    account::Role,
    contract::Contract,
    id::{AccountId, ContractId},
    money::Money,
    order::{Fate, OrderItem, Unsellable},
    time::{Interval, Seconds, Time},
};
use projections::{private::LookedAt, views::settlements::SettlementStatus};

use super::{
    desk::{Desk, Failure},
    disputes, escrow, note, people,
    slug::PREFIX,
    wanted::{Recorded, Wanted, named, recorded, wanted},
    wire::{Method, Order, State},
};
use crate::{accounts, config::OtherListings, contracts, orders};

/// Things done for one order in one go.
const MAX_STEPS: usize = 8;
/// The longest wait after looks that failed, in seconds.
const MAX_BACKOFF_S: Seconds = 3_600;
/// Looks that fail until operators are told.
const MAX_FAILURES: u32 = 6;
/// What operators are told of orders that are nobody's business here.
const NOT_OURS: &str = "order for something else";
/// What operators are told of orders that need them.
const ODD: &str = "order waits";

/// What came of a step.
enum Step {
    /// Something changed: look again.
    Again,
    /// Nothing to do now; look again then, changed or not.
    Rest(Option<Time>),
}

/// Looks at an order and does what there is to do.
///
/// # Errors
/// When the node or the ledger failed; then it is looked at again later.
pub(super) async fn look(desk: &Desk, id: &str) -> Result<(), Failure> {
    let looked = steps(desk, id).await;
    let (state, look_at) = match looked {
        Ok((state, look_at)) => (state.name().to_owned(), look_at),
        Err(failure) if failure.stops_all() => return Err(failure),
        Err(failure) => {
            let failures = desk.app.private.openbazaar_failures(id).await?.saturating_add(1);
            let wait = desk.settings().poll_s.saturating_mul(1 << failures.min(20)).min(MAX_BACKOFF_S);
            let look_at = Some(desk.app.clock.time().plus(wait));
            tracing::warn!(order = id, failures, error = %failure, "an order was not looked at to the end; trying again");
            if failures == MAX_FAILURES {
                desk.call(&subject(desk, id)?, ODD, failure.to_string()).await?;
            }
            // Its state is left open, so that it is looked at whatever the list says.
            let row = LookedAt { id: id.into(), state: String::new(), open: true, look_at, failures };
            return Ok(desk.app.private.openbazaar_looked_at(&row).await?);
        }
    };
    let open = State::of(&state).is_some_and(State::is_open);
    let row = LookedAt { id: id.into(), state, open, look_at, failures: 0 };
    Ok(desk.app.private.openbazaar_looked_at(&row).await?)
}

async fn steps(desk: &Desk, id: &str) -> Result<(State, Option<Time>), Failure> {
    for _ in 0..MAX_STEPS {
        let order = desk.node.order(id).await?;
        if let Step::Rest(look_at) = step(desk, id, &order).await? {
            return Ok((order.state, look_at));
        }
    }
    let order = desk.node.order(id).await?;
    Ok((order.state, Some(desk.app.clock.time().plus(desk.settings().poll_s))))
}

async fn step(desk: &Desk, id: &str, order: &Order) -> Result<Step, Failure> {
    let known = recorded(desk, id).await?;
    let paid = order.accountable(desk.settings().confirmations, known.total());
    let Some(received) = order.money(paid) else {
        let coin = &order.payment().amount_currency.code;
        let detail = format!("it is paid in {coin:?}, which Berth cannot book; refund it on the node");
        desk.call(&subject(desk, id)?, ODD, detail).await?;
        return Ok(Step::Rest(None));
    };
    if known.parts.is_empty() && is_foreign(desk, order).await? {
        if !received.is_zero() {
            let detail = format!("{received} was paid for {:?}; it is left to you", order.slug());
            desk.call(&subject(desk, id)?, NOT_OURS, detail).await?;
        }
        return Ok(Step::Rest(None));
    }
    let beyond = order.received(0) - paid;
    if beyond > 0 && !known.parts.is_empty() && order.payment().method != Method::AddressRequest {
        let where_it_is = if order.split().is_some() {
            "a moderator divided it with the rest; give back by hand what the wallet got of it"
        } else {
            "out of the shop's reach"
        };
        let detail = format!("{beyond} more units were paid to its address of several keys: {where_it_is}");
        desk.call(&subject(desk, id)?, ODD, detail).await?;
    }
    match (Look { desk, id, order, known: &known, received }).step().await? {
        Step::Rest(look_at) => {
            let collect_at = escrow::collect(desk, id, order, &known).await?;
            Ok(Step::Rest([look_at, collect_at].into_iter().flatten().min()))
        }
        Step::Again => Ok(Step::Again),
    }
}

fn subject(desk: &Desk, id: &str) -> Result<String, Failure> {
    Ok(format!("order-{}", desk.key(id, 0)?))
}

/// Whether an order is somebody else's business: for a listing that is not Berth's, if those are left alone or it was
/// placed before Berth came here.
async fn is_foreign(desk: &Desk, order: &Order) -> Result<bool, Failure> {
    if order.slug().starts_with(PREFIX) {
        return Ok(false);
    }
    let since = desk.app.private.openbazaar_since(desk.app.clock.time()).await?;
    let before = order.placed().is_none_or(|at| at < since);
    Ok(before || desk.settings().other_listings == OtherListings::Leave)
}

/// An order as the node and the ledger have it now.
struct Look<'a> {
    desk: &'a Desk,
    id: &'a str,
    order: &'a Order,
    known: &'a Recorded,
    /// What was paid in, with as many confirmations as are wanted.
    received: Money,
}

impl Look<'_> {
    async fn step(&self) -> Result<Step, Failure> {
        let Self { desk, id, order, known, .. } = *self;
        match order.state {
            State::AwaitingPayment => self.unpaid().await,
            State::Pending => self.pending().await,
            State::AwaitingFulfillment | State::PartiallyFulfilled => self.funded().await,
            State::Disputed | State::Decided | State::Resolved if known.parts.is_empty() => {
                self.record_disputed().await?;
                Ok(Step::Again)
            }
            State::Disputed | State::Decided | State::Resolved => {
                disputes::follow(desk, id, order, known).await.map(Step::Rest)
            }
            State::ProcessingError => {
                self.call("the node could not process it; see the node").await?;
                Ok(Step::Rest(None))
            }
            _ if !known.parts.is_empty() => {
                self.record().await?;
                disputes::conclude(desk, id, order, known).await?;
                Ok(Step::Rest(None))
            }
            _ => Ok(Step::Rest(None)),
        }
    }

    async fn call(&self, detail: impl Into<String>) -> Result<(), Failure> {
        Ok(self.desk.call(&subject(self.desk, self.id)?, ODD, detail).await?)
    }

    /// Looks again soon, and ever more rarely.
    fn soon(&self) -> Option<Time> {
        Some(self.desk.again(self.order, self.desk.settings().poll_s))
    }

    /// Not paid in full: what was paid goes back when it was given time enough.
    async fn unpaid(&self) -> Result<Step, Failure> {
        let (now, settings) = (self.desk.app.clock.time(), self.desk.settings());
        let since = self.order.paid_at().or_else(|| self.order.placed()).unwrap_or(now).min(now);
        let until = since.plus(settings.unpaid_after_s);
        if now < until && self.known.parts.is_empty() {
            return Ok(Step::Rest(Some(until)));
        }
        let there = self.order.received(0);
        if self.order.payment().method == Method::AddressRequest {
            self.record_part().await?;
        } else if there > 0 {
            let paid = self.received;
            let why = "which is not enough, to an address of several keys: the node cannot give it back before the \
                       rest is paid";
            self.call(format!("{paid} was paid, {why}")).await?;
        }
        // Nothing tells of a part that is paid later.
        let least_s = if there > self.received.minor() { settings.poll_s } else { settings.unpaid_after_s };
        Ok(Step::Rest(Some(self.desk.again(self.order, least_s))))
    }

    /// Paid while the node was away: taken when it can be honoured, else recorded to go back.
    async fn pending(&self) -> Result<Step, Failure> {
        if self.received.minor() < self.order.payment().big_amount.0 {
            return Ok(Step::Rest(self.soon()));
        }
        let method = self.order.payment().method;
        let (asked, _) = self.asked().await?;
        let is_likely = self.known.parts.is_empty() && asked.is_likely(method, self.received);
        // What is in the wallet already can only be taken, and paid back from there.
        let takes = method == Method::AddressRequest || is_likely;
        if takes || matches!(self.known.fate, Some(Fate::Accepted(_))) {
            self.desk.node.confirm(self.id, false).await?;
            return Ok(Step::Again);
        }
        self.record().await?;
        Ok(Step::Rest(self.soon()))
    }

    /// Paid: recorded, and handed over when the ledger takes it.
    async fn funded(&self) -> Result<Step, Failure> {
        let (desk, id) = (self.desk, self.id);
        if self.received.minor() < self.order.payment().big_amount.0 && self.known.parts.is_empty() {
            return self.incomplete().await;
        }
        if self.record().await? {
            return Ok(Step::Again);
        }
        match &self.known.fate {
            Some(Fate::Accepted(accepted)) => {
                let note = self.what_to_say(accepted.contract, accepted.segment).await?;
                desk.node.fulfil(id, &note).await?;
                desk.end(&subject(desk, id)?, ODD).await?;
                tracing::info!(order = id, contract = %accepted.contract, "an order was handed over");
                Ok(Step::Again)
            }
            // Paid back from the wallet: so that nobody does it again on the node.
            Some(Fate::Rejected(rejected)) if self.order.payment().method != Method::Moderated => {
                let row = desk.app.views.settlement(rejected.settlement).await?;
                if row.is_none_or(|row| row.status != SettlementStatus::Settled) {
                    return Ok(Step::Rest(self.soon()));
                }
                desk.node.fulfil(id, &note::refused(&rejected.reason)).await?;
                Ok(Step::Again)
            }
            _ => Ok(Step::Rest(self.soon())),
        }
    }

    /// The node takes it for paid, but some of that is not deep enough, was not swept into the wallet, or is gone.
    async fn incomplete(&self) -> Result<Step, Failure> {
        let (now, wait) = (self.desk.app.clock.time(), self.desk.settings().unpaid_after_s);
        if self.order.paid_at().is_some_and(|at| at.plus(wait) <= now) {
            self.call("a part of what was paid has not come, or not into the wallet; see the node").await?;
            if self.order.payment().method == Method::AddressRequest {
                self.record_part().await?;
            }
        }
        Ok(Step::Rest(self.soon()))
    }

    /// Records a part of the price: whatever is asked by now, it buys nothing.
    async fn record_part(&self) -> Result<bool, Failure> {
        let (mut asked, renter) = self.asked().await?;
        let listing = named(self.order);
        asked.item = OrderItem::Unsellable { listing, why: Unsellable::Underpaid };
        asked.price = None;
        self.record_as(&asked, renter).await
    }

    async fn asked(&self) -> Result<(Wanted, AccountId), Failure> {
        let peer = &self.order.contract.buyer_order.buyer_id.peer_id;
        let renter = people::renter(&self.desk.app, peer).await?;
        Ok((wanted(self.desk, self.order, renter).await?, renter))
    }

    /// Records an order that was disputed before it could be served: it goes back.
    async fn record_disputed(&self) -> Result<(), Failure> {
        let (_, renter) = self.asked().await?;
        let listing = named(self.order);
        let item = OrderItem::Unsellable { listing, why: Unsellable::Disputed };
        let (app, by) = (&self.desk.app, self.desk.by());
        orders::receive(app, self.desk.key(self.id, 0)?, item, renter, self.received, &by).await?;
        Ok(())
    }

    /// Records what was paid and is not recorded yet; whether anything was.
    async fn record(&self) -> Result<bool, Failure> {
        if self.received.minor() <= self.known.total() {
            return Ok(false);
        }
        let (asked, renter) = self.asked().await?;
        self.record_as(&asked, renter).await
    }

    async fn record_as(&self, asked: &Wanted, renter: AccountId) -> Result<bool, Failure> {
        if self.received.minor() <= self.known.total() {
            return Ok(false);
        }
        let parts = asked.parts(self.order, self.id, self.known, self.received);
        let any = !parts.is_empty();
        if !any {
            self.call("it was paid in too many parts; see the node").await?;
        }
        for (part, item, paid) in parts {
            let key = self.desk.key(self.id, part)?;
            let by = self.desk.by();
            let outcome = orders::receive(&self.desk.app, key.clone(), item, renter, paid, &by).await?;
            let fate = match &outcome.fate {
                Some(Fate::Accepted(_)) => "accepted".to_owned(),
                Some(Fate::Rejected(e)) => format!("rejected: {}", e.reason),
                None => "not decided yet".to_owned(),
            };
            tracing::info!(order = %key, %paid, fate, "a payment was recorded");
        }
        Ok(any)
    }

    async fn what_to_say(&self, contract: ContractId, segment: Interval) -> Result<String, Failure> {
        let app = &self.desk.app;
        if let Some(OrderItem::Extension { .. }) = self.known.parts.first().map(|part| &part.item) {
            return Ok(note::extension(contract, segment));
        }
        let state = app.executor.load::<Contract>(&contract).await?.state;
        let login = contracts::credentials(app, contract).await?;
        let (Some(rental), Some(login)) = (state.rental(), login) else { return Ok(note::over(contract)) };
        let label = format!("OpenBazaar rental {contract}");
        let renter = rental.started.renter;
        let token = accounts::issue_token(app, renter, &label, vec![Role::Renter], None).await?;
        Ok(note::rental(&login, contract, rental.until(), &token.token))
    }
}
