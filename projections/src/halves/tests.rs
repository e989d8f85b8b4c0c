use std::{any::Any, os::unix::fs::PermissionsExt};

use fixtures::postgres::Database;

use super::*;
use crate::sql::made;

const NOW: Time = Time::from_unix(1_000);

const fn id(n: u32) -> DeviceId {
    DeviceId(Uuid::from_u128(n as u128))
}

/// What a half looks like when it is sealed: 60 bytes that are found nowhere else.
fn blob(n: u32) -> Vec<u8> {
    Digest::of(&n.to_be_bytes()).0.iter().cycle().take(60).copied().collect()
}

fn commitment(n: u32) -> Digest {
    Digest::of(&[&n.to_be_bytes()[..], b"c"].concat())
}

/// Empty halves, as two nodes have them, and what must live as long.
struct Fresh {
    halves: Halves,
    other: Halves,
    _keep: Box<dyn Any + Send>,
}

async fn store() -> (tempfile::TempDir, Halves) {
    let dir = tempfile::tempdir().unwrap();
    let halves = Halves::open(&dir.path().join("halves.db")).await.unwrap();
    (dir, halves)
}

async fn on_sqlite() -> Fresh {
    let (dir, halves) = store().await;
    let other = Halves::open(&dir.path().join("halves.db")).await.unwrap();
    Fresh { halves, other, _keep: Box::new(dir) }
}

async fn database() -> (Database, Halves, Halves) {
    let database = tokio::task::spawn_blocking(|| fixtures::postgres::server().fresh()).await.unwrap();
    let postgres = Postgres::new(&database.url()).unwrap();
    postgres.prepare().await.unwrap();
    let nodes = (Halves::on(&postgres).await.unwrap(), Halves::on(&postgres).await.unwrap());
    (database, nodes.0, nodes.1)
}

async fn on_postgres() -> Fresh {
    let (database, halves, other) = database().await;
    Fresh { halves, other, _keep: Box::new(database) }
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::on_sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::on_postgres().await).await;
            })*
        }
    };
}

on_both!(
    the_first_half_of_a_lease_stays_whatever_is_brought_later,
    the_half_of_a_lease_that_runs_cannot_be_destroyed,
    what_a_half_was_outlives_it_until_it_is_recorded,
    two_nodes_keep_one_half_and_destroy_it_once,
);

async fn kept(halves: &Halves, n: u32) {
    halves.keep(id(n), 1, &blob(n), commitment(n)).await.unwrap();
}

/// Whether any file in the folder holds these bytes.
fn found(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

async fn the_first_half_of_a_lease_stays_whatever_is_brought_later(Fresh { halves, .. }: Fresh) {
    kept(&halves, 1).await;
    halves.keep(id(1), 1, &blob(2), commitment(2)).await.unwrap();
    assert_eq!(halves.sealed(id(1), 1).await.unwrap(), Some(blob(1)));
    assert_eq!(halves.sealed(id(1), 2).await.unwrap(), None);
    halves.lease_ended(id(1), 1, NOW).await.unwrap();
    halves.destroy(id(1), 1, KeyEnd::Asked).await.unwrap();
    kept(&halves, 1).await;
    assert_eq!(halves.sealed(id(1), 1).await.unwrap(), None, "not even after its end");
}

#[tokio::test]
async fn a_destroyed_half_is_in_no_file_any_more() {
    let (dir, halves) = store().await;
    // Enough rows for pages to be split and merged, in an order that is not the table's: 601 is a prime.
    let in_disorder = |step: u32| (0..601).map(move |n| n * step % 601);
    for n in in_disorder(7) {
        kept(&halves, n).await;
        halves.lease_ended(id(n), 1, NOW).await.unwrap();
    }
    assert!(in_disorder(1).all(|n| found(dir.path(), &blob(n))), "the search finds what is there");
    for n in in_disorder(11).filter(|n| n % 3 != 0) {
        halves.destroy(id(n), 1, KeyEnd::Erased).await.unwrap();
        assert!(!found(dir.path(), &blob(n)[..20]), "half {n} was left behind");
    }
    for n in in_disorder(1) {
        assert_eq!(found(dir.path(), &blob(n)), n % 3 == 0, "half {n}");
    }
}

async fn the_half_of_a_lease_that_runs_cannot_be_destroyed(Fresh { halves, .. }: Fresh) {
    kept(&halves, 1).await;
    assert!(halves.destroy(id(1), 1, KeyEnd::Asked).await.is_err());
    assert_eq!(halves.sealed(id(1), 1).await.unwrap(), Some(blob(1)));
    assert_eq!(halves.due(Time::MAX, 10).await.unwrap(), []);
}

async fn what_a_half_was_outlives_it_until_it_is_recorded(Fresh { halves, .. }: Fresh) {
    kept(&halves, 1).await;
    halves.lease_ended(id(1), 1, NOW).await.unwrap();
    halves.lease_ended(id(1), 1, NOW.plus(99)).await.unwrap();
    assert_eq!(halves.due(NOW.plus(-1), 10).await.unwrap(), []);
    assert_eq!(halves.due(NOW, 10).await.unwrap(), [(id(1), 1)]);
    let gone = Some((commitment(1), KeyEnd::Erased));
    assert_eq!(halves.destroy(id(1), 1, KeyEnd::Erased).await.unwrap(), gone);
    // A crash before the record: the reason of then still holds.
    assert_eq!(halves.unrecorded(10).await.unwrap(), [(id(1), 1)]);
    assert_eq!(halves.destroy(id(1), 1, KeyEnd::AppealOver).await.unwrap(), gone);
    halves.recorded(id(1), 1).await.unwrap();
    assert_eq!(halves.destroy(id(1), 1, KeyEnd::AppealOver).await.unwrap(), None);
    assert_eq!((halves.unrecorded(10).await.unwrap(), halves.due(NOW, 10).await.unwrap()), (vec![], vec![]));
    let shown = Half { commitment: commitment(1), destroyed: Some(KeyEnd::Erased) };
    assert_eq!(halves.half(id(1), 1).await.unwrap(), Some(shown));
    assert_eq!(halves.destroy(id(9), 1, KeyEnd::Asked).await.unwrap(), None, "there never was one");
}

#[tokio::test]
async fn only_its_owner_reads_the_file() {
    let (dir, halves) = store().await;
    kept(&halves, 1).await;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

#[tokio::test]
async fn a_run_over_what_is_due_reads_no_more_than_that() {
    let (_dir, halves) = store().await;
    for sql in [
        "select device, epoch from halves where sealed is not null and due_at <= 5 order by due_at limit 9",
        "select device, epoch from halves where sealed is null and recorded = 0 limit 9",
    ] {
        let plan = made(format!("explain query plan {sql}"));
        let plan = plan.all::<(i64, i64, i64, String)>(&halves.store);
        let plan: Vec<_> = plan.await.unwrap().into_iter().map(|(.., s)| s).collect();
        assert!(plan.len() == 1 && plan[0].contains("INDEX halves_"), "{plan:?}");
    }
}

async fn two_nodes_keep_one_half_and_destroy_it_once(Fresh { halves, other, .. }: Fresh) {
    for n in 0..10 {
        let keep =
            |node: Halves, m| async move { node.keep(id(n), 1, &blob(m), commitment(m)).await.unwrap() };
        tokio::join!(keep(halves.clone(), 2 * n), keep(other.clone(), 2 * n + 1));
        let kept = halves.sealed(id(n), 1).await.unwrap().unwrap();
        let half = other.half(id(n), 1).await.unwrap().unwrap();
        let first = if kept == blob(2 * n) { 2 * n } else { 2 * n + 1 };
        assert_eq!((kept, half.commitment), (blob(first), commitment(first)), "one node's, whole");
        halves.lease_ended(id(n), 1, NOW).await.unwrap();
        let destroy = |node: Halves, why| async move { node.destroy(id(n), 1, why).await.unwrap().unwrap() };
        let (one, two) =
            tokio::join!(destroy(halves.clone(), KeyEnd::Asked), destroy(other.clone(), KeyEnd::AppealOver));
        assert_eq!(one, two, "both tell the same end");
    }
}

#[tokio::test]
async fn a_destroyed_half_is_not_in_the_tables_file_any_more() {
    let (database, halves, _) = database().await;
    let found = |n: u32| {
        let hex: String = blob(n)[..20].iter().map(|byte| format!("{byte:02x}")).collect();
        let file = "pg_read_binary_file(pg_relation_filepath('halves.halves'))";
        let found =
            database.sql(&format!("checkpoint; select position(decode('{hex}', 'hex') in {file}) > 0"));
        found == "t"
    };
    for n in 0..30 {
        kept(&halves, n).await;
        halves.lease_ended(id(n), 1, NOW).await.unwrap();
    }
    assert!(found(3) && found(4), "the search finds what is there");
    halves.destroy(id(3), 1, KeyEnd::Erased).await.unwrap();
    assert!(!found(3) && found(4));
}

#[tokio::test]
async fn a_schema_of_their_own_is_what_backups_leave_out() {
    let (database, halves, _) = database().await;
    kept(&halves, 1).await;
    let places = "select table_schema from information_schema.tables where table_name = 'halves'";
    assert_eq!(database.sql(places), "halves");
}

#[tokio::test]
async fn somebody_who_reads_for_long_stops_nobody_from_destroying_a_half() {
    let (database, halves, other) = database().await;
    kept(&halves, 1).await;
    halves.lease_ended(id(1), 1, NOW).await.unwrap();
    let mut reader = Postgres::new(&database.url()).unwrap().connect().await.unwrap();
    sqlx::raw_sql("begin; select * from halves.halves").execute(&mut reader).await.unwrap();
    let gone = halves.destroy(id(1), 1, KeyEnd::Asked);
    let (gone, meanwhile) = tokio::join!(gone, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.keep(id(2), 1, &blob(2), commitment(2)).await
    });
    assert_eq!(gone.unwrap(), Some((commitment(1), KeyEnd::Asked)));
    meanwhile.unwrap();
    assert_eq!(other.sealed(id(1), 1).await.unwrap(), None);
}
