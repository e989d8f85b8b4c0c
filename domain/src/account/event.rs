//! What happens to an account. Names and addresses are never here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::events;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Enrols devices and is paid.
    Owner,
    /// Rents.
    Renter,
    /// Runs the server.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// An integration that brings orders and moves money.
    Marketplace,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Renter, Self::Operator, Self::Auditor, Self::Marketplace];

    /// Its written form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Renter => "renter",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Marketplace => "marketplace",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| {
            format!("unknown role {text:?}; known are owner, renter, operator, auditor, marketplace")
        })
    }
}

events! {
    /// The events of an account.
    AccountEvent {
        /// Somebody has an account.
        AccountOpened = 1 {}
        /// The account may act in a role.
        RoleGranted = 1 {
            /// The role.
            role: Role,
        }
        /// The account may no longer act in a role.
        RoleRevoked = 1 {
            /// The role.
            role: Role,
        }
        /// The person behind the account was forgotten; the ledger keeps the bare id.
        AccountErased = 1 {}
    }
}
