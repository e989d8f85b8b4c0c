//! What Berth's streams are called in KurrentDB, and how the server is asked for them alone.

use domain::{
    account::Account, aggregate::Aggregate, contract::Contract, device::Device, event::StreamName,
    gateway::Gateway, order::Order, purse::Purse, settlement::Settlement, treasury::Treasury,
};
use eventstore::SubscriptionFilter;

use super::open::KurrentError;

/// The categories of Berth's streams: without a prefix, these are mirrored and no others.
const CATEGORIES: [&str; 8] = [
    Account::CATEGORY,
    Contract::CATEGORY,
    Device::CATEGORY,
    Gateway::CATEGORY,
    Order::CATEGORY,
    Purse::CATEGORY,
    Settlement::CATEGORY,
    Treasury::CATEGORY,
];

/// Characters in a prefix.
const MAX_PREFIX: usize = 64;

/// Events that the server looks at between two checkpoints.
const WINDOW: u32 = 512;

/// Stands before a stream's name in the name of its metadata.
const METADATA: &str = "$$";

/// How Berth's names become KurrentDB's, and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

/// What a KurrentDB stream is to Berth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// One of its own.
    Own(StreamName),
    /// The metadata of one of its own.
    Metadata(StreamName),
    /// Nothing.
    Foreign,
}

impl Names {
    /// Names that begin with `prefix`; it may be empty.
    ///
    /// # Errors
    /// When the prefix is too long or has characters that make other streams of it.
    pub fn new(prefix: &str) -> Result<Self, KurrentError> {
        let fits = prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !fits || prefix.len() > MAX_PREFIX {
            return Err(KurrentError::Address(
                "streamPrefix is not at most 64 characters out of A-Z, a-z, 0-9, '.', '_' and '-'",
            ));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The KurrentDB stream of a Berth stream; none when it would not be mirrored.
    pub fn theirs(&self, stream: &StreamName) -> Option<String> {
        let own = !self.prefix.is_empty()
            || CATEGORIES.contains(&stream.category()) && stream.as_str().contains('-');
        own.then(|| format!("{}{stream}", self.prefix))
    }

    /// What a KurrentDB stream is here.
    pub fn ours(&self, stream: &str) -> Named {
        let (stream, metadata) = match stream.strip_prefix(METADATA) {
            Some(stream) => (stream, true),
            None => (stream, false),
        };
        let name = stream.strip_prefix(&self.prefix).filter(|name| !name.is_empty()).map(StreamName::stored);
        match name.filter(|name| self.theirs(name).is_some()) {
            Some(name) if metadata => Named::Metadata(name),
            Some(name) => Named::Own(name),
            None => Named::Foreign,
        }
    }

    /// Berth's streams and their metadata.
    pub fn filter(&self) -> SubscriptionFilter {
        let beginnings: Vec<String> = if self.prefix.is_empty() {
            CATEGORIES.iter().map(|category| format!("{category}-")).collect()
        } else {
            vec![self.prefix.clone()]
        };
        beginnings.iter().fold(SubscriptionFilter::on_stream_name().max(WINDOW), |filter, beginning| {
            filter.add_prefix(beginning).add_prefix(format!("{METADATA}{beginning}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str) -> Named {
        Named::Own(StreamName::stored(name))
    }

    #[test]
    fn without_a_prefix_only_known_categories_are_berths() {
        let names = Names::new("").unwrap();
        assert_eq!(names.ours("device-1"), own("device-1"));
        assert_eq!(names.ours("$$device-1"), Named::Metadata(StreamName::stored("device-1")));
        for foreign in ["devices-1", "device", "other-1", "$ce-device", "$$$device-1", "", "$$"] {
            assert_eq!(names.ours(foreign), Named::Foreign, "{foreign}");
        }
        assert_eq!(names.theirs(&StreamName::stored("other-1")), None);
    }

    #[test]
    fn with_a_prefix_everything_behind_it_is() {
        let names = Names::new("test1.").unwrap();
        assert_eq!(names.ours("test1.device-1"), own("device-1"));
        assert_eq!(names.ours("test1.x"), own("x"));
        assert_eq!(names.theirs(&StreamName::stored("x")).as_deref(), Some("test1.x"));
        assert_eq!(names.ours("$$test1.x"), Named::Metadata(StreamName::stored("x")));
        for foreign in ["test1.", "test11", "device-1"] {
            assert_eq!(names.ours(foreign), Named::Foreign, "{foreign}");
        }
    }
}
