//! What the node says, as far as it matters here.
//!
//! Amounts are decimal texts of a coin's smallest unit; the numbers beside them are left from older versions and mean
//! nothing. What is null is left out by the node, so everything may be missing.

use std::borrow::Cow;

use domain::{
    money::{Asset, Money},
    time::Time,
};
use serde::{Deserialize, Deserializer};

/// An amount in a coin's smallest unit; 0 when there is none or it is odd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units(pub i128);

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self(text.parse().unwrap_or(0)))
    }
}

/// How an order is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// Into the shop's wallet.
    #[default]
    AddressRequest,
    /// To an address that buyer or shop can empty, until the shop confirms.
    Direct,
    /// To an address that two of buyer, shop and moderator empty.
    Moderated,
}

/// Declares the states with their numbers and names.
macro_rules! states {
    ($($name:ident = $number:literal $text:literal $open:literal,)*) => {
        /// Where an order stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum State { $($name,)* }

        impl State {
            /// Every state, its number in queries, and whether something is to be done about it or waited for. Most buyers
            /// never complete an order that was handed over: nothing is waited for there, and a dispute is a state of
            /// its own.
            pub const ALL: &'static [(Self, u8, bool)] = &[$((Self::$name, $number, $open),)*];

            /// As the node names it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The state of this name.
            #[must_use]
            pub fn of(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

states! {
    Pending = 0 "PENDING" true,
    AwaitingPayment = 1 "AWAITING_PAYMENT" true,
    AwaitingPickup = 2 "AWAITING_PICKUP" true,
    AwaitingFulfillment = 3 "AWAITING_FULFILLMENT" true,
    PartiallyFulfilled = 4 "PARTIALLY_FULFILLED" true,
    Fulfilled = 5 "FULFILLED" false,
    Completed = 6 "COMPLETED" false,
    Canceled = 7 "CANCELED" false,
    Declined = 8 "DECLINED" false,
    Refunded = 9 "REFUNDED" false,
    Disputed = 10 "DISPUTED" true,
    Decided = 11 "DECIDED" true,
    Resolved = 12 "RESOLVED" false,
    PaymentFinalized = 13 "PAYMENT_FINALIZED" false,
    ProcessingError = 14 "PROCESSING_ERROR" false,
}

impl State {
    /// Whether something is to be done about it, or waited for.
    #[must_use]
    pub fn is_open(self) -> bool {
        Self::ALL.iter().any(|(state, _, open)| *state == self && *open)
    }

    /// The numbers of those states, as queries take them.
    #[must_use]
    pub fn open_numbers() -> String {
        let open = Self::ALL.iter().filter(|(_, _, open)| *open).map(|(_, number, _)| number.to_string());
        open.collect::<Vec<_>>().join(",")
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Self::of(&name).ok_or_else(|| serde::de::Error::custom(format!("the unknown state {name:?}")))
    }
}

/// An order in a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sale {
    /// Which.
    pub order_id: String,
    /// The name of the state it is in, which may be one that is not known here.
    pub state: String,
}

/// A coin.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Currency {
    /// Its code.
    pub code: String,
    /// Decimals of its smallest unit.
    pub divisibility: u32,
}

/// A movement at an order's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The transaction.
    pub txid: String,
    /// In; out when negative.
    pub big_value: Units,
    /// Blocks on top of it; of one that never happens, nonsense.
    pub confirmations: u32,
    /// The block it is in; 0 before, and below 0 when it never happens.
    pub height: i64,
    /// When it was seen, RFC 3339.
    pub timestamp: String,
}

/// What the height of a transaction that never happens is too, as the node writes −1 in 32 bits.
const NEVER: i64 = 4_294_967_295;

/// Whether a transaction of this height may happen.
const fn may_happen(height: i64) -> bool {
    height >= 0 && height != NEVER
}

/// An order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub contract: Contract,
    pub state: State,
    #[serde(default)]
    pub payment_address_transactions: Vec<Record>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Contract {
    pub vendor_listings: Vec<VendorListing>,
    pub buyer_order: BuyerOrder,
    pub refund: Refund,
    pub dispute_resolution: Option<DisputeResolution>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VendorListing {
    pub slug: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuyerOrder {
    pub refund_address: String,
    #[serde(rename = "buyerID")]
    pub buyer_id: Peer,
    pub timestamp: String,
    pub items: Vec<Item>,
    pub payment: Payment,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Peer {
    #[serde(rename = "peerID")]
    pub peer_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Item {
    pub big_quantity: Units,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payment {
    pub method: Method,
    pub moderator: String,
    pub big_amount: Units,
    pub amount_currency: Currency,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Refund {
    pub refund_transaction: Record,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DisputeResolution {
    pub payout: Payout,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payout {
    pub buyer_output: Output,
    pub vendor_output: Output,
    pub moderator_output: Output,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Output {
    pub big_amount: Units,
}

/// A listing in a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    pub slug: String,
}

/// Notifications.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Notifications {
    #[serde(deserialize_with = "those_that_are_read")]
    pub notifications: Vec<Notified>,
}

/// Rows that can be read; odd ones are left out.
fn those_that_are_read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Notified>, D::Error> {
    let rows = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect())
}

/// Whether a text can be the node's id of an order.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Notified {
    pub notification: Notification,
}

/// Something that happened; only a hint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notification {
    pub notification_id: String,
    pub order_id: String,
    pub purchase_order_id: String,
}

/// What a payment out of the wallet took.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// The transaction.
    pub txid: String,
}

/// A wallet's transactions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Transactions {
    pub transactions: Vec<Transaction>,
}

/// A wallet's transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transaction {
    /// Which.
    pub txid: String,
    /// In; out, with the miner's fee, when negative.
    pub value: Units,
    /// What was written to it.
    pub memo: String,
    /// Where it went, of what was spent.
    pub address: String,
    /// When it was seen, RFC 3339.
    pub timestamp: String,
    /// The block it is in; 0 before, and below 0 when it never happens. Its status is `DEAD` also when it has only waited
    /// for hours.
    pub height: i64,
}

impl Transaction {
    /// Whether it never happens.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        !may_happen(self.height)
    }
}

/// The asset of a coin; testnet coins stand for their mainnet's, with a `T` before its code.
#[must_use]
pub fn asset_of(coin: &str) -> Option<Asset> {
    let known = coin.parse::<Asset>().ok();
    known.or_else(|| coin.strip_prefix('T').and_then(|code| code.parse().ok()))
}

/// A time as the node writes it, with fractions or without, to the second.
#[must_use]
pub fn time_of(text: &str) -> Option<Time> {
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Time::from_unix(at.timestamp()))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openbazaar::plan::gone_back;

    fn recorded<T: for<'de> Deserialize<'de>>(name: &str) -> T {
        let path = format!("{}/../fixtures/openbazaar/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    #[test]
    fn recorded_orders_say_how_they_are_paid_and_what_left() {
        let awaiting: Order = recorded("order_mod_awaiting");
        assert_eq!(
            (awaiting.state, awaiting.payment().method),
            (State::AwaitingFulfillment, Method::Moderated)
        );
        assert_eq!((awaiting.received(0), awaiting.quantity(), awaiting.out()), (1_000_000, 1, None));
        assert_eq!(awaiting.asset().map(Asset::code), Some("BTC"));
        assert!(awaiting.placed().is_some() && !awaiting.slug().is_empty());
        assert!(!awaiting.payment().moderator.is_empty());
        assert!(!awaiting.contract.buyer_order.refund_address.is_empty());
        assert!(!awaiting.contract.buyer_order.buyer_id.peer_id.is_empty());

        let split: Order = recorded("order_mod_decided");
        assert_eq!(split.out().map(|out| out.big_value.0), Some(-1_000_000));
        let payout = split.split().unwrap();
        let parts = [&payout.buyer_output, &payout.vendor_output, &payout.moderator_output];
        assert_eq!(parts.map(|part| part.big_amount.0), [312_675, 625_350, 49_868]);

        let refunded: Order = recorded("order_mod_refunded");
        assert_eq!(refunded.state, State::Refunded);
        assert_eq!(gone_back(&refunded).map(|record| record.big_value.0), Some(-1_000_000));

        let refunded: Order = recorded("order_addrreq_refunded");
        assert_eq!((refunded.payment().method, refunded.received(0)), (Method::AddressRequest, 1_000_000));
        assert_eq!(gone_back(&refunded).map(|record| record.big_value.0), Some(1_000_000));
    }

    #[test]
    fn what_leaves_in_several_inputs_is_one_movement_of_no_more_than_came() {
        let record = |txid: &str, value: i128| Record {
            txid: txid.into(),
            big_value: Units(value),
            ..Record::default()
        };
        let mut order: Order = recorded("order_mod_awaiting");
        order.payment_address_transactions =
            vec![record("a", 400), record("b", 600), record("x", -400), record("x", -600)];
        assert_eq!(order.out().map(|out| out.big_value.0), Some(-1_000));
        order.payment_address_transactions.push(record("x", -600));
        assert_eq!(order.out().map(|out| out.big_value.0), Some(-1_000), "said twice");
        let dead = Record { height: 4_294_967_295, ..record("c", 5_000) };
        order.payment_address_transactions.push(dead);
        assert_eq!(order.received(0), 1_000);
    }

    #[test]
    fn recorded_lists_are_read() {
        let sales: serde_json::Value = recorded("sales_vendor");
        let sales: Vec<Sale> = serde_json::from_value(sales["sales"].clone()).unwrap();
        assert!(sales.len() > 3 && sales.iter().all(|sale| State::of(&sale.state).is_some()));
        let listings: Vec<Listed> = recorded("listings");
        assert!(!listings.is_empty());
        let history: Transactions = recorded("wallet_transactions");
        let spent = history.transactions.iter().filter(|tx| tx.value.0 < 0 && !tx.memo.is_empty());
        assert!(spent.count() >= 2 && history.transactions.iter().all(|tx| time_of(&tx.timestamp).is_some()));
        assert!(history.transactions.iter().any(Transaction::is_dead));
        let notes: Notifications = recorded("notifications_vendor");
        assert!(notes.notifications.iter().all(|row| !row.notification.notification_id.is_empty()));
        assert!(notes.notifications.iter().any(|row| !row.notification.order_id.is_empty()));
    }

    #[test]
    fn coins_of_a_testnet_stand_for_their_mainnets() {
        let code = |coin: &str| asset_of(coin).map(Asset::code);
        assert_eq!([code("TBTC"), code("BTC"), code("TETH")], [Some("BTC"), Some("BTC"), Some("ETH")]);
        assert_eq!([code("FIL"), code("TT"), code("")], [None, None, None]);
    }
}
