//! Webhooks: where events are delivered, and how far each has come.
//!
//! # Correctness
//! How far a webhook has come only grows: what a server says of it that another has overtaken changes nothing.

use domain::{
    event::{Position, Revision},
    id::CommandId,
    time::Time,
};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::sql;

/// A webhook about to be kept.
#[derive(Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: Uuid,
    /// Where to; its query may be a secret.
    pub url: String,
    /// What its operator calls it.
    pub label: Option<String>,
    /// Only what concerns this marketplace's orders.
    pub marketplace: Option<String>,
    /// Only events of these names; all when empty.
    pub types: Vec<String>,
    /// When it was added.
    pub created_at: Time,
    /// What it signs with, sealed.
    pub sealed_secret: Vec<u8>,
    /// The command that made the secret.
    pub by: CommandId,
    /// The first position to deliver.
    pub next: Position,
}

/// A webhook and how far it has come.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its place in the list.
    pub seq: i64,
    /// Its id.
    pub id: Uuid,
    /// Where to; its query may be a secret.
    pub url: String,
    /// What its operator calls it.
    pub label: Option<String>,
    /// Only what concerns this marketplace's orders.
    pub marketplace: Option<String>,
    /// Only events of these names; all when empty.
    pub types: Vec<String>,
    /// When it was added.
    pub created_at: Time,
    /// Counts its changes.
    pub revision: Revision,
    /// What it signs with, sealed.
    pub sealed_secret: Vec<u8>,
    /// What it signed with before, sealed, and until when it signs with that too.
    pub old_secret: Option<(Vec<u8>, Time)>,
    /// The first position not passed yet.
    pub next: Position,
    /// Tries of the event there that failed.
    pub failures: u32,
    /// When the event is tried again; `None` for at once.
    pub next_try_at: Option<Time>,
    /// When an event was delivered last.
    pub last_success_at: Option<Time>,
    /// Why a delivery failed last, and when.
    pub last_error: Option<(String, Time)>,
    /// Since when nothing is delivered any more.
    pub disabled_at: Option<Time>,
}

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The event.
    pub position: Position,
    /// Tries of it that failed, with this one.
    pub failures: u32,
    /// Why.
    pub error: String,
    /// When.
    pub at: Time,
    /// When it is tried again; `None` disables the webhook.
    pub next_try_at: Option<Time>,
}

impl Webhook {
    /// Whether it is neither disabled nor waiting for another try.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        self.disabled_at.is_none() && self.next_try_at.is_none_or(|at| at <= now)
    }
}

impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewWebhook").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("next", &self.next).finish_non_exhaustive()
    }
}

/// The columns by name: a newer node may add some while this one runs.
macro_rules! columns {
    () => {
        "seq, id, url, label, marketplace, types, created_at, revision, sealed_secret, sealed_old_secret, \
         old_secret_until, next_position, failures, next_try_at, last_success_at, last_error, last_error_at, disabled_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    id: Vec<u8>,
    url: String,
    label: Option<String>,
    marketplace: Option<String>,
    types: String,
    created_at: i64,
    revision: i64,
    sealed_secret: Vec<u8>,
    sealed_old_secret: Option<Vec<u8>>,
    old_secret_until: Option<i64>,
    next_position: i64,
    failures: i64,
    next_try_at: Option<i64>,
    last_success_at: Option<i64>,
    last_error: Option<String>,
    last_error_at: Option<i64>,
    disabled_at: Option<i64>,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        let types = row.types.split(',').filter(|name| !name.is_empty());
        Self {
            seq: row.seq,
            id: Uuid::from_slice(&row.id).unwrap_or_default(),
            url: row.url,
            label: row.label,
            marketplace: row.marketplace,
            types: types.map(ToOwned::to_owned).collect(),
            created_at: Time::from_unix(row.created_at),
            revision: row.revision.cast_unsigned(),
            sealed_secret: row.sealed_secret,
            old_secret: row.sealed_old_secret.zip(row.old_secret_until.map(Time::from_unix)),
            next: row.next_position.cast_unsigned(),
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            next_try_at: row.next_try_at.map(Time::from_unix),
            last_success_at: row.last_success_at.map(Time::from_unix),
            last_error: row.last_error.zip(row.last_error_at.map(Time::from_unix)),
            disabled_at: row.disabled_at.map(Time::from_unix),
        }
    }
}

impl Private {
    /// Keeps a webhook; one of the same id, which a repeated command makes, only gets the new secret. `false` when there
    /// are `max` others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_webhook(&self, new: &NewWebhook, max: u32) -> Result<bool, PrivateError> {
        let mut tx = self.store.begin().await?;
        tx.alone("webhooks").await?;
        let others = sql("select count(*) from webhooks where id <> ?").bind(new.id);
        if others.one::<(i64,)>(&mut tx).await?.0 >= i64::from(max) {
            return Ok(false);
        }
        let query = sql("insert into webhooks
                         (id, url, label, marketplace, types, created_at, sealed_secret, secret_by, next_position)
                         values (?, ?, ?, ?, ?, ?, ?, ?, ?)
                         on conflict (id) do update set sealed_secret = excluded.sealed_secret");
        let query = query.bind(new.id).bind(&new.url).bind(&new.label).bind(&new.marketplace);
        let query = query.bind(new.types.join(",")).bind(new.created_at).bind(&new.sealed_secret);
        query.bind(new.by.0).bind(new.next.cast_signed()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A webhook.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn webhook(&self, id: Uuid) -> Result<Option<Webhook>, PrivateError> {
        let query = sql(concat!("select ", columns!(), " from webhooks where id = ?")).bind(id);
        Ok(query.optional::<Row>(&self.store).await?.map(Into::into))
    }

    /// The webhooks added before the one at `before`, newest first, at most `limit` (500).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn webhooks(&self, before: Option<i64>, limit: u32) -> Result<Vec<Webhook>, PrivateError> {
        let query =
            sql(concat!("select ", columns!(), " from webhooks where seq < ? order by seq desc limit ?"));
        let query = query.bind(before.unwrap_or(i64::MAX)).bind(limit.min(500));
        Ok(query.all::<Row>(&self.store).await?.into_iter().map(Into::into).collect())
    }

    /// The webhooks that are due ([`Webhook::is_due`]).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due_webhooks(&self, now: Time) -> Result<Vec<Webhook>, PrivateError> {
        let query = sql(concat!(
            "select ",
            columns!(),
            " from webhooks where disabled_at is null and (next_try_at is null or next_try_at <= ?) order by seq"
        ));
        let rows = query.bind(now).all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Gives a webhook a new secret; the one before signs too until `old_until`. Repeated by the same command, only the
    /// new one is replaced.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_webhook(
        &self,
        id: Uuid,
        sealed: &[u8],
        by: CommandId,
        old_until: Time,
    ) -> Result<(), PrivateError> {
        let query = sql("update webhooks set sealed_secret = ?1, secret_by = ?2, revision = revision + 1,
                         sealed_old_secret = case when secret_by = ?2 then sealed_old_secret else sealed_secret end,
                         old_secret_until = case when secret_by = ?2 then old_secret_until else ?3 end
                         where id = ?4");
        query.bind(sealed).bind(by.0).bind(old_until).bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Lets a webhook go on where it stopped, at once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn enable_webhook(&self, id: Uuid) -> Result<(), PrivateError> {
        let query = sql("update webhooks set
                             revision = revision + case when disabled_at is null then 0 else 1 end,
                             failures = 0, next_try_at = null, disabled_at = null where id = ?");
        query.bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Forgets a webhook.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_webhook(&self, id: Uuid) -> Result<(), PrivateError> {
        sql("delete from webhooks where id = ?").bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Notes that nothing before `next` concerns a webhook any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn webhook_passed(&self, id: Uuid, next: Position) -> Result<(), PrivateError> {
        let query = sql("update webhooks set next_position = ?1 where id = ?2 and next_position < ?1");
        query.bind(next.cast_signed()).bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Notes that the event before `next` was delivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn webhook_delivered(&self, id: Uuid, next: Position, at: Time) -> Result<(), PrivateError> {
        let query = sql("update webhooks set next_position = ?1, failures = 0, next_try_at = null,
                         last_success_at = ?2 where id = ?3 and next_position < ?1");
        query.bind(next.cast_signed()).bind(at).bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Notes that an event was not delivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn webhook_failed(&self, id: Uuid, failed: &FailedDelivery) -> Result<(), PrivateError> {
        let disabled_at = failed.next_try_at.is_none().then_some(failed.at);
        let query = sql("update webhooks set next_position = ?1, failures = ?2, next_try_at = ?3,
                         last_error = ?4, last_error_at = ?5, disabled_at = ?6,
                         revision = revision + case when disabled_at is distinct from ?6 then 1 else 0 end
                         where id = ?7 and next_position <= ?1");
        let query = query.bind(failed.position.cast_signed()).bind(failed.failures).bind(failed.next_try_at);
        query.bind(&failed.error).bind(failed.at).bind(disabled_at).bind(id).execute(&self.store).await?;
        Ok(())
    }
}
