//! What an audit finds.

use super::kit::{World, eventually, postgres, url};
use crate::log::{
    EventLog, Expected,
    contract::append,
    kurrent::{Audit, KurrentLog, MAX_FINDINGS},
};

async fn audit(world: &World) -> Audit {
    let mut last = (0, 0);
    let mut progress = |compared, all| last = (compared, all);
    let audit =
        KurrentLog::audit(&url(&world.cluster), &postgres(&world.database), &mut progress).await.unwrap();
    assert_eq!(last, (audit.compared, audit.compared));
    audit
}

/// Streams `a` and `b` with five events each, in turns.
async fn world() -> World {
    let world = World::new().await;
    for n in 0..5_u64 {
        for (key, base) in [("a", 0), ("b", 100)] {
            world.log.append(append(key, Expected::from(n.checked_sub(1)), [base + n])).await.unwrap();
        }
    }
    world
}

fn said(audit: &Audit) -> Vec<String> {
    audit.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_log_as_it_was_mirrored_passes() {
    let world = world().await;
    world.cluster.write("elsewhere-1", "Other", 1, b"{}", b"");
    world.cluster.set_metadata("t.test-a", "{\"$acl\":{}}");
    assert_eq!(audit(&world).await, Audit { compared: 10, ..Audit::default() });
}

#[tokio::test]
async fn a_changed_event_is_found_by_stream_and_revision() {
    let world = world().await;
    world.cluster.spoil("t.test-a", 1, |event| event.data = b"{\"n\":9}".to_vec().into());
    world.cluster.spoil("t.test-a", 2, |event| event.id = uuid::Uuid::from_u128(3));
    world.cluster.spoil("t.test-b", 0, |event| event.kind = "Else".into());
    world.cluster.spoil("t.test-b", 3, |event| event.metadata = b"{}".to_vec().into());
    let audit = audit(&world).await;
    let said = said(&audit);
    assert_eq!((audit.compared, audit.found), (10, 4), "{said:?}");
    for (found, expected) in said.iter().zip([
        "stream test-b, revision 0: its name",
        "stream test-a, revision 1: its payload",
        "stream test-a, revision 2: its id",
        "stream test-b, revision 3: its metadata",
    ]) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[tokio::test]
async fn deleted_and_truncated_streams_fail_before_and_after_a_scavenge() {
    let world = world().await;
    world.cluster.delete("t.test-a", false);
    world.cluster.set_metadata("t.test-b", "{\"$maxCount\":2}");
    let told = || world.database.sql("select count(*) from kurrent_withdrawn").trim() == "2";
    eventually("the mirror hears of it", told).await;
    let before = audit(&world).await;
    let whole =
        ["stream test-a: it was deleted", "stream test-b: its metadata lets events go away ($maxCount is 2)"];
    assert_eq!(said(&before), whole);
    world.cluster.scavenge();
    let after = audit(&world).await;
    assert_eq!((after.compared, after.found), (10, 2 + 5 + 3));
    assert!(said(&after).contains(&"stream test-b, revision 2: it is missing in KurrentDB".to_owned()));
    assert_eq!(world.log.read_all(0, 100).await.unwrap().len(), 10, "the mirror keeps what it has");
}

#[tokio::test]
async fn what_was_undone_before_anything_went_away_passes() {
    let world = world().await;
    world.cluster.set_metadata("t.test-b", "{\"$maxCount\":2}");
    world.cluster.set_metadata("t.test-b", "{}");
    let told =
        || world.database.sql("select count(*) from kurrent_withdrawn where why is null").trim() == "1";
    eventually("the mirror hears of it", told).await;
    assert_eq!(audit(&world).await.found, 0);
}

#[tokio::test]
async fn the_first_findings_are_told_and_all_are_counted() {
    let world = World::new().await;
    world.log.append(append("a", Expected::NoStream, 0..50)).await.unwrap();
    world.cluster.delete("t.test-a", true);
    world.cluster.scavenge();
    let audit = audit(&world).await;
    assert_eq!(audit.findings.len(), MAX_FINDINGS);
    assert!(audit.found >= 50, "{}", audit.found);
}
