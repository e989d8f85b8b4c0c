//! Empty stores for tests: every test of the private store runs on both databases, and has two nodes.

use std::any::Any;

use super::Private;
use crate::postgres::Postgres;

/// An empty store.
pub struct Fresh {
    /// As one node has it.
    pub private: Private,
    /// As another has it.
    pub other: Private,
    /// What must live as long as it.
    pub keep: Box<dyn Any + Send>,
}

pub async fn on_sqlite() -> Fresh {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private.db");
    let private = Private::open(&path).await.unwrap();
    Fresh { private, other: Private::open(&path).await.unwrap(), keep: Box::new(dir) }
}

pub async fn on_postgres() -> Fresh {
    let database = tokio::task::spawn_blocking(|| fixtures::postgres::server().fresh()).await.unwrap();
    let postgres = Postgres::new(&database.url()).unwrap();
    postgres.prepare().await.unwrap();
    let private = Private::on(&postgres).await.unwrap();
    Fresh { private, other: Private::on(&postgres).await.unwrap(), keep: Box::new(database) }
}

/// Makes each of these a test on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::private::fresh::on_sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::private::fresh::on_postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both;
