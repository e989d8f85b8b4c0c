//! What two nodes do at the same moment.

use std::collections::BTreeSet;

use domain::{
    account::Role,
    id::{AccountId, CommandId, DeviceId},
    key::Digest,
    time::Time,
};
use tokio::{sync::Barrier, task::JoinSet};
use uuid::Uuid;

use super::{
    fresh::{Fresh, on_both, on_postgres},
    *,
};

const NOW: Time = Time::from_unix(1_000);
const LATER: Time = Time::from_unix(2_000);
/// How many do the same at once.
const MANY: usize = 12;

on_both!(
    a_code_is_used_once,
    a_challenge_is_used_once_and_an_account_has_one,
    a_key_is_claimed_once_and_taken_over_once,
    a_marketplace_name_and_an_address_have_one_account,
    every_try_is_counted,
    the_last_place_for_a_passkey_is_given_once,
    a_passkey_is_not_added_to_an_account_that_is_forgotten,
    of_many_codes_the_latest_counts,
    a_lease_is_taken_by_one,
    there_are_no_more_webhooks_than_may_be,
    a_mail_is_kept_once_and_leaves_once,
    signs_of_life_come_from_both_nodes_in_any_order,
    a_token_is_kept_once_and_revoked_once,
    the_first_keys_are_the_keys,
    credentials_are_kept_once,
    nothing_that_was_passed_comes_back,
    what_is_done_alone_is_done_by_one_at_a_time,
    what_was_forgotten_is_forgotten_once,
);

/// Does something many times at once, by turns at one node and the other. Whoever is connected waits for the others.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    Fresh { private, other, .. }: &Fresh,
    act: impl Fn(Private, usize) -> F,
) -> Vec<T> {
    let (mut all, start) = (JoinSet::new(), Arc::new(Barrier::new(MANY)));
    for n in 0..MANY {
        let (node, start) = (if n % 2 == 0 { private.clone() } else { other.clone() }, start.clone());
        let act = act(node.clone(), n);
        all.spawn(async move {
            node.has_accounts().await.unwrap();
            start.wait().await;
            act.await
        });
    }
    all.join_all().await
}

fn count<T>(all: &[T], is: impl Fn(&T) -> bool) -> usize {
    all.iter().filter(|one| is(one)).count()
}

fn account(n: usize) -> AccountId {
    AccountId(Uuid::from_u128(n as u128))
}

fn digest(n: usize) -> Digest {
    Digest::of(&n.to_be_bytes())
}

async fn a_code_is_used_once(fresh: Fresh) {
    let (private, code) = (&fresh.private, digest(1));
    private.allow_setup(code).await.unwrap();
    let used = race(&fresh, |node, _| async move { node.use_setup(code).await.unwrap() }).await;
    assert_eq!(count(&used, |used| *used), 1);
    private.add_code(code, account(1), CodePurpose::Reset, "a@b.org", LATER).await.unwrap();
    let used =
        race(&fresh, |node, _| async move { node.use_code(code, CodePurpose::Reset, NOW).await.unwrap() });
    assert_eq!(count(&used.await, Option::is_some), 1);
}

async fn a_challenge_is_used_once_and_an_account_has_one(fresh: Fresh) {
    let adding = Some(Adding { account: account(1), session: digest(0) });
    for _ in 0..5 {
        let added = race(&fresh, |node, n| async move {
            node.add_challenge(digest(n), adding, "{}", NOW, LATER).await.unwrap()
        });
        assert_eq!(count(&added.await, |added| *added), MANY);
        let used = race(&fresh, |node, n| async move {
            let mut used = 0;
            for challenge in (0..MANY).map(|k| digest((k + n) % MANY)) {
                used += usize::from(node.use_challenge(challenge, adding, NOW).await.unwrap().is_some());
            }
            used
        });
        assert_eq!(used.await.into_iter().sum::<usize>(), 1);
    }
}

async fn a_key_is_claimed_once_and_taken_over_once(fresh: Fresh) {
    let begin = |now: Time| {
        race(&fresh, move |node, _| async move {
            node.begin_idempotent(account(1), "k", digest(1), now, now.plus(-60)).await.unwrap()
        })
    };
    let begun = begin(NOW).await;
    assert_eq!(count(&begun, |begun| *begun == Begun::Fresh), 1);
    assert_eq!(count(&begun, |begun| *begun == Begun::InFlight), MANY - 1);
    let begun = begin(LATER).await;
    assert_eq!(count(&begun, |begun| *begun == Begun::Resumed), 1);
    assert_eq!(count(&begun, |begun| *begun == Begun::InFlight), MANY - 1);
    // Claims that are given up again at once: whoever goes ahead is alone.
    let fresh = race(&fresh, |node, n| async move {
        let begun = node.begin_idempotent(account(2), "k", digest(n), NOW, NOW.plus(-60)).await.unwrap();
        if begun == Begun::Fresh {
            node.end_idempotent(account(2), "k", None).await.unwrap();
        }
        matches!(begun, Begun::Fresh | Begun::OtherRequest | Begun::InFlight)
    });
    assert!(fresh.await.into_iter().all(|fine| fine));
}

async fn a_marketplace_name_and_an_address_have_one_account(fresh: Fresh) {
    let added = race(&fresh, |node, n| async move {
        let person = Person { marketplace: Some("ob".parse().unwrap()), ..Person::default() };
        node.add_person(account(n), &person, NOW).await
    });
    let added = added.await;
    assert_eq!(count(&added, Result::is_ok), 1);
    assert_eq!(count(&added, |added| matches!(added, Err(PrivateError::MarketplaceTaken(_)))), MANY - 1);
    let added = race(&fresh, |node, n| async move {
        let (email, password) = ("a@b.org".to_owned(), String::new());
        node.add_login(&Login { account: account(n), email, password, confirmed_at: None }).await.unwrap()
    });
    assert_eq!(count(&added.await, |added| *added), 1);
}

async fn every_try_is_counted(fresh: Fresh) {
    let counted =
        race(&fresh, |node, _| async move { node.count_try("sign-in", NOW, 60).await.unwrap().0 }).await;
    let counted: BTreeSet<_> = counted.into_iter().collect();
    assert_eq!(counted, (1..=MANY as i64).collect());
    let again =
        race(&fresh, |node, _| async move { node.count_try("sign-in", LATER, 60).await.unwrap().0 }).await;
    assert_eq!(again.into_iter().max(), Some(MANY as i64), "a new window is begun by one of them");
}

fn passkey(n: usize) -> Passkey {
    Passkey {
        id: Uuid::from_u128(n as u128),
        credential_id: n.to_be_bytes().to_vec(),
        account: account(1),
        name: "phone".into(),
        credential: "{}".into(),
        created_at: NOW,
        last_used_at: None,
    }
}

async fn the_last_place_for_a_passkey_is_given_once(fresh: Fresh) {
    fresh.private.add_person(account(1), &Person::default(), NOW).await.unwrap();
    for n in 1..MAX_PASSKEYS {
        assert!(fresh.private.add_passkey(&passkey(n)).await.unwrap());
    }
    for _ in 0..5 {
        let added = race(&fresh, |node, n| async move {
            let added = node.add_passkey(&passkey(100 + n)).await.unwrap();
            added.then_some(passkey(100 + n).id)
        });
        let added: Vec<_> = added.await.into_iter().flatten().collect();
        assert_eq!(added.len(), 1);
        assert_eq!(fresh.other.passkeys_of(account(1)).await.unwrap().len(), MAX_PASSKEYS);
        fresh.private.remove_passkey(account(1), added[0]).await.unwrap();
    }
    let used = race(&fresh, |node, _| async move {
        node.passkey_used(&passkey(1), "{\"counter\":2}", NOW).await.unwrap()
    });
    assert_eq!(count(&used.await, |used| *used), 1);
}

async fn a_passkey_is_not_added_to_an_account_that_is_forgotten(fresh: Fresh) {
    for _ in 0..5 {
        fresh.private.add_person(account(1), &Person::default(), NOW).await.unwrap();
        race(&fresh, |node, n| async move {
            match n {
                5 => node.forget_person(account(1)).await.unwrap(),
                _ => drop(node.add_passkey(&passkey(n)).await.unwrap()),
            }
        })
        .await;
        assert_eq!(fresh.other.passkeys_of(account(1)).await.unwrap(), []);
    }
}

async fn of_many_codes_the_latest_counts(fresh: Fresh) {
    race(&fresh, |node, n| async move {
        node.add_code(digest(n), account(1), CodePurpose::Reset, "a@b.org", LATER).await.unwrap();
    })
    .await;
    let known =
        race(
            &fresh,
            |node, n| async move { node.knows_code(digest(n), CodePurpose::Reset, NOW).await.unwrap() },
        );
    assert_eq!(count(&known.await, |known| *known), 1);
    // Whoever chooses a password while sessions end and codes are made ends in some order, and nobody in an error.
    race(&fresh, |node, n| async move {
        node.open_session(digest(n), account(1), None, NOW, LATER).await.unwrap();
        match n % 4 {
            0 => node.change_password(account(1), "new").await.unwrap(),
            1 => drop(node.forget_logins(LATER, LATER).await.unwrap()),
            2 => node.forget_person(account(1)).await.unwrap(),
            _ => node.disown(account(1), NOW).await.unwrap(),
        }
    })
    .await;
}

async fn a_lease_is_taken_by_one(fresh: Fresh) {
    let taken = race(&fresh, |node, n| async move {
        node.take_lease("steward", account(n + 1).0, NOW, 30).await.unwrap()
    });
    let taken = taken.await;
    assert_eq!(count(&taken, |fence| *fence == Some(1)), 1);
    assert_eq!(count(&taken, Option::is_none), MANY - 1);
}

fn webhook(n: usize) -> NewWebhook {
    NewWebhook {
        id: account(n).0,
        url: "https://example.org/".into(),
        label: None,
        marketplace: None,
        types: Vec::new(),
        created_at: NOW,
        sealed_secret: vec![1],
        by: CommandId(account(n).0),
        next: 0,
    }
}

async fn there_are_no_more_webhooks_than_may_be(fresh: Fresh) {
    let added = race(&fresh, |node, n| async move { node.add_webhook(&webhook(n), 3).await.unwrap() }).await;
    assert_eq!(count(&added, |added| *added), 3);
    assert_eq!(fresh.other.webhooks(None, 100).await.unwrap().len(), 3);
}

async fn a_mail_is_kept_once_and_leaves_once(fresh: Fresh) {
    let kept = race(&fresh, |node, _| async move {
        let cause = "a".to_owned();
        let mail = NewMail { cause, sealed: vec![7], created_at: NOW, position: None, due_at: NOW };
        node.add_mail(&mail).await.unwrap()
    });
    assert_eq!(count(&kept.await, |kept| *kept), 1);
    let left = race(&fresh, |node, _| async move {
        let mail = node.due_mails(NOW, 1).await.unwrap();
        match mail.first() {
            Some(mail) => node.start_mail(mail.id, NOW).await.unwrap(),
            None => false,
        }
    });
    assert_eq!(count(&left.await, |left| *left), 1);
}

async fn signs_of_life_come_from_both_nodes_in_any_order(fresh: Fresh) {
    let device = |n: usize| DeviceId(Uuid::from_u128(n as u128));
    race(&fresh, |node, n| async move {
        let seen = |k: usize| (device(k), NOW.plus(n as i64));
        // More than one statement takes, and one device twice.
        let all: Vec<_> = (0..1_200).chain([3]).map(seen).collect();
        let turned: Vec<_> = all.iter().rev().copied().collect();
        for seen in [&all, &turned] {
            node.seen(seen).await.unwrap();
        }
    })
    .await;
    let known = fresh.private.last_seen_of(&(0..1_200).map(device).collect::<Vec<_>>()).await.unwrap();
    assert!(known.len() == 500 && known.values().all(|at| *at == NOW.plus(MANY as i64 - 1)));
}

async fn a_token_is_kept_once_and_revoked_once(fresh: Fresh) {
    let token = account(9).0;
    let added = race(&fresh, |node, n| async move {
        let (hash, label, roles) = (digest(n), String::new(), vec![Role::Owner]);
        let new = NewToken {
            id: token,
            hash,
            account: account(1),
            label,
            roles,
            created_at: NOW,
            expires_at: None,
        };
        node.add_token(&new).await.unwrap()
    });
    assert_eq!(count(&added.await, |added| *added), 1);
    let revoked =
        race(&fresh, |node, _| async move { node.revoke_token(account(1), token, NOW).await.unwrap() });
    assert_eq!(count(&revoked.await, |revoked| *revoked), 1);
}

async fn the_first_keys_are_the_keys(fresh: Fresh) {
    let keys = race(&fresh, |node, n| async move { node.node_key(digest(n)).await.unwrap() }).await;
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fresh.other.node_key(digest(99)).await.unwrap(), keys[0]);
}

async fn credentials_are_kept_once(fresh: Fresh) {
    let kept = race(&fresh, |node, n| async move {
        node.keep_secret(DeviceId(Uuid::from_u128(1)), 1, vec![n as u8]).await.unwrap()
    });
    let kept = kept.await;
    assert!(kept.iter().all(|sealed| *sealed == kept[0]));
}

async fn nothing_that_was_passed_comes_back(fresh: Fresh) {
    race(&fresh, |node, n| async move {
        node.advance_follower("steward", n as u64 + 1).await.unwrap();
        node.openbazaar_since(NOW.plus(n as i64)).await.unwrap()
    })
    .await;
    assert_eq!(fresh.other.follower("steward").await.unwrap(), MANY as u64);
    fresh.private.add_webhook(&webhook(1), 9).await.unwrap();
    race(&fresh, |node, n| async move {
        node.webhook_delivered(account(1).0, n as u64 + 1, NOW).await.unwrap();
        node.webhook_passed(account(1).0, n as u64).await.unwrap();
    })
    .await;
    let failed =
        FailedDelivery { position: 3, failures: 9, error: "late".into(), at: NOW, next_try_at: None };
    fresh.other.webhook_failed(account(1).0, &failed).await.unwrap();
    let kept = fresh.private.webhook(account(1).0).await.unwrap().unwrap();
    assert_eq!((kept.next, kept.failures, kept.disabled_at), (MANY as u64, 0, None));
}

async fn what_is_done_alone_is_done_by_one_at_a_time(fresh: Fresh) {
    let device = DeviceId(Uuid::from_u128(1));
    race(&fresh, |node, _| async move {
        let _alone = node.alone("counting").await.unwrap();
        let count = node.device_name(device).await.unwrap().map_or(0, |name| name.parse::<usize>().unwrap());
        node.name_device(device, &(count + 1).to_string()).await.unwrap();
    })
    .await;
    let count = fresh.private.device_name(device).await.unwrap();
    // Processes that share a file are not held off each other: there is one server on it.
    assert!(count == Some(MANY.to_string()) || matches!(fresh.private.store, Store::Sqlite(_)));
}

async fn what_was_forgotten_is_forgotten_once(fresh: Fresh) {
    for n in 0..200 {
        let begun = fresh.private.begin_idempotent(account(n), "k", digest(1), NOW, NOW).await.unwrap();
        assert_eq!(begun, Begun::Fresh);
        fresh.private.count_try(&format!("try {n}"), NOW, 60).await.unwrap();
    }
    let gone = race(&fresh, |node, _| async move {
        node.forget_idempotent(LATER).await.unwrap() + node.forget_logins(LATER, LATER).await.unwrap()
    });
    assert_eq!(gone.await.into_iter().sum::<u64>(), 400);
}

#[tokio::test]
async fn where_nodes_share_a_database_its_clock_decides_who_leads() {
    let Fresh { private, other, keep: _keep } = on_postgres().await;
    let (first, second) = (account(1).0, account(2).0);
    let take = async |node: &Private, holder, now| node.take_lease("x", holder, now, 30).await.unwrap();
    assert_eq!(take(&private, first, Time::from_unix(0)).await, Some(1));
    assert_eq!(take(&other, second, Time::from_unix(4_000_000_000)).await, None, "its clock is ahead");
    other.end_lease("x", second, Time::from_unix(4_000_000_000)).await.unwrap();
    assert_eq!(take(&private, first, Time::from_unix(4_000_000_000)).await, Some(1));
    private.end_lease("x", first, Time::from_unix(0)).await.unwrap();
    assert_eq!(take(&other, second, Time::from_unix(0)).await, Some(2));
}

#[tokio::test]
async fn a_database_without_a_schema_is_named_without_its_password() {
    let database = tokio::task::spawn_blocking(|| fixtures::postgres::server().fresh()).await.unwrap();
    let postgres = Postgres::new(&database.url()).unwrap();
    let refused = Private::on(&postgres).await.unwrap_err().to_string();
    assert!(refused.contains(database.name()) && refused.contains("no ledger"), "{refused}");
    let nowhere = Postgres::new("postgres://berth:hunter2@127.0.0.1:1/berth").unwrap();
    let refused = Private::on(&nowhere).await.unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:1") && !refused.contains("hunter2"), "{refused}");
}
