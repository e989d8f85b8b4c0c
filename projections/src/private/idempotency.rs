//! Answers given under an Idempotency-Key.

use domain::{id::AccountId, key::Digest, time::Time};

use super::{Private, PrivateError};

/// What is known of a key when a request arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: go ahead.
    Fresh,
    /// The same request was cut off before it was answered: go ahead, commands are idempotent.
    Resumed,
    /// The same request is being worked on.
    InFlight,
    /// The same request was answered.
    Answered(Vec<u8>),
    /// The key was used for another request.
    OtherRequest,
}

impl Private {
    /// Claims a key for a request. A claim older than `stale_before` without an answer was cut off.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_idempotent(
        &self,
        account: AccountId,
        key: &str,
        request: Digest,
        now: Time,
        stale_before: Time,
    ) -> Result<Begun, PrivateError> {
        let account = account.0.as_bytes().to_vec();
        let mut tx = self.pool.begin_with("begin immediate").await?;
        let sql =
            "select request_hash, started_at, sealed_answer from idempotency where account = ? and key = ?";
        let query = sqlx::query_as::<_, (Vec<u8>, i64, Option<Vec<u8>>)>(sql).bind(&account).bind(key);
        let begun = match query.fetch_optional(&mut *tx).await? {
            None => Begun::Fresh,
            Some((hash, ..)) if hash != request.0 => Begun::OtherRequest,
            Some((_, _, Some(answer))) => Begun::Answered(answer),
            Some((_, started_at, None)) if started_at >= stale_before.unix() => Begun::InFlight,
            Some(_) => Begun::Resumed,
        };
        if matches!(begun, Begun::Fresh | Begun::Resumed) {
            let sql = "insert into idempotency (account, key, request_hash, started_at) values (?, ?, ?, ?)
                       on conflict (account, key) do update set started_at = excluded.started_at";
            let query = sqlx::query(sql).bind(&account).bind(key).bind(request.0.to_vec()).bind(now.unix());
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(begun)
    }

    /// Keeps the answer of a claimed key; `None` gives the claim up, so that the request may be sent again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_idempotent(
        &self,
        account: AccountId,
        key: &str,
        sealed_answer: Option<Vec<u8>>,
    ) -> Result<(), PrivateError> {
        let account = account.0.as_bytes().to_vec();
        match sealed_answer {
            Some(answer) => {
                let sql = "update idempotency set sealed_answer = ? where account = ? and key = ?";
                sqlx::query(sql).bind(answer).bind(account).bind(key).execute(&self.pool).await?;
            }
            None => {
                let sql = "delete from idempotency where account = ? and key = ? and sealed_answer is null";
                sqlx::query(sql).bind(account).bind(key).execute(&self.pool).await?;
            }
        }
        Ok(())
    }

    /// Forgets answers older than `before`; at most 10,000 at once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_idempotent(&self, before: Time) -> Result<u64, PrivateError> {
        let sql = "delete from idempotency where (account, key) in
                   (select account, key from idempotency where started_at < ? limit 10000)";
        Ok(sqlx::query(sql).bind(before.unix()).execute(&self.pool).await?.rows_affected())
    }
}
