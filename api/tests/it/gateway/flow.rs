//! What a device may send for visitors who do not take it, and how what was cut off ends for them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use russh::ChannelMsg;
use tokio::io::AsyncReadExt;

use super::{
    device::{Serves, bring_up},
    kit::{Gate, eventually},
    visit::connect,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_asks_on_a_visitors_channel_is_refused_and_not_kept() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    let asks = Serves::with(move |mut channel| {
        let refused = counted.clone();
        async move {
            for _ in 0..100 {
                channel.set_env(true, "LOAD", "x".repeat(200_000)).await.unwrap();
                while !matches!(channel.wait().await, Some(ChannelMsg::Failure)) {}
                refused.fetch_add(1, Ordering::Relaxed);
            }
            channel.exec(false, "true").await.unwrap();
            channel.data(&b"done"[..]).await.unwrap();
            channel.eof().await.unwrap();
        }
    });
    let _device = bring_up(&gate, &machine, asks).await;
    let mut visitor = connect(lease.port).await;
    eventually(|| async { refused.load(Ordering::Relaxed) == 100 }).await;
    let mut heard = String::new();
    visitor.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "done");
}
