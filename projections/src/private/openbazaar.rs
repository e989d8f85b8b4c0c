//! What the OpenBazaar connector remembers between two looks at its node.

use std::collections::HashMap;

use domain::{key::Digest, time::Time};

use super::{Private, PrivateError};

/// How an order was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// The node's id of it.
    pub id: String,
    /// Its state, as the node names it.
    pub state: String,
    /// Whether something is to be done about it, or waited for.
    pub open: bool,
    /// When it is looked at again, changed or not.
    pub look_at: Option<Time>,
    /// Looks that failed since the last one that did not.
    pub failures: u32,
}

impl Private {
    /// Those orders that are known: their states, and when looks that failed are repeated.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_states(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, (String, Option<Time>)>, PrivateError> {
        let sql = "select id, state, iif(failures > 0, look_at, null) from openbazaar_orders
                   where id in (select value from json_each(?))";
        let ids = serde_json::to_string(ids).unwrap_or_default();
        let rows =
            sqlx::query_as::<_, (String, String, Option<i64>)>(sql).bind(ids).fetch_all(&self.pool).await?;
        let item = |(id, state, at): (String, String, Option<i64>)| (id, (state, at.map(Time::from_unix)));
        Ok(rows.into_iter().map(item).collect())
    }

    /// The ids of orders that something is to be done about, after `after`, in the order of ids, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_open(&self, after: &str, limit: u32) -> Result<Vec<String>, PrivateError> {
        let sql = "select id from openbazaar_orders where open = 1 and id > ? order by id limit ?";
        Ok(sqlx::query_scalar(sql).bind(after).bind(limit).fetch_all(&self.pool).await?)
    }

    /// The ids of orders that are to be looked at by now, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_due(&self, now: Time, limit: u32) -> Result<Vec<String>, PrivateError> {
        let sql = "select id from openbazaar_orders where look_at <= ? order by look_at limit ?";
        Ok(sqlx::query_scalar(sql).bind(now.unix()).bind(limit).fetch_all(&self.pool).await?)
    }

    /// How often looking at an order has failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_failures(&self, id: &str) -> Result<u32, PrivateError> {
        let query = sqlx::query_scalar("select failures from openbazaar_orders where id = ?").bind(id);
        Ok(query.fetch_optional(&self.pool).await?.unwrap_or(0))
    }

    /// Remembers how an order was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_looked_at(&self, order: &LookedAt) -> Result<(), PrivateError> {
        let sql = "insert into openbazaar_orders (id, state, open, look_at, failures) values (?, ?, ?, ?, ?)
                   on conflict (id) do update set state = excluded.state, open = excluded.open,
                       look_at = excluded.look_at, failures = excluded.failures";
        let query = sqlx::query(sql).bind(&order.id).bind(&order.state).bind(order.open);
        let query = query.bind(order.look_at.map(Time::unix)).bind(order.failures);
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// When the connector first saw its node: `now`, if this is it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_since(&self, now: Time) -> Result<Time, PrivateError> {
        let sql = "insert into openbazaar_since (id, at) values (1, ?) on conflict (id) do nothing";
        sqlx::query(sql).bind(now.unix()).execute(&self.pool).await?;
        let at = sqlx::query_scalar("select at from openbazaar_since").fetch_one(&self.pool).await?;
        Ok(Time::from_unix(at))
    }

    /// What the listings after `after` say, in the order of their names, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_listings(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, Digest)>, PrivateError> {
        let sql = "select slug, content from openbazaar_listings where slug > ? order by slug limit ?";
        let rows = sqlx::query_as::<_, (String, Vec<u8>)>(sql).bind(after).bind(limit);
        let rows = rows.fetch_all(&self.pool).await?;
        let digest = |bytes: Vec<u8>| Digest(bytes.try_into().unwrap_or_default());
        Ok(rows.into_iter().map(|(slug, content)| (slug, digest(content))).collect())
    }

    /// Remembers what a listing says; `None`: it is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_listed(&self, slug: &str, content: Option<Digest>) -> Result<(), PrivateError> {
        let query = match content {
            Some(content) => {
                let sql = "insert into openbazaar_listings (slug, content) values (?, ?)
                           on conflict (slug) do update set content = excluded.content";
                sqlx::query(sql).bind(slug).bind(content.0.to_vec())
            }
            None => sqlx::query("delete from openbazaar_listings where slug = ?").bind(slug),
        };
        query.execute(&self.pool).await?;
        Ok(())
    }
}
