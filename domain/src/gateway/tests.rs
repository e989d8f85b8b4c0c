use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{aggregate::replay, testing::given};

const NOW: Time = Time::from_unix(0);

fn device(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(n))
}

fn lease(n: u128, epoch: Epoch) -> GatewayCommand {
    let subdomain = Subdomain::of(device(n), epoch);
    GatewayCommand::LeasePort { device: device(n), epoch, subdomain, first: 6000, last: 6002 }
}

fn leased(port: u16, n: u128, epoch: Epoch) -> GatewayEvent {
    PortLeased { port, subdomain: Subdomain::of(device(n), epoch), device: device(n), epoch }.into()
}

fn released(port: u16, n: u128, epoch: Epoch) -> GatewayEvent {
    PortReleased { port, subdomain: Subdomain::of(device(n), epoch), device: device(n), epoch }.into()
}

#[test]
fn a_lease_that_asks_twice_keeps_its_port() {
    given::<Gateway>([])
        .when(lease(1, 1), NOW)
        .then([leased(6000, 1, 1)])
        .when(lease(1, 1), NOW)
        .then_already_done();
}

#[test]
fn a_freed_port_rests_until_the_others_were_used() {
    given::<Gateway>([leased(6000, 1, 1), released(6000, 1, 1)])
        .when(lease(2, 1), NOW)
        .then([leased(6001, 2, 1)]);
    given::<Gateway>([leased(6002, 1, 1)]).when(lease(2, 1), NOW).then([leased(6000, 2, 1)]);
}

#[test]
fn an_exhausted_pool_refuses() {
    given::<Gateway>([leased(6000, 1, 1), leased(6001, 2, 1), leased(6002, 3, 1)])
        .when(lease(4, 1), NOW)
        .then_refused(GatewayRefusal::PoolExhausted(3));
}

#[test]
fn a_late_release_of_an_older_lease_frees_nothing() {
    let again = given::<Gateway>([leased(6000, 1, 1), released(6000, 1, 1), leased(6000, 1, 2)]);
    again.when(GatewayCommand::ReleasePort { device: device(1), epoch: 1 }, NOW).then_already_done();
    again.when(GatewayCommand::ReleasePort { device: device(1), epoch: 2 }, NOW).then([released(6000, 1, 2)]);
}

proptest! {
    #[test]
    fn no_port_is_ever_held_twice(steps in prop::collection::vec((1u128..6, 1u32..3, any::<bool>()), 0..60)) {
        let mut events: Vec<GatewayEvent> = vec![];
        for (n, epoch, take) in steps {
            let state: Gateway = replay(&events);
            let command = if take { lease(n, epoch) } else { GatewayCommand::ReleasePort { device: device(n), epoch } };
            if let Ok(Decision::Events(new)) = state.decide(command, NOW) {
                if let [GatewayEvent::PortLeased(e)] = new.as_slice() {
                    prop_assert!(!state.held.contains_key(&e.port) && (6000..=6002).contains(&e.port));
                }
                events.extend(new);
            }
        }
    }
}
