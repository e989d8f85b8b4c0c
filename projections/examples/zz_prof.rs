//! tmp
use fixtures::market::{Commit, Market};
use projections::{
    log::{Append, EventLog, sqlite::SqliteLog},
    rebuild,
};
use std::{path::Path, sync::Arc, time::Instant};
#[tokio::main]
async fn main() {
    let arg = std::env::args().nth(1).unwrap();
    let path = Path::new("/tmp/vw/log.db");
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(path).await.unwrap());
    match &*arg {
        "fill" => {
            let mut q = std::collections::VecDeque::new();
            let mut n = 0;
            for Commit { stream, after, events } in Market::new(1, 2000) {
                n += events.len();
                let mut a = log.append(Append { stream, expected: after.into(), events });
                if std::future::poll_fn(|c| std::task::Poll::Ready(a.as_mut().poll(c))).await.is_ready() {
                    continue;
                }
                q.push_back(a);
                if q.len() > 2000 {
                    q.pop_front().unwrap().await.unwrap();
                }
                if n >= 1_000_000 {
                    break;
                }
            }
            for a in q {
                a.await.unwrap();
            }
        }
        "read" => {
            let t = Instant::now();
            let mut from = 0;
            loop {
                let p = log.read_all(from, 2000).await.unwrap();
                if p.is_empty() {
                    break;
                }
                from += p.len() as u64;
            }
            println!("read {:?}", t.elapsed());
        }
        "decode" => {
            let t = Instant::now();
            let mut from = 0;
            loop {
                let p = log.read_all(from, 2000).await.unwrap();
                if p.is_empty() {
                    break;
                }
                from += p.len() as u64;
                projections::views::decode(&p).unwrap();
            }
            println!("read+decode {:?}", t.elapsed());
        }
        "rebuild" => {
            let names: Vec<String> = std::env::args().skip(2).collect();
            let t = Instant::now();
            let _ = std::fs::remove_file("/tmp/vw/views.db");
            let _ = std::fs::remove_file("/tmp/vw/views.db-wal");
            let _ = std::fs::remove_file("/tmp/vw/views.db-shm");
            let last = std::sync::Mutex::new(None);
            rebuild::rebuild(
                &log,
                Path::new("/tmp/vw/views.db"),
                (!names.is_empty()).then_some(&names[..]),
                move |s| {
                    let mut l = last.lock().unwrap();
                    if *l != Some(s.stage) || s.done == s.total {
                        println!("{:?} {s:?}", t.elapsed());
                    }
                    *l = Some(s.stage);
                },
            )
            .await
            .unwrap();
            println!("rebuild {:?}", t.elapsed());
        }
        _ => {}
    }
}
