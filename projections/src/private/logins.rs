//! How people sign in: passwords, sessions, codes that were mailed, and tries that are counted.
//!
//! # Correctness
//! Secrets are looked up by their SHA-256, so neither the file nor the time that a look-up takes helps to guess one. A
//! code is used up by the statement that finds it, so of two uses one wins. A session of a token is worth nothing once
//! the token is.

use domain::{
    account::Role,
    id::AccountId,
    key::Digest,
    time::{Seconds, Time},
};
use uuid::Uuid;

use super::{Private, PrivateError};

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

fn key(account: AccountId) -> Vec<u8> {
    account.0.as_bytes().to_vec()
}

impl Private {
    /// Lets an account sign in; `false` when another account has the address.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_login(&self, login: &Login) -> Result<bool, PrivateError> {
        let sql = "insert into logins (account, email, password, confirmed_at) values (?, ?, ?, ?)
                   on conflict (account) do update set email = excluded.email, password = excluded.password,
                   confirmed_at = excluded.confirmed_at";
        let query = sqlx::query(sql).bind(key(login.account)).bind(&login.email).bind(&login.password);
        match query.bind(login.confirmed_at.map(Time::unix)).execute(&self.pool).await {
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Ok(false),
            other => Ok(other.map(|_| true)?),
        }
    }

    /// Who signs in with an address (in lower case).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login_by_email(&self, email: &str) -> Result<Option<Login>, PrivateError> {
        let sql = "select account, email, password, confirmed_at from logins where email = ?";
        Ok(sqlx::query_as::<_, LoginRow>(sql).bind(email).fetch_optional(&self.pool).await?.map(login))
    }

    /// How an account signs in, if it can.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login_of(&self, account: AccountId) -> Result<Option<Login>, PrivateError> {
        let sql = "select account, email, password, confirmed_at from logins where account = ?";
        Ok(sqlx::query_as::<_, LoginRow>(sql).bind(key(account)).fetch_optional(&self.pool).await?.map(login))
    }

    /// Replaces a password and ends every session of the account, and every code that could replace it again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn change_password(&self, account: AccountId, password: &str) -> Result<(), PrivateError> {
        let mut tx = self.pool.begin().await?;
        let sql = "update logins set password = ? where account = ?";
        sqlx::query(sql).bind(password).bind(key(account)).execute(&mut *tx).await?;
        sqlx::query("delete from sessions where account = ?").bind(key(account)).execute(&mut *tx).await?;
        let sql = "delete from mailed_codes where account = ? and purpose = 'reset'";
        sqlx::query(sql).bind(key(account)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Takes from an account whatever somebody may have left there who was not its person: tokens, passkeys, and where
    /// money goes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn disown(&self, account: AccountId, now: Time) -> Result<(), PrivateError> {
        let mut tx = self.pool.begin().await?;
        let sql = "update tokens set revoked_at = ? where account = ? and revoked_at is null";
        sqlx::query(sql).bind(now.unix()).bind(key(account)).execute(&mut *tx).await?;
        sqlx::query("delete from passkeys where account = ?").bind(key(account)).execute(&mut *tx).await?;
        let sql = "update accounts set refund_address = null, payout_address = null where id = ?";
        sqlx::query(sql).bind(key(account)).execute(&mut *tx).await?;
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
        let sql =
            "update logins set confirmed_at = coalesce(confirmed_at, ?) where account = ? and email = ?";
        let query = sqlx::query(sql).bind(now.unix()).bind(key(account)).bind(email);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
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
        let sql = "insert into sessions (hash, account, token, created_at, seen_at, expires_at)
                   values (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(hash.0.to_vec()).bind(key(account));
        let query = query.bind(token.map(|token| token.as_bytes().to_vec()));
        query.bind(now.unix()).bind(now.unix()).bind(until.unix()).execute(&self.pool).await?;
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
        let sql = "select s.account, t.roles, s.seen_at from sessions s left join tokens t on t.id = s.token
                   where s.hash = ? and s.expires_at > ? and s.seen_at > ? and (s.token is null
                   or (t.id is not null and t.revoked_at is null and (t.expires_at is null or t.expires_at > ?)))";
        let query = sqlx::query_as::<_, Row>(sql).bind(hash.0.to_vec()).bind(now.unix());
        let row = query.bind(idle_since.unix()).bind(now.unix()).fetch_optional(&self.pool).await?;
        let roles = |text: String| text.split(',').filter_map(|role| role.parse().ok()).collect();
        Ok(row.map(|(account, text, seen_at)| Session {
            account: AccountId(id(&account)),
            roles: text.map(roles),
            seen_at: Time::from_unix(seen_at),
        }))
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session_seen(&self, hash: Digest, now: Time) -> Result<(), PrivateError> {
        let sql = "update sessions set seen_at = ? where hash = ?";
        sqlx::query(sql).bind(now.unix()).bind(hash.0.to_vec()).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_session(&self, hash: Digest) -> Result<(), PrivateError> {
        sqlx::query("delete from sessions where hash = ?").bind(hash.0.to_vec()).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends every session of an account but one; answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_other_sessions(&self, account: AccountId, but: Digest) -> Result<u64, PrivateError> {
        let query = sqlx::query("delete from sessions where account = ? and hash <> ?").bind(key(account));
        Ok(query.bind(but.0.to_vec()).execute(&self.pool).await?.rows_affected())
    }

    /// How many browsers are signed in to an account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions_of(&self, account: AccountId, now: Time) -> Result<i64, PrivateError> {
        let sql = "select count(*) from sessions where account = ? and expires_at > ?";
        Ok(sqlx::query_scalar(sql).bind(key(account)).bind(now.unix()).fetch_one(&self.pool).await?)
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
        let mut tx = self.pool.begin().await?;
        let sql = "delete from mailed_codes where account = ? and purpose = ?";
        sqlx::query(sql).bind(key(account)).bind(purpose.as_str()).execute(&mut *tx).await?;
        let sql =
            "insert into mailed_codes (hash, account, purpose, email, expires_at) values (?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(hash.0.to_vec()).bind(key(account)).bind(purpose.as_str());
        query.bind(email).bind(until.unix()).execute(&mut *tx).await?;
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
        let sql =
            "select exists (select 1 from mailed_codes where hash = ? and purpose = ? and expires_at > ?)";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(hash.0.to_vec()).bind(purpose.as_str());
        Ok(query.bind(now.unix()).fetch_one(&self.pool).await? == 1)
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
        let sql = "delete from mailed_codes where hash = ? and purpose = ? and expires_at > ?
                   returning account, email";
        let query = sqlx::query_as::<_, (Vec<u8>, String)>(sql).bind(hash.0.to_vec()).bind(purpose.as_str());
        let row = query.bind(now.unix()).fetch_optional(&self.pool).await?;
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
        let sql = "insert into tries (what, since, count) values (?1, ?2, 1) on conflict (what) do update set
                   count = case when since <= ?3 then 1 else count + 1 end,
                   since = case when since <= ?3 then ?2 else since end returning count, since";
        let query = sqlx::query_as::<_, (i64, i64)>(sql).bind(what).bind(now.unix());
        let (count, since) = query.bind(now.plus(-window_s).unix()).fetch_one(&self.pool).await?;
        Ok((count, Time::from_unix(since)))
    }

    /// Forgets the tries of something that worked: all whose names begin so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forgive_tries(&self, what: &str) -> Result<(), PrivateError> {
        let sql = "delete from tries where what >= ? and what < ?";
        sqlx::query(sql).bind(what).bind(format!("{what}\u{10ffff}")).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets sessions, codes, challenges and tries past their time; answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_logins(&self, now: Time, tries_before: Time) -> Result<u64, PrivateError> {
        let mut gone = 0;
        for sql in [
            "delete from sessions where expires_at <= ?",
            "delete from mailed_codes where expires_at <= ?",
            "delete from passkey_challenges where expires_at <= ?",
        ] {
            gone += sqlx::query(sql).bind(now.unix()).execute(&self.pool).await?.rows_affected();
        }
        let tries = sqlx::query("delete from tries where since <= ?").bind(tries_before.unix());
        Ok(gone + tries.execute(&self.pool).await?.rows_affected())
    }
}
