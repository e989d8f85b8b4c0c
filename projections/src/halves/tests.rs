use std::os::unix::fs::PermissionsExt;

use super::*;

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

async fn store() -> (tempfile::TempDir, Halves) {
    let dir = tempfile::tempdir().unwrap();
    let halves = Halves::open(&dir.path().join("halves.db")).await.unwrap();
    (dir, halves)
}

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

#[tokio::test]
async fn the_first_half_of_a_lease_stays_whatever_is_brought_later() {
    let (_dir, halves) = store().await;
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

#[tokio::test]
async fn the_half_of_a_lease_that_runs_cannot_be_destroyed() {
    let (_dir, halves) = store().await;
    kept(&halves, 1).await;
    assert!(halves.destroy(id(1), 1, KeyEnd::Asked).await.is_err());
    assert_eq!(halves.sealed(id(1), 1).await.unwrap(), Some(blob(1)));
    assert_eq!(halves.due(Time::MAX, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_half_was_outlives_it_until_it_is_recorded() {
    let (_dir, halves) = store().await;
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
        let plan = sqlx::query_as::<_, (i64, i64, i64, String)>(sqlx::AssertSqlSafe(format!(
            "explain query plan {sql}"
        )));
        let plan: Vec<_> = plan.fetch_all(&halves.pool).await.unwrap().into_iter().map(|(.., s)| s).collect();
        assert!(plan.len() == 1 && plan[0].contains("INDEX halves_"), "{plan:?}");
    }
}
