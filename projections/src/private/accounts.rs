//! Tokens and the first set-up.

use domain::{account::Role, id::AccountId, key::Digest, time::Time};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::sql;

/// A token about to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its id, for lists and revocation.
    pub id: Uuid,
    /// SHA-256 of the token.
    pub hash: Digest,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub label: String,
    /// What it may do; at most what the account may.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working.
    pub expires_at: Option<Time>,
}

/// A token in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub label: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working.
    pub expires_at: Option<Time>,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
}

/// Who presented a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// The token.
    pub token: Uuid,
    /// The account.
    pub account: AccountId,
    /// What the token may do.
    pub roles: Vec<Role>,
}

fn roles(text: &str) -> Vec<Role> {
    text.split(',').filter_map(|role| role.parse().ok()).collect()
}

fn id(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}

impl Private {
    /// Keeps a token; `false` when there is one of its id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_token(&self, token: &NewToken) -> Result<bool, PrivateError> {
        let roles: Vec<_> = token.roles.iter().map(|r| r.as_str()).collect();
        let query = sql("insert into tokens (id, hash, account, label, roles, created_at, expires_at)
                         values (?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing");
        let query = query.bind(token.id).bind(token.hash).bind(token.account).bind(&token.label);
        let query = query.bind(roles.join(",")).bind(token.created_at).bind(token.expires_at);
        Ok(query.execute(&self.store).await? > 0)
    }

    /// Who holds the token with this hash, if it works now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn token_holder(&self, hash: Digest, now: Time) -> Result<Option<TokenHolder>, PrivateError> {
        let query = sql("select id, account, roles from tokens
                         where hash = ? and revoked_at is null and (expires_at is null or expires_at > ?)");
        let row = query.bind(hash).bind(now).optional::<(Vec<u8>, Vec<u8>, String)>(&self.store).await?;
        Ok(row.map(|(token, account, text)| TokenHolder {
            token: id(&token),
            account: AccountId(id(&account)),
            roles: roles(&text),
        }))
    }

    /// The tokens of an account, newest first, at most 200.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tokens(&self, account: AccountId) -> Result<Vec<Token>, PrivateError> {
        type Row = (Vec<u8>, String, String, i64, Option<i64>, Option<i64>);
        let query = sql("select id, label, roles, created_at, expires_at, revoked_at from tokens
                         where account = ? order by created_at desc, id desc limit 200");
        let rows = query.bind(account).all::<Row>(&self.store).await?;
        let token = |(token, label, text, created_at, expires_at, revoked_at): Row| Token {
            id: id(&token),
            label,
            roles: roles(&text),
            created_at: Time::from_unix(created_at),
            expires_at: expires_at.map(Time::from_unix),
            revoked_at: revoked_at.map(Time::from_unix),
        };
        Ok(rows.into_iter().map(token).collect())
    }

    /// Revokes a token of an account; `false` when there is none that works.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_token(
        &self,
        account: AccountId,
        token: Uuid,
        now: Time,
    ) -> Result<bool, PrivateError> {
        let query =
            sql("update tokens set revoked_at = ? where id = ? and account = ? and revoked_at is null");
        Ok(query.bind(now).bind(token).bind(account).execute(&self.store).await? > 0)
    }

    /// Whether anybody has an account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_accounts(&self) -> Result<bool, PrivateError> {
        Ok(sql("select cast(1 as bigint) from accounts limit 1").any(&self.store).await?)
    }

    /// Lets whoever knows the code of this hash set up the first operator; replaces an earlier code.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn allow_setup(&self, hash: Digest) -> Result<(), PrivateError> {
        let query = sql("insert into setup (id, hash) values (1, ?)
                         on conflict (id) do update set hash = excluded.hash");
        query.bind(hash).execute(&self.store).await?;
        Ok(())
    }

    /// Whether a set-up code waits to be used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn awaits_setup(&self) -> Result<bool, PrivateError> {
        Ok(sql("select cast(1 as bigint) from setup").any(&self.store).await?)
    }

    /// Uses the set-up code up; `false` when it is wrong or was used before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn use_setup(&self, hash: Digest) -> Result<bool, PrivateError> {
        Ok(sql("delete from setup where hash = ?").bind(hash).execute(&self.store).await? > 0)
    }

    /// Takes back any set-up code.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forbid_setup(&self) -> Result<(), PrivateError> {
        sql("delete from setup").execute(&self.store).await?;
        Ok(())
    }
}
