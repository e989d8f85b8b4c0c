//! How leases and sessions end: at once, wholly, and without touching what came after them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    device::{Serves, bring_up, log_in},
    kit::{Gate, PATIENCE, eventually, free_port},
    visit::{answers, ask, connect, echo, echo_or_flood, ends, listening, says, standing, within_a_second},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_under_load_leaves_nothing_behind_within_a_second() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (service, _) = echo_or_flood().await;
    let ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    let mut visitors = Vec::new();
    for first in *b"><.><." {
        let mut visitor = connect(lease.port).await;
        visitor.write_all(&[first]).await.unwrap();
        visitors.push(visitor);
    }
    // Half-open: it has said all it had to say and waits.
    visitors[5].shutdown().await.unwrap();
    let sending = tokio::spawn({
        let mut busy = connect(lease.port).await;
        async move { while busy.write_all(&[b'<'; 32 * 1024]).await.is_ok() {} }
    });
    eventually(|| async { gate.gateway.look()[0].visitors >= 6 }).await;
    gate.end(&lease);
    let over =
        || standing(lease.port) == 0 && !listening(lease.port) && standing(gate.gateway.ssh.port()) == 0;
    within_a_second("an end", over).await;
    assert!(gate.gateway.look().is_empty());
    assert!(TcpStream::connect(("127.0.0.1", lease.port)).await.is_err());
    for visitor in &mut visitors {
        ends(visitor).await;
    }
    timeout(PATIENCE, sending).await.unwrap().unwrap();
    ssh.done().await;
    // The key is nobody's now.
    let again = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:1", lease.port)]).done().await;
    assert!(again.err.contains("Permission denied (publickey)"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_for_a_device_that_is_frozen_and_reads_nothing() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (service, _) = echo_or_flood().await;
    let ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    ssh.freeze(true);
    // More than all buffers on the way take.
    let sending: Vec<_> = (0..8)
        .map(|_| {
            let port = lease.port;
            tokio::spawn(async move {
                let mut visitor = connect(port).await;
                while visitor.write_all(&[b'<'; 32 * 1024]).await.is_ok() {}
            })
        })
        .collect();
    eventually(|| async { gate.gateway.look()[0].visitors == 8 }).await;
    sleep(Duration::from_millis(500)).await;
    gate.end(&lease);
    let over = || standing(lease.port) == 0 && standing(gate.gateway.ssh.port()) == 0;
    within_a_second("an end", over).await;
    for sending in sending {
        timeout(PATIENCE, sending).await.unwrap().unwrap();
    }
    ssh.freeze(false);
    assert_ne!(ssh.done().await.code, Some(0));
}

/// The race: a port goes from lease to lease while the devices of all leases try to come back all the time. The lease
/// that ends must be over, with its visitors and its session, before the next answers; a session that is just logging in
/// or just asking must not get the port of the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_port_that_goes_from_lease_to_lease_is_never_answered_by_an_old_device() {
    const LEASES: u32 = 200;
    let gate = Arc::new(Gate::start().await);
    let machines: Vec<_> = (1..=3).map(|n| gate.machine(n)).collect();
    let (over, port) = (Arc::new(AtomicBool::new(false)), free_port().await);
    let coming: Vec<_> = machines
        .iter()
        .flat_map(|machine| [machine.clone(), machine.clone()])
        .map(|machine| {
            let (gate, over) = (gate.clone(), over.clone());
            tokio::spawn(async move {
                let serves = Serves::Says(machine.device.to_string().into());
                while !over.load(Ordering::Relaxed) {
                    let (to, host_key) = (gate.gateway.ssh, gate.gateway.host_key);
                    // All the others shall not starve.
                    sleep(Duration::from_millis(5)).await;
                    let come = log_in(to, host_key, &machine, serves.clone());
                    if let Ok(Ok(Some(device))) = timeout(PATIENCE, come).await
                        && device.tcpip_forward("localhost", u32::from(port)).await.is_ok()
                    {
                        // Stays until it is cut, or goes by itself after a while.
                        for _ in 0..20 {
                            sleep(Duration::from_millis(10)).await;
                            if device.is_closed() {
                                break;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    let answered = AtomicUsize::new(0);
    for n in 0..LEASES {
        let machine = &machines[n as usize % machines.len()];
        let lease = gate.grant_at(machine, n + 1, port).await;
        let name = machine.device.to_string();
        for _ in 0..2 {
            // A device may just go: then there is no answer, or a part of it.
            let heard = ask(port, b"").await.unwrap_or_default();
            assert!(name.as_bytes().starts_with(&heard), "{name} is asked, {heard:?} answers");
            answered.fetch_add(usize::from(!heard.is_empty()), Ordering::Relaxed);
        }
        // Half of them are ended before the next begins; of the others the gateway never hears.
        if n % 2 == 0 {
            gate.end(&lease);
        }
    }
    over.store(true, Ordering::Relaxed);
    for device in coming {
        timeout(PATIENCE, device).await.unwrap().unwrap();
    }
    let answered = answered.into_inner();
    assert!(answered > 50, "{answered} answers are too few to say anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_session_is_replaced_at_once_and_its_end_does_not_take_the_new_one_along() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (old, new) = (says("old".into()).await, says("new".into()).await);
    let first = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{old}", lease.port)]);
    gate.until_up(&lease, true).await;
    assert_eq!(ask(lease.port, b"").await.unwrap(), b"old");
    first.freeze(true);
    let mut waits = connect(lease.port).await;
    let mut second = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{new}", lease.port)]);
    // The frozen one is cut off, and with it who waits for it.
    ends(&mut waits).await;
    assert_eq!(ask(lease.port, b"").await.unwrap(), b"new");
    within_a_second("a takeover", || standing(gate.gateway.ssh.port()) == 1).await;
    first.freeze(false);
    first.done().await;
    for _ in 0..10 {
        assert_eq!(ask(lease.port, b"").await.unwrap(), b"new");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(second.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_only_logs_in_does_not_disturb_the_tunnel() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let mut ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{}", lease.port, echo().await)]);
    gate.until_up(&lease, true).await;
    let mut visitor = connect(lease.port).await;
    for _ in 0..3 {
        let (to, host_key) = (gate.gateway.ssh, gate.gateway.host_key);
        let other = log_in(to, host_key, &machine, Serves::Echo).await.unwrap().unwrap();
        assert!(other.tcpip_forward("localhost", 1).await.is_err(), "not its port");
        drop(other);
        visitor.write_all(b"still").await.unwrap();
        let mut heard = [0; 5];
        timeout(PATIENCE, visitor.read_exact(&mut heard)).await.unwrap().unwrap();
        assert!(answers(lease.port).await);
    }
    assert!(ssh.is_running());
}

/// The race: of two sessions that ask for many things, the one that was just replaced asks for one thing more. It must
/// not take the route back: it is cut already, and then the device would have no tunnel at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_sessions_that_come_up_at_once_one_stays() {
    let gate = Arc::new(Gate::start().await);
    for n in 0..40 {
        let machine = gate.machine(n);
        let lease = gate.grant(&machine, 1).await;
        let come = || {
            let (gate, machine) = (gate.clone(), machine.clone());
            tokio::spawn(async move {
                let (to, host_key) = (gate.gateway.ssh, gate.gateway.host_key);
                let device = log_in(to, host_key, &machine, Serves::Echo).await.unwrap().unwrap();
                let port = device.tcpip_forward("localhost", 0);
                let asks = (0..50).map(|_| async {
                    let _ = tokio::join!(
                        device.tcpip_forward("localhost", 80),
                        device.cancel_tcpip_forward("localhost", 80)
                    );
                });
                let _ = tokio::join!(port, futures_util::future::join_all(asks));
                device
            })
        };
        let (one, other) = tokio::join!(come(), come());
        let devices = [one.unwrap(), other.unwrap()];
        eventually(|| async { devices.iter().filter(|device| device.is_closed()).count() == 1 }).await;
        assert!(answers(lease.port).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_finds_its_visitors_waiting() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let before = bring_up(&gate, &machine, Serves::Echo).await;
    drop(before);
    gate.until_up(&lease, false).await;
    let (heard, _device) = tokio::join!(ask(lease.port, b"hello"), async {
        sleep(Duration::from_millis(500)).await;
        bring_up(&gate, &machine, Serves::Echo).await
    });
    assert_eq!(heard.unwrap(), b"hello");
}
