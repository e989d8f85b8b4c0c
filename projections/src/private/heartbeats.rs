//! The servers that run on this store, and since when devices can reach one.
//!
//! # Correctness
//! Every server says that it is there every few seconds; how long ago is told by the store's clock alone. Those that
//! devices can reach say so in one row as well, whose `since` begins anew after a gap: a device that was silent while
//! nobody listened, or while nobody who listened could reach the store, has not been silent. Which server noticed the gap
//! makes no difference.

use domain::time::Time;
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::{Query, Store, sql, two};

/// After this without a sign, in seconds, a server is not there: it gives one every two seconds.
pub const GONE_S: i64 = 10;
/// Servers that are gone are forgotten after this, in seconds.
const FORGOTTEN_S: i64 = 86_400;
/// Servers that are listed.
const MAX_NODES: u32 = 1_000;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Different after every start.
    pub id: Uuid,
    /// What of the server it runs, comma-separated.
    pub roles: String,
    /// Where it listens.
    pub address: String,
    /// The program's version.
    pub version: String,
    /// When it was started.
    pub started_at: Time,
}

impl Private {
    /// Whether other servers may run on this store.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.store, Store::Postgres(_))
    }

    /// Notes that a server is there; `listens_at` is the servers' time, if devices can reach this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn node_is_there(&self, node: &Node, listens_at: Option<Time>) -> Result<(), PrivateError> {
        let Node { id, roles, address, version, started_at } = node;
        let (now_ms,) = now_ms().one::<(i64,)>(&self.store).await?;
        let query = sql("insert into nodes (id, roles, address, version, started_at, heard_ms)
                         values (?, ?, ?, ?, ?, ?)
                         on conflict (id) do update set address = excluded.address, heard_ms = excluded.heard_ms");
        let query = query.bind(*id).bind(roles).bind(address).bind(version).bind(*started_at).bind(now_ms);
        query.execute(&self.store).await?;
        if let Some(now) = listens_at {
            let query = sql("insert into listening (id, since, heard_ms) values (1, ?1, ?2)
                             on conflict (id) do update set
                                 since = case when listening.heard_ms < ?3 then excluded.since
                                     else listening.since end,
                                 heard_ms = case when listening.heard_ms < excluded.heard_ms
                                     then excluded.heard_ms else listening.heard_ms end");
            query.bind(now).bind(now_ms).bind(now_ms - GONE_S * 1_000).execute(&self.store).await?;
        }
        let forgotten = sql("delete from nodes where heard_ms < ?").bind(now_ms - FORGOTTEN_S * 1_000);
        forgotten.execute(&self.store).await?;
        Ok(())
    }

    /// Notes that a server stops.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn node_stops(&self, id: Uuid) -> Result<(), PrivateError> {
        sql("delete from nodes where id = ?").bind(id).execute(&self.store).await?;
        Ok(())
    }

    /// The servers that are there, those that were started first before the others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn nodes(&self) -> Result<Vec<Node>, PrivateError> {
        let (now_ms,) = now_ms().one::<(i64,)>(&self.store).await?;
        let query = sql("select id, roles, address, version, started_at from nodes
                         where heard_ms >= ? order by started_at, id limit ?");
        let rows = query.bind(now_ms - GONE_S * 1_000).bind(MAX_NODES);
        let rows = rows.all::<(Vec<u8>, String, String, String, i64)>(&self.store).await?;
        let node = |(id, roles, address, version, started_at): (Vec<u8>, _, _, _, _)| Node {
            id: Uuid::from_slice(&id).unwrap_or_default(),
            roles,
            address,
            version,
            started_at: Time::from_unix(started_at),
        };
        Ok(rows.into_iter().map(node).collect())
    }

    /// Since when devices could reach some server without a gap; `None` while they can reach none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn listening_since(&self) -> Result<Option<Time>, PrivateError> {
        let (now_ms,) = now_ms().one::<(i64,)>(&self.store).await?;
        let query = sql("select since from listening where heard_ms >= ?").bind(now_ms - GONE_S * 1_000);
        Ok(query.optional::<(i64,)>(&self.store).await?.map(|(since,)| Time::from_unix(since)))
    }

    /// Whether a set-up code waits to be used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_setup(&self) -> Result<bool, PrivateError> {
        Ok(sql("select id from setup").any(&self.store).await?)
    }
}

/// The store's time, in milliseconds.
const fn now_ms() -> Query {
    two(
        "select cast(unixepoch('subsec') * 1000 as integer)",
        "select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::fresh::{Fresh, on_both};

    const NOW: Time = Time::from_unix(100_000);

    on_both!(
        a_server_is_there_until_it_stops_or_is_silent,
        silence_counts_from_the_end_of_the_last_gap_of_all_who_listen
    );

    fn node(id: u128) -> Node {
        Node {
            id: Uuid::from_u128(id),
            roles: "api".into(),
            address: format!("127.0.0.1:{id}"),
            version: "1".into(),
            started_at: Time::from_unix(90_000),
        }
    }

    /// As if this much time had passed.
    async fn pass(private: &Private, seconds: i64) {
        for query in [
            sql("update nodes set heard_ms = heard_ms - ?"),
            sql("update listening set heard_ms = heard_ms - ?"),
        ] {
            query.bind(seconds * 1_000).execute(&private.store).await.unwrap();
        }
    }

    async fn a_server_is_there_until_it_stops_or_is_silent(Fresh { private, other, keep }: Fresh) {
        private.node_is_there(&node(1), Some(NOW)).await.unwrap();
        pass(&private, GONE_S - 3).await;
        other.node_is_there(&node(2), None).await.unwrap();
        assert_eq!(other.nodes().await.unwrap(), [node(1), node(2)]);
        pass(&private, 4).await;
        assert_eq!(private.nodes().await.unwrap(), [node(2)]);
        private.node_is_there(&node(1), Some(NOW)).await.unwrap();
        private.node_stops(node(2).id).await.unwrap();
        assert_eq!(other.nodes().await.unwrap(), [node(1)]);
        pass(&private, FORGOTTEN_S + 1).await;
        other.node_is_there(&node(3), None).await.unwrap();
        assert_eq!(sql("select count(*) from nodes").one::<(i64,)>(&private.store).await.unwrap(), (1,));
        drop(keep);
    }

    async fn silence_counts_from_the_end_of_the_last_gap_of_all_who_listen(fresh: Fresh) {
        let Fresh { private, other, keep } = fresh;
        let since = async || private.listening_since().await.unwrap();
        assert_eq!(since().await, None);
        private.node_is_there(&node(1), Some(NOW)).await.unwrap();
        // The second takes turns with the first, which leaves: there was always one.
        for at in [7, 14, 21] {
            pass(&private, 7).await;
            other.node_is_there(&node(2), Some(NOW.plus(at))).await.unwrap();
        }
        assert_eq!(since().await, Some(NOW));
        // A server that devices cannot reach is none for them.
        pass(&private, GONE_S + 1).await;
        private.node_is_there(&node(3), None).await.unwrap();
        assert_eq!(since().await, None);
        private.node_is_there(&node(1), Some(NOW.plus(40))).await.unwrap();
        other.node_is_there(&node(2), Some(NOW.plus(41))).await.unwrap();
        assert_eq!(since().await, Some(NOW.plus(40)));
        drop(keep);
    }
}
