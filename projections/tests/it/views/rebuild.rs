//! Rebuilding: the same rows, while readers and runners go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use projections::{
    log::{EventLog, memory::MemoryLog},
    rebuild::{self, Stage},
    runner::Runner,
    views::{self, Page, ViewError, Views},
};
use rusqlite::Connection;

use super::support::{append, assert_same, dump, fold, fresh, log_of, market, recorded};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_rebuilt_view_equals_the_live_one() {
    let commits = market(10, 2_500);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let live = dump(&path);
    let log = log_of(commits).await;
    for round in 0..2 {
        assert_eq!(
            rebuild::rebuild(&log, &path, None, |_| {}).await.unwrap(),
            views::names(),
            "round {round}"
        );
        assert_same(&live, &dump(&path));
    }
}

#[tokio::test]
async fn one_view_is_repaired_without_touching_the_others() {
    let commits = market(11, 600);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let whole = dump(&path);
    let db = Connection::open(&path).unwrap();
    db.execute_batch("delete from contracts; update orders set status = 'accepted'").unwrap();
    let log = log_of(commits).await;
    rebuild::rebuild(&log, &path, Some(&["contracts".into()]), |_| {}).await.unwrap();
    let repaired = dump(&path);
    let of = |rows: &[String], view: &str| {
        rows.iter().filter(|r| r.starts_with(view)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of(&repaired, "contracts"), of(&whole, "contracts"));
    assert_ne!(of(&repaired, "orders"), of(&whole, "orders"));
    let unknown = rebuild::rebuild(&log, &path, Some(&["contract".into()]), |_| {}).await.unwrap_err();
    assert!(unknown.to_string().contains("port_leases"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_never_shows_a_reader_a_gap_and_a_view_never_goes_back() {
    let commits = market(12, 1_200);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let log = log_of(commits).await;
    let views = Views::open(&path).unwrap();
    let devices = views.devices(Page::oldest(500)).await.unwrap().len();
    let events = log.head().await.unwrap().unwrap() + 1;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (views, done) = (Views::open(&path).unwrap(), done.clone());
            tokio::spawn(async move {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(views.devices(Page::oldest(500)).await.unwrap().len(), devices);
                    assert_eq!(views.checkpoint().await.unwrap(), events);
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    for _ in 0..4 {
        rebuild::rebuild(&log, &path, None, |_| {}).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 4, "the reader hardly looked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_goes_on_while_its_views_are_replaced() {
    let commits = market(13, 1_500);
    let (_whole_folder, whole) = fresh().await;
    fold(&whole, &recorded(commits.clone())).unwrap();
    let (_folder, path) = fresh().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let views = Views::open(&path).unwrap();
    let runner = Runner::start(log.clone(), views.clone()).await.unwrap();
    for part in commits.chunks(300) {
        append(&*log, part.to_vec()).await;
        rebuild::rebuild(&log, &path, None, |_| {}).await.unwrap();
    }
    assert!(views.wait_for(log.head().await.unwrap().unwrap(), PATIENCE).await.unwrap());
    runner.stop().await.unwrap();
    assert_same(&dump(&whole), &dump(&path));
}

#[tokio::test]
async fn what_a_dead_rebuild_left_is_in_nobodys_way() {
    let commits = market(14, 400);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let live = dump(&path);
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "create table devices__build (x); create index devices_2_by_owner on devices__build (x)",
    )
    .unwrap();
    let log = log_of(commits).await;
    rebuild::rebuild(&log, &path, None, |_| {}).await.unwrap();
    assert_same(&live, &dump(&path));
}

#[tokio::test]
async fn a_view_of_another_version_or_form_is_rebuilt_when_opened_and_a_newer_one_is_refused() {
    let commits = market(15, 300);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let live = dump(&path);
    let log = log_of(commits).await;
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "update checkpoints set version = 0 where view = 'orders'; delete from orders;
         update checkpoints set digest = zeroblob(32) where view = 'due'; drop table due; create table due (x)",
    )
    .unwrap();
    assert_eq!(rebuild::prepare(&log, &path, |_| {}).await.unwrap(), ["orders", "due"]);
    assert_same(&live, &dump(&path));
    assert!(rebuild::prepare(&log, &path, |_| {}).await.unwrap().is_empty());
    db.execute_batch("update checkpoints set version = 99 where view = 'orders'").unwrap();
    let error = rebuild::prepare(&log, &path, |_| {}).await.unwrap_err();
    assert!(matches!(error, ViewError::Newer { view: "orders", found: 99, .. }), "{error}");
}

#[tokio::test]
async fn views_of_another_log_are_rebuilt_when_opened() {
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(market(16, 300))).unwrap();
    let other = log_of(market(17, 300)).await;
    assert_eq!(rebuild::prepare(&other, &path, |_| {}).await.unwrap(), views::names());
    let shorter = log_of(market(17, 100)).await;
    assert_eq!(rebuild::prepare(&shorter, &path, |_| {}).await.unwrap(), views::names());
    let (_whole_folder, whole) = fresh().await;
    fold(&whole, &recorded(market(17, 100))).unwrap();
    assert_same(&dump(&whole), &dump(&path));
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_way_out_and_rebuilt_on_demand() {
    let commits = market(18, 300);
    let (_folder, path) = fresh().await;
    fold(&path, &recorded(commits.clone())).unwrap();
    let live = dump(&path);
    let log = log_of(commits).await;
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let _ = std::fs::remove_file(path.with_extension("db-wal"));
    let error = rebuild::prepare(&log, &path, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("berth rebuild"), "{error}");
    rebuild::rebuild(&log, &path, None, |_| {}).await.unwrap();
    assert_same(&live, &dump(&path));
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    Connection::open(&path).unwrap().execute_batch("create table theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let log = log_of(market(19, 10)).await;
    assert!(matches!(rebuild::prepare(&log, &path, |_| {}).await, Err(ViewError::Foreign { .. })));
    assert!(matches!(rebuild::rebuild(&log, &path, None, |_| {}).await, Err(ViewError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn progress_is_reported_and_ends_at_the_logs_end() {
    let (_folder, path) = fresh().await;
    let log = log_of(market(20, 200)).await;
    let steps = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = steps.clone();
    rebuild::rebuild(&log, &path, None, move |step| seen.lock().unwrap().push(step)).await.unwrap();
    let steps = steps.lock().unwrap().clone();
    let last = steps.last().unwrap();
    assert_eq!((last.stage, Some(last.done - 1)), (Stage::Done, log.head().await.unwrap()));
    assert!(steps.iter().all(|step| step.done <= step.total));
}
