//! What a part that runs on one server tells of itself to those who ask another: news, not truth.

use domain::time::Time;

use super::{Private, PrivateError};
use crate::sql::sql;

impl Private {
    /// Tells how a part is, as JSON, in the place of what was told before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_status(&self, name: &str, value: &str, at: Time) -> Result<(), PrivateError> {
        let query = sql("insert into statuses (name, value, at) values (?, ?, ?)
                         on conflict (name) do update set value = excluded.value, at = excluded.at
                         where statuses.at <= excluded.at");
        query.bind(name).bind(value).bind(at).execute(&self.store).await?;
        Ok(())
    }

    /// How a part was last, and when it said so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, name: &str) -> Result<Option<(String, Time)>, PrivateError> {
        let query = sql("select value, at from statuses where name = ?").bind(name);
        let found = query.optional::<(String, i64)>(&self.store).await?;
        Ok(found.map(|(value, at)| (value, Time::from_unix(at))))
    }

    /// What a device has on the list of what a human should look at, of every kind that starts with `what`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attention_of(&self, subject: &str, what: &str) -> Result<Vec<String>, PrivateError> {
        let query = sql("select what from attention where subject = ?
                         and substr(what, 1, cast(? as integer)) = ? order by what");
        let length = i64::try_from(what.chars().count()).unwrap_or_default();
        let rows = query.bind(subject).bind(length).bind(what).all::<(String,)>(&self.store).await?;
        Ok(rows.into_iter().map(|(what,)| what).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::{
        Attention,
        fresh::{Fresh, on_both},
    };

    const NOW: Time = Time::from_unix(1_000);

    on_both!(the_newest_status_stands, a_subject_is_asked_for_what_it_has_on_the_list);

    async fn the_newest_status_stands(Fresh { private, other, keep }: Fresh) {
        assert_eq!(private.status("jobs").await.unwrap(), None);
        private.put_status("jobs", "1", NOW).await.unwrap();
        other.put_status("jobs", "2", NOW.plus(5)).await.unwrap();
        private.put_status("jobs", "3", NOW.plus(4)).await.unwrap();
        assert_eq!(private.status("jobs").await.unwrap(), Some(("2".into(), NOW.plus(5))));
        drop(keep);
    }

    async fn a_subject_is_asked_for_what_it_has_on_the_list(Fresh { private, other, keep }: Fresh) {
        for (subject, what) in [("device-1", "says: b"), ("device-1", "says: a"), ("device-1", "no port")] {
            let (subject, what) = (subject.to_owned(), what.to_owned());
            private
                .call_attention(&Attention { subject, what, detail: String::new(), since: NOW })
                .await
                .unwrap();
        }
        assert_eq!(other.attention_of("device-1", "says: ").await.unwrap(), ["says: a", "says: b"]);
        assert!(other.attention_of("device-2", "says: ").await.unwrap().is_empty());
        drop(keep);
    }
}
