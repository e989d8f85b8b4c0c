//! Identifiers. Every id is opaque: it tells nothing about a person or a machine.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a UUID newtype.
macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

uuid_id! {
    /// An account: an owner, renter, operator, auditor or marketplace.
    AccountId,
    /// A machine enrolled by its owner.
    DeviceId,
    /// The rental of one lease epoch; see [`ContractId::of`].
    ContractId,
    /// A renter's request to extend a contract.
    ExtensionId,
    /// The execution of one refund or payout; see [`SettlementId`]'s constructors.
    SettlementId,
    /// One event (UUID version 7).
    EventId,
    /// One command: a repeated command carries the same id.
    CommandId,
    /// Ties together everything that one outside cause set in motion.
    CorrelationId,
}

impl ContractId {
    /// `uuid_v5(device, epoch)`: an epoch has exactly one contract stream, so it can be let only once.
    #[must_use]
    pub fn of(device: DeviceId, epoch: Epoch) -> Self {
        Self(Uuid::new_v5(&device.0, format!("epoch-{epoch}").as_bytes()))
    }
}

impl SettlementId {
    /// The refund of one segment (counted from 0) of a contract.
    #[must_use]
    pub fn refund(contract: ContractId, segment: usize) -> Self {
        Self(Uuid::new_v5(&contract.0, format!("refund-{segment}").as_bytes()))
    }

    /// The payout of a contract to its owner.
    #[must_use]
    pub fn payout(contract: ContractId) -> Self {
        Self(Uuid::new_v5(&contract.0, b"payout"))
    }

    /// The payout of one segment (counted from 0) that was served before the rental ended.
    #[must_use]
    pub fn segment_payout(contract: ContractId, segment: usize) -> Self {
        Self(Uuid::new_v5(&contract.0, format!("payout-{segment}").as_bytes()))
    }

    /// What a decided dispute about one segment (counted from 0) gives back to the renter.
    #[must_use]
    pub fn dispute_refund(contract: ContractId, segment: usize) -> Self {
        Self(Uuid::new_v5(&contract.0, format!("dispute-{segment}").as_bytes()))
    }

    /// What whoever decided a dispute about one segment (counted from 0) gets for it.
    #[must_use]
    pub fn moderation(contract: ContractId, segment: usize) -> Self {
        Self(Uuid::new_v5(&contract.0, format!("moderation-{segment}").as_bytes()))
    }

    /// What is still owed after a settlement that moved less than was due.
    #[must_use]
    pub fn rest_of(settlement: Self) -> Self {
        Self(Uuid::new_v5(&settlement.0, b"rest"))
    }

    /// The payouts that a purse released together, named by the first of them.
    #[must_use]
    pub fn release(first: Self) -> Self {
        Self(Uuid::new_v5(&first.0, b"release"))
    }

    /// The full refund of a rejected order.
    #[must_use]
    pub fn rejected_order(order: &OrderKey) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, order.stream_key().as_bytes()))
    }
}

impl ExtensionId {
    /// The extension asked for by one command, so that a repeated request is the same extension.
    #[must_use]
    pub fn of(contract: ContractId, command: CommandId) -> Self {
        Self(Uuid::new_v5(&contract.0, command.0.as_bytes()))
    }
}

/// Numbers a device's leases 1, 2, 3 … and fences them; 0 means "never leased".
pub type Epoch = u32;

/// A name was not in the allowed alphabet or length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} characters out of {alphabet}, got {got:?}")]
pub struct InvalidName {
    what: &'static str,
    alphabet: &'static str,
    max: usize,
    got: String,
}

/// Declares a validated string newtype; names are copied around far more often than they are made, so copies share.
macro_rules! name_id {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $alphabet:literal, $ok:expr);* $(;)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// When the text is empty, too long, has a character outside the alphabet, or no letter and no digit.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let ok: fn(char) -> bool = $ok;
                let named = text.chars().any(|c| c.is_ascii_alphanumeric());
                if !named || text.len() > $max || !text.chars().all(ok) {
                    let got = text.chars().take(160).collect();
                    return Err(InvalidName { what: $what, alphabet: $alphabet, max: $max, got });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().into()
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

name_id! {
    /// A gateway's name.
    GatewayName, "a gateway name", 32, "a-z, 0-9", |c| c.is_ascii_lowercase() || c.is_ascii_digit();
    /// A marketplace's name; without `-`, so that `order-<marketplace>-<id>` reads only one way.
    MarketplaceName, "a marketplace name", 32, "a-z, 0-9", |c| c.is_ascii_lowercase() || c.is_ascii_digit();
    /// A marketplace's own order id; never `.` or `..`, which mean something else in an address.
    OrderId, "an order id", 128, "A-Z, a-z, 0-9, '.', '_', '-', at least one of them a letter or a digit",
        |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    /// A subdomain: one DNS label.
    Subdomain, "a subdomain", 63, "a-z, 0-9", |c| c.is_ascii_lowercase() || c.is_ascii_digit();
}

impl Subdomain {
    /// The subdomain of one lease: `b` and 15 hex digits of the contract id; never the same for two leases.
    #[must_use]
    pub fn of(device: DeviceId, epoch: Epoch) -> Self {
        let hex = ContractId::of(device, epoch).0.simple().to_string();
        Self(format!("b{}", &hex[..15]).into())
    }
}

/// One payment received by a marketplace, known by the marketplace's own id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// Who received it.
    pub marketplace: MarketplaceName,
    /// The marketplace's id of it.
    pub id: OrderId,
}

impl OrderKey {
    /// `<marketplace>-<id>`.
    #[must_use]
    pub fn stream_key(&self) -> String {
        format!("{}-{}", self.marketplace, self.id)
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.marketplace, self.id)
    }
}

impl FromStr for OrderKey {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (marketplace, id) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { marketplace: marketplace.parse()?, id: id.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_key_reads_back_even_when_the_id_holds_dashes() {
        let key: OrderKey = "ob-Qm-a.b_c".parse().unwrap();
        assert_eq!((key.marketplace.as_str(), key.id.as_str()), ("ob", "Qm-a.b_c"));
        assert_eq!(key.to_string().parse::<OrderKey>().unwrap(), key);
    }

    #[test]
    fn names_outside_the_alphabet_are_refused() {
        for bad in ["", "a/b", "ä", "a b", &"x".repeat(129), ".", "..", "-", "_.-"] {
            assert!(OrderId::new(bad).is_err(), "{bad}");
        }
        for good in ["a", "7", "..a", "-.0_", &"x".repeat(128)] {
            assert_eq!(OrderId::new(good).unwrap().as_str(), good);
        }
        let said = OrderId::new("..").unwrap_err().to_string();
        assert!(said.contains("at least one of them a letter or a digit"), "{said}");
        assert!(serde_json::from_str::<GatewayName>("\"UP\"").is_err());
    }

    #[test]
    fn two_epochs_of_a_device_have_different_contracts_and_subdomains() {
        let device = DeviceId(Uuid::from_u128(7));
        assert_ne!(ContractId::of(device, 1), ContractId::of(device, 2));
        assert_ne!(Subdomain::of(device, 1), Subdomain::of(device, 2));
    }
}
