//! What is mirrored, what is not, and when mirroring stops.

use std::time::Duration;

use domain::event::Recorded;
use fixtures::kurrent::Cluster;
use tokio::task::JoinSet;

use super::kit::{World, database, eventually, holds, metadata, postgres, url};
use crate::{
    log::{
        AppendError, EventLog, Expected, LogError,
        contract::{append, assert_whole, read_to_end, stream},
        kurrent::{KurrentError, KurrentLog},
        postgres::PostgresLog,
    },
    postgres::Postgres,
};

/// What the cluster holds of Berth's, as `stream revision`.
fn order(cluster: &Cluster) -> Vec<String> {
    let own = cluster.events().into_iter().filter_map(|event| {
        event.stream.strip_prefix("t.").map(|stream| format!("{stream} {}", event.revision))
    });
    own.collect()
}

fn shown(all: &[Recorded]) -> Vec<String> {
    all.iter().map(|event| format!("{} {}", event.stream, event.revision)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_mirror_at_once_and_a_mirror_made_anew_have_the_order_of_all() {
    let world = World::new().await;
    let other = world.another().await;
    world.cluster.node(0).repeat(true);
    let mut writers = JoinSet::new();
    for writer in 0..8_u64 {
        let log = if writer % 2 == 0 { world.log.clone() } else { other.clone() };
        writers.spawn(async move {
            for n in 0..20_u64 {
                let expected = Expected::from((n * 2).checked_sub(1));
                let ns = writer * 100 + n * 2..writer * 100 + n * 2 + 2;
                log.append(append(&writer.to_string(), expected, ns)).await.unwrap();
            }
        });
    }
    for n in 0..10 {
        world.cluster.write("elsewhere-1", "Other", n, b"{}", b"");
        world.cluster.node(0).end_subscriptions();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writers.join_all().await;
    let all = read_to_end(&*world.log, 100).await;
    assert_whole(&all);
    assert_eq!(shown(&all), order(&world.cluster));
    assert_eq!(all.len(), 320);
    let anew = database();
    let log = KurrentLog::open(&url(&world.cluster), &postgres(&anew)).await.unwrap();
    assert_eq!(read_to_end(&log, 77).await, all);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped_though_millions_may_be_foreign() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    for n in 0..3000 {
        world.cluster.write("elsewhere-1", "Other", n, b"{}", b"");
    }
    let far = world.cluster.events()[2000].position;
    let place =
        || world.database.sql("select commit_position from kurrent_mirror").trim().parse::<u64>().unwrap();
    eventually("checkpoints are kept", || place() >= far).await;
    world.log.close().await;
    let other = database();
    let elsewhere = KurrentLog::open(&url(&world.cluster), &postgres(&other)).await.unwrap();
    elsewhere.append(append("a", Expected::Revision(0), [2, 3])).await.unwrap();
    let again = world.another().await;
    assert_eq!(read_to_end(&*again, 10).await, read_to_end(&elsewhere, 10).await);
    again.append(append("a", Expected::Revision(2), [4])).await.unwrap();
    assert_eq!(again.head().await, Ok(Some(3)));
    holds(&elsewhere, 4).await;
}

#[tokio::test]
async fn nobody_reads_half_of_an_append() {
    let world = World::new().await;
    world.cluster.write("t.test-a", "Counted", 1, b"{}", metadata(0, 2).as_bytes());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.log.head().await, Ok(None));
    world.cluster.node(0).cut();
    world.cluster.write("t.test-a", "Counted", 2, b"{}", metadata(1, 2).as_bytes());
    world.holds(2).await;
    assert_eq!(world.log.stopped(), None);
}

#[tokio::test]
async fn an_event_that_berth_did_not_write_stops_the_mirror_with_its_place() {
    for (kind, metadata, said) in [
        ("Counted", String::new(), "another program"),
        ("Counted", "{\"$correlationId\":\"x\"}".to_owned(), "another program"),
        ("Counted", metadata(2, 2), "makes no sense"),
        ("Counted", metadata(1, 2), "do not stand together"),
        ("$>", String::new(), "another program"),
    ] {
        let world = World::new().await;
        world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
        world.cluster.write("t.test-a", kind, 99, b"{}", metadata.as_bytes());
        eventually("it stops", || world.log.stopped().is_some()).await;
        let Some(LogError::Damaged { position: 1, why }) = world.log.stopped() else { panic!("{said}") };
        assert!(why.contains("stream test-a, revision 1:") && why.contains(said), "{why}");
        assert_eq!(world.log.read_all(0, 10).await.unwrap().len(), 1, "what was before can be read");
        assert!(matches!(world.log.read_all(1, 10).await, Err(LogError::Damaged { .. })));
        let refused = world.log.append(append("b", Expected::NoStream, [2])).await;
        assert!(matches!(&refused, Err(AppendError::Fatal(why)) if why.contains("test-a")), "{refused:?}");
    }
}

#[tokio::test]
async fn a_gap_is_never_passed_over() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    world.log.append(append("a", Expected::Revision(0), [2])).await.unwrap();
    world.log.append(append("b", Expected::NoStream, [3])).await.unwrap();
    world.log.append(append("a", Expected::Revision(1), [4])).await.unwrap();
    world.cluster.set_metadata("t.test-a", "{\"$tb\":1}");
    world.cluster.scavenge();
    let anew = database();
    let error = KurrentLog::open(&url(&world.cluster), &postgres(&anew)).await.unwrap_err();
    let KurrentError::Log(LogError::Damaged { position: 0, why }) = error else { panic!("{error}") };
    assert!(why.contains("stream test-a, revision 1: events before it are missing"), "{why}");
    world.log.append(append("b", Expected::Revision(0), [5])).await.unwrap();
    assert_eq!(world.log.stopped(), None, "what was mirrored before goes on");
}

#[tokio::test]
async fn a_database_mirrors_one_kurrentdb_and_one_prefix() {
    let world = World::new().await;
    let opened = async |url: &str, database: &Postgres| KurrentLog::open(url, database).await.map(drop);
    let mirror = postgres(&world.database);
    let address = url(&world.cluster);
    let refused = opened(&address.replace("=t.", "=u."), &mirror).await;
    assert!(matches!(&refused, Err(KurrentError::OtherPrefix { there, .. }) if there == "t."), "{refused:?}");
    world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let elsewhere = Cluster::single();
    let refused = opened(&url(&elsewhere), &mirror).await;
    assert!(matches!(&refused, Err(KurrentError::OtherLog { .. })), "{refused:?}");
    elsewhere.write("t.test-a", "Counted", 5, b"{}", metadata(0, 1).as_bytes());
    let refused = opened(&url(&elsewhere), &mirror).await;
    assert!(matches!(&refused, Err(KurrentError::OtherLog { .. })), "{refused:?}");
    opened(&address, &mirror).await.unwrap();
    let refused = PostgresLog::open(&mirror).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("mirrors a KurrentDB"), "{refused}");

    let own = database();
    let log = PostgresLog::open(&postgres(&own)).await.unwrap();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let refused = opened(&address, &postgres(&own)).await;
    assert!(matches!(&refused, Err(KurrentError::OwnLog { .. })), "{refused:?}");
    let refused = KurrentLog::open_read_only(&postgres(&own)).await.map(drop);
    assert!(matches!(&refused, Err(KurrentError::NoMirror { .. })), "{refused:?}");
}

/// What would be appended there would stand where the mirror has read already.
#[tokio::test]
async fn a_kurrentdb_that_came_back_from_an_older_backup_is_refused() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let older = Cluster::single();
    for event in world.cluster.events() {
        older.write(&event.stream, &event.kind, event.id.as_u128(), &event.data, &event.metadata);
    }
    world.log.append(append("b", Expected::NoStream, [2])).await.unwrap();
    let refused = KurrentLog::open(&url(&older), &postgres(&world.database)).await.map(drop);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("revision 0 of stream test-b is not there any more"), "{said}");
}

#[tokio::test]
async fn reading_needs_the_mirror_alone() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, [1, 2])).await.unwrap();
    let all = read_to_end(&*world.log, 10).await;
    let World { log, database, cluster } = world;
    log.close().await;
    drop(cluster);
    let log = KurrentLog::open_read_only(&postgres(&database)).await.unwrap();
    assert_eq!(read_to_end(&log, 10).await, all);
    assert_eq!(log.read_stream(&stream("a"), 1, 10).await.unwrap(), all[1..]);
    assert!(matches!(log.append(append("a", Expected::Revision(1), [3])).await, Err(AppendError::Fatal(_))));
}
