//! The views on a PostgreSQL server, which nodes share: the same rows and answers as in a file.

use std::{sync::Arc, time::Duration};

use fixtures::postgres::Database;
use projections::{
    log::{EventLog, memory::MemoryLog},
    postgres::Postgres,
    rebuild,
    runner::{Progress, Runner},
    views::{Engine, Page, Store, Views},
};

use super::{
    questions::{answers, assert_same, compared},
    support::{append, fold, fresh, log_of, market, recorded},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A database with empty but complete views.
async fn fresh_database() -> (Database, Store) {
    let database = fixtures::postgres::server().fresh();
    let postgres = Postgres::new(&database.url()).unwrap();
    postgres.prepare().await.unwrap();
    let store = Store::from(postgres);
    let empty: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    rebuild::prepare(&empty, &store, |_| {}).await.unwrap();
    (database, store)
}

fn views(store: &Store) -> Views {
    Views::open(store).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_as_from_a_file() {
    let (_folder, path) = fresh().await;
    let (_database, store) = fresh_database().await;
    let events = recorded(market(31, 1_500));
    fold(&path, &events).unwrap();
    let parts = store.clone();
    tokio::task::spawn_blocking(move || {
        let mut engine = Engine::open(&parts).unwrap();
        for (i, part) in events.chunks(331).enumerate() {
            engine.apply(part).unwrap();
            if i % 2 == 0 {
                engine = Engine::open(&parts).unwrap();
            }
        }
    })
    .await
    .unwrap();
    let (file, server) = (Views::open(&path).unwrap(), views(&store));
    assert_same(&answers(&file).await, &answers(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_gives_the_same_and_a_lie_is_found() {
    let commits = market(32, 1_200);
    let (database, store) = fresh_database().await;
    let log = log_of(commits).await;
    let server = views(&store);
    let runner = Runner::start(log.clone(), server.clone()).await.unwrap();
    let head = log.head().await.unwrap().unwrap();
    assert!(server.wait_for(head, PATIENCE).await.unwrap());
    let live = answers(&server).await;
    rebuild::rebuild(&log, &store, None, |_| {}).await.unwrap();
    assert_same(&live, &answers(&server).await);
    runner.stop().await.unwrap();

    let found = compared(&log, &server).await;
    assert!(found.differences.is_empty() && found.absent.is_empty() && found.astray.is_empty(), "{found:?}");
    let schema = database.sql("select form from view_forms");
    let schema = schema.trim();
    database.sql(&format!("update {schema}.orders set status = 'accepted' where position in (select position from {schema}.orders where status <> 'accepted' limit 1)"));
    database.sql(&format!("delete from {schema}.due where due_at = (select min(due_at) from {schema}.due)"));
    let found = compared(&log, &server).await;
    let told: Vec<_> = found.differences.iter().map(|d| (d.table, d.extra, d.missing)).collect();
    assert_eq!(told, [("orders", 1, 1), ("due", 0, 1)]);
    rebuild::rebuild(&log, &store, None, |_| {}).await.unwrap();
    assert!(compared(&log, &server).await.differences.is_empty());
    assert_same(&live, &answers(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_nodes_one_folds_and_another_goes_on_when_it_dies() {
    let commits = market(33, 900);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let (_database, store) = fresh_database().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (one, other) = (views(&store), views(&store));
    let first = Runner::start(log.clone(), one.clone()).await.unwrap();
    let second = Runner::start(log.clone(), other.clone()).await.unwrap();
    let mut parts = commits.chunks(300);
    for part in parts.by_ref().take(2) {
        append(&*log, part.to_vec()).await;
        let head = log.head().await.unwrap().unwrap();
        assert!(one.wait_for(head, PATIENCE).await.unwrap() && other.wait_for(head, PATIENCE).await.unwrap());
        let at = |progress: Progress| progress.next == head + 1;
        let (mut here, mut there) = (first.progress(), second.progress());
        let both =
            async { (here.wait_for(|p| at(*p)).await.is_ok(), there.wait_for(|p| at(*p)).await.is_ok()) };
        assert_eq!(tokio::time::timeout(PATIENCE, both).await.unwrap(), (true, true));
    }
    drop(first);
    append(&*log, parts.next().unwrap().to_vec()).await;
    let head = log.head().await.unwrap().unwrap();
    let begun = std::time::Instant::now();
    assert!(other.wait_for(head, PATIENCE).await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(10), "took over after {:?}", begun.elapsed());
    second.stop().await.unwrap();
    assert_same(&answers(&Views::open(&path).unwrap()).await, &answers(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_goes_on_when_its_connections_were_cut() {
    let (database, store) = fresh_database().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let server = views(&store);
    let runner = Runner::start(log.clone(), server.clone()).await.unwrap();
    for part in market(34, 300).chunks(60) {
        append(&*log, part.to_vec()).await;
        database.cut();
        let head = log.head().await.unwrap().unwrap();
        let mut reached = false;
        for _ in 0..100 {
            // What was asked when it was cut off fails; the next one is asked on a new connection.
            match server.wait_for(head, PATIENCE).await {
                Ok(found) => reached = found,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            if reached {
                break;
            }
        }
        assert!(reached);
    }
    let asked = server.devices(Page::oldest(9)).await;
    let asked = if asked.is_err() { server.devices(Page::oldest(9)).await } else { asked };
    assert!(!asked.unwrap().is_empty());
    runner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_another_form_stand_beside_and_go_when_nobody_uses_them() {
    let (database, store) = fresh_database().await;
    database.sql("create schema berth_views_older; create table berth_views_older.devices (a int)");
    database.sql("insert into view_forms values ('berth_views_older', now())");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let there = "select count(*) from pg_namespace where nspname = 'berth_views_older'";
    for (aged, left) in [(false, "1"), (true, "0")] {
        if aged {
            database.sql("update view_forms set used_at = now() - interval '25 hours'");
        }
        Runner::start(log.clone(), views(&store)).await.unwrap().stop().await.unwrap();
        assert_eq!(database.sql(there).trim(), left);
    }
    assert!(views(&store).devices(Page::oldest(9)).await.unwrap().is_empty());
}
