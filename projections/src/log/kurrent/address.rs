//! The address of a KurrentDB: the client's own form, and one parameter of ours.

use std::fmt;

use eventstore::{Client, ClientSettings};

use super::{names::Names, open::KurrentError};

/// Where the log is, as whom, and what Berth's streams are called there. It holds a password: nothing shows it.
#[derive(Clone)]
pub struct Address {
    settings: ClientSettings,
    names: Names,
    shown: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    /// Reads an address such as `esdb://user:password@host:2113?tls=true`; nothing is connected.
    ///
    /// `streamPrefix=test1.` says that Berth's streams are called `test1.device-…`, so that several ledgers fit into
    /// one KurrentDB; all streams that begin so are its own, so no ledger's prefix may begin another's. The newer
    /// names of the scheme (`kurrentdb:`, `kurrent:`, `kdb:`) mean the same.
    ///
    /// # Errors
    /// When it is no such address. The error does not repeat it.
    pub fn new(url: &str) -> Result<Self, KurrentError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(KurrentError::Address("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        let (kind, discover) =
            scheme.strip_suffix("+discover").map_or((&*scheme, ""), |kind| (kind, "+discover"));
        if !["esdb", "kurrentdb", "kurrent", "kdb"].contains(&kind) {
            return Err(KurrentError::Address("its scheme is not esdb, nor esdb+discover"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (ours, theirs): (Vec<_>, Vec<_>) = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .partition(|parameter| name(parameter).eq_ignore_ascii_case("streamPrefix"));
        let prefix =
            ours.first().and_then(|parameter| parameter.split_once('=')).map_or("", |(_, value)| value);
        if theirs
            .iter()
            .any(|parameter| name(parameter).eq_ignore_ascii_case("connectionName") && !parameter.is_ascii())
        {
            return Err(KurrentError::Address("connectionName is not ASCII"));
        }
        // The client warns of a question mark with nothing behind it.
        let question = if theirs.is_empty() { "" } else { "?" };
        let url = format!("esdb{discover}://{place}{question}{}", theirs.join("&"));
        let settings = url.parse();
        let settings = settings.map_err(|_| KurrentError::Address("the client does not understand it"))?;
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let shown = format!("KurrentDB at {}", host.trim_end_matches('/'));
        Ok(Self { settings, names: Names::new(prefix)?, shown })
    }

    /// Which KurrentDB, without its password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What Berth's streams are called there.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// A client; it connects when it is first used.
    ///
    /// # Errors
    /// When the client refuses its settings.
    pub fn client(&self) -> Result<Client, KurrentError> {
        Client::new(self.settings.clone()).map_err(|e| self.failed(&e))
    }

    /// What to say when the log has failed.
    pub fn failed(&self, why: &impl ToString) -> KurrentError {
        KurrentError::Unreachable { shown: self.shown.clone(), why: why.to_string() }
    }
}

fn name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameter_is_taken_out_and_the_rest_is_the_clients() {
        let address =
            Address::new("kurrentdb://u:p%40ss@a:1?tls=false&StreamPrefix=test1.&keepAliveTimeout=10000");
        let address = address.unwrap();
        assert_eq!(address.shown(), "KurrentDB at a:1");
        assert!(!address.settings.is_secure_mode_enabled());
        assert_eq!(address.names().prefix(), "test1.");
        let user = address.settings.default_authenticated_user().as_ref().unwrap();
        assert_eq!(format!("{user:?}").matches("p%40ss").count(), 0, "the password is decoded");
        assert!(Address::new("esdb+discover://c.example.org").unwrap().settings.is_secure_mode_enabled());
        assert_eq!(Address::new("esdb://a:1,b:2,c:3?tls=false").unwrap().settings.hosts().len(), 3);
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for bad in [
            "",
            "u:secret@host",
            "postgres://u:secret@host",
            "esdb://u:secret@host:port",
            "esdb://u:secret@host?tls=perhaps",
            "esdb://u:secret@host?streamPrefix=$x",
            "esdb://u:secret@host?streamPrefix=a%20b",
            "esdb://u:secret@host?connectionName=ü",
        ] {
            let said = Address::new(bad).unwrap_err().to_string();
            assert!(!said.contains("secret") && said.contains("esdb://user:password@host"), "{bad}: {said}");
        }
        let shown = format!("{:?}", Address::new("esdb://u:secret@host").unwrap());
        assert_eq!(shown, "KurrentDB at host");
    }
}
