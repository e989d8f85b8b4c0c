//! What an order asks for, and what its payments are recorded as.
//!
//! # Correctness
//! Whatever was paid is recorded in the ledger as payments that add up to it: the first has the order's own id, what is
//! beyond the price, or came later, are further ones that go back. A payment that is recorded never changes: each look
//! starts from what the ledger has. Money in an escrow cannot be divided by hand, so a moderated order that does not pay
//! the price goes back whole.

use domain::{
    contract::Contract,
    device::Device,
    id::{AccountId, ContractId},
    money::Money,
    offer::MAX_TERM_S,
    order::{Fate, MAX_LISTING, Order as Ledger, OrderItem, OrderReceived, Unsellable},
};

use super::{
    desk::{Desk, Failure},
    note::plain,
    slug::Slug,
    wire::{Method, Order, State},
};

/// Payments recorded of one order, at most: somebody who pays more often must wait for a human.
const MAX_PARTS: usize = 100;

/// What an order asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub item: OrderItem,
    /// What that costs now, if it can be had.
    pub price: Option<Money>,
}

/// What the ledger has of an order.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded {
    /// Its payments.
    pub parts: Vec<OrderReceived>,
    /// What became of the first.
    pub fate: Option<Fate>,
}

impl Recorded {
    /// All that is recorded as paid, in minor units.
    pub fn total(&self) -> i128 {
        self.parts.iter().map(|part| part.paid.minor()).sum()
    }
}

/// Reads what the ledger has of an order.
pub(super) async fn recorded(desk: &Desk, id: &str) -> Result<Recorded, Failure> {
    let mut recorded = Recorded::default();
    for part in 0..MAX_PARTS {
        let state = desk.app.executor.load::<Ledger>(&desk.key(id, part)?).await?.state;
        let Some(received) = state.received() else { break };
        recorded.parts.push(received.clone());
        if part == 0 {
            recorded.fate = state.fate().cloned();
        }
    }
    Ok(recorded)
}

/// Finds out what an order asks for.
pub(super) async fn wanted(desk: &Desk, order: &Order, renter: AccountId) -> Result<Wanted, Failure> {
    let no = |why| Ok(Wanted { item: OrderItem::Unsellable { listing: named(order), why }, price: None });
    let Some(slug) = Slug::read(order.slug()) else { return no(Unsellable::ListingUnknown) };
    let moderator = &order.payment().moderator;
    if order.payment().method == Method::Moderated
        && !desk.settings().moderators().any(|peer| peer == moderator)
    {
        return no(Unsellable::ModeratorRefused);
    }
    match &slug {
        Slug::Rental { device, term_s } => {
            let term_s = term_s.saturating_mul(order.quantity()).min(MAX_TERM_S + 1);
            let state = desk.app.executor.load::<Device>(device).await?.state;
            let price = match state.rentable() {
                Ok(rentable) if is_free(desk, ContractId::of(*device, rentable.epoch)).await? => {
                    rentable.offer.price(term_s)
                }
                _ => None,
            };
            Ok(Wanted { item: OrderItem::Rental { device: *device, term_s }, price })
        }
        Slug::Extension { contract, .. } => {
            let state = desk.app.executor.load::<Contract>(contract).await?.state;
            let Some(rental) = state.rental() else { return no(Unsellable::ListingUnknown) };
            let Some(extension) = rental.extensions().find(|known| slug.sells(*known)) else {
                return no(Unsellable::ListingUnknown);
            };
            if rental.started.renter != renter {
                return no(Unsellable::NotTheRenter);
            }
            let now = desk.app.clock.time();
            let pending = rental.pending.as_ref().filter(|p| p.extension == extension && now < p.lapses_at);
            let price = pending.filter(|_| rental.runs(now)).map(|pending| pending.price);
            Ok(Wanted { item: OrderItem::Extension { contract: *contract, extension }, price })
        }
    }
}

/// A listing's name, as the ledger takes it.
pub(super) fn named(order: &Order) -> String {
    let name = plain(order.slug(), MAX_LISTING);
    if name.trim().is_empty() { "unnamed".into() } else { name }
}

async fn is_free(desk: &Desk, contract: ContractId) -> Result<bool, Failure> {
    let state = desk.app.executor.load::<Contract>(&contract).await?.state;
    Ok(state.rental().is_none() && !state.is_closed())
}

impl Wanted {
    /// Whether the ledger will take what was paid, as far as can be seen.
    pub fn is_likely(&self, method: Method, paid: Money) -> bool {
        let Some(price) = self.price.filter(|price| price.asset() == paid.asset()) else { return false };
        if method == Method::Moderated { paid == price } else { paid.minor() >= price.minor() }
    }

    /// The payments to be recorded so that all of `paid` is: their number after those recorded before, item and amount.
    pub fn parts(
        &self,
        order: &Order,
        id: &str,
        known: &Recorded,
        paid: Money,
    ) -> Vec<(usize, OrderItem, Money)> {
        let mut parts = Vec::new();
        let mut left = paid.minor() - known.total();
        let mut next = known.parts.len();
        let money = |minor| Money::from_minor(minor, paid.asset()).ok();
        if next == 0 {
            let escrow = order.payment().method == Method::Moderated || order.state == State::Pending;
            let price = self.price.filter(|price| price.asset() == paid.asset() && !escrow);
            let first = price.map_or(left, |price| price.minor().min(left));
            parts.extend(money(first).map(|amount| (0, self.item.clone(), amount)));
            (left, next) = (left - first, 1);
        }
        if left > 0 && next < MAX_PARTS {
            let item = OrderItem::Unsellable { listing: id.to_owned(), why: Unsellable::Surplus };
            parts.extend(money(left).map(|amount| (next, item, amount)));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use domain::id::DeviceId;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn order(method: &str) -> Order {
        let payment = json!({ "method": method, "amountCurrency": { "code": "TBTC", "divisibility": 8 } });
        let whole = json!({
            "state": "AWAITING_FULFILLMENT", "contract": { "buyerOrder": { "payment": payment } },
        });
        serde_json::from_value(whole).unwrap()
    }

    fn btc(minor: i128) -> Money {
        Money::from_minor(minor, "BTC".parse().unwrap()).unwrap()
    }

    fn amounts(method: &str, price: Option<i128>, known: &[i128], paid: i128) -> Vec<(usize, bool, i128)> {
        let item = OrderItem::Rental { device: DeviceId(Uuid::nil()), term_s: 60 };
        let wanted = Wanted { item: item.clone(), price: price.map(btc) };
        let part = |paid: &i128| OrderReceived {
            order: "ob-1".parse().unwrap(),
            item: item.clone(),
            renter: AccountId(Uuid::nil()),
            paid: btc(*paid),
        };
        let known = Recorded { parts: known.iter().map(part).collect(), fate: None };
        let parts = wanted.parts(&order(method), "1", &known, btc(paid));
        parts.into_iter().map(|(n, is, paid)| (n, is == item, paid.minor())).collect()
    }

    #[test]
    fn what_is_recorded_adds_up_to_what_was_paid() {
        assert_eq!(amounts("DIRECT", Some(10), &[], 10), [(0, true, 10)]);
        assert_eq!(amounts("DIRECT", Some(10), &[], 13), [(0, true, 10), (1, false, 3)]);
        assert_eq!(amounts("DIRECT", Some(10), &[], 9), [(0, true, 9)]);
        assert_eq!(amounts("DIRECT", None, &[], 13), [(0, true, 13)]);
        assert_eq!(amounts("DIRECT", Some(10), &[9], 10), [(1, false, 1)]);
        assert_eq!(amounts("DIRECT", Some(10), &[10, 3], 13), []);
        assert_eq!(amounts("DIRECT", Some(10), &[10, 3], 20), [(2, false, 7)]);
    }

    #[test]
    fn money_in_escrow_is_not_divided() {
        assert_eq!(amounts("MODERATED", Some(10), &[], 13), [(0, true, 13)]);
        assert_eq!(amounts("MODERATED", Some(10), &[13], 15), [(1, false, 2)]);
    }
}
