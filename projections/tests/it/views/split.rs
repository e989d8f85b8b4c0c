//! However the log is cut into batches, and wherever the program dies between them, the rows are the same.

use std::collections::BTreeSet;

use domain::any::AnyEvent;
use projections::{
    rows::{Cache, Rows},
    views::{
        Applied, Engine, Envelope, Page, View, ViewError, Views,
        contracts::{ContractScope, Contracts},
    },
};
use proptest::prelude::*;
use rusqlite::Connection;

use super::support::{assert_same, dump, fold, fresh, market, recorded};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_the_log_gives_the_same_rows(
        seed in any::<u64>(),
        appends in 50..400_usize,
        cuts in prop::collection::btree_set(0..600_usize, 0..12),
        restarts in prop::collection::btree_set(0..12_usize, 0..6),
    ) {
        let events = recorded(market(seed, appends));
        let (_whole_folder, whole) = runtime().block_on(fresh());
        let (_parts_folder, parts) = runtime().block_on(fresh());
        fold(&whole, &events).unwrap();

        let cuts: BTreeSet<_> = cuts.into_iter().filter(|cut| *cut < events.len()).chain([events.len()]).collect();
        let mut engine = Engine::open(&parts).unwrap();
        let mut from = 0;
        for (i, cut) in cuts.into_iter().enumerate() {
            prop_assert_eq!(engine.apply(&events[from..cut]).unwrap(), Applied::Folded);
            from = cut;
            if restarts.contains(&i) {
                engine = Engine::open(&parts).unwrap();
                prop_assert_eq!(engine.next(), cut as u64);
            }
        }
        assert_same(&dump(&whole), &dump(&parts));
    }
}

#[tokio::test]
async fn a_fold_without_a_file_gives_the_rows_that_the_file_holds() {
    let events = recorded(market(9, 400));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    let mut cache = Cache::new("contracts", 0, true);
    for recorded in &events {
        let event = AnyEvent::of(recorded).unwrap();
        Contracts::fold(&mut Rows::in_memory(&mut cache), &Envelope::new(recorded, &event)).unwrap();
    }
    let mut rows = cache.rows();
    rows.sort_by_key(|row| row.position);
    let views = Views::open(&path).unwrap();
    assert!(!rows.is_empty());
    assert_eq!(views.contracts(ContractScope::All, None, Page::oldest(500)).await.unwrap(), rows);
}

#[tokio::test]
async fn a_page_that_overlaps_what_is_folded_changes_nothing_twice() {
    let events = recorded(market(1, 200));
    let (_once, once) = fresh().await;
    let (_twice, twice) = fresh().await;
    fold(&once, &events).unwrap();
    let mut engine = Engine::open(&twice).unwrap();
    engine.apply(&events[..120]).unwrap();
    engine.apply(&events[50..]).unwrap();
    engine.apply(&events).unwrap();
    assert_same(&dump(&once), &dump(&twice));
}

#[tokio::test]
async fn a_page_that_leaves_a_gap_is_refused_and_nothing_of_it_is_folded() {
    let events = recorded(market(1, 200));
    let (_folder, path) = fresh().await;
    let mut engine = Engine::open(&path).unwrap();
    engine.apply(&events[..10]).unwrap();
    let before = dump(&path);
    assert_eq!(engine.apply(&events[20..]), Err(ViewError::Gap { expected: 10, found: 20 }));
    assert_eq!(dump(&path), before);
    engine.apply(&events[10..]).unwrap();
}

#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_no_trace_and_can_be_repeated() {
    let events = recorded(market(2, 300));
    let (_whole_folder, whole) = fresh().await;
    let (_folder, path) = fresh().await;
    fold(&whole, &events).unwrap();
    let mut engine = Engine::open(&path).unwrap();
    engine.apply(&events[..100]).unwrap();
    let before = dump(&path);

    // The last table to be written refuses: everything before it in the same transaction must go too.
    let db = Connection::open(&path).unwrap();
    db.execute_batch("create trigger no before insert on timeline begin select raise(abort, 'full'); end")
        .unwrap();
    assert!(matches!(engine.apply(&events[100..]), Err(ViewError::Storage(_))));
    db.execute_batch("drop trigger no").unwrap();
    assert_eq!(dump(&path), before);

    assert_eq!(engine.next(), 100);
    engine.apply(&events[100..]).unwrap();
    assert_same(&dump(&whole), &dump(&path));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_named_and_never_skipped() {
    let mut events = recorded(market(3, 100));
    let (_folder, path) = fresh().await;
    events[70].event.payload = b"{".to_vec();
    let mut engine = Engine::open(&path).unwrap();
    let error = engine.apply(&events).unwrap_err();
    assert!(matches!(error, ViewError::Event { position: 70, .. }), "{error}");
    assert!(error.to_string().contains(&events[70].event.kind), "{error}");
    assert_eq!(engine.next(), 0);
}

#[tokio::test]
async fn two_engines_on_one_file_do_not_fold_an_event_twice() {
    let events = recorded(market(4, 400));
    let (_whole_folder, whole) = fresh().await;
    let (_folder, path) = fresh().await;
    fold(&whole, &events).unwrap();
    let mut engines = [Engine::open(&path).unwrap(), Engine::open(&path).unwrap()];
    let mut moved = 0;
    let mut turn = 0;
    while engines.iter().any(|engine| engine.next() < events.len() as u64) {
        let engine = &mut engines[turn % 2];
        let from = usize::try_from(engine.next()).unwrap();
        let to = events.len().min(from + 37);
        moved += usize::from(engine.apply(&events[from..to]).unwrap() == Applied::Moved);
        turn += 1;
    }
    assert!(moved > 3, "they never met");
    assert_same(&dump(&whole), &dump(&path));
}
