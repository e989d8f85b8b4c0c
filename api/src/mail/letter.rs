//! What a mail is about, and to whom: as the outbox keeps it.

use domain::{
    event::Position,
    id::{AccountId, ContractId, ExtensionId, SettlementId},
    time::Time,
};
use serde::{Deserialize, Serialize};

use crate::app::App;

/// Who gets a mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// An account, wherever its mail goes when the mail is sent.
    Account(AccountId),
    /// An address that may be nobody's yet.
    Address(String),
}

/// What a mail is about: what is looked up when it is sent, and the tokens that cannot be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Letter {
    /// A rental started: how to log in, or where that is shown.
    Credentials {
        /// The rental.
        contract: ContractId,
    },
    /// A rental is about to end.
    Reminder {
        /// The rental.
        contract: ContractId,
        /// Its end, as it was known: once that has moved, nobody is reminded of it.
        end: Time,
    },
    /// A rental goes on.
    Extended {
        /// The rental.
        contract: ContractId,
        /// The request that was paid.
        extension: ExtensionId,
    },
    /// A rental is over: why, and what becomes of the money.
    Ended {
        /// The rental.
        contract: ContractId,
    },
    /// A device has proved how it erased a rental's data.
    Erased {
        /// The event that holds the receipt.
        position: Position,
    },
    /// Money moved.
    Settled {
        /// The refund or payout.
        settlement: SettlementId,
    },
    /// Somebody named this address as theirs.
    ConfirmAddress {
        /// What proves that they read it.
        token: String,
    },
    /// Somebody wants a new password.
    ResetPassword {
        /// What proves that they read it.
        token: String,
    },
}

impl std::fmt::Debug for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(id) => f.debug_tuple("Account").field(id).finish(),
            Self::Address(_) => f.debug_struct("Address").finish_non_exhaustive(),
        }
    }
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}

fn context(cause: &str) -> String {
    format!("mail {cause}")
}

/// What the outbox keeps of a mail.
///
/// # Errors
/// When it cannot be written down.
pub(super) fn seal(app: &App, cause: &str, to: To, letter: Letter) -> anyhow::Result<Vec<u8>> {
    Ok(app.keys.seal(&context(cause), &serde_json::to_vec(&(to, letter))?))
}

/// To whom a mail goes, and what it is about.
///
/// # Errors
/// When the vault key is not the one that sealed it.
pub(super) fn unseal(app: &App, cause: &str, sealed: &[u8]) -> anyhow::Result<(To, Letter)> {
    Ok(serde_json::from_slice(&app.keys.unseal(&context(cause), sealed)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_tokens_nor_addresses_are_shown() {
        let letter = Letter::ConfirmAddress { token: "secret".into() };
        let shown = format!("{letter:?} {:?}", To::Address("secret@example.org".into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
