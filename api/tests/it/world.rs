//! People, devices and rentals, made through the API.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    id::DeviceId,
    key::{Digest, Nonce, PublicKey},
    offer::Hardware,
    time::Seconds,
    wire::{
        self, CheckIn, EraseStep, PollRequest, Receipt, Registration, Reported, ReportedState, Signed,
        StepResult,
    },
};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use crate::app::{Reply, TestApp};

/// An account and a token with all its roles.
#[derive(Debug, Clone)]
pub struct Who {
    pub id: String,
    pub token: String,
}

/// A device from its own side.
#[derive(Debug, Clone)]
pub struct Device {
    pub id: String,
    pub key: String,
    pub signing: SigningKey,
}

/// An offer of 0.60 USD an hour, for a minute to a year.
pub fn offer() -> Value {
    json!({
        "title": "A small computer", "place": "Hamburg", "min_term_s": 60, "max_term_s": 31_536_000,
        "rates": [{"per": "hour", "price": {"amount": "0.60", "asset": "USD"}}],
    })
}

/// An amount in dollars.
pub fn usd(amount: &str) -> Value {
    json!({"amount": amount, "asset": "USD"})
}

impl TestApp {
    /// Opens an account.
    pub async fn account(&self, roles: &[&str], marketplace: Option<&str>) -> Who {
        let new = json!({"name": roles[0], "roles": roles, "marketplace": marketplace});
        let opened = self.post("/v1/accounts", &self.operator, &new).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let id = opened.id("account");
        let token = self.token(&id, roles).await;
        Who { id, token }
    }

    /// Makes a token of an account.
    pub async fn token(&self, account: &str, roles: &[&str]) -> String {
        let new = json!({"label": "test", "roles": roles});
        self.post(&format!("/v1/accounts/{account}/tokens"), &self.operator, &new).await.id("token")
    }

    /// Enrols a device.
    pub async fn enrol(&self, owner: &Who) -> Device {
        let enrolled = self.post("/v1/devices", &owner.token, &json!({"name": "pi"})).await;
        let seed = Digest::of(enrolled.id("device").as_bytes()).0;
        Device { id: enrolled.id("device"), key: enrolled.id("key"), signing: SigningKey::from_bytes(&seed) }
    }

    /// Enrols a device, lets it register, and offers it.
    pub async fn offered(&self, owner: &Who) -> Device {
        let device = self.enrol(owner).await;
        self.register(&device).await.ok();
        self.put(&format!("/v1/devices/{}/offer", device.id), &owner.token, &offer()).await.ok();
        device
    }

    /// The device registers.
    pub async fn register(&self, device: &Device) -> Reply {
        self.post("/v1/device/register", &device.key, &device.registration()).await
    }

    /// The device gives a sign of life.
    pub async fn check_in(&self, device: &Device) -> Reply {
        self.post("/v1/device/check-ins", &device.key, &device.check_in(self.fresh() + 1)).await
    }

    /// The device asks what to do; answers with what was signed.
    pub async fn poll(&self, device: &Device) -> Value {
        self.ask(device, &device.poll()).await
    }

    /// The device asks in other words; answers with what was signed.
    pub async fn ask(&self, device: &Device, poll: &PollRequest) -> Value {
        self.answer(&device.key, &device.sign(poll)).await
    }

    /// Somebody asks what to do; answers with what was signed.
    pub async fn answer(&self, key: &str, body: &Value) -> Value {
        let answer = self.post("/v1/device/poll", key, body).await.ok();
        serde_json::from_str(answer["message"]["payload"].as_str().unwrap()).unwrap()
    }

    /// The device erases what the tombstone says and sends a receipt.
    pub async fn erase(&self, device: &Device) -> Reply {
        let answer = self.poll(device).await;
        let tombstone = answer["verdict"]["tombstone"]["message"]["payload"].as_str().unwrap_or("{}");
        let receipt = device.receipt(tombstone);
        self.post("/v1/device/erasures", &device.key, &json!({"receipt": receipt})).await
    }

    /// A marketplace brings a payment for time on a device.
    pub async fn order(
        &self,
        shop: &Who,
        renter: &Who,
        device: &Device,
        term_s: Seconds,
        paid: Value,
    ) -> Reply {
        let id = format!("order-{}", self.fresh());
        let order = rental_order(&id, renter, &device.id, term_s, paid);
        self.post("/v1/orders", &shop.token, &order).await
    }

    /// A running rental of ten hours; answers with the contract's id.
    pub async fn rental(&self, shop: &Who, renter: &Who, device: &Device) -> String {
        let accepted = self.order(shop, renter, device, 36_000, usd("6.00")).await;
        self.settle().await;
        accepted.id("contract")
    }
}

/// An order for time on a device.
pub fn rental_order(id: &str, renter: &Who, device: &str, term_s: Seconds, paid: Value) -> Value {
    let item = json!({"kind": "rental", "device": device, "term_s": term_s});
    json!({"order_id": id, "item": item, "renter": renter.id, "paid": paid})
}

impl Device {
    pub fn public(&self) -> PublicKey {
        PublicKey(self.signing.verifying_key().to_bytes())
    }

    pub fn registration(&self) -> Value {
        let hardware = Hardware { memory_mib: 4_096, disk_mib: 65_536, cores: 4, ..Hardware::default() };
        let (device_key, config_hash) = (self.public(), Digest::of(b"config"));
        let registration = Registration { v: 1, device_key, config_hash, hardware };
        serde_json::to_value(wire::sign(&registration, &self.signing)).unwrap()
    }

    /// What the device asks: a boot that never ends, nothing to report.
    pub fn poll(&self) -> PollRequest {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        let mut nonce = [7; 32];
        nonce[..8].copy_from_slice(&ASKED.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        PollRequest {
            v: 1,
            nonce: Nonce(nonce),
            device_key: self.public(),
            boot_id: uuid::Uuid::nil(),
            count: 0,
            saves: 0,
            reported: Reported {
                state: ReportedState::Idle,
                epoch: 0,
                running: false,
                conflict: None,
                host_keys: Vec::new(),
            },
            seen_seq: 0,
            wait_s: 0,
            floor: crate::app::START.parse().unwrap(),
        }
    }

    /// A message as the device sends it.
    pub fn sign(&self, message: &impl wire::Message) -> Value {
        serde_json::to_value(wire::sign(message, &self.signing)).unwrap()
    }

    /// A signed question; with `seen_seq`, what is older than that is known.
    pub fn question(&self, seen_seq: u64) -> Value {
        self.sign(&PollRequest { seen_seq, ..self.poll() })
    }

    /// A signed sign of life.
    pub fn check_in(&self, count: u64) -> Value {
        let (device_key, boot_id) = (self.public(), uuid::Uuid::nil());
        self.sign(&CheckIn { v: 1, device_key, boot_id, count })
    }

    pub fn receipt(&self, tombstone: &str) -> Signed {
        let told: Value = serde_json::from_str(tombstone).unwrap();
        let epoch = told["epoch"].as_u64().and_then(|epoch| u32::try_from(epoch).ok()).unwrap_or(1);
        let step =
            EraseStep { step: "remove files".into(), result: StepResult::Done, detail: "3 files".into() };
        let receipt = Receipt {
            v: 1,
            device: self.id.parse::<DeviceId>().unwrap(),
            epoch,
            tombstone: Digest::of(tombstone.as_bytes()),
            volume: "directory".into(),
            steps: vec![step],
            not_before: crate::app::START.parse().unwrap(),
        };
        wire::sign(&receipt, &self.signing)
    }
}
