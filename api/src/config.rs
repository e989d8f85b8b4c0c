//! The configuration: defaults < `berth.toml` < `BERTH_*` < flags, every value with its source.
//!
//! A value `a.b` of the file is overridden by the environment variable `BERTH_A_B`. The server's own keys and tokens are
//! never part of the configuration; passwords of others are, and are never shown.

mod gateway;
pub mod mail;
mod openbazaar;
mod web;

pub use gateway::Gateway;
pub use mail::Mail;
pub use openbazaar::{Moderator, OpenBazaar, OtherListings, Secret};
pub use web::Web;

use std::{collections::BTreeMap, path::Path, str::FromStr};

use anyhow::{Context, bail, ensure};
use cron::Schedule;
use domain::{
    money::{Asset, Money},
    policy::Policy,
    time::Seconds,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::roles::Roles;

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The PostgreSQL database that nodes share, such as `postgres://user:password@host/database`; empty: one server keeps
    /// everything in its data folder.
    pub database: Secret,
    /// The KurrentDB that holds the event log, such as `esdb://user:password@host:2113`; empty: it lies beside the rest.
    pub log: Secret,
    /// Where the API listens.
    pub listen: String,
    /// What of the server runs in this process: `api,gateway,scheduler,steward,connector`, or some of them.
    pub roles: String,
    /// The gateway that devices get their ports from.
    pub gateway: Gateway,
    /// How devices are watched and answered.
    pub devices: Devices,
    /// Seconds in which a requested extension can be paid.
    pub extension_valid_s: Seconds,
    /// Seconds for which an answer under an Idempotency-Key is kept.
    pub idempotency_s: Seconds,
    /// The rules for contracts that start from now on.
    pub policy: Policy,
    /// How money leaves escrow.
    pub payouts: Payouts,
    /// When jobs run.
    pub jobs: Jobs,
    /// The OpenBazaar node that rentals are sold on.
    pub openbazaar: OpenBazaar,
    /// How people are told by mail.
    pub mail: Mail,
    /// The pages that people see in a browser.
    pub web: Web,
}

/// How devices are watched and answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Devices {
    /// Seconds of silence after which a device is lost.
    pub lost_after_s: Seconds,
    /// Seconds a lost device has to come back before its rental ends.
    pub grace_s: Seconds,
    /// Seconds for which a device may run on the server's last word.
    pub valid_for_s: Seconds,
    /// Seconds between a device's polls.
    pub next_poll_s: u32,
    /// Seconds after a lease's end in which the data can still be opened, if it is not erased before.
    pub appeal_s: Seconds,
}

/// How money leaves escrow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payouts {
    /// Seconds after which a settlement that was started and not reported on is quarantined.
    pub stalled_after_s: Seconds,
    /// The smallest payout that is sent, by asset; what is less waits until together it is enough.
    pub minimum: BTreeMap<Asset, String>,
}

impl Payouts {
    /// The smallest payout in an asset; `None` when any is sent.
    ///
    /// # Errors
    /// When it is no amount of the asset.
    pub fn minimum(&self, asset: Asset) -> anyhow::Result<Option<Money>> {
        let Some(text) = self.minimum.get(&asset) else { return Ok(None) };
        let minimum = Money::parse(text, asset).with_context(|| format!("payouts.minimum.{asset}"))?;
        Ok(Some(minimum).filter(|minimum| !minimum.is_zero()))
    }
}

/// When jobs run: cron expressions with seconds, in UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Rentals whose time is over.
    pub expiry: String,
    /// Extension requests that were not paid.
    pub extension_lapse: String,
    /// Devices not heard of.
    pub lost: String,
    /// Lost devices past their grace.
    pub lost_grace: String,
    /// Payouts whose delay is over.
    pub payout: String,
    /// Served segments of long rentals.
    pub segment_payout: String,
    /// Settlements that were started and not reported on.
    pub stalled: String,
    /// Ports leased to devices that never registered.
    pub port_reclaim: String,
    /// Key halves of ended leases whose appeal window is over.
    pub key_halves: String,
    /// Answers, codes and sent mails past their keeping.
    pub retention: String,
}

impl Devices {
    /// Seconds between a device's polls: as set, but often enough that a healthy device is never taken for lost.
    #[must_use]
    pub fn poll_s(&self) -> u32 {
        let often = u32::try_from(self.lost_after_s / 3).unwrap_or(u32::MAX).max(1);
        self.next_poll_s.min(often)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: Secret::default(),
            log: Secret::default(),
            listen: "127.0.0.1:8080".into(),
            roles: Roles::default().to_string(),
            gateway: Gateway::default(),
            devices: Devices::default(),
            extension_valid_s: 3_600,
            idempotency_s: 86_400,
            policy: Policy::default(),
            payouts: Payouts::default(),
            jobs: Jobs::default(),
            openbazaar: OpenBazaar::default(),
            mail: Mail::default(),
            web: Web::default(),
        }
    }
}

impl Default for Payouts {
    fn default() -> Self {
        let minimum = Asset::ALL.iter().map(|asset| (*asset, "0".to_string()));
        Self { stalled_after_s: 86_400, minimum: minimum.collect() }
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self { lost_after_s: 600, grace_s: 1_800, valid_for_s: 900, next_poll_s: 60, appeal_s: 259_200 }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        let often = || "*/5 * * * * *".to_string();
        Self {
            // A rental ends at its second; a run costs what is due.
            expiry: "* * * * * *".into(),
            extension_lapse: often(),
            lost: "*/15 * * * * *".into(),
            lost_grace: often(),
            payout: often(),
            segment_payout: "0 * * * * *".into(),
            stalled: "30 * * * * *".into(),
            port_reclaim: "0 * * * * *".into(),
            key_halves: "45 * * * * *".into(),
            retention: "0 */10 * * * *".into(),
        }
    }
}

/// The effective configuration and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Dotted name, value and source of every value.
    pub values: Vec<(String, String, &'static str)>,
}

/// Loads the configuration.
///
/// `file` must exist when it was named by the user. `env` and `flags` are (name, value) pairs; flags use dotted names.
///
/// # Errors
/// When the file cannot be read, or a name or value is wrong: says which.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> anyhow::Result<Loaded> {
    let mut tree = Value::try_from(Config::default())?;
    let mut sources = BTreeMap::new();
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let table: Table = toml::from_str(&text)
            // Without the line itself, which may hold a password.
            .map_err(|e| {
                let line = e.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
                anyhow::anyhow!("{} is not TOML: line {line}: {}", path.display(), e.message())
            })?;
        for (name, value) in leaves("", &Value::Table(table)) {
            set(&mut tree, &name, value).with_context(|| format!("in {}", path.display()))?;
            sources.insert(name, "file");
        }
    }
    let names: BTreeMap<_, _> =
        leaves("", &tree).into_iter().map(|(name, _)| (env_name(&name), name)).collect();
    for (variable, text) in env.filter(|(variable, _)| variable.starts_with("BERTH_")) {
        if NOT_CONFIGURATION.contains(&variable.as_str()) {
            continue;
        }
        let name = names
            .get(&variable)
            .with_context(|| format!("{variable} names no setting; see `berth config`"))?;
        override_with(&mut tree, name, &text)
            .with_context(|| format!("in the environment variable {variable}"))?;
        sources.insert(name.clone(), "environment");
    }
    for (name, text) in flags {
        override_with(&mut tree, name, text)?;
        sources.insert((*name).to_string(), "flag");
    }
    let values = leaves("", &tree);
    let config: Config = tree.try_into().context("the configuration has a wrong value")?;
    check(&config)?;
    let source = |name: &str| sources.get(name).copied().unwrap_or("default");
    let value = |name: &str, value: &Value| match value {
        Value::String(text) if is_secret(name) && !text.is_empty() => "(hidden)".into(),
        other => shown(other),
    };
    let values =
        values.into_iter().map(|(name, v)| (name.clone(), value(&name, &v), source(&name))).collect();
    Ok(Loaded { config, values })
}

/// Variables of this prefix that the command line itself reads.
const NOT_CONFIGURATION: [&str; 7] = [
    "BERTH_DATA",
    "BERTH_CONFIG",
    "BERTH_LOG",
    "BERTH_LOG_FILTER",
    "BERTH_LOG_FORMAT",
    "BERTH_TOKEN",
    "BERTH_URL",
];

fn is_secret(name: &str) -> bool {
    // Their addresses hold passwords.
    ["database", "log"].contains(&name)
        || openbazaar::is_secret(name)
        || gateway::is_secret(name)
        || mail::is_secret(name)
}

fn env_name(dotted: &str) -> String {
    format!("BERTH_{}", dotted.replace('.', "_").to_uppercase())
}

/// Every value below `value` with its dotted name.
fn leaves(prefix: &str, value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&name, value)
            })
            .collect(),
        other => vec![(prefix.to_string(), other.clone())],
    }
}

/// A value as a person writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

fn slot<'a>(tree: &'a mut Value, name: &str) -> anyhow::Result<&'a mut Value> {
    name.split('.')
        .try_fold(tree, |tree, key| tree.get_mut(key))
        .with_context(|| format!("there is no setting {name:?}; `berth config` lists all"))
}

fn set(tree: &mut Value, name: &str, value: Value) -> anyhow::Result<()> {
    let slot = slot(tree, name)?;
    let given = if is_secret(name) { "something else".into() } else { shown(&value) };
    ensure!(slot.same_type(&value), "{name} must be of type {}, not {given}", slot.type_str());
    *slot = value;
    Ok(())
}

fn override_with(tree: &mut Value, name: &str, text: &str) -> anyhow::Result<()> {
    let value = match slot(tree, name)? {
        Value::Integer(_) => {
            Value::Integer(text.parse().with_context(|| format!("{name} must be a whole number"))?)
        }
        Value::Boolean(_) => {
            Value::Boolean(text.parse().with_context(|| format!("{name} must be true or false"))?)
        }
        _ => Value::String(text.to_string()),
    };
    set(tree, name, value)
}

fn check(config: &Config) -> anyhow::Result<()> {
    let Config { gateway, devices, .. } = config;
    config.roles.parse::<Roles>().context("roles")?;
    gateway.check()?;
    let seconds = [
        ("devices.lost_after_s", devices.lost_after_s),
        ("devices.valid_for_s", devices.valid_for_s),
        ("extension_valid_s", config.extension_valid_s),
        ("idempotency_s", config.idempotency_s),
        ("payouts.stalled_after_s", config.payouts.stalled_after_s),
    ];
    for (name, value) in seconds {
        ensure!((1..=domain::offer::MAX_TERM_S).contains(&value), "{name} must be 1 second to 10 years");
    }
    for (name, value) in [("devices.grace_s", devices.grace_s), ("devices.appeal_s", devices.appeal_s)] {
        ensure!((0..=domain::offer::MAX_TERM_S).contains(&value), "{name} must be 0 seconds to 10 years");
    }
    ensure!((1..=86_400).contains(&devices.next_poll_s), "devices.next_poll_s must be 1 second to 1 day");
    ensure!(
        config.policy.is_valid(),
        "policy: seconds from 0, shares from 0 to 10000 basis points, no forfeiture at the term"
    );
    for asset in Asset::ALL {
        config.payouts.minimum(*asset)?;
    }
    config.openbazaar.check()?;
    config.mail.check()?;
    config.web.check()?;
    for (name, expression) in config.jobs.all() {
        if let Err(e) = Schedule::from_str(expression) {
            bail!("jobs.{name} is not a cron expression with seconds, like \"*/5 * * * * *\": {e}");
        }
    }
    Ok(())
}

impl Jobs {
    /// Every job's name and expression.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &str); 10] {
        [
            ("expiry", &self.expiry),
            ("extension_lapse", &self.extension_lapse),
            ("lost", &self.lost),
            ("lost_grace", &self.lost_grace),
            ("payout", &self.payout),
            ("segment_payout", &self.segment_payout),
            ("stalled", &self.stalled),
            ("port_reclaim", &self.port_reclaim),
            ("key_halves", &self.key_halves),
            ("retention", &self.retention),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "listen = \"1.1.1.1:1\"\n[devices]\ngrace_s = 7\nlost_after_s = 8\n").unwrap();
        let env = env(&[("BERTH_LISTEN", "2.2.2.2:2"), ("BERTH_DEVICES_GRACE_S", "9"), ("HOME", "/")]);
        let loaded = load(Some(file.path()), env, &[("listen", "3.3.3.3:3".into())]).unwrap();
        let Config { listen, devices, .. } = loaded.config;
        assert_eq!((listen.as_str(), devices.grace_s, devices.lost_after_s), ("3.3.3.3:3", 9, 8));
        let source = |name: &str| loaded.values.iter().find(|(n, ..)| n == name).map(|(.., s)| *s);
        assert_eq!(source("listen"), Some("flag"));
        assert_eq!(source("devices.grace_s"), Some("environment"));
        assert_eq!(source("devices.next_poll_s"), Some("default"));
    }

    #[test]
    fn a_wrong_name_or_value_says_which() {
        let fails = |e: &[(&str, &str)]| format!("{:#}", load(None, env(e), &[]).unwrap_err());
        assert!(fails(&[("BERTH_LISTN", "x")]).contains("BERTH_LISTN"));
        assert!(fails(&[("BERTH_DEVICES_GRACE_S", "soon")]).contains("devices.grace_s"));
        assert!(fails(&[("BERTH_JOBS_EXPIRY", "* * * * *")]).contains("jobs.expiry"));
        assert!(fails(&[("BERTH_POLICY_TERM_FEE_BPS", "10001")]).contains("policy"));
        assert!(fails(&[("BERTH_PAYOUTS_MINIMUM_USD", "0.001")]).contains("payouts.minimum.USD"));
        assert!(fails(&[("BERTH_GATEWAY_FIRST_PORT", "70000")]).contains("configuration"));
    }
}
