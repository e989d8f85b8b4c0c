//! A gateway that is stopped and started again, and devices that freeze.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    device::{Serves, bring_up},
    kit::{Gate, Machine, PATIENCE, eventually},
    visit::{answers, bulk, connect, echo, ends, listening, standing},
};

/// A device that comes back whenever it is cut off, as its unit would have it.
struct Comes(tokio::task::JoinHandle<()>);

impl Comes {
    fn back(gate: &Gate, machine: &Machine, port: u16, service: u16) -> Self {
        let start = gate.client(machine, &["-N", "-R", &format!("{port}:127.0.0.1:{service}")]);
        Self(tokio::spawn(async move {
            loop {
                let _ = start().done_at_last().await;
                sleep(Duration::from_millis(100)).await;
            }
        }))
    }
}

impl Drop for Comes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_under_load_exactly_the_living_leases_are_served_again() {
    let mut gate = Gate::start().await;
    let service = echo().await;
    let machines: Vec<_> = (0..6).map(|n| gate.machine(n)).collect();
    let (mut leases, mut devices) = (Vec::new(), Vec::new());
    for machine in &machines {
        let lease = gate.grant(machine, 1).await;
        devices.push(Comes::back(&gate, machine, lease.port, service));
        leases.push(lease);
    }
    for lease in &leases {
        gate.until_up(lease, true).await;
    }
    for round in 0..3 {
        let load: Vec<_> = leases
            .iter()
            .map(|lease| {
                let port = lease.port;
                tokio::spawn(async move {
                    let Ok(mut visitor) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (mut read, mut write) = visitor.split();
                    let reads = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
                    let writes = async { while write.write_all(&[7; 32 * 1024]).await.is_ok() {} };
                    let _ = tokio::join!(reads, writes);
                })
            })
            .collect();
        sleep(Duration::from_millis(200)).await;
        let stopping = Instant::now();
        gate.restart().await;
        assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
        // One lease ended meanwhile.
        let ended = leases.remove(0);
        gate.tell(&leases);
        for visitor in load {
            timeout(PATIENCE, visitor).await.expect("a visitor is not let go").unwrap();
        }
        for lease in &leases {
            gate.until_up(lease, true).await;
            assert!(answers(lease.port).await, "round {round}");
        }
        eventually(|| async { !listening(ended.port) && standing(ended.port) == 0 }).await;
        assert_eq!(gate.gateway.look().len(), leases.len());
    }
    bulk(leases[0].port, 1 << 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_lets_visitors_finish_and_nobody_new_in() {
    let gate = Gate::with(|section| section.drain_s = 60).await;
    let (machine, other) = (gate.machine(1), gate.machine(2));
    let (lease, idle) = (gate.grant(&machine, 1).await, gate.grant(&other, 1).await);
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    let _idle = bring_up(&gate, &other, Serves::Echo).await;
    let mut visitor = connect(lease.port).await;
    visitor.write_all(b"one").await.unwrap();
    let mut heard = [0; 3];
    timeout(PATIENCE, visitor.read_exact(&mut heard)).await.unwrap().unwrap();
    let stopping = tokio::spawn(gate.gateway.clone().stop());
    eventually(|| async { !listening(lease.port) && !listening(idle.port) }).await;
    eventually(|| async { !listening(gate.gateway.ssh.port()) }).await;
    assert!(TcpStream::connect(("127.0.0.1", lease.port)).await.is_err());
    // The one under way goes on, as long as it likes to.
    for _ in 0..5 {
        visitor.write_all(b"two").await.unwrap();
        timeout(PATIENCE, visitor.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard, b"two");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!stopping.is_finished());
    visitor.shutdown().await.unwrap();
    ends(&mut visitor).await;
    timeout(PATIENCE, stopping).await.expect("it does not stop").unwrap();
    eventually(|| async { standing(gate.gateway.ssh.port()) == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_does_not_wait_longer_for_visitors_than_it_was_told_to() {
    let gate = Gate::with(|section| section.drain_s = 1).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    let mut visitor = connect(lease.port).await;
    visitor.write_all(b"I stay").await.unwrap();
    eventually(|| async { gate.gateway.look()[0].visitors == 1 }).await;
    let stopping = Instant::now();
    gate.gateway.clone().stop().await;
    let took = stopping.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "{took:?}");
    ends(&mut visitor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_device_is_given_up_and_comes_back_when_it_thaws() {
    let gate = Gate::with(|section| section.keepalive_s = 1).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let service = echo().await;
    let remote = format!("{}:127.0.0.1:{service}", lease.port);
    let ssh = gate.ssh(&machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    // A device that only sleeps longer than a keepalive stays.
    ssh.freeze(true);
    sleep(Duration::from_millis(1_500)).await;
    ssh.freeze(false);
    assert!(answers(lease.port).await);
    ssh.freeze(true);
    let frozen = Instant::now();
    gate.until_up(&lease, false).await;
    assert!(frozen.elapsed() > Duration::from_secs(2), "{:?}", frozen.elapsed());
    eventually(|| async { standing(gate.gateway.ssh.port()) == 0 }).await;
    ssh.freeze(false);
    ssh.done().await;
    let _again = gate.ssh(&machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    assert!(answers(lease.port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_something_else_holds_is_taken_as_soon_as_it_is_free() {
    let gate = Gate::start().await;
    let (machine, other) = (gate.machine(1), gate.machine(2));
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lease = gate.grant_at(&machine, 1, held.local_addr().unwrap().port()).await;
    let fine = gate.grant(&other, 1).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    let _other = bring_up(&gate, &other, Serves::Echo).await;
    assert!(answers(fine.port).await);
    drop(held);
    eventually(|| async { listening(lease.port) }).await;
    assert!(answers(lease.port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_with_the_same_lease_do_not_share_its_port() {
    let (first, second) = (Gate::start().await, Gate::start().await);
    let machine = first.machine(1);
    let lease = first.grant(&machine, 1).await;
    let one = bring_up(&first, &machine, Serves::Says("one".into())).await;
    eventually(|| async { listening(lease.port) }).await;
    second.tell(std::slice::from_ref(&lease));
    let _two = bring_up(&second, &second.machine(1), Serves::Says("two".into())).await;
    for _ in 0..20 {
        assert_eq!(super::visit::ask(lease.port, b"").await.unwrap(), b"one");
    }
    drop(one);
    first.gateway.clone().stop().await;
    eventually(|| async { super::visit::ask(lease.port, b"").await.is_ok_and(|heard| heard == b"two") })
        .await;
}
