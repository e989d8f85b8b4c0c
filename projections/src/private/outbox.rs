//! The outbox: mails that are to be sent, and which were.

use domain::{event::Position, time::Time};

use super::{Private, PrivateError};
use crate::sql::sql;

/// A mail about to be kept.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// What it is sent because of; a cause has one mail. Holds no secret.
    pub cause: String,
    /// To whom and what about, sealed.
    pub sealed: Vec<u8>,
    /// Now.
    pub created_at: Time,
    /// The event that caused it, unless a request did.
    pub position: Option<Position>,
    /// When to send it.
    pub due_at: Time,
}

/// A mail that was not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its place in the outbox.
    pub id: i64,
    /// What it is sent because of.
    pub cause: String,
    /// To whom and what about, sealed.
    pub sealed: Vec<u8>,
    /// When it was to be sent.
    pub due_at: Time,
    /// Tries that were refused.
    pub failures: u32,
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailEnd {
    /// It was handed over.
    Sent,
    /// There is nobody to send it to, or nothing to say any more.
    Dropped,
    /// It was refused too often.
    GivenUp,
    /// Nobody knows whether it was handed over.
    InDoubt,
}

impl MailEnd {
    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::GivenUp => "given_up",
            Self::InDoubt => "in_doubt",
        }
    }
}

type Row = (i64, String, Vec<u8>, i64, i64);

fn mail((id, cause, sealed, due_at, failures): Row) -> Mail {
    let failures = u32::try_from(failures).unwrap_or(u32::MAX);
    Mail { id, cause, sealed, due_at: Time::from_unix(due_at), failures }
}

impl Private {
    /// Where a follower begins that never ran; one that did goes on where it was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_follower(&self, name: &str, next: Position) -> Result<(), PrivateError> {
        let query =
            sql("insert into followers (name, next_position) values (?, ?) on conflict (name) do nothing");
        query.bind(name).bind(next.cast_signed()).execute(&self.store).await?;
        Ok(())
    }

    /// Keeps a mail; `false` when there is or was one of the same cause.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_mail(&self, new: &NewMail) -> Result<bool, PrivateError> {
        let query = sql("insert into outbox (cause, sealed, created_at, position, due_at, next_try_at)
                         values (?1, ?2, ?3, ?4, ?5, ?5) on conflict (cause) do nothing");
        let query = query.bind(&new.cause).bind(&new.sealed).bind(new.created_at);
        let query = query.bind(new.position.map(Position::cast_signed)).bind(new.due_at);
        Ok(query.execute(&self.store).await? > 0)
    }

    /// The mails to be sent by now, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due_mails(&self, now: Time, limit: u32) -> Result<Vec<Mail>, PrivateError> {
        let query = sql("select id, cause, sealed, due_at, failures from outbox
                         where next_try_at <= ? order by next_try_at, id limit ?");
        let rows = query.bind(now).bind(limit).all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(mail).collect())
    }

    /// Notes that a mail is about to leave; `false` when it is not to be sent (any more).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start_mail(&self, id: i64, now: Time) -> Result<bool, PrivateError> {
        let query = sql("update outbox set started_at = ?, next_try_at = null
                         where id = ? and next_try_at is not null");
        Ok(query.bind(now).bind(id).execute(&self.store).await? > 0)
    }

    /// Notes that a mail was refused and certainly not sent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mail_refused(&self, id: i64, why: &str, next_try_at: Time) -> Result<(), PrivateError> {
        let query = sql("update outbox set started_at = null, next_try_at = ?, failures = failures + 1,
                         last_error = ? where id = ? and outcome is null");
        query.bind(next_try_at).bind(why).bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// Notes what became of a mail; what it said is gone then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_mail(
        &self,
        id: i64,
        end: MailEnd,
        why: Option<&str>,
        now: Time,
    ) -> Result<(), PrivateError> {
        let query = sql("update outbox set outcome = ?, ended_at = ?, last_error = ?, sealed = null,
                         next_try_at = null where id = ? and outcome is null");
        query.bind(end.as_str()).bind(now).bind(why).bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// The mails that were about to leave and of which nothing was noted since.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn started_mails(&self) -> Result<Vec<Mail>, PrivateError> {
        let query = sql("select id, cause, sealed, due_at, failures from outbox
                         where started_at is not null and outcome is null order by id");
        let rows = query.all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(mail).collect())
    }

    /// What became of the mail of a cause; `None` while it was not sent, or when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mail_outcome(&self, cause: &str) -> Result<Option<String>, PrivateError> {
        let query = sql("select outcome from outbox where cause = ?").bind(cause);
        Ok(query.optional::<(Option<String>,)>(&self.store).await?.and_then(|(outcome,)| outcome))
    }

    /// Forgets mails that ended before `before` and that `follower` cannot cause again; answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_mails(&self, before: Time, follower: &str) -> Result<u64, PrivateError> {
        let query = sql("delete from outbox where ended_at < ? and (position is null
                         or position < coalesce((select next_position from followers where name = ?), 0))");
        Ok(query.bind(before).bind(follower).execute(&self.store).await?)
    }
}
