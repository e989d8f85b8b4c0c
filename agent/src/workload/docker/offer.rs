//! Where the services of the renter's container are.
//!
//! # Limits
//! A container on the engine's network is reached by its own address. Engines that hide it from the device, such as
//! rootless ones, need `"network": "host"` or `"tunnel"` in `agent.json`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
};

use bollard::models::NetworkSettings;

use super::{
    config::{DockerConfig, Network},
    engine::{Engine, Failure},
};
use crate::workload::{Address, Services};

/// What the running container `id` offers.
pub(super) async fn of(engine: &Engine, id: &str, config: &DockerConfig) -> Result<Services, Failure> {
    let inspection = engine.docker().inspect_container(id, None);
    let seen = engine.call("look at the renter's container", inspection).await?;
    let started_at = seen.state.and_then(|state| state.started_at).unwrap_or_default();
    let services = choose(config, seen.network_settings.as_ref().and_then(address));
    Ok(Services { run: format!("{id} {started_at}"), ..services })
}

/// The container's own address.
fn address(settings: &NetworkSettings) -> Option<IpAddr> {
    let networks = settings.networks.iter().flat_map(|networks| networks.values());
    let mut found: Vec<IpAddr> = networks
        .flat_map(|network| [&network.ip_address, &network.global_ipv6_address])
        .filter_map(|address| address.as_ref()?.parse().ok())
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

/// The services of a container with this configuration and address.
fn choose(config: &DockerConfig, address: Option<IpAddr>) -> Services {
    let (ip, usual) = match config.network {
        Network::Bridge => (address, [22, 80, 443]),
        Network::Host => (Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), [0; 3]),
        Network::None => (None, [0; 3]),
    };
    let Some(ip) = ip else { return Services::default() };
    let [ssh, http, https] = usual.map(NonZeroU16::new);
    let at = |port: Option<NonZeroU16>| port.map(|port| Address::from(SocketAddr::new(ip, port.get())));
    let ports = config.ports;
    Services {
        ssh: at(ports.ssh.or(ssh)),
        http: at(ports.http.or(http)),
        https: at(ports.https.or(https)),
        run: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &str, address: Option<&str>) -> [Option<String>; 3] {
        let config: DockerConfig = serde_json::from_str(config).unwrap();
        let Services { ssh, http, https, .. } = choose(&config, address.map(|a| a.parse().unwrap()));
        [ssh, http, https].map(|service| service.map(|service| service.to_string()))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_container_of_its_own_network_is_reached_by_its_address_and_the_usual_ports() {
        let usual = [some("172.17.0.2:22"), some("172.17.0.2:80"), some("172.17.0.2:443")];
        assert_eq!(chosen(r#"{"image": "a"}"#, Some("172.17.0.2")), usual);
        assert_eq!(chosen(r#"{"image": "a"}"#, None), [None, None, None]);
        let set = r#"{"image": "a", "ports": {"ssh": 2222, "https": false}}"#;
        assert_eq!(chosen(set, Some("fd00::2")), [some("[fd00::2]:2222"), some("[fd00::2]:80"), None]);
    }

    #[test]
    fn on_the_devices_network_only_set_ports_are_the_renters_and_without_a_network_there_are_none() {
        let host =
            |ports: &str| chosen(&format!(r#"{{"image": "a", "network": "host", "ports": {ports}}}"#), None);
        assert_eq!(host("{}"), [None, None, None]);
        assert_eq!(host(r#"{"ssh": 2222, "http": true}"#), [some("127.0.0.1:2222"), None, None]);
        let none = r#"{"image": "a", "network": "none", "ports": {"ssh": 22}}"#;
        assert_eq!(chosen(none, None), [None, None, None]);
    }

    #[test]
    fn a_port_is_a_number_above_0() {
        for ports in [r#"{"ssh": 0}"#, r#"{"ssh": 65536}"#, r#"{"ssh": "22"}"#, r#"{"ftp": 21}"#] {
            let json = format!(r#"{{"image": "a", "ports": {ports}}}"#);
            assert!(serde_json::from_str::<DockerConfig>(&json).is_err(), "{ports}");
        }
    }

    #[test]
    fn the_address_is_that_of_ipv4_if_there_is_one() {
        let settings = |json: &str| serde_json::from_str::<NetworkSettings>(json).unwrap();
        let both = r#"{"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": "fd00::2"}}}"#;
        assert_eq!(address(&settings(both)), "172.17.0.2".parse().ok());
        let later = r#"{"Networks": {"bridge": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}}"#;
        assert_eq!(address(&settings(later)), "fd00::2".parse().ok());
        assert_eq!(address(&settings(r#"{"Networks": {"bridge": {"IPAddress": ""}}}"#)), None);
        assert_eq!(address(&settings("{}")), None);
    }
}
