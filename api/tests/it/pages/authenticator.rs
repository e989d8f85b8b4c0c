//! A security key in software, which can also be asked to misbehave.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use domain::key::Digest;
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const KEY_FOLLOWS: u8 = 0x40;

/// One passkey at one site.
pub struct Authenticator {
    /// The site as the browser shows it.
    pub origin: String,
    /// Whether its person proves to be its owner.
    pub verifies: bool,
    /// How often it has signed.
    pub counter: u32,
    site: String,
    id: [u8; 16],
    user: Value,
    key: EcdsaKeyPair,
}

impl Authenticator {
    pub fn new(origin: &str) -> Self {
        let dice = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &dice).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &dice).unwrap();
        let mut id = [0; 16];
        dice.fill(&mut id).unwrap();
        let site = origin.split_once("://").unwrap().1.to_owned();
        Self { origin: origin.into(), verifies: true, counter: 0, site, id, user: Value::Null, key }
    }

    fn data(&mut self, flags: u8) -> Vec<u8> {
        self.counter += 1;
        let flags = flags | PRESENT | if self.verifies { VERIFIED } else { 0 };
        let site = Digest::of(self.site.as_bytes()).0;
        [site.as_slice(), &[flags], &self.counter.to_be_bytes()].concat()
    }

    fn client_data(&self, what: &str, asked: &Value) -> String {
        json!({"type": what, "challenge": asked["challenge"], "origin": self.origin, "crossOrigin": false})
            .to_string()
    }

    /// Makes its passkey.
    pub fn make(&mut self, asked: &Value) -> Value {
        self.user = asked["user"]["id"].clone();
        let client = self.client_data("webauthn.create", asked);
        let mut data = self.data(KEY_FOLLOWS);
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        data.extend([0; 16]);
        data.extend([0, 16]);
        data.extend(self.id);
        // COSE: an EC2 key (2) for ES256 (-7) on P-256 (1), with x and y.
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend(x);
        data.extend([0x22, 0x58, 32]);
        data.extend(y);
        let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";
        let object = [head.as_slice(), &[u8::try_from(data.len()).unwrap()], &data].concat();
        json!({
            "id": BASE64.encode(self.id), "rawId": BASE64.encode(self.id), "type": "public-key",
            "response": {
                "attestationObject": BASE64.encode(object), "clientDataJSON": BASE64.encode(client),
            },
        })
    }

    /// Signs in.
    pub fn sign(&mut self, asked: &Value) -> Value {
        let client = self.client_data("webauthn.get", asked);
        let data = self.data(0);
        let signed = [data.as_slice(), &Digest::of(client.as_bytes()).0].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": BASE64.encode(self.id), "rawId": BASE64.encode(self.id), "type": "public-key",
            "response": {
                "authenticatorData": BASE64.encode(data), "clientDataJSON": BASE64.encode(client),
                "signature": BASE64.encode(signature), "userHandle": self.user,
            },
        })
    }
}
