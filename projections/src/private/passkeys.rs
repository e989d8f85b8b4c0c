//! Passkeys, and the challenges that authenticators are asked to sign.
//!
//! # Correctness
//! A challenge is used up by the statement that finds it, so of two answers one counts. A passkey is added by whoever has the
//! account for itself and sees that its person is not forgotten and has room for it. A use is written down only over what
//! it was held against, so of two uses of one counter value one fails, and a passkey that was removed meanwhile opens
//! nothing.

use domain::{id::AccountId, key::Digest, time::Time};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::sql;

/// Passkeys of one account at most.
pub const MAX_PASSKEYS: usize = 20;
/// Challenges that wait for their answers at most, of everybody together.
const MAX_CHALLENGES: i64 = 10_000;

/// What somebody signs in with instead of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id, for lists and removal.
    pub id: Uuid,
    /// What its authenticator calls it.
    pub credential_id: Vec<u8>,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// What an answer is held against, as JSON.
    pub credential: String,
    /// When it was added.
    pub created_at: Time,
    /// When somebody signed in with it for the last time.
    pub last_used_at: Option<Time>,
}

/// Who adds a passkey, and in which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adding {
    /// The account.
    pub account: AccountId,
    /// SHA-256 of the session's cookie.
    pub session: Digest,
}

type Row = (Vec<u8>, Vec<u8>, Vec<u8>, String, String, i64, Option<i64>);

fn passkey((id, credential_id, account, name, credential, created_at, last_used_at): Row) -> Passkey {
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).unwrap_or_default();
    Passkey {
        id: uuid(&id),
        credential_id,
        account: AccountId(uuid(&account)),
        name,
        credential,
        created_at: Time::from_unix(created_at),
        last_used_at: last_used_at.map(Time::from_unix),
    }
}

impl Private {
    /// The passkeys of an account, the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn passkeys_of(&self, account: AccountId) -> Result<Vec<Passkey>, PrivateError> {
        let query = sql("select id, credential_id, account, name, credential, created_at, last_used_at
                         from passkeys where account = ? order by created_at, id");
        let rows = query.bind(account).all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(passkey).collect())
    }

    /// The passkey that an authenticator calls so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, PrivateError> {
        let query = sql("select id, credential_id, account, name, credential, created_at, last_used_at
                         from passkeys where credential_id = ?");
        let row = query.bind(credential_id).optional::<Row>(&self.store).await?;
        Ok(row.map(passkey))
    }

    /// Keeps a passkey; `false` when somebody has it already, its account has [`MAX_PASSKEYS`], or its person is forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_passkey(&self, new: &Passkey) -> Result<bool, PrivateError> {
        let mut tx = self.alone_with(new.account).await?;
        let query = sql("insert into passkeys (id, credential_id, account, name, credential, created_at)
                         select ?1, ?2, ?3, ?4, ?5, ?6
                         where (select count(*) from passkeys where account = ?3) < ?7
                             and exists (select 1 from accounts where id = ?3)
                         on conflict (credential_id) do nothing");
        let query = query.bind(new.id).bind(&new.credential_id).bind(new.account).bind(&new.name);
        let query = query.bind(&new.credential).bind(new.created_at);
        let added = query.bind(i64::try_from(MAX_PASSKEYS).unwrap_or_default()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// Notes that somebody signed in with a passkey; `false` when it is not any more what the answer was held against.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn passkey_used(
        &self,
        held_against: &Passkey,
        credential: &str,
        now: Time,
    ) -> Result<bool, PrivateError> {
        let query =
            sql("update passkeys set credential = ?, last_used_at = ? where id = ? and credential = ?");
        let query = query.bind(credential).bind(now).bind(held_against.id).bind(&held_against.credential);
        Ok(query.execute(&self.store).await? > 0)
    }

    /// Removes a passkey; `false` when the account has no such.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_passkey(&self, account: AccountId, id: Uuid) -> Result<bool, PrivateError> {
        let query = sql("delete from passkeys where id = ? and account = ?");
        Ok(query.bind(id).bind(account).execute(&self.store).await? > 0)
    }

    /// Keeps a challenge under the SHA-256 of its name; `false` when too many wait for their answers. An account that adds
    /// a passkey has one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_challenge(
        &self,
        hash: Digest,
        adding: Option<Adding>,
        state: &str,
        now: Time,
        until: Time,
    ) -> Result<bool, PrivateError> {
        let (account, session) = (adding.map(|adding| adding.account), adding.map(|adding| adding.session));
        let mut tx = self.store.begin().await?;
        tx.alone("challenges").await?;
        let query = sql("delete from passkey_challenges where expires_at <= ? or account = ?");
        query.bind(now).bind(account).execute(&mut tx).await?;
        let query = sql("insert into passkey_challenges (hash, account, session, state, expires_at)
                         select ?, ?, ?, ?, ? where (select count(*) from passkey_challenges) < ?");
        let query = query.bind(hash).bind(account).bind(session).bind(state);
        let added = query.bind(until).bind(MAX_CHALLENGES).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// Uses a challenge up: what its answer is held against, if it was made for this and is not too old.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn use_challenge(
        &self,
        hash: Digest,
        adding: Option<Adding>,
        now: Time,
    ) -> Result<Option<String>, PrivateError> {
        let query = sql("delete from passkey_challenges
                         where hash = ? and account is not distinct from ? and session is not distinct from ?
                             and expires_at > ? returning state");
        let query = query.bind(hash).bind(adding.map(|adding| adding.account));
        let query = query.bind(adding.map(|adding| adding.session)).bind(now);
        Ok(query.optional::<(String,)>(&self.store).await?.map(|(state,)| state))
    }

    /// When a session was opened.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session_opened_at(&self, hash: Digest) -> Result<Option<Time>, PrivateError> {
        let query = sql("select created_at from sessions where hash = ?").bind(hash);
        Ok(query.optional::<(i64,)>(&self.store).await?.map(|(at,)| Time::from_unix(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::{
        Person,
        fresh::{Fresh, on_both},
    };

    const NOW: Time = Time::from_unix(1_000);

    on_both!(
        an_account_has_twenty_passkeys_at_most_and_nobody_has_anothers,
        of_two_uses_that_were_held_against_the_same_one_is_written_down,
        a_challenge_is_answered_once_in_time_and_by_whom_it_was_made_for,
    );

    fn account(n: u128) -> AccountId {
        AccountId(Uuid::from_u128(n))
    }

    fn sample(n: u128) -> Passkey {
        Passkey {
            id: Uuid::from_u128(n),
            credential_id: n.to_be_bytes().to_vec(),
            account: account(1),
            name: "phone".into(),
            credential: "{}".into(),
            created_at: NOW,
            last_used_at: None,
        }
    }

    async fn an_account_has_twenty_passkeys_at_most_and_nobody_has_anothers(Fresh { private, .. }: Fresh) {
        assert!(!private.add_passkey(&sample(1)).await.unwrap(), "nobody has the account");
        for n in [1, 2] {
            private.add_person(account(n), &Person::default(), NOW).await.unwrap();
        }
        for n in 1..=20 {
            assert!(private.add_passkey(&sample(n)).await.unwrap());
        }
        assert!(!private.add_passkey(&sample(21)).await.unwrap());
        let anothers = Passkey { id: Uuid::from_u128(99), account: account(2), ..sample(5) };
        assert!(!private.add_passkey(&anothers).await.unwrap());
        assert!(!private.remove_passkey(account(2), Uuid::from_u128(5)).await.unwrap());
        assert!(private.remove_passkey(account(1), Uuid::from_u128(5)).await.unwrap());
        assert!(private.add_passkey(&anothers).await.unwrap());
        private.forget_person(account(1)).await.unwrap();
        assert_eq!(private.passkeys_of(account(1)).await.unwrap(), vec![]);
        assert_eq!(private.passkeys_of(account(2)).await.unwrap(), vec![anothers]);
    }

    async fn of_two_uses_that_were_held_against_the_same_one_is_written_down(Fresh { private, .. }: Fresh) {
        private.add_person(account(1), &Person::default(), NOW).await.unwrap();
        let passkey = sample(1);
        private.add_passkey(&passkey).await.unwrap();
        assert!(private.passkey_used(&passkey, "{\"counter\":2}", NOW.plus(1)).await.unwrap());
        assert!(!private.passkey_used(&passkey, "{\"counter\":2}", NOW.plus(1)).await.unwrap());
        let kept = private.passkey(&passkey.credential_id).await.unwrap().unwrap();
        assert_eq!((kept.last_used_at, kept.credential.as_str()), (Some(NOW.plus(1)), "{\"counter\":2}"));
        private.remove_passkey(account(1), kept.id).await.unwrap();
        assert!(!private.passkey_used(&kept, "{}", NOW).await.unwrap());
    }

    async fn a_challenge_is_answered_once_in_time_and_by_whom_it_was_made_for(Fresh { private, .. }: Fresh) {
        let adding = |n| Some(Adding { account: account(n), session: Digest::of(&[1]) });
        let elsewhere = Some(Adding { account: account(1), session: Digest::of(&[2]) });
        let hash = Digest::of(b"challenge");
        assert!(private.add_challenge(hash, adding(1), "{}", NOW, NOW.plus(300)).await.unwrap());
        for (other, now) in [(adding(2), NOW), (elsewhere, NOW), (None, NOW), (adding(1), NOW.plus(300))] {
            assert_eq!(private.use_challenge(hash, other, now).await.unwrap(), None);
        }
        let used = private.use_challenge(hash, adding(1), NOW.plus(299)).await.unwrap();
        assert_eq!(used.as_deref(), Some("{}"));
        assert_eq!(private.use_challenge(hash, adding(1), NOW.plus(299)).await.unwrap(), None);
        let (first, second) = (Digest::of(b"first"), Digest::of(b"second"));
        for hash in [first, second] {
            private.add_challenge(hash, adding(1), "{}", NOW, NOW.plus(300)).await.unwrap();
        }
        assert_eq!(private.use_challenge(first, adding(1), NOW).await.unwrap(), None, "one at a time");
        private.forget_person(account(1)).await.unwrap();
        assert_eq!(private.use_challenge(second, adding(1), NOW).await.unwrap(), None);
        private.add_challenge(first, None, "{}", NOW, NOW.plus(300)).await.unwrap();
        assert!(private.forget_logins(NOW.plus(300), NOW).await.unwrap() > 0);
    }
}
