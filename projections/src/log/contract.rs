//! What every backend must do, as tests that know nothing of the backend.
//!
//! A new backend adds one line: `log::contract::tests!(make)`, where `make` is an async function that gives a fresh,
//! empty [`Fresh`] log.

#![expect(missing_docs, reason = "the clauses are sentences")]

use std::{any::Any, collections::HashSet, sync::Arc, time::Duration};

use chrono::DateTime;
use domain::{
    event::{Actor, MAX_PAYLOAD, Meta, NewEvent, Position, Recorded, StreamName, SystemPart},
    time::Time,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Append, AppendError, Appended, EventLog, Expected, MAX_APPEND_BYTES, MAX_EVENTS_PER_APPEND, MAX_KIND,
    MAX_PAGE, MAX_PAGE_BYTES, MAX_STREAM_NAME,
};

/// An empty log, and what must live as long as it.
pub struct Fresh {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Such as the folder that its file is in.
    pub keep: Box<dyn Any + Send>,
}

/// Makes every clause of the contract a test of the backend that `$make` gives.
macro_rules! tests {
    ($make:path) => {
        $crate::log::contract::tests!($make:
            an_append_is_refused_when_the_stream_has_moved,
            a_stream_is_created_once,
            of_racing_appends_exactly_one_wins,
            a_retry_answers_what_the_first_attempt_did,
            retries_that_race_are_stored_once,
            followers_neither_skip_nor_repeat_while_32_write,
            the_events_of_an_append_stand_together,
            what_is_over_a_limit_is_refused_and_what_is_at_it_is_not,
            what_makes_no_sense_is_refused,
            an_empty_log_and_an_unknown_stream_are_empty,
            every_field_reads_back_as_it_was_written,
            a_follower_is_woken_by_an_append,
            pages_continue_where_the_last_one_ended,
            a_page_of_large_events_ends_early_but_is_never_empty,
        );
    };
    ($make:path: $($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $crate::log::contract::$name($make().await).await;
        }
    )*};
}
pub(crate) use tests;

/// The stream `test-<key>`.
pub fn stream(key: &str) -> StreamName {
    StreamName::new("test", &key)
}

/// An event whose every field depends on `n`.
pub fn event(n: u64) -> NewEvent {
    let id = |salt: u64| Uuid::from_u64_pair(salt, n);
    NewEvent {
        id: id(1).into(),
        kind: "Counted".into(),
        schema: 1,
        payload: format!("{{\"n\":{n}}}").into_bytes(),
        recorded_at: DateTime::from_timestamp_micros(1_700_000_000_000_001 + n as i64).unwrap(),
        effective_at: Time::from_unix(1_700_000_000 + n as i64),
        meta: Meta {
            actor: Actor::Account(id(2).into()),
            on_behalf_of: None,
            command_id: id(3).into(),
            causation_id: None,
            correlation_id: id(4).into(),
        },
    }
}

/// An append of the events `ns`.
pub fn append(key: &str, expected: Expected, ns: impl IntoIterator<Item = u64>) -> Append {
    Append { stream: stream(key), expected, events: ns.into_iter().map(event).collect() }
}

/// The whole log, read in pages of `max`.
pub async fn read_to_end(log: &dyn EventLog, max: usize) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let page = log.read_all(all.len() as Position, max).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Checks that `all` is a whole log: positions dense, and revisions dense in every stream.
#[track_caller]
pub fn assert_whole(all: &[Recorded]) {
    let mut next = std::collections::HashMap::new();
    for (position, recorded) in all.iter().enumerate() {
        assert_eq!(recorded.position, position as Position);
        let revision = next.entry(&recorded.stream).or_insert(0);
        assert_eq!(recorded.revision, *revision, "{} at {position}", recorded.stream);
        *revision += 1;
    }
}

pub async fn an_append_is_refused_when_the_stream_has_moved(Fresh { log, .. }: Fresh) {
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let two = log.append(append("a", Expected::Revision(0), [2])).await.unwrap();
    assert_eq!(two, Appended { first: 1, last: 1, revision: 1 });
    for wrong in [Expected::NoStream, Expected::Revision(0), Expected::Revision(2), Expected::Revision(9)] {
        let refused = log.append(append("a", wrong, [3])).await;
        assert_eq!(refused, Err(AppendError::Conflict { actual: Some(1) }), "{wrong:?}");
    }
    let refused = log.append(append("b", Expected::Revision(0), [3])).await;
    assert_eq!(refused, Err(AppendError::Conflict { actual: None }));
    let three = log.append(append("a", Expected::Revision(1), [3])).await.unwrap();
    assert_eq!(three, Appended { first: 2, last: 2, revision: 2 });
    assert_eq!(log.read_stream(&stream("a"), 0, 10).await.unwrap().len(), 3);
}

pub async fn a_stream_is_created_once(Fresh { log, .. }: Fresh) {
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let again = log.append(append("a", Expected::NoStream, [2])).await;
    assert_eq!(again, Err(AppendError::Conflict { actual: Some(0) }));
    let other = log.append(append("b", Expected::NoStream, [2])).await.unwrap();
    assert_eq!(other, Appended { first: 1, last: 1, revision: 0 });
}

pub async fn of_racing_appends_exactly_one_wins(Fresh { log, .. }: Fresh) {
    let mut expected = Expected::NoStream;
    for round in 0..20_u64 {
        let mut racers = JoinSet::new();
        for racer in 0..32 {
            let log = log.clone();
            let append = append("a", expected, [round * 32 + racer]);
            racers.spawn(async move { log.append(append).await });
        }
        let mut won = 0;
        for result in racers.join_all().await {
            match result {
                Ok(appended) => {
                    assert_eq!(appended, Appended { first: round, last: round, revision: round });
                    won += 1;
                }
                Err(error) => assert_eq!(error, AppendError::Conflict { actual: Some(round) }),
            }
        }
        assert_eq!(won, 1, "round {round}");
        expected = Expected::Revision(round);
    }
    assert_whole(&read_to_end(&*log, 7).await);
}

pub async fn a_retry_answers_what_the_first_attempt_did(Fresh { log, .. }: Fresh) {
    log.append(append("other", Expected::NoStream, [100])).await.unwrap();
    let create = append("a", Expected::NoStream, [1, 2]);
    let created = log.append(create.clone()).await.unwrap();
    assert_eq!(created, Appended { first: 1, last: 2, revision: 1 });
    assert_eq!(log.append(create.clone()).await, Ok(created));
    log.append(append("other", Expected::Revision(0), [101])).await.unwrap();
    let more = append("a", Expected::Revision(1), [3]);
    let appended = log.append(more.clone()).await.unwrap();
    assert_eq!(log.append(more).await, Ok(appended));
    assert_eq!(log.append(create).await, Ok(created), "later events do not matter");

    let conflict = Err(AppendError::Conflict { actual: Some(2) });
    for (other, why) in [
        (append("a", Expected::NoStream, [1, 9]), "the second event is another"),
        (append("a", Expected::NoStream, [9, 2]), "the first event is another"),
        (append("a", Expected::NoStream, [2, 1]), "the order is another"),
        (append("a", Expected::NoStream, [1, 2, 3, 4]), "there is one event more"),
        (append("a", Expected::Revision(0), [1, 2]), "the expected revision is another"),
        (append("a", Expected::Revision(5), [3]), "the expected revision was never there"),
    ] {
        assert_eq!(log.append(other).await, conflict, "{why}");
    }
    assert_eq!(log.head().await, Ok(Some(4)), "nothing was stored twice");
}

pub async fn retries_that_race_are_stored_once(Fresh { log, .. }: Fresh) {
    let mut racers = JoinSet::new();
    for _ in 0..32 {
        let log = log.clone();
        racers.spawn(async move { log.append(append("a", Expected::NoStream, [1, 2, 3])).await });
    }
    let answers = racers.join_all().await;
    assert_eq!(answers, vec![Ok(Appended { first: 0, last: 2, revision: 2 }); 32]);
    assert_eq!(log.head().await, Ok(Some(2)));
}

pub async fn followers_neither_skip_nor_repeat_while_32_write(Fresh { log, .. }: Fresh) {
    const WRITERS: u64 = 32;
    const EACH: u64 = 40;
    let total = (WRITERS * EACH * 3 / 2) as usize;
    let mut followers = JoinSet::new();
    for max in [1, 3, 500] {
        let log = log.clone();
        followers.spawn(async move {
            let mut hint = log.follow();
            let mut seen: Vec<Recorded> = Vec::new();
            while seen.len() < total {
                let page = log.read_all(seen.len() as Position, max).await.unwrap();
                if page.is_empty() {
                    let _ = tokio::time::timeout(Duration::from_millis(5), hint.changed()).await;
                }
                seen.extend(page);
            }
            seen
        });
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let log = log.clone();
        writers.spawn(async move {
            let mut expected = Expected::NoStream;
            let mut last = None;
            for n in 0..EACH {
                // Every other append has two events.
                let ns = (0..=n % 2).map(|i| (writer * EACH + n) * 2 + i);
                let appended = log.append(append(&writer.to_string(), expected, ns)).await.unwrap();
                assert!(Some(appended.first) > last, "positions grow in the order of commits");
                let own = log.read_all(appended.first, 1).await.unwrap();
                assert_eq!(own[0].stream, stream(&writer.to_string()), "a writer reads its own write");
                last = Some(appended.last);
                expected = Expected::Revision(appended.revision);
            }
        });
    }
    writers.join_all().await;
    let written = read_to_end(&*log, MAX_PAGE).await;
    assert_eq!(written.len(), total);
    assert_whole(&written);
    for seen in followers.join_all().await {
        assert_eq!(seen, written);
    }
}

pub async fn the_events_of_an_append_stand_together(Fresh { log, .. }: Fresh) {
    let mut writers = JoinSet::new();
    for writer in 0..16_u64 {
        let log = log.clone();
        writers.spawn(async move {
            let ns = writer * 10..writer * 10 + 5;
            let appended = log.append(append(&writer.to_string(), Expected::NoStream, ns)).await.unwrap();
            assert_eq!((appended.last - appended.first, appended.revision), (4, 4));
        });
    }
    writers.join_all().await;
    let all = read_to_end(&*log, 100).await;
    assert_whole(&all);
    for together in all.chunks(5) {
        assert!(together.iter().all(|recorded| recorded.stream == together[0].stream));
    }
    // One bad event spoils the whole append.
    let mut bad = append("late", Expected::NoStream, [500, 501]);
    bad.events[1].payload = vec![b'x'; MAX_PAYLOAD + 1];
    assert!(log.append(bad).await.is_err());
    assert_eq!(log.head().await, Ok(Some(79)));
}

pub async fn what_is_over_a_limit_is_refused_and_what_is_at_it_is_not(Fresh { log, .. }: Fresh) {
    let name = |len: usize| StreamName::stored("x".repeat(len));
    let base = || append("a", Expected::NoStream, [1]);
    let with = |change: &dyn Fn(&mut Append)| {
        let mut append = base();
        change(&mut append);
        append
    };
    let big = |n: u64| NewEvent { payload: vec![b'x'; MAX_PAYLOAD], ..event(n) };
    let fit = MAX_APPEND_BYTES / MAX_PAYLOAD;
    for over in [
        with(&|append| append.stream = name(MAX_STREAM_NAME + 1)),
        with(&|append| append.events = (0..=MAX_EVENTS_PER_APPEND as u64).map(event).collect()),
        with(&|append| append.events[0].payload.resize(MAX_PAYLOAD + 1, b'x')),
        with(&|append| append.events[0].kind = "K".repeat(MAX_KIND + 1)),
        with(&|append| append.events = (0..=fit as u64).map(big).collect()),
    ] {
        let refused = log.append(over).await;
        assert!(matches!(refused, Err(AppendError::TooLarge { max, got, .. }) if got > max), "{refused:?}");
    }
    assert_eq!(log.head().await, Ok(None));
    for (i, mut fits) in [
        with(&|append| append.stream = name(MAX_STREAM_NAME)),
        with(&|append| append.events = (0..MAX_EVENTS_PER_APPEND as u64).map(event).collect()),
        with(&|append| append.events[0].payload.resize(MAX_PAYLOAD, b'x')),
        with(&|append| append.events[0].kind = "K".repeat(MAX_KIND)),
        with(&|append| append.events = (0..fit as u64).map(big).collect()),
    ]
    .into_iter()
    .enumerate()
    {
        if i > 0 {
            fits.stream = stream(&i.to_string());
        }
        log.append(fits.clone()).await.unwrap();
        let read = log.read_stream(&fits.stream, 0, MAX_PAGE).await.unwrap();
        assert_eq!(read.into_iter().map(|recorded| recorded.event).collect::<Vec<_>>(), fits.events);
    }
}

pub async fn what_makes_no_sense_is_refused(Fresh { log, .. }: Fresh) {
    let nothing = append("a", Expected::NoStream, []);
    let nameless = Append { stream: StreamName::stored(""), ..append("a", Expected::NoStream, [1]) };
    let twice = append("a", Expected::NoStream, [1, 2, 1]);
    let endless = append("a", Expected::Revision(u64::MAX), [1]);
    let mut too_fine = append("a", Expected::NoStream, [1]);
    too_fine.events[0].recorded_at += chrono::TimeDelta::nanoseconds(1);
    let mut no_kind = append("a", Expected::NoStream, [1]);
    no_kind.events[0].kind.clear();
    let mut no_schema = append("a", Expected::NoStream, [1]);
    no_schema.events[0].schema = 0;
    for bad in [nothing, nameless, twice, endless, too_fine, no_kind, no_schema] {
        let refused = log.append(bad.clone()).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{bad:?}: {refused:?}");
    }
    assert_eq!(log.head().await, Ok(None));
}

pub async fn an_empty_log_and_an_unknown_stream_are_empty(Fresh { log, .. }: Fresh) {
    assert_eq!(log.head().await, Ok(None));
    assert_eq!(*log.follow().borrow(), None);
    assert_eq!(log.read_all(0, 10).await, Ok(vec![]));
    assert_eq!(log.read_stream(&stream("a"), 0, 10).await, Ok(vec![]));
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    assert_eq!(log.read_stream(&stream("b"), 0, 10).await, Ok(vec![]));
    for beyond in [1, u64::MAX] {
        assert_eq!(log.read_all(beyond, 10).await, Ok(vec![]));
        assert_eq!(log.read_stream(&stream("a"), beyond, 10).await, Ok(vec![]));
    }
}

pub async fn every_field_reads_back_as_it_was_written(Fresh { log, .. }: Fresh) {
    let id = |n: u128| Uuid::from_u128(n);
    let mut events = vec![event(1)];
    for (i, actor) in
        [Actor::Device(id(u128::MAX).into()), Actor::System(SystemPart::Cli), Actor::Account(id(0).into())]
            .into_iter()
            .enumerate()
    {
        let n = i as u64;
        events.push(NewEvent {
            kind: "Ünusual \"name\"".into(),
            schema: [u32::MAX, 2, 3][i],
            payload: [&[][..], &[0, 255, 128, b'\''], "{\"ü\":\"\\n\"}".as_bytes()][i].to_vec(),
            recorded_at: DateTime::from_timestamp_micros([-1, 0, 253_402_300_799_999_999][i]).unwrap(),
            effective_at: Time::from_unix([i64::MIN, 0, i64::MAX][i]),
            meta: Meta {
                actor,
                on_behalf_of: Some(id(70 + i as u128).into()),
                command_id: id(80).into(),
                causation_id: Some(id(90).into()),
                correlation_id: id(u128::MAX - 1).into(),
            },
            ..event(200 + n)
        });
    }
    let name = StreamName::stored("order-ob-Qm'ü\"%_-x");
    let append = Append { stream: name.clone(), expected: Expected::NoStream, events: events.clone() };
    log.append(append).await.unwrap();
    let expected: Vec<_> = events
        .into_iter()
        .zip(0..)
        .map(|(event, n)| Recorded { position: n, stream: name.clone(), revision: n, event })
        .collect();
    assert_eq!(log.read_stream(&name, 0, 10).await, Ok(expected.clone()));
    assert_eq!(log.read_all(0, 10).await, Ok(expected));
}

pub async fn a_follower_is_woken_by_an_append(Fresh { log, .. }: Fresh) {
    let mut hint = log.follow();
    let waiting = tokio::spawn(async move {
        hint.changed().await.unwrap();
        *hint.borrow()
    });
    log.append(append("a", Expected::NoStream, [1, 2])).await.unwrap();
    let woken =
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the hint fires").unwrap();
    assert_eq!(woken, Some(1));
    let after = log.follow();
    assert_eq!(*after.borrow(), Some(1));
    let _ = log.append(append("a", Expected::NoStream, [3])).await;
    assert!(!after.has_changed().unwrap(), "a refused append wakes nobody");
}

pub async fn pages_continue_where_the_last_one_ended(Fresh { log, .. }: Fresh) {
    for start in (0..2400_u64).step_by(400) {
        let expected = Expected::from(start.checked_sub(1));
        log.append(append("a", expected, start..start + 400)).await.unwrap();
    }
    assert_eq!(log.read_all(0, usize::MAX).await.unwrap().len(), MAX_PAGE);
    assert_eq!(log.read_stream(&stream("a"), 0, usize::MAX).await.unwrap().len(), MAX_PAGE);
    assert_eq!(log.read_all(0, 0).await.unwrap().len(), 1, "a page is never smaller than one event");
    let all = read_to_end(&*log, 777).await;
    assert_eq!(all.len(), 2400);
    assert_whole(&all);
    let ids: HashSet<_> = all.iter().map(|recorded| recorded.event.id).collect();
    assert_eq!(ids.len(), 2400);
    assert_eq!(log.read_stream(&stream("a"), 2390, 5).await.unwrap(), all[2390..2395]);
}

pub async fn a_page_of_large_events_ends_early_but_is_never_empty(Fresh { log, .. }: Fresh) {
    let count = 2 * MAX_PAGE_BYTES / MAX_PAYLOAD;
    for n in 0..count as u64 {
        let mut append = append("a", Expected::from(n.checked_sub(1)), [n]);
        append.events[0].payload = vec![b'x'; MAX_PAYLOAD];
        log.append(append).await.unwrap();
    }
    let page = log.read_all(0, MAX_PAGE).await.unwrap();
    assert!((1..count).contains(&page.len()), "{} of {count}", page.len());
    assert_eq!(read_to_end(&*log, MAX_PAGE).await.len(), count);
}
