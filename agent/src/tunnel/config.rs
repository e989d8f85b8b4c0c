//! `"tunnel": {…}` of `agent.json`.

use serde::Deserialize;

use super::Targets;
use crate::{
    choice::Choice,
    workload::{Address, Services},
};

/// How a service is told whose connection it gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Not at all: every visitor seems to be this device.
    #[default]
    Off,
    /// By a line of text in front of the connection.
    V1,
    /// By a binary header in front of the connection.
    V2,
}

/// Where visitors' connections go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelConfig {
    /// Connections to the leased port; what the workload offers unless set, `false` for none.
    #[serde(default)]
    pub ssh: Choice<Address>,
    /// Connections to `http://` the subdomain; likewise.
    #[serde(default)]
    pub http: Choice<Address>,
    /// Connections to `https://` the subdomain; likewise.
    #[serde(default)]
    pub https: Choice<Address>,
    /// How the SSH and TLS services learn the visitor's address; web servers read it in the header `X-Forwarded-For`.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
}

impl TunnelConfig {
    /// Where to go, given what the workload offers.
    #[must_use]
    pub fn targets(&self, offered: &Services) -> Targets {
        Targets {
            ssh: self.ssh.clone().or(offered.ssh.clone()),
            http: self.http.clone().or(offered.http.clone()),
            https: self.https.clone().or(offered.https.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(json: &str) -> [Option<String>; 3] {
        let config: TunnelConfig = serde_json::from_str(json).unwrap();
        let offered = |port: &str| Some(format!("10.0.0.2:{port}").parse().unwrap());
        let offered = Services { ssh: offered("22"), http: offered("80"), https: None, run: String::new() };
        let Targets { ssh, http, https } = config.targets(&offered);
        [ssh, http, https].map(|target| target.map(|target| target.to_string()))
    }

    #[test]
    fn a_target_is_what_is_set_or_else_what_the_workload_offers() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(targets("{}"), [some("10.0.0.2:22"), some("10.0.0.2:80"), None]);
        let set = r#"{"ssh": "127.0.0.1:2222", "http": false, "https": "[::1]:443"}"#;
        assert_eq!(targets(set), [some("127.0.0.1:2222"), None, some("[::1]:443")]);
        assert_eq!(targets(r#"{"ssh": null, "http": true}"#), [None, some("10.0.0.2:80"), None]);
    }

    #[test]
    fn a_target_that_is_no_address_is_refused_with_an_example() {
        let refused = |json: &str| serde_json::from_str::<TunnelConfig>(json).unwrap_err().to_string();
        assert!(refused(r#"{"ssh": "22"}"#).contains("127.0.0.1:22"));
        assert!(refused(r#"{"ftp": "127.0.0.1:21"}"#).contains("unknown field"));
        assert!(refused(r#"{"proxy_protocol": "v3"}"#).contains("v3"));
    }
}
