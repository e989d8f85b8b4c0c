//! What the OpenBazaar connector remembers between two looks at its node.

use std::collections::HashMap;

use domain::{key::Digest, time::Time};

use super::{Private, PrivateError};
use crate::sql::{listed, made, sql};

/// Orders that one statement looks up.
const MAX_ASKED: usize = 500;

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
        type Row = (String, String, Option<i64>);
        let item = |(id, state, at): Row| (id, (state, at.map(Time::from_unix)));
        let mut states = HashMap::new();
        for some in ids.chunks(MAX_ASKED) {
            let query = made(format!(
                "select id, state, case when failures > 0 then look_at end from openbazaar_orders where id in ({})",
                listed("?", some.len())
            ));
            let query = some.iter().fold(query, |query, id| query.bind(id));
            states.extend(query.all::<Row>(&self.store).await?.into_iter().map(item));
        }
        Ok(states)
    }

    /// The ids of orders that something is to be done about, after `after`, in the order of ids, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_open(&self, after: &str, limit: u32) -> Result<Vec<String>, PrivateError> {
        let query = sql("select id from openbazaar_orders where open = 1 and id > ? order by id limit ?");
        let rows = query.bind(after).bind(limit).all::<(String,)>(&self.store).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The ids of orders that are to be looked at by now, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_due(&self, now: Time, limit: u32) -> Result<Vec<String>, PrivateError> {
        let query = sql("select id from openbazaar_orders where look_at <= ? order by look_at limit ?");
        let rows = query.bind(now).bind(limit).all::<(String,)>(&self.store).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// How often looking at an order has failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_failures(&self, id: &str) -> Result<u32, PrivateError> {
        let query = sql("select failures from openbazaar_orders where id = ?").bind(id);
        let (failures,) = query.optional::<(i64,)>(&self.store).await?.unwrap_or_default();
        Ok(u32::try_from(failures).unwrap_or(u32::MAX))
    }

    /// Remembers how an order was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_looked_at(&self, order: &LookedAt) -> Result<(), PrivateError> {
        let query = sql("insert into openbazaar_orders (id, state, open, look_at, failures)
                         values (?, ?, ?, ?, ?)
                         on conflict (id) do update set state = excluded.state, open = excluded.open,
                             look_at = excluded.look_at, failures = excluded.failures");
        let query = query.bind(&order.id).bind(&order.state).bind(order.open);
        query.bind(order.look_at).bind(order.failures).execute(&self.store).await?;
        Ok(())
    }

    /// When the connector first saw its node: `now`, if this is it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_since(&self, now: Time) -> Result<Time, PrivateError> {
        let query = sql("insert into openbazaar_since (id, at) values (1, ?) on conflict (id) do nothing");
        query.bind(now).execute(&self.store).await?;
        let (at,) = sql("select at from openbazaar_since").one::<(i64,)>(&self.store).await?;
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
        let query = sql("select slug, content from openbazaar_listings where slug > ? order by slug limit ?");
        let rows = query.bind(after).bind(limit).all::<(String, Vec<u8>)>(&self.store).await?;
        let digest = |bytes: Vec<u8>| Digest(bytes.try_into().unwrap_or_default());
        Ok(rows.into_iter().map(|(slug, content)| (slug, digest(content))).collect())
    }

    /// Remembers what a listing says; `None`: it is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openbazaar_listed(&self, slug: &str, content: Option<Digest>) -> Result<(), PrivateError> {
        let query = match content {
            Some(content) => sql("insert into openbazaar_listings (slug, content) values (?, ?)
                                  on conflict (slug) do update set content = excluded.content")
            .bind(slug)
            .bind(content),
            None => sql("delete from openbazaar_listings where slug = ?").bind(slug),
        };
        query.execute(&self.store).await?;
        Ok(())
    }
}
