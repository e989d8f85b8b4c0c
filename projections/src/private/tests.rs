use domain::{
    account::Role,
    id::{AccountId, DeviceId},
    key::Digest,
    time::Time,
};
use uuid::Uuid;

use super::*;

const NOW: Time = Time::from_unix(1_000);

async fn store() -> (tempfile::TempDir, Private) {
    let dir = tempfile::tempdir().unwrap();
    let private = Private::open(&dir.path().join("private.db")).await.unwrap();
    (dir, private)
}

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

#[tokio::test]
async fn a_token_works_until_it_expires_or_is_revoked() {
    let (_dir, private) = store().await;
    let t = token(1);
    private.add_token(&t).await.unwrap();
    let holder = private.token_holder(t.hash, NOW).await.unwrap().unwrap();
    assert_eq!((holder.account, holder.roles), (t.account, vec![Role::Owner]));
    assert_eq!(private.token_holder(t.hash, NOW.plus(10)).await.unwrap(), None);
    assert!(!private.revoke_token(AccountId(Uuid::from_u128(2)), t.id, NOW).await.unwrap());
    assert!(private.revoke_token(t.account, t.id, NOW).await.unwrap());
    assert_eq!(private.token_holder(t.hash, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_set_up_code_works_once() {
    let (_dir, private) = store().await;
    let code = Digest::of(b"code");
    private.allow_setup(code).await.unwrap();
    assert!(!private.use_setup(Digest::of(b"guess")).await.unwrap());
    assert!(private.use_setup(code).await.unwrap());
    assert!(!private.use_setup(code).await.unwrap());
}

#[tokio::test]
async fn two_integrations_cannot_share_a_marketplace_name() {
    let (_dir, private) = store().await;
    let person = Person { marketplace: Some("ob".parse().unwrap()), ..Person::default() };
    private.add_person(AccountId(Uuid::from_u128(1)), &person, NOW).await.unwrap();
    let second = private.add_person(AccountId(Uuid::from_u128(2)), &person, NOW).await;
    assert!(matches!(second, Err(PrivateError::MarketplaceTaken(_))));
}

#[tokio::test]
async fn an_idempotency_key_answers_the_same_request_and_refuses_another() {
    let (_dir, private) = store().await;
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

#[tokio::test]
async fn only_watched_devices_are_found_silent_and_presence_never_moves_back() {
    let (_dir, private) = store().await;
    let (quiet, unwatched) = (DeviceId(Uuid::from_u128(1)), DeviceId(Uuid::from_u128(2)));
    private.watch_device(quiet, true, NOW).await.unwrap();
    private.seen(&[(quiet, NOW.plus(5)), (unwatched, NOW)]).await.unwrap();
    private.seen(&[(quiet, NOW)]).await.unwrap();
    assert_eq!(private.silent_devices(NOW.plus(5), 10).await.unwrap(), vec![]);
    assert_eq!(private.silent_devices(NOW.plus(6), 10).await.unwrap(), vec![(quiet, NOW.plus(5))]);
}

#[tokio::test]
async fn credentials_are_kept_once_per_lease_and_destroyed_with_it() {
    let (_dir, private) = store().await;
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

    let (dir, private) = store().await;
    sqlx::query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, '', 1, x'00', 0)")
        .execute(&private.pool)
        .await
        .unwrap();
    private.close().await;
    let again = Private::open(&dir.path().join("private.db")).await;
    assert!(matches!(again, Err(PrivateError::Newer(_))));
}
