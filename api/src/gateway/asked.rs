//! What a device may ask its gateway to forward: only what its lease holds.
//!
//! The address that a client binds to (RFC 4254, section 7.1) is never bound to: a leased port listens where the gateway
//! listens. It must be one that stands for "here", or one of the lease's own names.

use super::{leases::LiveLease, tunnel::Service};

/// Addresses that stand for the gateway itself; OpenSSH asks for `localhost` when none is given.
const HERE: [&str; 7] = ["", "*", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1"];

/// What `address:port` stands for, if the lease holds it. Port 0 is whichever the lease has.
#[must_use]
pub fn service(lease: &LiveLease, host: &str, domain: &str, address: &str, port: u32) -> Option<Service> {
    let named = address.trim_end_matches('.').to_ascii_lowercase();
    let subdomain = lease.subdomain.as_str();
    let its_own = named == subdomain || named.strip_suffix(domain) == Some(&format!("{subdomain}."));
    if !its_own && !HERE.contains(&named.as_str()) && named != host.to_ascii_lowercase() {
        return None;
    }
    match port {
        _ if port == 0 || port == u32::from(lease.port) => Some(Service::Port),
        80 => Some(Service::Http),
        443 => Some(Service::Https),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        id::{DeviceId, GatewayName, Subdomain},
        key::PublicKey,
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_the_lease_holds_is_forwarded() {
        let device = DeviceId(Uuid::from_u128(7));
        let lease = LiveLease {
            device,
            epoch: 3,
            gateway: GatewayName::new("local").unwrap(),
            port: 20_007,
            subdomain: Subdomain::of(device, 3),
            device_key: PublicKey([0; 32]),
        };
        let name = lease.subdomain.as_str().to_owned();
        let other = Subdomain::of(DeviceId(Uuid::from_u128(8)), 3);
        let ask = |address: &str, port| service(&lease, "gw.example", "berth.example", address, port);
        for address in ["", "localhost", "*", "0.0.0.0", "::", "GW.example", &name] {
            assert_eq!(ask(address, 20_007), Some(Service::Port), "{address}");
            assert_eq!(ask(address, 0), Some(Service::Port), "{address}");
            assert_eq!(ask(address, 80), Some(Service::Http), "{address}");
            assert_eq!(ask(address, 443), Some(Service::Https), "{address}");
        }
        assert_eq!(ask(&format!("{}.Berth.example.", name.to_uppercase()), 80), Some(Service::Http));
        for port in [1, 22, 2222, 8080, 20_006, 20_008, 65_535, 65_536 + 80, u32::MAX] {
            assert_eq!(ask("localhost", port), None, "{port}");
        }
        let foreign = [other.as_str(), "8.8.8.8", "example.org", "berth.example", "evil.berth.example"];
        for address in foreign.into_iter().chain([&*format!("x{name}"), &*format!("{name}.evil.example")]) {
            assert_eq!(ask(address, 80), None, "{address}");
            assert_eq!(ask(address, 20_007), None, "{address}");
        }
    }
}
