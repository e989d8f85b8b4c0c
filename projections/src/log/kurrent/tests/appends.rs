//! Appends whose outcome is not known, that meet another, or that nothing may come of.

use std::time::Duration;

use domain::event::{MAX_PAYLOAD, StreamName};
use fixtures::kurrent::Fault;

use super::kit::{World, eventually, metadata, postgres, url};
use crate::log::{
    Append, AppendError, Appended, EventLog, Expected,
    contract::{append, assert_whole, read_to_end, stream},
    kurrent::KurrentLog,
};

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_found_and_made_once() {
    let world = World::new().await;
    for (n, fault) in [
        Fault::LoseAnswer,
        Fault::FailAfter,
        Fault::Drop,
        Fault::Unavailable,
        Fault::Delay(Duration::from_millis(300)),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64;
        world.cluster.node(0).misbehave(fault);
        let appended =
            world.log.append(append("a", Expected::from((2 * n).checked_sub(1)), [2 * n, 2 * n + 1])).await;
        let expected = Appended { first: 2 * n, last: 2 * n + 1, revision: 2 * n + 1 };
        assert_eq!(appended, Ok(expected), "{fault:?}");
    }
    let all = read_to_end(&*world.log, 100).await;
    assert_whole(&all);
    assert_eq!(all.len(), 10);
    assert_eq!(world.cluster.events().len(), 10, "nothing was stored twice");
}

#[tokio::test]
async fn an_append_that_was_lost_and_overtaken_is_a_conflict() {
    let world = World::new().await;
    let other = world.another().await;
    world.cluster.node(0).misbehave(Fault::Drop);
    let log = world.log.clone();
    let lost = tokio::spawn(async move { log.append(append("a", Expected::NoStream, [1])).await });
    eventually("it is sent", || world.cluster.node(0).appends() == 1).await;
    let won = other.append(append("a", Expected::NoStream, [2])).await;
    // Whoever comes first with the second attempt wins; exactly one does.
    let lost = lost.await.unwrap();
    assert_eq!([won.is_ok(), lost.is_ok()].iter().filter(|won| **won).count(), 1, "{won:?} {lost:?}");
    let conflict = Err(AppendError::Conflict { actual: Some(0) });
    assert!(won == conflict || lost == conflict, "{won:?} {lost:?}");
}

#[tokio::test]
async fn a_lost_answer_is_found_though_the_stream_has_moved_on() {
    let world = World::new().await;
    let first = append("a", Expected::NoStream, [1, 2]);
    let stored = world.log.append(first.clone()).await.unwrap();
    world.log.append(append("a", Expected::Revision(1), [3])).await.unwrap();
    let other = world.another().await;
    assert_eq!(other.append(first).await, Ok(stored));
}

/// Not before the mirror has it: whoever loads the stream after a conflict sees what it lost to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_the_mirror_has_it() {
    let world = World::new().await;
    let other = world.another().await;
    world.cluster.node(0).silence(true);
    let racers: Vec<_> = [(world.log.clone(), 1), (other.clone(), 2)]
        .into_iter()
        .map(|(log, n)| tokio::spawn(async move { log.append(append("a", Expected::NoStream, [n])).await }))
        .collect();
    eventually("both are sent", || world.cluster.node(0).appends() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.cluster.events().len(), 1);
    assert!(racers.iter().all(|racer| !racer.is_finished()));
    world.cluster.node(0).silence(false);
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers.sort_by_key(Result::is_err);
    let won = Appended { first: 0, last: 0, revision: 0 };
    assert_eq!(answers, [Ok(won), Err(AppendError::Conflict { actual: Some(0) })]);
    assert_eq!(other.read_stream(&stream("a"), 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_stored_but_not_mirrored_in_time_is_unknown_and_found_by_a_retry() {
    let world = World::new().await;
    world.cluster.node(0).silence(true);
    let asked = append("a", Expected::NoStream, [1]);
    assert_eq!(world.log.append(asked.clone()).await, Err(AppendError::OutcomeUnknown));
    assert!(world.cluster.node(0).subscriptions() > 1, "a subscription that says nothing is replaced");
    world.cluster.node(0).silence(false);
    assert_eq!(world.log.append(asked).await, Ok(Appended { first: 0, last: 0, revision: 0 }));
    assert_eq!(world.cluster.events().len(), 1);
}

#[tokio::test]
async fn an_append_goes_on_when_nobody_waits_for_it() {
    let world = World::new().await;
    world.cluster.node(0).misbehave(Fault::Delay(Duration::from_millis(200)));
    let waiting = world.log.append(append("a", Expected::NoStream, [1]));
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    world.holds(1).await;
}

#[tokio::test]
async fn closing_waits_for_appends_under_way_and_takes_no_more() {
    let world = World::new().await;
    world.cluster.node(0).misbehave(Fault::Delay(Duration::from_millis(200)));
    let log = world.log.clone();
    let under_way = tokio::spawn(async move { log.append(append("a", Expected::NoStream, [1])).await });
    eventually("it is sent", || world.cluster.node(0).appends() == 1).await;
    world.log.close().await;
    assert!(under_way.await.unwrap().is_ok());
    let late = world.log.append(append("b", Expected::NoStream, [2])).await;
    assert_eq!(late, Err(AppendError::Overloaded));
}

#[tokio::test]
async fn a_deleted_stream_is_not_appended_to() {
    let world = World::new().await;
    for (key, hard) in [("soft", false), ("hard", true)] {
        let first = append(key, Expected::NoStream, [1]);
        let stored = world.log.append(first.clone()).await.unwrap();
        world.cluster.delete(&format!("t.test-{key}"), hard);
        let told = || {
            world.database.sql("select count(*) from kurrent_withdrawn").trim()
                == if hard { "2" } else { "1" }
        };
        eventually("the mirror hears of it", told).await;
        let refused = world.log.append(append(key, Expected::Revision(0), [2])).await;
        assert!(matches!(&refused, Err(AppendError::Fatal(why)) if why.contains("deleted")), "{refused:?}");
        assert_eq!(world.log.append(first).await, Ok(stored), "what was before is still known");
    }
    assert_eq!(read_to_end(&*world.log, 10).await.len(), 2, "what was mirrored stays");
}

/// The server goes on where the stream was, whatever is expected.
#[tokio::test]
async fn a_stream_that_was_deleted_unseen_and_comes_back_is_not_taken_for_a_new_one() {
    let world = World::new().await;
    world.cluster.node(0).silence(true);
    world.cluster.write("t.test-a", "Counted", 1, b"{}", metadata(0, 1).as_bytes());
    world.cluster.delete("t.test-a", false);
    let refused = world.log.append(append("a", Expected::NoStream, [2])).await;
    let said = "went on at revision 1 instead of 0";
    assert!(matches!(&refused, Err(AppendError::Fatal(why)) if why.contains(said)), "{refused:?}");
}

#[tokio::test]
async fn what_the_server_would_not_take_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let mut large = append("a", Expected::NoStream, 0..400);
    for event in &mut large.events {
        event.payload = vec![b'x'; 2600];
    }
    assert!(large.events.iter().all(|event| event.payload.len() <= MAX_PAYLOAD));
    let refused = world.log.append(large).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    assert_eq!(world.cluster.node(0).appends(), 0);
}

#[tokio::test]
async fn without_a_prefix_only_berths_categories_are_appended_to() {
    let world = World::new().await;
    let database = super::kit::database();
    let url = url(&world.cluster).replace("&streamPrefix=t.", "");
    let log = KurrentLog::open(&url, &postgres(&database)).await.unwrap();
    assert!(matches!(log.append(append("a", Expected::NoStream, [1])).await, Err(AppendError::Invalid(_))));
    let device = StreamName::stored("device-1");
    let asked = Append { stream: device.clone(), ..append("a", Expected::NoStream, [1]) };
    log.append(asked).await.unwrap();
    world.log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let all = read_to_end(&log, 10).await;
    assert_eq!(all.iter().map(|event| &event.stream).collect::<Vec<_>>(), [&device]);
    assert_eq!(world.cluster.events()[0].stream, "device-1");
}

#[tokio::test]
async fn what_is_sent_in_order_is_mirrored_in_order_and_sent_once() {
    let world = World::new().await;
    for _ in 0..2 {
        for n in 0..50_u64 {
            let key = if n % 3 == 0 { "a" } else { "b" };
            let before = if n % 3 == 0 { n / 3 } else { n - n / 3 - 1 };
            world.log.send(append(key, Expected::from(before.checked_sub(1)), [n])).await.unwrap();
        }
        world.log.settled().await.unwrap();
    }
    let all = read_to_end(&*world.log, 100).await;
    assert_whole(&all);
    let ns: Vec<_> =
        all.iter().map(|event| String::from_utf8_lossy(&event.event.payload).into_owned()).collect();
    assert_eq!(ns, (0..50).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
    assert_eq!(world.cluster.events().len(), 50);
}
