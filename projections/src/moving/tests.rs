use std::{
    any::Any,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use domain::{id::CommandId, key::Digest, time::Time};
use fixtures::postgres::Database;
use uuid::Uuid;

use super::{tables::Kind, *};
use crate::{postgres::Postgres, private::NewWebhook, sql::Value};

/// A place, and what must live as long.
struct Place {
    private: Private,
    halves: Halves,
    database: Option<Database>,
    _keep: Box<dyn Any + Send>,
}

impl Place {
    fn people(&self) -> People<'_> {
        People { private: &self.private, halves: Some(&self.halves) }
    }

    async fn holds_nothing(&self) {
        for store in [self.private.store(), self.halves.store()] {
            let mut tx = store.begin().await.unwrap();
            for table in tables::moved(&mut tx).await.unwrap() {
                let (rows,): (i64,) =
                    made(format!("select count(*) from {}", table.quoted())).one(&mut tx).await.unwrap();
                assert_eq!(rows, 0, "{}", table.name);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Folder,
    Database,
}

const WAYS: [(Is, Is); 4] = [
    (Is::Folder, Is::Database),
    (Is::Database, Is::Folder),
    (Is::Folder, Is::Folder),
    (Is::Database, Is::Database),
];

async fn in_folder(dir: &Path) -> (Private, Halves) {
    (
        Private::open(&dir.join("private.db")).await.unwrap(),
        Halves::open(&dir.join("halves.db")).await.unwrap(),
    )
}

async fn place(is: Is) -> Place {
    if is == Is::Folder {
        let dir = tempfile::tempdir().unwrap();
        let (private, halves) = in_folder(dir.path()).await;
        return Place { private, halves, database: None, _keep: Box::new(dir) };
    }
    let database = tokio::task::spawn_blocking(|| fixtures::postgres::server().fresh()).await.unwrap();
    let postgres = Postgres::new(&database.url()).unwrap();
    postgres.prepare().await.unwrap();
    let private = Private::on(&postgres).await.unwrap();
    let halves = Halves::on(&postgres).await.unwrap();
    Place { private, halves, database: Some(database), _keep: Box::new(()) }
}

async fn move_all(from: &Place, to: &Place) -> Result<Moved, MoveError> {
    move_private(from.people(), to.people(), |_, _| {}).await
}

/// The `n`th row of a table, as its checks allow; texts and bytes are those that order and encode badly.
fn row(table: &Table, n: i64) -> Vec<Value> {
    const BYTES: [&[u8]; 4] = [b"\0", b"\xff\0\xfe", b"", b"\\x00'"];
    const TEXTS: [&str; 5] = ["Z", "a", "ä '\"\\", "\u{10ffff}\r\n\t", ""];
    const MISSING: [&str; 10] = [
        "accounts.email",
        "accounts.refund_address",
        "accounts.marketplace",
        "tokens.expires_at",
        "tokens.revoked_at",
        "sessions.token",
        "webhooks.label",
        "openbazaar_orders.look_at",
        "passkey_challenges.account",
        "idempotency.sealed_answer",
    ];
    let small = n % 2;
    let turn = |of: usize| usize::try_from(n).unwrap() % of;
    let missing = |column: &tables::Column| {
        turn(3) == 0 && MISSING.contains(&format!("{}.{}", table.name, column.name).as_str())
    };
    let of = |column: &tables::Column| match (table.name.as_str(), column.name.as_str(), column.kind) {
        ("outbox", "outcome" | "ended_at" | "started_at", Kind::Text) => Value::Text(None),
        ("outbox", "ended_at" | "started_at", _) => Value::Number(None),
        ("webhooks", "sealed_old_secret", _) if small == 0 => Value::Bytes(None),
        ("webhooks", "old_secret_until" | "last_error_at", _) if small == 0 => Value::Number(None),
        ("webhooks", "last_error", _) if small == 0 => Value::Text(None),
        ("halves", "sealed", _) if small == 0 => Value::Bytes(None),
        ("halves", "why", _) => Value::Text((small == 0).then(|| "asked".to_owned())),
        ("halves", "recorded", _) => Value::Number(Some(1 - small)),
        (_, "watched" | "open", _) => Value::Number(Some(small)),
        ("outbox" | "webhooks", "id" | "seq", Kind::Number) => Value::Number(Some(n * 3 + 1)),
        (_, "id", Kind::Number) => Value::Number(Some(1)),
        (_, _, Kind::Text) if missing(column) => Value::Text(None),
        (_, _, Kind::Number) if missing(column) => Value::Number(None),
        (_, _, Kind::Bytes) if missing(column) => Value::Bytes(None),
        (_, "created_at", _) => Value::Number(Some([i64::MIN, i64::MAX, 0, -1][turn(4)])),
        (_, _, Kind::Number) => Value::Number(Some(n)),
        (_, _, Kind::Text) => Value::Text(Some(format!("{}{n}", TEXTS[turn(5)]))),
        ("secrets", "sealed", _) if n == 1 => Value::Bytes(Some(vec![0; 5 << 20])),
        (_, _, Kind::Bytes) => Value::Bytes(Some([BYTES[turn(4)], &n.to_be_bytes()].concat())),
    };
    table.columns.iter().map(of).collect()
}

/// `rows` rows in every table that takes more than one.
async fn fill(place: &Place, rows: i64) {
    for store in [place.private.store(), place.halves.store()] {
        let mut tx = store.begin().await.unwrap();
        for table in tables::moved(&mut tx).await.unwrap() {
            let single = table.columns.iter().any(|c| c.key == 1 && c.kind == Kind::Number && !c.counted);
            let mut page = Page::new(&table);
            for n in 0..if single { 1 } else { rows } {
                page.push(row(&table, n));
                if page.is_full() {
                    page.write(&mut tx).await.unwrap();
                }
            }
            page.write(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_kinds_of_store_have_the_same_tables_but_for_those_that_are_named() {
    let (folder, database) = (place(Is::Folder).await, place(Is::Database).await);
    let all = "select name from sqlite_schema where type = 'table' and substr(name, 1, 7) <> 'sqlite_'";
    let found: Vec<(String,)> = crate::sql::sql(all).all(folder.private.store()).await.unwrap();
    let left = found.iter().filter(|(name,)| LEFT_BEHIND.iter().any(|(left, _)| left == name)).count();
    assert_eq!(left, 7, "of a file, migrations, leases and what servers tell each other stay: {found:?}");
    for (ours, theirs) in
        [(folder.private.store(), database.private.store()), (folder.halves.store(), database.halves.store())]
    {
        let ours = tables::moved(&mut ours.begin().await.unwrap()).await.unwrap();
        let theirs = tables::moved(&mut theirs.begin().await.unwrap()).await.unwrap();
        assert_eq!(ours, theirs);
        assert!(ours.iter().all(|table| table.columns.iter().any(|column| column.key == 1)));
    }

    let add = "alter table accounts add column shoe_size bigint";
    database.database.as_ref().unwrap().sql(add);
    let why = move_all(&folder, &database).await.unwrap_err().to_string();
    assert!(why.contains("the source has no such column as accounts.shoe_size"), "{why}");
    database.database.as_ref().unwrap().sql("drop table tries");
    let why = move_all(&database, &folder).await.unwrap_err().to_string();
    assert!(why.contains("accounts.shoe_size"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_the_same_afterwards_whichever_way_it_goes_and_twice_is_a_legal_answer() {
    for (from, to) in WAYS {
        let (from, to) = (place(from).await, place(to).await);
        fill(&from, 450).await;
        let moved = move_all(&from, &to).await.unwrap();
        let halves = moved.halves.clone().unwrap();
        assert!(moved.private.tables.iter().chain(&halves.tables).all(|(_, rows)| *rows > 0), "{moved:?}");
        assert_eq!((halves.rows(), halves.was_there, moved.private.was_there), (450, false, false));
        if let Some(database) = &to.database {
            let text = "select encode(convert_to(name, 'utf8'), 'hex'), encode(id, 'hex') from accounts";
            let text = database.sql(&format!("{text} where created_at = -1 limit 1"));
            assert_eq!(text.trim(), "f48fbfbf0d0a0933|5c783030270000000000000003");
            assert_eq!(database.sql("select length(sealed) from secrets where epoch = 1").trim(), "5242880");
        }
        let again = move_all(&from, &to).await.unwrap();
        assert!(again.private.was_there && again.private.tables == moved.private.tables);
        assert_eq!(move_all(&to, &from).await.unwrap(), again, "and back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_holds_something_else_is_refused_and_left_as_it_was() {
    for (from, to) in WAYS {
        let (from, to) = (place(from).await, place(to).await);
        fill(&from, 5).await;
        to.private.node_key(Digest::of(b"other keys")).await.unwrap();
        let why = move_all(&from, &to).await.unwrap_err().to_string();
        assert!(why.contains("private store already holds something else: in accounts"), "{why}");
        assert_eq!(to.private.known_node_key().await.unwrap(), Some(Digest::of(b"other keys")));
        crate::sql::sql("delete from server_keys").execute(to.private.store()).await.unwrap();
        to.holds_nothing().await;

        move_all(&from, &to).await.unwrap();
        let rename = "update device_names set name = 'secret' where name = 'a1'";
        assert_eq!(crate::sql::sql(rename).execute(to.private.store()).await.unwrap(), 1);
        let why = move_all(&from, &to).await.unwrap_err().to_string();
        assert!(why.contains("in device_names, device ff00fe") && why.contains("another name"), "{why}");
        assert!(!why.contains("secret'"), "{why}");
        // Halves that are not the same hold back the private store, too.
        let third = place(Is::Folder).await;
        crate::sql::sql("delete from halves where epoch = 1").execute(to.halves.store()).await.unwrap();
        let mixed = People { private: &third.private, halves: Some(&to.halves) };
        let why = move_private(from.people(), mixed, |_, _| {}).await.unwrap_err().to_string();
        assert!(why.contains("key halves already holds something else"), "{why}");
        third.holds_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_halves_they_stay_where_they_are() {
    let (from, to) = (place(Is::Folder).await, place(Is::Database).await);
    fill(&from, 3).await;
    let people = People { halves: None, ..from.people() };
    let moved = move_private(people, to.people(), |_, _| {}).await.unwrap();
    assert_eq!(moved.halves, None);
    let halves =
        crate::sql::sql("select count(*) from halves").one::<(i64,)>(to.halves.store()).await.unwrap();
    assert_eq!(halves, (0,));
    let after = move_all(&from, &to).await.unwrap();
    assert!(after.private.was_there && !after.halves.unwrap().was_there, "they can follow later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_cut_off_leaves_the_target_empty() {
    for (is, at) in [(Is::Folder, 1_000), (Is::Database, 1_000), (Is::Database, 9_000)] {
        let (from, to) = (place(Is::Folder).await, place(is).await);
        fill(&from, 450).await;
        let (cut, now) = (tokio::sync::Notify::new(), AtomicBool::new(false));
        let report = |done, total| {
            assert!(done <= total);
            if done > at && !now.swap(true, Ordering::SeqCst) {
                cut.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = cut.notified() => {}
            moved = move_private(from.people(), to.people(), report) => panic!("not cut off: {moved:?}"),
        }
        to.holds_nothing().await;
        move_all(&from, &to).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_cut_off_between_the_stores_is_completed_by_the_next() {
    let (from, to) = (place(Is::Database).await, place(Is::Folder).await);
    fill(&from, 20).await;
    let moved = move_all(&from, &to).await.unwrap();
    for (table, _) in &moved.private.tables {
        made(format!("delete from {table}")).execute(to.private.store()).await.unwrap();
    }
    let again = move_all(&from, &to).await.unwrap();
    assert_eq!(again.private, moved.private);
    assert!(again.halves.unwrap().was_there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_cut_off_on_the_way_leaves_the_target_empty() {
    for (from, to) in [(Is::Folder, Is::Database), (Is::Database, Is::Folder)] {
        let (from, to) = (place(from).await, place(to).await);
        fill(&from, 450).await;
        let database = from.database.as_ref().or(to.database.as_ref()).unwrap();
        let now = AtomicBool::new(false);
        let report = |done, _| {
            if done > 1_000 && !now.swap(true, Ordering::SeqCst) {
                tokio::task::block_in_place(|| assert!(database.cut() >= 2));
            }
        };
        let failed = move_private(from.people(), to.people(), report).await;
        assert!(matches!(failed, Err(MoveError::Storage(_))), "{failed:?}");
        to.holds_nothing().await;
        move_all(&from, &to).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_go_on_above_all_that_the_source_gave() {
    let webhook = |n: u128| NewWebhook {
        id: Uuid::from_u128(n),
        url: "https://example.org/".into(),
        label: None,
        marketplace: None,
        types: vec![],
        created_at: Time::from_unix(1),
        sealed_secret: vec![1],
        by: CommandId(Uuid::from_u128(n)),
        next: 0,
    };
    for (from, to) in WAYS {
        let (from, to) = (place(from).await, place(to).await);
        for n in 1..=5 {
            assert!(from.private.add_webhook(&webhook(n), 10).await.unwrap());
        }
        crate::sql::sql("delete from webhooks where seq > 3").execute(from.private.store()).await.unwrap();
        move_all(&from, &to).await.unwrap();
        assert!(to.private.add_webhook(&webhook(6), 10).await.unwrap());
        let seqs = crate::sql::sql("select seq from webhooks order by seq");
        let seqs: Vec<(i64,)> = seqs.all(to.private.store()).await.unwrap();
        assert_eq!(seqs, [(1,), (2,), (3,), (6,)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_somebody_uses_is_refused() {
    let (from, to) = (place(Is::Database).await, place(Is::Folder).await);
    let (holder, now) = (Uuid::from_u128(1), Time::from_unix(1));
    from.private.take_lease("scheduler", holder, now, 60).await.unwrap();
    for (from, to, place) in [(&from, &to, "source"), (&to, &from, "target")] {
        let why = move_all(from, to).await.unwrap_err();
        assert!(why.to_string().contains(&format!("private store of the {place} is in use")), "{why}");
    }
    from.private.end_lease("scheduler", holder, now).await.unwrap();
    let mut busy = from.private.store().begin().await.unwrap();
    crate::sql::sql("delete from tries").execute(&mut busy).await.unwrap();
    let why = move_all(&from, &to).await.unwrap_err();
    assert!(matches!(why, MoveError::InUse { place: "source", .. }), "{why}");
    drop(busy);
    let _busy = to.halves.store().begin().await.unwrap();
    let why = move_all(&from, &to).await.unwrap_err();
    assert!(matches!(why, MoveError::InUse { what: "key halves", place: "target" }), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_with_a_nul_goes_from_file_to_file_and_is_refused_by_a_database() {
    let (from, folder, database) =
        (place(Is::Folder).await, place(Is::Folder).await, place(Is::Database).await);
    let query =
        crate::sql::sql("insert into device_names (device, name) values (x'0a', 'a' || char(0) || 'b')");
    query.execute(from.private.store()).await.unwrap();
    move_all(&from, &folder).await.unwrap();
    let kept: Vec<(String,)> =
        crate::sql::sql("select name from device_names").all(folder.private.store()).await.unwrap();
    assert_eq!(kept, [("a\0b".to_owned(),)]);
    let why = move_all(&from, &database).await.unwrap_err().to_string();
    assert!(why.starts_with("name of device 0a in device_names contains a NUL"), "{why}");
    database.holds_nothing().await;
}
