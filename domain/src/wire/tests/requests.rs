//! Registrations, and what is in a grant and a report.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

fn registration() -> Registration {
    Registration {
        v: VERSION,
        device_key: public(&key(4)),
        config_hash: Digest::of(b"config"),
        hardware: Hardware::default(),
    }
}

fn verify(registration: &Registration, by: u8) -> Result<Registration, WireError> {
    SignedRegistration(sign(registration, &key(by))).verify().map(Verified::into_inner)
}

#[test]
fn a_registration_is_signed_by_the_key_inside_it() {
    assert_eq!(verify(&registration(), 4), Ok(registration()));
    assert_eq!(verify(&registration(), 5), Err(WireError::BadSignature("berth registration v1")));
}

#[test]
fn a_registration_of_an_unknown_version_or_with_impossible_hardware_is_refused() {
    assert_eq!(verify(&Registration { v: 2, ..registration() }, 4), Err(WireError::Version(2)));
    let hardware = Hardware { processor: "x".repeat(121), ..Hardware::default() };
    let odd = verify(&Registration { hardware, ..registration() }, 4);
    assert!(matches!(odd, Err(WireError::Malformed(_))));
}

#[test]
fn a_registration_that_is_too_long_or_no_registration_is_refused() {
    let signature = Signature([0; 64]);
    let too_long = Signed { payload: " ".repeat(MAX_MESSAGE + 1), signature };
    assert_eq!(SignedRegistration(too_long).verify().unwrap_err(), WireError::TooLong);
    let nonsense = Signed { payload: "{}".into(), signature };
    assert!(matches!(SignedRegistration(nonsense).verify(), Err(WireError::Malformed(_))));
}

#[test]
fn a_report_names_few_short_host_keys_in_the_form_of_openssh() {
    let blob = |kind: &str, bytes: usize| {
        let length = u32::try_from(kind.len()).unwrap().to_be_bytes();
        format!("{kind} {}", STANDARD.encode([&length, kind.as_bytes(), &vec![7; bytes]].concat()))
    };
    let (ed25519, rsa) = (blob("ssh-ed25519", 36), blob("ssh-rsa", 530));
    for good in [&ed25519, &rsa, &blob("sk-ssh-ed25519@openssh.com", 64)] {
        assert!(is_host_key(good), "{good}");
    }
    let long = blob("ssh-rsa", MAX_HOST_KEY);
    let comment = format!("{ed25519} root@device");
    let other = ed25519.replacen("ed25519", "ed448", 1);
    for bad in ["", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 AAAA", " AAAAAA==", &long, &comment, &other] {
        assert!(!is_host_key(bad), "{bad}");
    }
    let report = |count| {
        let host_keys = vec![ed25519.clone(); count];
        Reported { state: ReportedState::Leased, epoch: 1, running: true, conflict: None, host_keys }
    };
    assert!(report(0).is_valid() && report(MAX_HOST_KEYS).is_valid());
    assert!(!report(MAX_HOST_KEYS + 1).is_valid());
}

#[test]
fn a_grant_never_shows_its_password() {
    let grant = Grant {
        device: ME,
        server_key: public(&root()),
        epoch: 1,
        gateway: "main".parse().unwrap(),
        host: "gate.example".into(),
        port: 6000,
        subdomain: crate::id::Subdomain::of(ME, 1),
        user: "renter-name".into(),
        password: "secret".into(),
    };
    let shown = format!("{grant:?}");
    assert!(!shown.contains("secret") && !shown.contains("renter-name"), "{shown}");
}
