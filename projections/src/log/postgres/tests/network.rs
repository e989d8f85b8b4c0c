//! A network that stops between a node and the database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fixtures::postgres::{Options, Server};

use super::support::{Proxy, Writers, open};
use crate::log::{
    AppendError, EventLog, Expected,
    contract::{append, read_to_end},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_in_the_middle_of_its_call_holds_up_nobody_and_comes_back() {
    let server = Server::start(Options { tcp: true, ..Options::default() });
    let database = server.fresh();
    let proxy = Proxy::new(&database.url()).await;
    let near = Arc::new(open(&database.url()).await);
    let far = Arc::new(open(&proxy.url(&database.url())).await);
    far.append(append("far", Expected::NoStream, [0])).await.unwrap();

    // Half of the call has arrived.
    let mut two = append("far", Expected::Revision(0), [1]);
    two.events[0].payload = vec![b'x'; 20_000];
    proxy.stop_after(10_000);
    let asked = Instant::now();
    let cut_off = tokio::spawn({
        let (far, two) = (far.clone(), two.clone());
        async move { far.append(two).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let others = Instant::now();
    for n in 0..100_u64 {
        near.append(append("near", Expected::from(n.checked_sub(1)), [n + 10])).await.unwrap();
    }
    assert!(others.elapsed() < Duration::from_secs(8), "others go on: {:?}", others.elapsed());
    assert_eq!(cut_off.await.unwrap(), Err(AppendError::OutcomeUnknown));
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let refused = far.append(two.clone()).await;
    assert!(
        matches!(refused, Err(AppendError::Fatal(_))),
        "at once, while there is no connection: {refused:?}"
    );

    proxy.flow();
    let deadline = Instant::now() + Duration::from_secs(30);
    let appended = loop {
        match far.append(two.clone()).await {
            Ok(appended) => break appended,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(appended.revision, 1);
    assert_eq!(read_to_end(&*near, 1000).await.len(), 102);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_never_arrive_are_found_by_the_retry() {
    let server = Server::start(Options { tcp: true, ..Options::default() });
    let database = server.fresh();
    let proxy = Proxy::new(&database.url()).await;
    let far = Arc::new(open(&proxy.url(&database.url())).await);
    let writers = Writers::start(std::slice::from_ref(&far), 8);
    writers.progress(50).await;
    proxy.stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.flow();
    writers.progress(50).await;
    proxy.stop();
    database.cut();
    proxy.flow();
    writers.progress(50).await;
    writers.check(&far).await;
}
