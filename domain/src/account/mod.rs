//! Accounts and their roles.

mod event;

pub use event::{AccountErased, AccountEvent, AccountOpened, Role, RoleGranted, RoleRevoked};

use std::collections::BTreeSet;

use crate::{
    aggregate::{Aggregate, Decision},
    id::AccountId,
    time::Time,
};

/// An account's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    open: bool,
    erased: bool,
    roles: BTreeSet<Role>,
}

impl Account {
    /// Whether it may act in `role` now.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.open && !self.erased && self.roles.contains(&role)
    }

    /// Whether its person was forgotten.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.erased
    }

    /// The roles it has now; none once erased.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.may(*role)).collect()
    }

    /// Whether it was ever opened.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.open
    }
}

/// What can be asked of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    /// Open it with these roles.
    Open {
        /// The first roles.
        roles: Vec<Role>,
    },
    /// Give it a role.
    Grant {
        /// The role.
        role: Role,
    },
    /// Take a role away.
    Revoke {
        /// The role.
        role: Role,
    },
    /// Forget the person.
    Erase,
}

/// Why an account says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// There is none.
    #[error("there is no such account")]
    Unknown,
    /// The person was forgotten.
    #[error("the account was erased")]
    Erased,
}

impl Aggregate for Account {
    type Id = AccountId;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Refusal = AccountRefusal;

    const CATEGORY: &'static str = "account";

    fn decide(&self, command: AccountCommand, _now: Time) -> Result<Decision<AccountEvent>, AccountRefusal> {
        if let AccountCommand::Open { roles } = command {
            if self.erased {
                return Err(AccountRefusal::Erased);
            }
            if self.open {
                return Ok(Decision::AlreadyDone);
            }
            let roles: BTreeSet<_> = roles.into_iter().collect();
            let granted = roles.into_iter().map(|role| RoleGranted { role }.into());
            return Ok(Decision::Events(std::iter::once(AccountOpened {}.into()).chain(granted).collect()));
        }
        match (self.open, self.erased, command) {
            (false, ..) => Err(AccountRefusal::Unknown),
            (_, true, AccountCommand::Erase) => Ok(Decision::AlreadyDone),
            (_, true, _) => Err(AccountRefusal::Erased),
            (_, _, AccountCommand::Grant { role }) if self.roles.contains(&role) => Ok(Decision::AlreadyDone),
            (_, _, AccountCommand::Grant { role }) => Ok(Decision::event(RoleGranted { role })),
            (_, _, AccountCommand::Revoke { role }) if !self.roles.contains(&role) => {
                Ok(Decision::AlreadyDone)
            }
            (_, _, AccountCommand::Revoke { role }) => Ok(Decision::event(RoleRevoked { role })),
            (_, _, AccountCommand::Erase | AccountCommand::Open { .. }) => {
                Ok(Decision::event(AccountErased {}))
            }
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::AccountOpened(_) => self.open = true,
            AccountEvent::RoleGranted(e) => {
                self.roles.insert(e.role);
            }
            AccountEvent::RoleRevoked(e) => {
                self.roles.remove(&e.role);
            }
            AccountEvent::AccountErased(_) => self.erased = true,
        }
    }
}

#[cfg(test)]
mod tests;
