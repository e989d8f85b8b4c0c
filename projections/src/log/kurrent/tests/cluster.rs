//! Leaders that change, nodes that are lost, subscriptions that end; users and TLS.

use std::time::{Duration, Instant};

use fixtures::kurrent::{Cluster, Config};

use super::kit::{World, database, eventually, postgres, url};
use crate::log::{
    EventLog, Expected,
    contract::{append, assert_whole, read_to_end},
    kurrent::{KurrentError, KurrentLog},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_and_the_mirror_follow_the_leader() {
    let world = World::with(3, Config::default()).await;
    for (n, leader) in [0, 1, 2, 0, 2, 1].into_iter().enumerate() {
        world.cluster.lead(leader);
        let n = n as u64;
        let appended = world.log.append(append("a", Expected::from(n.checked_sub(1)), [n])).await;
        assert_eq!(appended.map(|appended| appended.last), Ok(n), "node {leader} leads");
    }
    assert_eq!(world.cluster.events().len(), 6);
    assert!((0..3).all(|node| world.cluster.node(node).appends() > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_left_for_the_next() {
    let world = World::with(3, Config::default()).await;
    let mut leader = 0;
    for n in 0..9_u64 {
        if n % 3 == 2 && leader < 2 {
            world.cluster.node(leader).stop();
            leader += 1;
            world.cluster.lead(leader);
        }
        let appended = world.log.append(append("a", Expected::from(n.checked_sub(1)), [n])).await;
        assert_eq!(appended.map(|appended| appended.last), Ok(n));
    }
    let all = read_to_end(&*world.log, 100).await;
    assert_whole(&all);
    assert_eq!((all.len(), world.cluster.events().len()), (9, 9));
}

#[tokio::test]
async fn connections_that_break_are_made_again() {
    let world = World::new().await;
    for n in 0..5_u64 {
        world.cluster.node(0).cut();
        let appended = world.log.append(append("a", Expected::from(n.checked_sub(1)), [n])).await;
        assert_eq!(appended.map(|appended| appended.last), Ok(n));
    }
    assert_eq!(world.cluster.events().len(), 5);
}

/// Unchanged, the client takes a whole core from the first end on, and timers stop.
#[test]
fn subscriptions_that_end_cleanly_cost_next_to_nothing() {
    fn spent() -> Duration {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
    }
    // Everything runs on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let (began, before) = (Instant::now(), spent());
        for _ in 0..20 {
            world.cluster.node(0).end_subscriptions();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (passed, spent) = (began.elapsed(), spent().saturating_sub(before));
        assert!(spent * 5 < passed, "{spent:?} of {passed:?}");
        assert!(world.cluster.node(0).subscriptions() > 5, "it subscribes again");
        assert!(world.log.append(append("a", Expected::NoStream, [1])).await.is_ok());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_tls_come_from_the_address_and_no_error_shows_the_password() {
    let (name, password) = ("berth".to_owned(), "p@ss/w%rd".to_owned());
    let config = Config { user: Some((name, password)), tls: true, ..Config::default() };
    let cluster = Cluster::start(1, config);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, cluster.ca().unwrap()).unwrap();
    let port = cluster.node(0).port();
    let database = database();
    let open = async |password: &str, rest: &str| {
        let url = format!("esdb://berth:{password}@localhost:{port}?streamPrefix=t.{rest}");
        KurrentLog::open(&url, &postgres(&database)).await
    };
    let trusted = format!("&tlsCAFile={}", ca.display());
    let log = open("p%40ss%2Fw%25rd", &trusted).await.unwrap();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    log.close().await;
    open("p%40ss%2Fw%25rd", "&tlsVerifyCert=false").await.unwrap().close().await;
    let missing = format!("&tlsCAFile={}", folder.path().join("none.pem").display());
    for (password, rest, said) in [
        ("secret-wrong", trusted.as_str(), "may not"),
        ("p%40ss%2Fw%25rd", "", "cannot be used"),
        ("p%40ss%2Fw%25rd", &missing, "none.pem"),
        ("p%40ss%2Fw%25rd", "&tls=false", "cannot be used"),
    ] {
        let error = open(password, rest).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, KurrentError::Unreachable { .. }) && shown.contains(said), "{shown}");
        assert!(!shown.contains("p@ss") && !shown.contains("p%40ss") && !shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so() {
    let cluster = Cluster::single();
    let address = url(&cluster);
    drop(cluster);
    let database = database();
    let error = KurrentLog::open(&address, &postgres(&database)).await.unwrap_err();
    assert!(error.to_string().starts_with("KurrentDB at localhost:"), "{error}");
}

#[tokio::test]
async fn the_database_may_be_cut_off_for_a_while() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, [0])).await.unwrap();
    for n in 1..4_u64 {
        world.database.cut();
        let mut appended = world.log.append(append("a", Expected::Revision(n - 1), [n])).await;
        // Whoever hears that nothing is known asks again.
        for _ in 0..5 {
            if appended.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                appended = world.log.append(append("a", Expected::Revision(n - 1), [n])).await;
            }
        }
        assert_eq!(appended.map(|appended| appended.last), Ok(n));
    }
    eventually("nothing is stored twice", || world.cluster.events().len() == 4).await;
}

#[tokio::test]
async fn a_cluster_is_found_by_asking_one_of_its_nodes() {
    let cluster = Cluster::start(3, Config::default());
    cluster.lead(2);
    let (port, database) = (cluster.node(0).port(), database());
    let url = format!("kurrentdb+discover://localhost:{port}?tls=false&streamPrefix=t.");
    let log = KurrentLog::open(&url, &postgres(&database)).await.unwrap();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    assert_eq!((cluster.node(0).appends(), cluster.node(2).appends()), (0, 1));
}
