//! The people behind accounts.

use std::collections::HashMap;

use domain::{id::AccountId, id::MarketplaceName, time::Time};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::{is_taken, listed, made, sql};

/// Names looked up at once.
const MAX_NAMES: usize = 500;

/// Whom an account belongs to. Forgetting a person deletes this and keeps the ledger.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Where refunds go.
    pub refund_address: Option<String>,
    /// Where payouts go.
    pub payout_address: Option<String>,
    /// The name of an integration's orders.
    pub marketplace: Option<MarketplaceName>,
}

/// What to change of a person; `None` leaves it, and an empty address deletes it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new mail address.
    pub email: Option<String>,
    /// A new refund address.
    pub refund_address: Option<String>,
    /// A new payout address.
    pub payout_address: Option<String>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("marketplace", &self.marketplace).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PersonPatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonPatch").finish_non_exhaustive()
    }
}

type Row = (String, Option<String>, Option<String>, Option<String>, Option<String>);

impl Private {
    /// Writes down whom an account belongs to.
    ///
    /// # Errors
    /// When the marketplace name is taken or the store fails.
    pub async fn add_person(&self, id: AccountId, person: &Person, now: Time) -> Result<(), PrivateError> {
        let marketplace = person.marketplace.as_ref().map(ToString::to_string);
        let query = sql("insert into accounts
                         (id, name, email, refund_address, payout_address, marketplace, created_at)
                         values (?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing");
        let query = query.bind(id).bind(&person.name).bind(&person.email).bind(&person.refund_address);
        let query = query.bind(&person.payout_address).bind(&marketplace).bind(now);
        match query.execute(&self.store).await {
            Err(e) if is_taken(&e) => Err(PrivateError::MarketplaceTaken(marketplace.unwrap_or_default())),
            other => Ok(other.map(|_| ())?),
        }
    }

    /// Whom an account belongs to; `None` when unknown or forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn person(&self, id: AccountId) -> Result<Option<Person>, PrivateError> {
        let query = sql("select name, email, refund_address, payout_address, marketplace
                         from accounts where id = ?");
        let row = query.bind(id).optional::<Row>(&self.store).await?;
        Ok(row.map(|(name, email, refund_address, payout_address, marketplace)| Person {
            name,
            email,
            refund_address,
            payout_address,
            marketplace: marketplace.and_then(|m| MarketplaceName::new(m).ok()),
        }))
    }

    /// What the people behind accounts are called, as far as they are known and not forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn account_names(&self, ids: &[AccountId]) -> Result<HashMap<AccountId, String>, PrivateError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = &ids[..ids.len().min(MAX_NAMES)];
        let query = made(format!("select id, name from accounts where id in ({})", listed("?", ids.len())));
        let query = ids.iter().fold(query, |query, id| query.bind(*id));
        let rows = query.all::<(Vec<u8>, String)>(&self.store).await?;
        let named =
            |(id, name): (Vec<u8>, String)| (AccountId(Uuid::from_slice(&id).unwrap_or_default()), name);
        Ok(rows.into_iter().map(named).collect())
    }

    /// Changes what is given; `false` when there is no such person.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn change_person(&self, id: AccountId, patch: &PersonPatch) -> Result<bool, PrivateError> {
        let query =
            sql("update accounts set name = coalesce(?, name), email = nullif(coalesce(?, email), ''),
                         refund_address = nullif(coalesce(?, refund_address), ''),
                         payout_address = nullif(coalesce(?, payout_address), '') where id = ?");
        let query = query.bind(&patch.name).bind(&patch.email).bind(&patch.refund_address);
        Ok(query.bind(&patch.payout_address).bind(id).execute(&self.store).await? > 0)
    }

    /// Forgets a person, how it signs in, and every token of the account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_person(&self, id: AccountId) -> Result<(), PrivateError> {
        let mut tx = self.alone_with(id).await?;
        for text in [
            "delete from sessions where account = ?",
            "delete from mailed_codes where account = ?",
            "delete from logins where account = ?",
            "delete from passkeys where account = ?",
            "delete from passkey_challenges where account = ?",
            "delete from tokens where account = ?",
            "delete from idempotency where account = ?",
        ] {
            sql(text).bind(id).execute(&mut tx).await?;
        }
        sql("delete from accounts where id = ?").bind(id).execute(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// The names of the integrations that bring orders, in order, at most `limit` (100).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn marketplaces(&self, limit: u32) -> Result<Vec<String>, PrivateError> {
        let query = sql("select marketplace from accounts where marketplace is not null
                         order by marketplace limit ?");
        let rows = query.bind(limit.min(100)).all::<(String,)>(&self.store).await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Accounts in order of id, after `after`, at most `limit` (500).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn people(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<(AccountId, Person)>, PrivateError> {
        let after = after.map_or(Vec::new(), |id| id.0.as_bytes().to_vec());
        let query = sql("select id from accounts where id > ? order by id limit ?");
        let ids = query.bind(after).bind(limit.min(500)).all::<(Vec<u8>,)>(&self.store).await?;
        let mut people = Vec::new();
        for (id,) in ids {
            let id = AccountId(Uuid::from_slice(&id).unwrap_or_default());
            if let Some(person) = self.person(id).await? {
                people.push((id, person));
            }
        }
        Ok(people)
    }
}
