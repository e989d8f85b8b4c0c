//! The server's half of a volume key: who gets it, and when it is gone.

use api::config::Config;
use domain::{device::KeyEnd, id::DeviceId, key::SealedHalf, wire::KeyHalf};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    world::{Device, Who},
};

const APPEAL_S: i64 = 259_200;

struct World {
    test: TestApp,
    owner: Who,
    renter: Who,
    device: Device,
    contract: String,
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let test = TestApp::in_folder(config, TestApp::clock_at_start()).await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        let device = test.offered(&owner).await;
        let contract = test.rental(&shop, &renter, &device).await;
        Self { test, owner, renter, device, contract }
    }

    fn id(&self) -> DeviceId {
        self.device.id.parse().unwrap()
    }

    /// The half that the device gets, if it gets one.
    async fn half(&self) -> Option<KeyHalf> {
        opened(&self.device, &self.test.poll(&self.device).await)
    }

    async fn shown(&self) -> Value {
        self.test.get(&format!("/v1/contracts/{}", self.contract), &self.renter.token).await.ok()
    }

    async fn end(&self) {
        let path = format!("/v1/contracts/{}/termination", self.contract);
        self.test.post(&path, &self.renter.token, &json!({})).await.ok();
        self.test.settle().await;
    }

    /// How often the ledger says that the half was destroyed.
    async fn recorded(&self) -> usize {
        let path = format!("/v1/events?type=LeaseKeyDestroyed&stream=device-{}", self.device.id);
        let listed = self.test.get(&path, &self.test.operator).await.ok();
        listed["items"].as_array().unwrap().len()
    }

    /// Whether any file beside the ledger holds these bytes.
    fn found(&self, bytes: &[u8]) -> bool {
        let files = std::fs::read_dir(self.test.data().path()).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.is_file())
            .any(|path| std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes))
    }
}

fn opened(device: &Device, answer: &Value) -> Option<KeyHalf> {
    let sealed: SealedHalf = serde_json::from_value(answer["verdict"].get("key_half")?.clone()).unwrap();
    let epoch = serde_json::from_value(answer["verdict"]["epoch"].clone()).unwrap();
    Some(KeyHalf::open(&sealed, &device.signing, device.id.parse().unwrap(), epoch).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_poll_that_the_leases_key_signed_gets_the_half() {
    let mut world = World::new().await;
    let half = world.half().await.unwrap();
    let bare = serde_json::to_value(world.device.poll()).unwrap();
    let told = world.test.answer(&world.device.key, &bare).await;
    assert_eq!((told["verdict"]["verdict"].as_str(), opened(&world.device, &told)), (Some("run"), None));
    let copy = Device { signing: world.test.enrol(&world.owner).await.signing, ..world.device.clone() };
    assert_eq!(world.test.poll(&copy).await["verdict"], json!({"verdict": "stranger"}));

    world.test.register(&world.device).await.ok();
    assert_eq!(world.half().await.as_ref(), Some(&half), "registering again makes no other half");
    world.test.restart().await;
    assert_eq!(world.half().await, Some(half), "nor does a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_destroys_the_half_and_leaves_nothing_of_it() {
    let world = World::new().await;
    let half = world.half().await.unwrap();
    let sealed = world.test.app.halves.sealed(world.id(), 1).await.unwrap().unwrap();
    assert!(world.found(&sealed) && !world.found(half.reveal()));
    world.end().await;
    assert_eq!(world.half().await, None, "an ended lease's half is handed out no more");
    let shown = world.shown().await;
    let commitment = json!(half.commitment());
    assert_eq!(
        (&shown["key_half"]["state"], &shown["key_half"]["commitment"]),
        (&json!("held"), &commitment)
    );
    assert!(world.found(&sealed) && shown["erased_at"].is_null());

    assert_eq!(world.test.erase(&world.device).await.status, 204);
    world.test.settle().await;
    let shown = world.shown().await;
    let at = crate::app::START;
    let destroyed =
        json!({"state": "destroyed", "commitment": commitment, "destroyed_at": at, "why": "erased"});
    assert_eq!((&shown["key_half"], &shown["erased_at"]), (&destroyed, &json!(at)));
    assert!(!world.found(&sealed[..16]));
    world.test.advance(APPEAL_S);
    world.test.run_due().await;
    assert_eq!(world.recorded().await, 1);
    world.test.register(&world.device).await.ok();
    assert!(world.half().await.is_some_and(|next| next != half), "the next lease has a half of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_half_goes_when_the_appeal_is_over_even_if_the_device_never_returns() {
    let world = World::new().await;
    world.end().await;
    world.test.advance(APPEAL_S - 1);
    world.test.run_due().await;
    assert_eq!(world.shown().await["key_half"]["state"], "held");
    world.test.advance(1);
    world.test.run_due().await;
    let shown = world.shown().await;
    let half = &shown["key_half"];
    assert_eq!((&half["state"], &half["why"]), (&json!("destroyed"), &json!("appeal_over")));
    assert!(shown["erased_at"].is_null());
    // It does return.
    assert_eq!(world.test.erase(&world.device).await.status, 204);
    world.test.settle().await;
    assert!(world.shown().await["erased_at"].is_string());
    assert_eq!(world.recorded().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_appeal_the_half_goes_with_the_next_run() {
    let mut config = Config::default();
    config.devices.appeal_s = 0;
    let world = World::with(config).await;
    world.test.run_due().await;
    assert_eq!(world.shown().await["key_half"]["state"], "held", "not while the rental runs");
    world.end().await;
    world.test.run_due().await;
    assert_eq!(world.shown().await["key_half"]["why"], "appeal_over");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_half_of_a_running_lease_stays_whatever_is_tried() {
    let world = World::new().await;
    let half = world.half().await;
    let (app, device) = (&world.test.app, world.id());
    let by = app.by_system(domain::event::SystemPart::Scheduler, None);
    let refused = api::halves::destroy(app, device, 1, KeyEnd::AppealOver, &by).await.unwrap_err();
    assert_eq!(refused.kind(), "lease-running");
    assert_eq!(
        api::halves::destroy(app, device, 2, KeyEnd::Asked, &by).await.unwrap_err().kind(),
        "lease-running"
    );
    world.test.advance(35_000);
    world.test.check_in(&world.device).await;
    world.test.run_due().await;
    assert_eq!(world.half().await, half);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_who_does_not_appeal_has_the_half_destroyed_at_once() {
    let world = World::new().await;
    let (test, path) = (&world.test, format!("/v1/contracts/{}/erasure", world.contract));
    let ask = async |token: &str| test.post(&path, token, &json!({})).await;
    assert_eq!(ask(&world.renter.token).await.problem(), (409, "still-running"));
    world.end().await;
    assert_eq!(ask(&world.owner.token).await.problem(), (403, "forbidden"));
    let shown = ask(&world.renter.token).await.ok();
    assert_eq!(
        (&shown["key_half"]["state"], &shown["key_half"]["why"]),
        (&json!("destroyed"), &json!("asked"))
    );
    let again = ask(&world.renter.token).await;
    assert_eq!(again.header("berth-position"), None, "asking twice is once");
    assert_eq!((again.status.as_u16(), world.recorded().await), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_whose_time_is_over_need_not_wait_for_the_scheduler_to_be_erased() {
    let world = World::new().await;
    world.test.advance(36_000);
    let path = format!("/v1/contracts/{}/erasure", world.contract);
    let shown = world.test.post(&path, &world.renter.token, &json!({})).await.ok();
    assert_eq!(shown["status"], "expired");
    world.test.settle().await;
    assert_eq!(world.shown().await["key_half"]["why"], "asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_deletion_and_its_record_is_made_up_for() {
    let mut world = World::new().await;
    world.end().await;
    // As far as a process came that was killed right after the deletion.
    let gone = world.test.app.halves.destroy(world.id(), 1, KeyEnd::Asked).await.unwrap();
    assert_eq!((gone.is_some(), world.recorded().await), (true, 0));
    world.test.restart().await;
    world.test.run_due().await;
    world.test.run_due().await;
    assert_eq!((world.recorded().await, &world.shown().await["key_half"]["why"]), (1, &json!("asked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_said_loudly_and_no_second_half_is_made_for_a_lease() {
    let mut world = World::new().await;
    world.test.stop().await;
    std::fs::remove_file(world.test.data().halves()).unwrap();
    world.test.restart().await;
    let listed = world.test.get("/v1/attention", &world.test.operator).await.ok();
    assert!(listed.to_string().contains("key halves lost"), "{listed}");
    let told = world.test.poll(&world.device).await;
    assert_eq!((told["verdict"]["verdict"].as_str(), opened(&world.device, &told)), (Some("run"), None));
    world.test.register(&world.device).await.ok();
    assert_eq!(world.half().await, None);
    assert_eq!(world.shown().await["key_half"]["state"], "none");
    // The lease ends like any other, with nothing to record; the next one has a half again.
    world.end().await;
    assert_eq!(world.test.erase(&world.device).await.status, 204);
    world.test.settle().await;
    world.test.register(&world.device).await.ok();
    assert!(world.half().await.is_some() && world.recorded().await == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_may_let_the_device_resume_without_the_server() {
    let world = World::new().await;
    let (test, path) = (&world.test, format!("/v1/contracts/{}/offline-resume", world.contract));
    let choose =
        async |token: &str, allowed: bool| test.put(&path, token, &json!({"allowed": allowed})).await;
    let told = async || test.poll(&world.device).await["verdict"].get("offline_resume").cloned();
    assert_eq!((&world.shown().await["offline_resume"], told().await), (&json!(false), None));
    assert_eq!(choose(&world.owner.token, true).await.problem(), (403, "forbidden"));
    assert_eq!(choose(&world.renter.token, true).await.ok()["offline_resume"], true);
    assert_eq!(told().await, Some(json!(true)));
    let again = choose(&world.renter.token, true).await;
    assert_eq!((again.status.as_u16(), again.header("berth-position")), (200, None));
    assert_eq!(choose(&world.renter.token, false).await.ok()["offline_resume"], false);
    assert_eq!(told().await, None);
    world.end().await;
    assert_eq!(choose(&world.renter.token, true).await.problem(), (409, "rental-over"));
}
