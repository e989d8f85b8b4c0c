//! What the node says, as far as it matters here.
//!
//! Amounts are decimal texts of a coin's smallest unit; the numbers beside them are left from older versions and mean
//! nothing. What is null is left out by the node, so everything may be missing.

mod order;

use std::borrow::Cow;

use domain::{money::Asset, time::Time};
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

#[cfg(test)]
mod tests;
