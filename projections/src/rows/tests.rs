//! A cache, however small, against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::{
    db::{Db, Session},
    postgres::Postgres,
    views::ViewError,
};

row! {
    /// A number with two keys.
    Number in "numbers" by (
        /// One.
        a: u64,
        /// The other.
        b: u64,
    ) {
        /// The event that made it.
        position: u64,
        /// The number.
        n: i64,
    }
}

/// What a fold may do; the keys are few, so that it often meets what it forgot.
#[derive(Debug, Clone)]
enum Step {
    Get(u64),
    Add(u64, i64),
    AddOrNew(u64, i64),
    Put(u64, i64),
    Remove(u64),
    /// The end of a batch.
    Write,
    /// Another process wrote, or a transaction was rolled back just after it was written.
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..24_u64;
    let step = prop_oneof![
        3 => key().prop_map(Step::Get),
        3 => (key(), any::<i8>()).prop_map(|(key, n)| Step::Add(key, n.into())),
        3 => (key(), any::<i8>()).prop_map(|(key, n)| Step::AddOrNew(key, n.into())),
        4 => (key(), any::<i8>()).prop_map(|(key, n)| Step::Put(key, n.into())),
        2 => key().prop_map(Step::Remove),
        5 => Just(Step::Write),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..200)
}

fn table() -> Db {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("create table numbers (a, b, position, n, primary key (a, b)) without rowid").unwrap();
    Db::Sqlite(db)
}

/// The same on a server; gone with the runtime.
fn table_on_a_server() -> (fixtures::postgres::Database, Db) {
    let database = fixtures::postgres::server().fresh();
    let db = Db::Postgres(Session::open(&Postgres::new(&database.url()).unwrap(), "public".into()).unwrap());
    db.batch("create table numbers (a bigint, b bigint, position bigint, n bigint, primary key (a, b))")
        .unwrap();
    (database, db)
}

fn stored(db: &Db) -> BTreeMap<u64, i64> {
    let mut all = BTreeMap::new();
    db.each::<ViewError>("select a, n from numbers", Vec::new(), |row| {
        all.insert(row.take().unwrap(), row.take().unwrap());
        Ok(true)
    })
    .unwrap();
    all
}

fn number(key: u64, n: i64) -> Number {
    Number { a: key, b: key * 7, position: key, n }
}

fn run(db: &Db, steps: &[Step], max: usize, build: bool, in_order: bool) -> Result<(), TestCaseError> {
    db.batch("delete from numbers").unwrap();
    let mut cache = match build {
        true => Cache::<Number>::of_empty("numbers", max, in_order),
        false => Cache::new("numbers", max, in_order),
    };
    let mut model = BTreeMap::new();
    for step in steps {
        let mut rows = Rows::new(&mut cache, db);
        match *step {
            Step::Get(key) => {
                let found = rows.get(&(key, key * 7)).unwrap().map(|row| row.n);
                prop_assert_eq!(found, model.get(&key).copied());
            }
            Step::Add(key, n) => {
                rows.edit(&(key, key * 7), |row| row.n += n).unwrap();
                model.entry(key).and_modify(|known| *known += n);
            }
            Step::AddOrNew(key, n) => {
                rows.edit_or(&(key, key * 7), || number(key, 100), |row| row.n += n).unwrap();
                *model.entry(key).or_insert(100) += n;
            }
            Step::Put(key, n) => {
                if model.insert(key, n).is_some() {
                    rows.put(number(key, n));
                } else {
                    rows.insert(number(key, n));
                }
            }
            Step::Remove(key) => {
                rows.remove(&(key, key * 7));
                model.remove(&key);
            }
            Step::Write if build => cache.write(db, Which::Forgotten).unwrap(),
            Step::Write => {
                cache.write(db, Which::All).unwrap();
                prop_assert_eq!(&stored(db), &model);
            }
            Step::Clear if build => {}
            Step::Clear => {
                cache.write(db, Which::All).unwrap();
                cache.clear();
            }
        }
    }
    cache.write(db, Which::All).unwrap();
    prop_assert_eq!(stored(db), model);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_small_cache_and_its_table_say_what_a_map_says(
        steps in steps(),
        max in 0..12_usize,
        build: bool,
        in_order: bool,
    ) {
        run(&table(), &steps, max, build, in_order)?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_table_on_a_server() {
    tokio::task::spawn_blocking(|| {
        let (_database, db) = table_on_a_server();
        let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
        let all = (steps(), 0..12_usize, any::<bool>(), any::<bool>());
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner.run(&all, |(steps, max, build, in_order)| run(&db, &steps, max, build, in_order)).unwrap();
    })
    .await
    .unwrap();
}

#[test]
fn a_cache_stays_small_however_many_rows_pass_through() {
    let db = table();
    let mut cache = Cache::<Number>::new("numbers", 100, false);
    for key in 0..5_000 {
        Rows::new(&mut cache, &db).insert(number(key, 1));
        if key % 10 == 0 {
            cache.write(&db, Which::All).unwrap();
            assert!(cache.rows().len() <= 110, "{}", cache.rows().len());
        }
    }
}
