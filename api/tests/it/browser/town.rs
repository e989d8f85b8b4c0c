//! A marketplace with some of everything.

use serde_json::{Value, json};

use crate::{
    app::TestApp,
    world::{Device, Who, offer, usd},
};

/// What is in it, by what happened to it.
pub struct Town {
    pub test: TestApp,
    pub shop: Who,
    /// Lets the devices, and rents none.
    pub owner: Who,
    /// Rents the devices.
    pub renter: Who,
    pub auditor: Who,
    /// On the market; its offer has a long title and every rate.
    pub free: Device,
    /// Let, and not heard of for too long.
    pub lost: Device,
    /// Enrolled, and nothing else.
    pub new: Device,
    /// Let.
    pub used: Device,
    /// The rental of [`Town::used`], with an extension that waits to be paid.
    pub running: String,
    /// A rental that runs and waits for nothing.
    pub quiet: String,
    /// A rental that its renter ended, with a receipt.
    pub erased: String,
    /// A rental that its renter ended, without one.
    pub unerased: String,
    /// Settlements: due, started, in doubt, failed, settled.
    pub settlements: Vec<String>,
}

impl Town {
    pub async fn new() -> Self {
        let test = TestApp::new().await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        let auditor = test.account(&["auditor"], None).await;
        let [free, lost, new] =
            [test.offered(&owner).await, test.offered(&owner).await, test.enrol(&owner).await];
        let used = test.offered(&owner).await;
        let mut dear = offer();
        dear["title"] = json!("A computer with a name that is longer than what fits into a line of a phone");
        dear["rates"] =
            json!(["hour", "day", "week", "month"].map(|per| json!({"per": per, "price": usd("9.99")})));
        test.put(&format!("/v1/devices/{}/offer", free.id), &owner.token, &dear).await.ok();
        let (mut rentals, mut devices) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let device = test.offered(&owner).await;
            rentals.push(test.rental(&shop, &renter, &device).await);
            devices.push(device);
        }
        let running = test.rental(&shop, &renter, &used).await;
        test.rental(&shop, &renter, &lost).await;
        let [quiet, erased, unerased] = rentals.try_into().unwrap();
        let town = Self {
            test,
            shop,
            owner,
            renter,
            auditor,
            free,
            lost,
            new,
            used,
            running,
            quiet,
            erased,
            unerased,
            settlements: Vec::new(),
        };
        town.grow_old(&devices).await
    }

    /// Things happen, good ones and bad ones.
    async fn grow_old(mut self, devices: &[Device]) -> Self {
        let test = &self.test;
        for _ in 0..4 {
            test.order(&self.shop, &self.renter, &self.used, 3_600, usd("0.60")).await;
        }
        test.advance(3_000);
        for device in devices.iter().chain([&self.free, &self.used]) {
            test.check_in(device).await;
        }
        test.run_due().await;
        for contract in [&self.erased, &self.unerased] {
            let path = format!("/v1/contracts/{contract}/termination");
            test.post(&path, &self.renter.token, &json!({})).await.ok();
        }
        assert_eq!(test.erase(&devices[1]).await.status, 204);
        test.settle().await;
        let path = format!("/v1/contracts/{}/extensions", self.running);
        test.post(&path, &self.renter.token, &json!({"term_s": 3_600})).await.ok();
        self.settlements = self.move_money().await;
        self.test.settle().await;
        self
    }

    /// Leaves one due, starts one, loses sight of one, fails with one, settles the others.
    async fn move_money(&self) -> Vec<String> {
        let due = self.test.get("/v1/settlements?status=due", &self.shop.token).await.ok();
        let due = due["items"].as_array().unwrap().clone();
        let tell = async |id: &str, step: &str, body: Value| {
            let path = format!("/v1/settlements/{id}/{step}");
            self.test.post(&path, &self.shop.token, &body).await.ok();
        };
        let mut all = Vec::new();
        for (at, settlement) in due.iter().enumerate() {
            let id = settlement["settlement"].as_str().unwrap().to_owned();
            if at > 0 {
                tell(&id, "start", json!({"method": "wallet"})).await;
            }
            match at {
                0 | 1 => {}
                2 => tell(&id, "quarantined", json!({"attempt": 1, "reason": "no answer"})).await,
                3 => tell(&id, "failed", json!({"attempt": 1, "reason": "not enough coins"})).await,
                _ => {
                    let reference = "5d1f3c0a9b7e42d8a6c1e0f94b3d2a17c8e5f60b";
                    let moved = json!({"attempt": 1, "reference": reference, "moved": settlement["amount"]});
                    tell(&id, "settled", moved).await;
                }
            }
            all.push(id);
        }
        assert!(all.len() > 5, "{all:?}");
        all
    }
}
