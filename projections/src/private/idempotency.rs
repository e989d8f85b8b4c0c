//! Answers given under an Idempotency-Key.
//!
//! # Correctness
//! A key is claimed by the statement that adds its row, and a claim that was cut off is taken over by the statement that
//! finds it so: of two requests, at one node or two, one goes ahead.

use domain::{id::AccountId, key::Digest, time::Time};

use super::{Private, PrivateError};
use crate::sql::sql;

/// How often a key is looked at that others give up at the same moment.
const MAX_LOOKS: u32 = 10;

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
        let claim =
            sql("insert into idempotency (account, key, request_hash, started_at) values (?, ?, ?, ?)
                         on conflict (account, key) do nothing");
        let claim = claim.bind(account).bind(key).bind(request).bind(now);
        let resume = sql("update idempotency set started_at = ? where account = ? and key = ?
                          and request_hash = ? and sealed_answer is null and started_at < ?");
        let resume = resume.bind(now).bind(account).bind(key).bind(request).bind(stale_before);
        let look = sql("select request_hash, sealed_answer from idempotency where account = ? and key = ?");
        let look = look.bind(account).bind(key);
        for _ in 0..MAX_LOOKS {
            if claim.execute(&self.store).await? > 0 {
                return Ok(Begun::Fresh);
            }
            if resume.execute(&self.store).await? > 0 {
                return Ok(Begun::Resumed);
            }
            match look.optional::<(Vec<u8>, Option<Vec<u8>>)>(&self.store).await? {
                // Given up since it could not be claimed.
                None => {}
                Some((hash, _)) if hash != request.0 => return Ok(Begun::OtherRequest),
                Some((_, Some(answer))) => return Ok(Begun::Answered(answer)),
                Some((_, None)) => return Ok(Begun::InFlight),
            }
        }
        Ok(Begun::InFlight)
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
        let query = match sealed_answer {
            Some(answer) => {
                sql("update idempotency set sealed_answer = ? where account = ? and key = ?").bind(answer)
            }
            None => sql("delete from idempotency where account = ? and key = ? and sealed_answer is null"),
        };
        query.bind(account).bind(key).execute(&self.store).await?;
        Ok(())
    }

    /// Forgets answers older than `before`; at most 10,000 at once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_idempotent(&self, before: Time) -> Result<u64, PrivateError> {
        let query = sql("delete from idempotency where (account, key) in
                         (select account, key from idempotency where started_at < ? limit 10000)");
        Ok(query.bind(before).execute(&self.store).await?)
    }
}
