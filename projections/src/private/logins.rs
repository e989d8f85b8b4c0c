//! How people sign in: passwords, sessions, codes that were mailed, and tries that are counted.
//!
//! # Correctness
//! Secrets are looked up by their SHA-256, so neither the file nor the time that a look-up takes helps to guess one. A
//! code is used up by the statement that finds it, so of two uses one wins. A session of a token is worth nothing once
//! the token is. What changes several things of an account takes the account for itself first ([`Tx::alone`]): a code that
//! is made while a password is chosen is either gone with those before it, or newer than the password.
//!
//! [`Tx::alone`]: crate::sql::Tx::alone

use domain::{
    account::Role,
    id::AccountId,
    key::Digest,
    time::{Seconds, Time},
};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::{is_taken, sql, two};

/// What proves that somebody is the person of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub account: AccountId,
    /// The address that is typed at sign-in, in lower case.
    pub email: String,
    /// Argon2id, as a PHC string.
    pub password: String,
    /// When the address was proved.
    pub confirmed_at: Option<Time>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub account: AccountId,
    /// What it may do; `None` for all that its account may.
    pub roles: Option<Vec<Role>>,
    /// When it was last used, to the hour.
    pub seen_at: Time,
}

/// What a mailed code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePurpose {
    /// Proving an address.
    Confirm,
    /// Choosing a new password.
    Reset,
}

impl CodePurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Reset => "reset",
        }
    }
}

type LoginRow = (Vec<u8>, String, String, Option<i64>);

fn login((account, email, password, confirmed_at): LoginRow) -> Login {
    let confirmed_at = confirmed_at.map(Time::from_unix);
    Login { account: AccountId(id(&account)), email, password, confirmed_at }
}

fn id(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}

impl Private {
    /// Lets an account sign in; `false` when another account has the address.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_login(&self, login: &Login) -> Result<bool, PrivateError> {
        let query = sql("insert into logins (account, email, password, confirmed_at) values (?, ?, ?, ?)
                         on conflict (account) do update set email = excluded.email,
                         password = excluded.password, confirmed_at = excluded.confirmed_at");
        let query = query.bind(login.account).bind(&login.email).bind(&login.password);
        match query.bind(login.confirmed_at).execute(&self.store).await {
            Err(e) if is_taken(&e) => Ok(false),
            other => Ok(other.map(|_| true)?),
        }
    }

    /// Who signs in with an address (in lower case).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login_by_email(&self, email: &str) -> Result<Option<Login>, PrivateError> {
        let query = sql("select account, email, password, confirmed_at from logins where email = ?");
        Ok(query.bind(email).optional::<LoginRow>(&self.store).await?.map(login))
    }

    /// How an account signs in, if it can.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login_of(&self, account: AccountId) -> Result<Option<Login>, PrivateError> {
        let query = sql("select account, email, password, confirmed_at from logins where account = ?");
        Ok(query.bind(account).optional::<LoginRow>(&self.store).await?.map(login))
    }

    /// Replaces a password and ends every session of the account, and every code that could replace it again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn change_password(&self, account: AccountId, password: &str) -> Result<(), PrivateError> {
        let mut tx = self.alone_with(account).await?;
        let query = sql("update logins set password = ? where account = ?");
        query.bind(password).bind(account).execute(&mut tx).await?;
        sql("delete from sessions where account = ?").bind(account).execute(&mut tx).await?;
        let query = sql("delete from mailed_codes where account = ? and purpose = 'reset'");
        query.bind(account).execute(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Takes from an account whatever somebody may have left there who was not its person: tokens, passkeys, and where
    /// money goes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn disown(&self, account: AccountId, now: Time) -> Result<(), PrivateError> {
        let mut tx = self.alone_with(account).await?;
        let query = sql("update tokens set revoked_at = ? where account = ? and revoked_at is null");
        query.bind(now).bind(account).execute(&mut tx).await?;
        sql("delete from passkeys where account = ?").bind(account).execute(&mut tx).await?;
        let query = sql("update accounts set refund_address = null, payout_address = null where id = ?");
        query.bind(account).execute(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Notes that an account's address is proved, if it still is this one; `false` when it is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn confirm_login(
        &self,
        account: AccountId,
        email: &str,
        now: Time,
    ) -> Result<bool, PrivateError> {
        let query = sql("update logins set confirmed_at = coalesce(confirmed_at, ?)
                         where account = ? and email = ?");
        Ok(query.bind(now).bind(account).bind(email).execute(&self.store).await? > 0)
    }

    /// Opens a session under the SHA-256 of its cookie.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_session(
        &self,
        hash: Digest,
        account: AccountId,
        token: Option<Uuid>,
        now: Time,
        until: Time,
    ) -> Result<(), PrivateError> {
        let query = sql("insert into sessions (hash, account, token, created_at, seen_at, expires_at)
                         values (?1, ?2, ?3, ?4, ?4, ?5)");
        let query = query.bind(hash).bind(account).bind(token).bind(now).bind(until);
        query.execute(&self.store).await?;
        Ok(())
    }

    /// The session of a cookie, if it has not ended, was used since `idle_since`, and the token it was opened with works.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session(
        &self,
        hash: Digest,
        now: Time,
        idle_since: Time,
    ) -> Result<Option<Session>, PrivateError> {
        type Row = (Vec<u8>, Option<String>, i64);
        let query =
            sql("select s.account, t.roles, s.seen_at from sessions s left join tokens t on t.id = s.token
                         where s.hash = ?1 and s.expires_at > ?2 and s.seen_at > ?3 and (s.token is null
                         or (t.id is not null and t.revoked_at is null
                             and (t.expires_at is null or t.expires_at > ?2)))");
        let row = query.bind(hash).bind(now).bind(idle_since).optional::<Row>(&self.store).await?;
        let roles = |text: String| text.split(',').filter_map(|role| role.parse().ok()).collect();
        Ok(row.map(|(account, text, seen_at)| Session {
            account: AccountId(id(&account)),
            roles: text.map(roles),
            seen_at: Time::from_unix(seen_at),
        }))
    }

    /// Notes that a session was used; never earlier than it was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session_seen(&self, hash: Digest, now: Time) -> Result<(), PrivateError> {
        let query = sql("update sessions set seen_at = ?1 where hash = ?2 and seen_at < ?1");
        query.bind(now).bind(hash).execute(&self.store).await?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_session(&self, hash: Digest) -> Result<(), PrivateError> {
        sql("delete from sessions where hash = ?").bind(hash).execute(&self.store).await?;
        Ok(())
    }

    /// Ends every session of an account but one; answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_other_sessions(&self, account: AccountId, but: Digest) -> Result<u64, PrivateError> {
        let query = sql("delete from sessions where account = ? and hash <> ?");
        Ok(query.bind(account).bind(but).execute(&self.store).await?)
    }

    /// How many browsers are signed in to an account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions_of(&self, account: AccountId, now: Time) -> Result<i64, PrivateError> {
        let query = sql("select count(*) from sessions where account = ? and expires_at > ?");
        Ok(query.bind(account).bind(now).one::<(i64,)>(&self.store).await?.0)
    }

    /// Keeps the SHA-256 of a code that is mailed to an address; those before it for the same purpose are worth nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_code(
        &self,
        hash: Digest,
        account: AccountId,
        purpose: CodePurpose,
        email: &str,
        until: Time,
    ) -> Result<(), PrivateError> {
        let mut tx = self.alone_with(account).await?;
        let query = sql("delete from mailed_codes where account = ? and purpose = ?");
        query.bind(account).bind(purpose.as_str()).execute(&mut tx).await?;
        let query = sql("insert into mailed_codes (hash, account, purpose, email, expires_at)
                         values (?, ?, ?, ?, ?)");
        let query = query.bind(hash).bind(account).bind(purpose.as_str()).bind(email).bind(until);
        query.execute(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether a code would be taken.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn knows_code(
        &self,
        hash: Digest,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<bool, PrivateError> {
        let query = sql("select cast(1 as bigint) from mailed_codes
                         where hash = ? and purpose = ? and expires_at > ?");
        Ok(query.bind(hash).bind(purpose.as_str()).bind(now).any(&self.store).await?)
    }

    /// Uses a code up: whose it was, and the address that it was mailed to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn use_code(
        &self,
        hash: Digest,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<Option<(AccountId, String)>, PrivateError> {
        let query = sql("delete from mailed_codes where hash = ? and purpose = ? and expires_at > ?
                         returning account, email");
        let query = query.bind(hash).bind(purpose.as_str()).bind(now);
        let row = query.optional::<(Vec<u8>, String)>(&self.store).await?;
        Ok(row.map(|(account, email)| (AccountId(id(&account)), email)))
    }

    /// Counts a try of something; answers how many there were within `window_s`, this one included, and when that began.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count_try(
        &self,
        what: &str,
        now: Time,
        window_s: Seconds,
    ) -> Result<(i64, Time), PrivateError> {
        let query = sql("insert into tries (what, since, count) values (?1, ?2, 1)
                         on conflict (what) do update set
                             count = case when tries.since <= ?3 then 1 else tries.count + 1 end,
                             since = case when tries.since <= ?3 then ?2 else tries.since end
                         returning count, since");
        let query = query.bind(what).bind(now).bind(now.plus(-window_s));
        let (count, since) = query.one::<(i64, i64)>(&self.store).await?;
        Ok((count, Time::from_unix(since)))
    }

    /// Forgets the tries of something that worked: all whose names begin so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forgive_tries(&self, what: &str) -> Result<(), PrivateError> {
        let query = sql("delete from tries where what >= ? and what < ?");
        query.bind(what).bind(format!("{what}\u{10ffff}")).execute(&self.store).await?;
        Ok(())
    }

    /// Forgets sessions, codes, challenges and tries past their time; answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_logins(&self, now: Time, tries_before: Time) -> Result<u64, PrivateError> {
        let mut gone = 0;
        // What somebody is changing right now is left for the next time: this waits for nobody, nor in a circle.
        for (query, before) in [
            (
                two(
                    "delete from sessions where expires_at <= ?",
                    "delete from sessions where hash in
                     (select hash from sessions where expires_at <= ? for update skip locked)",
                ),
                now,
            ),
            (
                two(
                    "delete from mailed_codes where expires_at <= ?",
                    "delete from mailed_codes where hash in
                     (select hash from mailed_codes where expires_at <= ? for update skip locked)",
                ),
                now,
            ),
            (
                two(
                    "delete from passkey_challenges where expires_at <= ?",
                    "delete from passkey_challenges where hash in
                     (select hash from passkey_challenges where expires_at <= ? for update skip locked)",
                ),
                now,
            ),
            (sql("delete from tries where since <= ?"), tries_before),
        ] {
            gone += query.bind(before).execute(&self.store).await?;
        }
        Ok(gone)
    }
}
