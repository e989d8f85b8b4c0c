//! A rental from its start to its payout, told by mail.

use api::mail::{Letter, To, queue};

use super::{A_LOOK, Town};

const STORY: [(&str, &str); 7] = [
    ("rita@example.org", "Your rental of A small computer"),
    ("rita@example.org", "Your rental of A small computer goes on until 2026-11-22 20:00:00 UTC"),
    ("rita@example.org", "Your rental of A small computer is over"),
    ("rita@example.org", "What you left on A small computer is erased"),
    ("rita@example.org", "Your refund of 3.00 USD"),
    ("rita@example.org", "Your refund of 0.60 USD"),
    ("otto@example.org", "Your payout of 2.70 USD"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_rental_is_told_once_to_whom_it_concerns() {
    let mut town = Town::new(|_| {}).await;
    let (contract, password) = town.whole_story().await;
    let all = town.sink.wait_for(STORY.len()).await;
    let mut told: Vec<_> = all.iter().map(|mail| (mail.to.clone(), mail.subject())).collect();
    let mut story = STORY.map(|(to, about)| (to.to_owned(), about.to_owned()));
    told.sort();
    story.sort();
    assert_eq!(told, story);

    let rental = all.iter().find(|mail| mail.subject() == STORY[0].1).unwrap();
    assert_eq!((rental.row("password"), rental.row("contract")), (password.as_str(), contract.as_str()));
    assert!(rental.text.contains(&format!("https://berth.example/rentals/{contract}")));
    assert!(rental.text.contains(&format!("ssh -p {} berth@localhost", rental.row("port"))));
    assert_eq!(rental.header("From"), "Berth <berth@berth.example>");
    assert_eq!(rental.header("To"), "renter <rita@example.org>");
    assert_eq!(rental.header("Date"), "Sun, 22 Nov 2026 09:00:00 +0000");
    assert_eq!(rental.header("Auto-Submitted"), "auto-generated");
    assert!(all.iter().filter(|mail| mail.text.contains(&password)).count() == 1);
    let mut ids: Vec<_> = all.iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all.len());
    let over = all.iter().find(|mail| mail.subject() == STORY[2].1).unwrap();
    assert_eq!((over.row("paid"), over.row("goes back to you")), ("6.60 USD", "3.60 USD"));
    assert_eq!((over.row("the owner gets"), over.row("the operator keeps")), ("2.70 USD", "0.30 USD"));
    let payout = all.iter().find(|mail| mail.to == "otto@example.org").unwrap();
    assert_eq!((payout.row("reference"), payout.row("moved")), ("tx-payout", "2.70 USD"));

    town.test.restart().await;
    town.read_again().await;
    town.test.run_due().await;
    town.test.advance(90 * 86_400);
    town.test.run_due().await;
    town.test.run_due().await;
    assert_eq!(town.test.app.private.mail_outcome(&format!("rental-{contract}")).await.unwrap(), None);
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(town.sink.subjects().len(), all.len(), "{:?}", town.sink.subjects());
    assert!(town.attention().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_password_is_only_shown_it_is_in_no_mail() {
    let town = Town::new(|config| config.mail.credentials = api::config::mail::Credentials::Link).await;
    let (contract, password) = town.whole_story().await;
    let all = town.sink.wait_for(STORY.len()).await;
    assert!(all[0].text.contains(&format!("https://berth.example/rentals/{contract}")));
    for mail in all {
        assert!(!mail.text.contains(&password) && !mail.text.contains("ssh"), "{}", mail.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_address_gets_no_mail_and_nobody_minds() {
    let town = Town::new(|_| {}).await;
    let renter = town.test.account(&["renter"], None).await;
    let town = Town { renter, ..town };
    let contract = town.rent(36_000, "6.00").await;
    town.caught_up().await;
    tokio::time::sleep(A_LOOK).await;
    assert!(town.sink.arrived().is_empty() && town.attention().await.is_empty());
    assert_eq!(town.test.app.private.mail_outcome(&format!("rental-{contract}")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_sent_once_for_its_cause_to_an_address_that_is_nobodys_yet() {
    let town = Town::new(|_| {}).await;
    let confirm = |token: &str| Letter::ConfirmAddress { token: token.into() };
    for token in ["first", "second"] {
        let to = To::Address("new@example.org".into());
        queue(&town.test.app, "confirm-1", to, confirm(token)).await.unwrap();
    }
    let to = To::Address("what is this".into());
    queue(&town.test.app, "confirm-2", to, confirm("third")).await.unwrap();
    let owner = To::Account(town.owner.id.parse().unwrap());
    let reset = Letter::ResetPassword { token: "fourth".into() };
    queue(&town.test.app, "reset-1", owner, reset).await.unwrap();
    assert_eq!(
        (town.ended("confirm-1").await, town.ended("confirm-2").await),
        ("sent".into(), "dropped".into())
    );
    assert_eq!(town.ended("reset-1").await, "sent");
    let [confirm, reset] = town.sink.arrived().try_into().unwrap();
    assert_eq!(
        (confirm.to.as_str(), confirm.subject().as_str()),
        ("new@example.org", "Confirm your address")
    );
    assert!(confirm.text.contains("https://berth.example/confirm/first"), "{}", confirm.text);
    assert_eq!(reset.to, "otto@example.org");
    assert!(reset.text.contains("https://berth.example/reset/fourth"), "{}", reset.text);
}
