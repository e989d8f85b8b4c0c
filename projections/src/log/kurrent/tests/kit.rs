//! Nodes, databases and logs for tests.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use fixtures::{
    kurrent::{Cluster, Config},
    postgres::Database,
};

use super::KurrentLog;
use crate::{
    log::{
        EventLog,
        contract::{Fresh, read_to_end},
    },
    postgres::Postgres,
};

/// A new, empty database.
pub fn database() -> Database {
    fixtures::postgres::server().fresh()
}

/// How it is reached.
pub fn postgres(database: &Database) -> Postgres {
    Postgres::new(&database.url()).unwrap()
}

/// An empty log for the contract, on the server that is named, or on nodes of its own.
pub async fn fresh() -> Fresh {
    let database = database();
    let given = std::env::var("KURRENTDB_URL").ok().filter(|url| !url.is_empty());
    let cluster = given.is_none().then(Cluster::single);
    let url = given.or(cluster.as_ref().map(Cluster::url)).unwrap();
    let random = RandomState::new().build_hasher().finish();
    let sign = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{sign}streamPrefix=berth-test-{random:x}.");
    let log = KurrentLog::open(&url, &postgres(&database)).await.unwrap();
    Fresh { log: Arc::new(log), keep: Box::new((database, cluster)) }
}

/// Nodes, a database, and a log on both, whose streams are called `t.test-…`.
pub struct World {
    pub log: Arc<KurrentLog>,
    pub database: Database,
    pub cluster: Cluster,
}

impl World {
    pub async fn new() -> Self {
        Self::with(1, Config::default()).await
    }

    pub async fn with(nodes: usize, config: Config) -> Self {
        let (cluster, database) = (Cluster::start(nodes, config), database());
        let log = Arc::new(KurrentLog::open(&url(&cluster), &postgres(&database)).await.unwrap());
        Self { log, database, cluster }
    }

    /// Another node of Berth on the same stores.
    pub async fn another(&self) -> Arc<KurrentLog> {
        Arc::new(KurrentLog::open(&url(&self.cluster), &postgres(&self.database)).await.unwrap())
    }

    /// Waits until so many events can be read.
    pub async fn holds(&self, count: usize) {
        holds(&*self.log, count).await;
    }
}

/// The address of nodes with the tests' prefix.
pub fn url(cluster: &Cluster) -> String {
    format!("{}&streamPrefix=t.", cluster.url())
}

/// Waits until so many events can be read.
pub async fn holds(log: &dyn EventLog, count: usize) {
    let enough = async {
        while read_to_end(log, 500).await.len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), enough).await.expect("they are mirrored");
}

/// Waits until something holds.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// The metadata of an event as Berth writes it, which is `index` of `count` in its append.
pub fn metadata(index: usize, count: usize) -> String {
    let id = uuid::Uuid::from_u128(7);
    format!(
        r#"{{"$correlationId":"{id}","command_id":"{id}","actor":"system:cli","schema":1,"recorded_at":0,"effective_at":0,"append":[{index},{count}]}}"#
    )
}
