//! What an order says beyond its fields.

use domain::{
    money::{Asset, Money},
    time::Time,
};

use super::{Currency, Method, Order, Payment, Payout, Record, State, Units, asset_of, may_happen, time_of};

impl Order {
    /// When it was placed, as the buyer says.
    #[must_use]
    pub fn placed(&self) -> Option<Time> {
        time_of(&self.contract.buyer_order.timestamp)
    }

    /// The asset it is paid in.
    #[must_use]
    pub fn asset(&self) -> Option<Asset> {
        let Currency { code, divisibility } = &self.payment().amount_currency;
        asset_of(code).filter(|asset| asset.scale() == *divisibility)
    }

    /// How it is paid.
    #[must_use]
    pub const fn payment(&self) -> &Payment {
        &self.contract.buyer_order.payment
    }

    /// The listing that was bought.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.contract.vendor_listings.first().map_or("", |listing| &listing.slug)
    }

    /// How many were bought, at least 1.
    #[must_use]
    pub fn quantity(&self) -> i64 {
        let items = &self.contract.buyer_order.items;
        items.first().and_then(|item| item.big_quantity.0.try_into().ok()).unwrap_or(1).max(1)
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.payment_address_transactions.iter().filter(|record| may_happen(record.height))
    }

    /// All that was paid in with so many confirmations.
    #[must_use]
    pub fn received(&self, confirmations: u32) -> i128 {
        let counted = self.records().filter(|record| {
            let is_deep = confirmations == 0 || record.height > 0 && record.confirmations >= confirmations;
            record.big_value.0 > 0 && is_deep
        });
        counted.map(|record| record.big_value.0).sum()
    }

    /// When something was paid first, as the node saw it: what the buyer's node says of the time may be anything.
    #[must_use]
    pub fn paid_at(&self) -> Option<Time> {
        self.records()
            .filter(|record| record.big_value.0 > 0)
            .filter_map(|record| time_of(&record.timestamp))
            .min()
    }

    /// What emptied its address, once something did: the whole transaction, which the node writes input by input. No more
    /// can leave than came.
    #[must_use]
    pub fn out(&self) -> Option<Record> {
        let first = self.records().find(|record| record.big_value.0 < 0)?;
        let same = self.records().filter(|record| record.txid == first.txid);
        let left: i128 = same.map(|record| record.big_value.0.min(0)).sum();
        Some(Record { big_value: Units(left.max(-self.received(0))), ..first.clone() })
    }

    /// What was paid for it and is the shop's to account for, when `known` is accounted for already. At an address of
    /// several keys that is what was there when the order was taken: a buyer takes what comes later back, or only buyer
    /// and moderator can. What is taken while the node was away counts once it was swept.
    #[must_use]
    pub fn accountable(&self, confirmations: u32, known: i128) -> i128 {
        let received = self.received(confirmations);
        let swept = || self.out().map_or(0, |out| -out.big_value.0);
        let waits = matches!(
            self.state,
            State::AwaitingPayment | State::Pending | State::Refunded | State::Declined | State::Canceled
        );
        match (self.payment().method, known) {
            (Method::AddressRequest, _) => received,
            (_, 1..) => known,
            (Method::Direct, _) if waits => received,
            // All that was swept must be deep.
            (Method::Direct, _) => Some(swept()).filter(|swept| *swept <= received).unwrap_or(0),
            (Method::Moderated, _) => received,
        }
    }

    /// An amount of its coin.
    #[must_use]
    pub fn money(&self, units: i128) -> Option<Money> {
        Money::from_minor(units, self.asset()?).ok()
    }

    /// How a moderator divided it, once that was decided.
    #[must_use]
    pub fn split(&self) -> Option<&Payout> {
        self.contract.dispute_resolution.as_ref().map(|resolution| &resolution.payout)
    }
}
