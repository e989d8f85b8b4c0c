//! What a buyer reads with a fulfilled order.
//!
//! # Correctness
//! The node drops or rewrites `& < > " '` in everything it says; a note has none of them, nor anything that is not
//! printable ASCII. It is read by people, and by programs as `name: value` pairs separated by semicolons.

use domain::{
    id::ContractId,
    order::RejectReason,
    time::{Interval, Time},
};

use crate::contracts::Credentials;

/// What the node rewrites or drops.
const MANGLED: [char; 5] = ['&', '<', '>', '"', '\''];

/// Whether the node leaves a text as it is.
#[must_use]
pub fn is_safe(text: &str) -> bool {
    text.chars().all(|c| (' '..='~').contains(&c) && !MANGLED.contains(&c))
}

/// A text that the node leaves as it is: what it would mangle is left out.
#[must_use]
pub fn safe(text: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    kept.chars().filter(|c| is_safe(c.encode_utf8(&mut [0; 4]))).collect()
}

/// A text of people without what the node would mangle, at most so many bytes long.
#[must_use]
pub fn plain(text: &str, max: usize) -> String {
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = spaced.filter(|c| !MANGLED.contains(c)).collect();
    while kept.len() > max {
        kept.pop();
    }
    kept
}

/// How the renter reaches the device, and Berth.
#[must_use]
pub fn rental(login: &Credentials, contract: ContractId, until: Time, token: &str) -> String {
    let Credentials { host, port, user, password, subdomain } = login;
    let pairs = [
        ("host", host.clone()),
        ("port", port.to_string()),
        ("user", user.clone()),
        ("password", password.clone()),
        ("subdomain", subdomain.to_string()),
        ("until", until.to_string()),
        ("contract", contract.to_string()),
        ("token", token.to_owned()),
    ];
    let pairs = pairs.map(|(name, value)| format!("{name}: {}", safe(&value)));
    format!(
        "{}; connect with ssh -p {port} {user}@{host}; with the token you extend or end the rental",
        pairs.join("; ")
    )
}

/// More time was bought.
#[must_use]
pub fn extension(contract: ContractId, segment: Interval) -> String {
    format!("until: {}; contract: {contract}; everything else stays as it is", segment.end)
}

/// The rental ended before it could be handed over.
#[must_use]
pub fn over(contract: ContractId) -> String {
    format!("contract: {contract}; the rental is over already; what was not used is paid back")
}

/// The order was refused and is paid back.
#[must_use]
pub fn refused(reason: &RejectReason) -> String {
    safe(&format!("refused: {reason}; what was paid is paid back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_nothing_that_the_node_would_mangle() {
        let login = Credentials {
            host: "gate.example".into(),
            port: 20_001,
            user: "berth".into(),
            password: "abc234".into(),
            subdomain: "d1".parse().unwrap(),
        };
        let contract = ContractId(uuid::Uuid::from_u128(1));
        let note = rental(&login, contract, Time::from_unix(0), "berth_a-b");
        assert!(is_safe(&note), "{note}");
        for pair in ["host: gate.example;", "port: 20001;", "user: berth;", "password: abc234;"] {
            assert!(note.contains(pair), "{note}");
        }
        assert_eq!(safe("a <b>&\"'\u{e9}\n c"), "a b  c");
        assert_eq!(
            (plain("Ger\u{e4}t & <x>\n", 99), plain("\u{e4}\u{e4}", 3)),
            ("Ger\u{e4}t  x ".into(), "\u{e4}".into())
        );
        let segment = Interval::new(Time::from_unix(0), Time::from_unix(60));
        assert!(is_safe(&extension(contract, segment)) && is_safe(&over(contract)));
    }
}
