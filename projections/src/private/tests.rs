use domain::{
    account::Role,
    id::{AccountId, CommandId, DeviceId},
    key::Digest,
    time::Time,
};
use uuid::Uuid;

use super::{
    fresh::{Fresh, on_both},
    *,
};

const NOW: Time = Time::from_unix(1_000);

on_both!(
    a_token_works_until_it_expires_or_is_revoked,
    a_set_up_code_works_once,
    two_integrations_cannot_share_a_marketplace_name,
    an_idempotency_key_answers_the_same_request_and_refuses_another,
    only_watched_devices_are_found_silent_and_presence_never_moves_back,
    credentials_are_kept_once_per_lease_and_destroyed_with_it,
    a_command_that_is_repeated_adds_one_webhook_and_keeps_the_secret_before,
    a_webhook_that_failed_is_due_at_its_next_try_and_a_disabled_one_when_it_is_enabled,
    a_lease_has_one_holder_until_it_runs_out_or_is_given_back,
    orders_are_looked_at_again_when_their_time_comes,
    listings_are_remembered_until_they_are_gone,
);

fn token(account: u128) -> NewToken {
    NewToken {
        id: Uuid::from_u128(account),
        hash: Digest::of(&account.to_be_bytes()),
        account: AccountId(Uuid::from_u128(account)),
        label: "laptop".into(),
        roles: vec![Role::Owner],
        created_at: NOW,
        expires_at: Some(NOW.plus(10)),
    }
}

async fn a_token_works_until_it_expires_or_is_revoked(Fresh { private, .. }: Fresh) {
    let t = token(1);
    private.add_token(&t).await.unwrap();
    let holder = private.token_holder(t.hash, NOW).await.unwrap().unwrap();
    assert_eq!((holder.account, holder.roles), (t.account, vec![Role::Owner]));
    assert_eq!(private.token_holder(t.hash, NOW.plus(10)).await.unwrap(), None);
    assert!(!private.revoke_token(AccountId(Uuid::from_u128(2)), t.id, NOW).await.unwrap());
    assert!(private.revoke_token(t.account, t.id, NOW).await.unwrap());
    assert_eq!(private.token_holder(t.hash, NOW).await.unwrap(), None);
}

async fn a_set_up_code_works_once(Fresh { private, .. }: Fresh) {
    let code = Digest::of(b"code");
    private.allow_setup(code).await.unwrap();
    assert!(!private.use_setup(Digest::of(b"guess")).await.unwrap());
    assert!(private.use_setup(code).await.unwrap());
    assert!(!private.use_setup(code).await.unwrap());
}

async fn two_integrations_cannot_share_a_marketplace_name(Fresh { private, .. }: Fresh) {
    let person = Person { marketplace: Some("ob".parse().unwrap()), ..Person::default() };
    private.add_person(AccountId(Uuid::from_u128(1)), &person, NOW).await.unwrap();
    let second = private.add_person(AccountId(Uuid::from_u128(2)), &person, NOW).await;
    assert!(matches!(second, Err(PrivateError::MarketplaceTaken(_))));
}

async fn an_idempotency_key_answers_the_same_request_and_refuses_another(Fresh { private, .. }: Fresh) {
    let (account, a, b) = (AccountId(Uuid::from_u128(1)), Digest::of(b"a"), Digest::of(b"b"));
    let begin = |request, now: Time| private.begin_idempotent(account, "k", request, now, now.plus(-60));
    assert_eq!(begin(a, NOW).await.unwrap(), Begun::Fresh);
    assert_eq!(begin(a, NOW).await.unwrap(), Begun::InFlight);
    assert_eq!(begin(b, NOW).await.unwrap(), Begun::OtherRequest);
    assert_eq!(begin(a, NOW.plus(61)).await.unwrap(), Begun::Resumed);
    private.end_idempotent(account, "k", Some(vec![1])).await.unwrap();
    assert_eq!(begin(a, NOW.plus(62)).await.unwrap(), Begun::Answered(vec![1]));
    assert_eq!(private.forget_idempotent(NOW.plus(100)).await.unwrap(), 1);
    assert_eq!(begin(b, NOW).await.unwrap(), Begun::Fresh);
}

async fn only_watched_devices_are_found_silent_and_presence_never_moves_back(Fresh { private, .. }: Fresh) {
    let (quiet, unwatched) = (DeviceId(Uuid::from_u128(1)), DeviceId(Uuid::from_u128(2)));
    private.watch_device(quiet, true, NOW).await.unwrap();
    private.seen(&[(quiet, NOW.plus(5)), (unwatched, NOW)]).await.unwrap();
    private.seen(&[(quiet, NOW)]).await.unwrap();
    assert_eq!(private.silent_devices(NOW.plus(5), 10).await.unwrap(), vec![]);
    assert_eq!(private.silent_devices(NOW.plus(6), 10).await.unwrap(), vec![(quiet, NOW.plus(5))]);
}

async fn credentials_are_kept_once_per_lease_and_destroyed_with_it(Fresh { private, .. }: Fresh) {
    let device = DeviceId(Uuid::from_u128(1));
    assert_eq!(private.keep_secret(device, 1, vec![1]).await.unwrap(), vec![1]);
    assert_eq!(private.keep_secret(device, 1, vec![2]).await.unwrap(), vec![1]);
    private.keep_secret(device, 2, vec![3]).await.unwrap();
    private.destroy_secrets(device, 1).await.unwrap();
    assert_eq!(private.secret(device, 1).await.unwrap(), None);
    assert_eq!(private.secret(device, 2).await.unwrap(), Some(vec![3]));
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private.db");
    std::fs::write(&path, b"this is not a database, but it is long enough to be taken for one").unwrap();
    assert!(matches!(Private::open(&path).await, Err(PrivateError::Damaged { .. })));
    assert!(std::fs::read(&path).unwrap().starts_with(b"this is not"));

    let path = dir.path().join("newer.db");
    let private = Private::open(&path).await.unwrap();
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, '', 1, x'00', 0)";
    sql(newer).execute(&private.store).await.unwrap();
    private.close().await;
    assert!(matches!(Private::open(&path).await, Err(PrivateError::Newer(_))));
}

fn webhook(id: u128) -> NewWebhook {
    NewWebhook {
        id: Uuid::from_u128(id),
        url: "https://example.org/?key=secret".into(),
        label: None,
        marketplace: None,
        types: vec!["RentalStarted".into(), "RentalExpired".into()],
        created_at: NOW,
        sealed_secret: vec![1],
        by: CommandId(Uuid::from_u128(100)),
        next: 7,
    }
}

async fn a_command_that_is_repeated_adds_one_webhook_and_keeps_the_secret_before(
    Fresh { private, .. }: Fresh,
) {
    let (id, until) = (Uuid::from_u128(1), NOW.plus(60));
    assert!(private.add_webhook(&webhook(1), 1).await.unwrap());
    assert!(!private.add_webhook(&webhook(2), 1).await.unwrap(), "there is one already");
    let again = NewWebhook { sealed_secret: vec![2], next: 9, ..webhook(1) };
    assert!(private.add_webhook(&again, 1).await.unwrap());
    let kept = private.webhook(id).await.unwrap().unwrap();
    assert_eq!((&kept.sealed_secret, kept.next, &kept.types), (&vec![2], 7, &webhook(1).types));
    for secret in [3, 4] {
        private.rotate_webhook(id, &[secret], CommandId(Uuid::from_u128(5)), until).await.unwrap();
        let kept = private.webhook(id).await.unwrap().unwrap();
        assert_eq!((kept.sealed_secret, kept.old_secret), (vec![secret], Some((vec![2], until))));
    }
    assert!(!format!("{:?} {kept:?}", webhook(1)).contains("secret"));
}

async fn a_webhook_that_failed_is_due_at_its_next_try_and_a_disabled_one_when_it_is_enabled(
    Fresh { private, .. }: Fresh,
) {
    let id = Uuid::from_u128(1);
    private.add_webhook(&webhook(1), 9).await.unwrap();
    let due = async |now| private.due_webhooks(now).await.unwrap().len();
    let later = Some(NOW.plus(5));
    let failed = FailedDelivery { position: 8, failures: 1, error: "no".into(), at: NOW, next_try_at: later };
    private.webhook_failed(id, &failed).await.unwrap();
    assert_eq!((due(NOW.plus(4)).await, due(NOW.plus(5)).await), (0, 1));
    private.webhook_failed(id, &FailedDelivery { next_try_at: None, ..failed }).await.unwrap();
    let disabled = private.webhook(id).await.unwrap().unwrap();
    assert_eq!((disabled.disabled_at, disabled.next, disabled.revision), (Some(NOW), 8, 1));
    assert_eq!(due(NOW.plus(5)).await, 0);
    private.enable_webhook(id).await.unwrap();
    assert_eq!(due(NOW).await, 1);
    private.webhook_delivered(id, 9, NOW).await.unwrap();
    let enabled = private.webhook(id).await.unwrap().unwrap();
    assert_eq!((enabled.next, enabled.failures, enabled.last_success_at), (9, 0, Some(NOW)));
    assert_eq!(enabled.last_error, Some(("no".into(), NOW)), "what went wrong last stays known");
}

async fn a_lease_has_one_holder_until_it_runs_out_or_is_given_back(Fresh { private, .. }: Fresh) {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let take = async |holder, for_s| private.take_lease("x", holder, NOW, for_s).await.unwrap();
    assert_eq!(take(first, 30).await, Some(1));
    assert_eq!(take(second, 30).await, None);
    assert_eq!(take(first, -1).await, Some(1), "kept, not taken anew");
    assert_eq!(take(second, 30).await, Some(2), "it had run out");
    assert_eq!(take(first, 30).await, None);
    private.end_lease("x", first, NOW).await.unwrap();
    assert_eq!(take(first, 30).await, None, "only its holder gives it back");
    private.end_lease("x", second, NOW).await.unwrap();
    assert_eq!(take(first, 30).await, Some(3));
}

async fn orders_are_looked_at_again_when_their_time_comes(Fresh { private, .. }: Fresh) {
    let order = |id: &str, open, look_at: Option<i64>, failures| LookedAt {
        id: id.into(),
        state: "PENDING".into(),
        open,
        look_at: look_at.map(|s| NOW.plus(s)),
        failures,
    };
    for row in [order("a", true, Some(5), 0), order("b", false, None, 0), order("c", true, Some(1), 2)] {
        private.openbazaar_looked_at(&row).await.unwrap();
    }
    assert_eq!(private.openbazaar_due(NOW.plus(4), 9).await.unwrap(), ["c"]);
    assert_eq!(private.openbazaar_due(NOW.plus(5), 9).await.unwrap(), ["c", "a"]);
    assert_eq!(private.openbazaar_open("", 9).await.unwrap(), ["a", "c"]);
    assert_eq!(private.openbazaar_open("a", 9).await.unwrap(), ["c"]);
    assert_eq!(private.openbazaar_failures("c").await.unwrap(), 2);
    let states = private.openbazaar_states(&["a".into(), "c".into(), "z".into()]).await.unwrap();
    assert_eq!(states["a"], ("PENDING".into(), None));
    assert_eq!(states["c"], ("PENDING".into(), Some(NOW.plus(1))));
    assert_eq!(states.len(), 2);
    private.openbazaar_looked_at(&order("c", true, None, 0)).await.unwrap();
    assert_eq!(private.openbazaar_due(NOW.plus(5), 9).await.unwrap(), ["a"]);
    let since = private.openbazaar_since(NOW).await.unwrap();
    assert_eq!((since, private.openbazaar_since(NOW.plus(9)).await.unwrap()), (NOW, NOW));
}

async fn listings_are_remembered_until_they_are_gone(Fresh { private, .. }: Fresh) {
    for (slug, content) in [("b", 1), ("a", 2), ("b", 3)] {
        private.openbazaar_listed(slug, Some(Digest([content; 32]))).await.unwrap();
    }
    let all = private.openbazaar_listings("", 9).await.unwrap();
    assert_eq!(all, [("a".into(), Digest([2; 32])), ("b".into(), Digest([3; 32]))]);
    private.openbazaar_listed("a", None).await.unwrap();
    assert_eq!(private.openbazaar_listings("", 9).await.unwrap().len(), 1);
    assert!(private.openbazaar_listings("b", 9).await.unwrap().is_empty());
}
