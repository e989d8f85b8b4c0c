//! How a value stands in a column: exact, and readable where that costs nothing.
//!
//! Ids, digests and keys are blobs; times are seconds since 1970; money is text such as `12.30 USD`; lists and
//! structures are JSON text; names and states are text.

use std::borrow::Cow;

use domain::{
    device::LeaseEnd,
    event::StreamName,
    id::{
        AccountId, ContractId, DeviceId, EventId, ExtensionId, GatewayName, MarketplaceName, OrderKey,
        SettlementId, Subdomain,
    },
    journal::{Account, Open},
    key::{Digest, PublicKey},
    money::{Asset, Money},
    offer::{Hardware, Offer},
    order::{OrderItem, RejectReason},
    policy::{EndedBy, Policy},
    purse::PurseId,
    time::{Interval, Time},
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::db::Kind;

/// A stored value is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadColumn(pub String);

impl BadColumn {
    /// From what a parser said.
    #[expect(clippy::needless_pass_by_value, reason = "used by map_err")]
    pub fn from(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// A value that fits into one column.
pub trait Column: Sized {
    /// What the column holds.
    const KIND: Kind;

    /// As it is stored.
    fn write(&self) -> ToSqlOutput<'_>;

    /// As it was stored.
    ///
    /// # Errors
    /// When it is something else.
    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn>;
}

impl<C: Column> Column for Option<C> {
    const KIND: Kind = C::KIND;

    fn write(&self) -> ToSqlOutput<'_> {
        self.as_ref().map_or(ToSqlOutput::Borrowed(ValueRef::Null), Column::write)
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        if value == ValueRef::Null { Ok(None) } else { C::read(value).map(Some) }
    }
}

impl Column for i64 {
    const KIND: Kind = Kind::Integer;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Integer(*self))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        value.as_i64().map_err(BadColumn::from)
    }
}

/// Whole numbers below 2^63: positions and revisions never come near.
macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            const KIND: Kind = Kind::Integer;

            fn write(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Borrowed(ValueRef::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
            }

            fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
                i64::read(value)?.try_into().map_err(BadColumn::from)
            }
        }
    )*};
}
integers!(u64, u32, u16);

impl Column for bool {
    const KIND: Kind = Kind::Integer;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*self)))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        i64::read(value).map(|n| n != 0)
    }
}

impl Column for Time {
    const KIND: Kind = Kind::Integer;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Integer(self.unix()))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        i64::read(value).map(Self::from_unix)
    }
}

impl Column for String {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        text(self)
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        value.as_str().map(Self::from).map_err(BadColumn::from)
    }
}

impl Column for Cow<'static, str> {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        text(self)
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        String::read(value).map(Cow::Owned)
    }
}

impl Column for StreamName {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        text(self.as_str())
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        value.as_str().map(Self::stored).map_err(BadColumn::from)
    }
}

impl Column for Uuid {
    const KIND: Kind = Kind::Blob;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes()))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        Self::from_slice(value.as_blob().map_err(BadColumn::from)?).map_err(BadColumn::from)
    }
}

/// Columns of the text that a value is shown as.
macro_rules! shown {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            const KIND: Kind = Kind::Text;

            fn write(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Owned(Value::Text(self.to_string()))
            }

            fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
                value.as_str().map_err(BadColumn::from)?.parse().map_err(BadColumn::from)
            }
        }
    )*};
}
shown!(OrderKey, Account, PurseId, i128);

/// Text that is already at hand.
#[must_use]
pub const fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

macro_rules! ids {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            const KIND: Kind = Kind::Blob;

            fn write(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes()))
            }

            fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
                let bytes = value.as_blob().map_err(BadColumn::from)?;
                Uuid::from_slice(bytes).map(Self).map_err(BadColumn::from)
            }
        }
    )*};
}
ids!(AccountId, ContractId, DeviceId, EventId, ExtensionId, SettlementId);

macro_rules! byte_strings {
    ($($ty:ident),*) => {$(
        impl Column for $ty {
            const KIND: Kind = Kind::Blob;

            fn write(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Borrowed(ValueRef::Blob(&self.0))
            }

            fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
                let bytes = value.as_blob().map_err(BadColumn::from)?;
                bytes.try_into().map(Self).map_err(BadColumn::from)
            }
        }
    )*};
}
byte_strings!(Digest, PublicKey);

macro_rules! names {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            const KIND: Kind = Kind::Text;

            fn write(&self) -> ToSqlOutput<'_> {
                text(self.as_str())
            }

            fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
                Self::new(value.as_str().map_err(BadColumn::from)?).map_err(BadColumn::from)
            }
        }
    )*};
}
names!(GatewayName, MarketplaceName, Subdomain);

impl Column for Asset {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        text(self.code())
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        value.as_str().map_err(BadColumn::from)?.parse().map_err(BadColumn::from)
    }
}

impl Column for Money {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Text(self.to_string()))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        let text = value.as_str().map_err(BadColumn::from)?;
        let (amount, asset) =
            text.split_once(' ').ok_or_else(|| BadColumn(format!("{text:?} is no money")))?;
        Self::parse(amount, asset.parse().map_err(BadColumn::from)?).map_err(BadColumn::from)
    }
}

/// Columns of JSON text.
macro_rules! json {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::rows::Column for $ty {
            const KIND: $crate::db::Kind = $crate::db::Kind::Text;

            fn write(&self) -> rusqlite::types::ToSqlOutput<'_> {
                $crate::rows::column::write_json(self)
            }

            fn read(value: rusqlite::types::ValueRef<'_>) -> Result<Self, $crate::rows::BadColumn> {
                $crate::rows::column::read_json(value)
            }
        }
    )*};
}
pub(crate) use json;

pub(crate) fn write_json(value: &impl Serialize) -> ToSqlOutput<'_> {
    ToSqlOutput::Owned(serde_json::to_string(value).map_or(Value::Null, Value::Text))
}

pub(crate) fn read_json<T: DeserializeOwned>(value: ValueRef<'_>) -> Result<T, BadColumn> {
    serde_json::from_str(value.as_str().map_err(BadColumn::from)?).map_err(BadColumn::from)
}

/// Columns of one word out of a fixed list, as serde names it.
macro_rules! word {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::rows::Column for $ty {
            const KIND: $crate::db::Kind = $crate::db::Kind::Text;

            fn write(&self) -> rusqlite::types::ToSqlOutput<'_> {
                $crate::rows::column::write_word(self)
            }

            fn read(value: rusqlite::types::ValueRef<'_>) -> Result<Self, $crate::rows::BadColumn> {
                $crate::rows::column::read_word(value)
            }
        }
    )*};
}
pub(crate) use word;

pub(crate) fn write_word(value: &impl Serialize) -> ToSqlOutput<'_> {
    let word = serde_json::to_string(value).map(|quoted| quoted.trim_matches('"').to_owned());
    ToSqlOutput::Owned(word.map_or(Value::Null, Value::Text))
}

pub(crate) fn read_word<T: DeserializeOwned>(value: ValueRef<'_>) -> Result<T, BadColumn> {
    let word = value.as_str().map_err(BadColumn::from)?;
    serde_json::from_str(&format!("\"{word}\"")).map_err(BadColumn::from)
}

word!(EndedBy, LeaseEnd);
json!(Offer, Hardware, Policy, OrderItem, RejectReason, Interval, Open);
