//! Accounts of the people behind the node: the shop's own, and one for each buyer.
//!
//! # Correctness
//! A buyer's account follows from the peer id, so the same buyer has the same account after any crash. One that was erased
//! is left alone: whoever comes back gets the next.

use domain::{
    account::{Account, Role},
    event::SystemPart,
    id::{AccountId, CommandId},
};
use projections::private::Person;
use uuid::Uuid;

use super::note::plain;
use crate::{accounts, app::App, error::Problem, execute::By};

/// The longest name, in bytes.
const MAX_NAME: usize = 100;
/// How often a buyer can have been forgotten.
const MAX_GENERATIONS: u32 = 100;

fn by(app: &App, what: &str) -> By {
    let command = CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, what.as_bytes()));
    By { command, ..app.by_system(SystemPart::Connector, None) }
}

/// Opens the account that holds the marketplace's name, once.
///
/// # Errors
/// When somebody else has the name.
pub(super) async fn shop(app: &App) -> Result<AccountId, Problem> {
    let marketplace = app.config.openbazaar.marketplace.clone();
    let by = by(app, &format!("openbazaar shop {marketplace}"));
    let person = Person {
        name: format!("OpenBazaar node ({marketplace})"),
        marketplace: Some(marketplace),
        ..Person::default()
    };
    accounts::open(app, person, vec![Role::Marketplace], &by).await
}

/// The account of a buyer or a moderator, opened when it is met first.
///
/// # Errors
/// When the log or the private store fails.
pub(super) async fn renter(app: &App, peer: &str) -> Result<AccountId, Problem> {
    let marketplace = &app.config.openbazaar.marketplace;
    for generation in 0..MAX_GENERATIONS {
        let by = by(app, &format!("openbazaar peer {marketplace} {peer} {generation}"));
        let id = AccountId(Uuid::new_v5(&Uuid::NAMESPACE_OID, by.command.0.as_bytes()));
        let account = app.executor.load::<Account>(&id).await?;
        if account.state.may(Role::Renter) {
            return Ok(id);
        }
        if account.revision.is_none() {
            let name = plain(&format!("OpenBazaar {peer}"), MAX_NAME);
            let person = Person { name, ..Person::default() };
            return accounts::open(app, person, vec![Role::Renter], &by).await;
        }
    }
    Err(Problem::internal(&format!("the buyer {peer} was forgotten too often")))
}
