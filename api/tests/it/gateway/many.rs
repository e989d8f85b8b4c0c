//! A whole fleet at one gateway.

use tokio::time::Instant;

use super::{
    device::{Device, Serves, bring_up},
    kit::{Gate, Machine, eventually, free_port},
    visit::{answers, ask, standing},
};
use crate::gateway::visit::LONG;

const FLEET: u16 = 1_000;
/// So many at once do something.
const AT_ONCE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tunnels_answer_each_on_its_own_port_are_cut_and_come_back() {
    let gate = Gate::start().await;
    let machines: Vec<_> = (0..FLEET).map(|n| gate.machine(n)).collect();
    let mut leases = Vec::new();
    for machine in &machines {
        leases.push(gate.grant_at(machine, 1, free_port().await).await);
    }
    for _ in 0..2 {
        let devices = all_up(&gate, &machines).await;
        let up = gate.gateway.look().iter().filter(|seen| seen.heard.is_some()).count();
        assert_eq!(up, machines.len());
        for some in leases.chunks(AT_ONCE) {
            let answers = some.iter().map(|lease| async {
                assert_eq!(ask(lease.port, b"").await.unwrap(), lease.device.to_string().as_bytes());
            });
            futures_util::future::join_all(answers).await;
        }
        let cut = Instant::now();
        drop(devices);
        let none = || gate.gateway.look().iter().all(|seen| seen.heard.is_none());
        eventually(|| async { none() && standing(gate.gateway.ssh.port()) == 0 }).await;
        assert!(cut.elapsed() < LONG);
    }
    // No port answers any more: not one visitor is served by what is gone.
    let dead = leases.iter().step_by(50).map(|lease| async { assert!(!answers(lease.port).await) });
    futures_util::future::join_all(dead).await;
    // All leases end at once, and with them all ports.
    let devices = all_up(&gate, &machines).await;
    gate.tell(&[]);
    eventually(|| async { devices.iter().all(|device| device.is_closed()) }).await;
    eventually(|| async { standing(gate.gateway.ssh.port()) == 0 }).await;
    for lease in &leases {
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", lease.port)).await.is_err());
    }
}

async fn all_up(gate: &Gate, machines: &[Machine]) -> Vec<Device> {
    let mut devices = Vec::new();
    for some in machines.chunks(AT_ONCE) {
        let coming = some.iter().map(|machine| {
            let serves = Serves::Says(machine.device.to_string().into());
            bring_up(gate, machine, serves)
        });
        devices.extend(futures_util::future::join_all(coming).await);
    }
    devices
}
