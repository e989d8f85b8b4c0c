//! Which parts of a server a process runs.

use std::{collections::BTreeSet, fmt, str::FromStr};

use anyhow::bail;

/// A part of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Answers requests.
    Api,
    /// Takes tunnels and visitors.
    Gateway,
    /// Does what is due.
    Scheduler,
    /// Follows the log and issues what follows from it; delivers webhooks and mail.
    Steward,
    /// Sells on OpenBazaar.
    Connector,
}

impl Part {
    const ALL: [Self; 5] = [Self::Api, Self::Gateway, Self::Scheduler, Self::Steward, Self::Connector];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Gateway => "gateway",
            Self::Scheduler => "scheduler",
            Self::Steward => "steward",
            Self::Connector => "connector",
        }
    }
}

/// The parts of a server that a process runs; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Part>);

impl Roles {
    /// These.
    #[must_use]
    pub fn of(roles: &[Part]) -> Self {
        Self(roles.iter().copied().collect())
    }

    /// Whether this part runs.
    #[must_use]
    pub fn has(&self, role: Part) -> bool {
        self.0.contains(&role)
    }

    /// Whether the process is a gateway only, which asks another for its leases.
    #[must_use]
    pub fn is_gateway_only(&self) -> bool {
        self.0.iter().eq([&Part::Gateway])
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::of(&Part::ALL)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Roles {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut roles = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(role) = Part::ALL.into_iter().find(|role| role.as_str() == name) else {
                bail!("{name:?} is no role: there are {}", Self::default());
            };
            roles.insert(role);
        }
        if roles.is_empty() {
            bail!("name at least one role of {}", Self::default());
        }
        Ok(Self(roles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_and_a_wrong_name_says_which_there_are() {
        let roles: Roles = "gateway".parse().unwrap();
        assert!(roles.is_gateway_only() && !roles.has(Part::Api));
        let all: Roles = Roles::default().to_string().parse().unwrap();
        assert!(all == Roles::default() && !all.is_gateway_only());
        let error = "gatway".parse::<Roles>().unwrap_err().to_string();
        assert!(error.contains("gatway") && error.contains("api,gateway,scheduler,steward,connector"));
        assert!(" , ".parse::<Roles>().is_err());
    }
}
