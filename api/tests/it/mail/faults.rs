//! A mail server that is down, says no, is slow, or hangs up at the worst moment.

use std::time::Duration;

use api::{
    config::Secret,
    mail::{Letter, To, queue},
};
use serde_json::json;

use super::{A_LOOK, Town};
use crate::{
    receiver::until,
    sink::{Mood, Sink},
};

impl Town {
    async fn ask(&self, cause: &str) {
        let (to, letter) =
            (To::Address("new@example.org".into()), Letter::ConfirmAddress { token: "t".into() });
        queue(&self.test.app, cause, to, letter).await.unwrap();
    }

    /// Lets time pass, and what is due by then be looked at.
    async fn later(&self, seconds: i64) {
        self.test.advance(seconds);
        tokio::time::sleep(A_LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_mail_server_is_down_mails_wait_and_then_all_arrive_in_order() {
    let mut town = Town::new(|_| {}).await;
    town.sink.mood(Mood::Down);
    for cause in ["a", "b", "c"] {
        town.ask(cause).await;
    }
    until(|| "a try".into(), async || town.sink.asked() == 1).await;
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(town.sink.asked(), 1, "it is left alone for a while");
    town.test.restart().await;
    until(|| "a try".into(), async || town.sink.asked() == 2).await;
    for wait in [30, 60, 120] {
        town.later(wait).await;
    }
    let attention = town.attention().await;
    assert_eq!((attention.len(), &attention[0]["subject"]), (1, &json!("mail")), "{attention:?}");
    assert!(!attention[0].to_string().contains("p@ss"), "{attention:?}");
    town.sink.mood(Mood::Takes);
    town.test.advance(600);
    let all = town.sink.wait_for(3).await;
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(town.sink.arrived().len(), 3);
    assert!(all.iter().all(|mail| mail.subject() == "Confirm your address"));
    assert!(town.attention().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_not_taken_now_is_tried_again_and_holds_up_no_other() {
    let town = Town::new(|_| {}).await;
    town.sink.mood(Mood::RefusesTo("451 later"));
    town.ask("a").await;
    until(|| "a try".into(), async || town.sink.asked() == 1).await;
    tokio::time::sleep(A_LOOK).await;
    town.sink.mood(Mood::Takes);
    town.ask("b").await;
    assert_eq!(town.ended("b").await, "sent");
    town.test.advance(30);
    assert_eq!(town.ended("a").await, "sent");
    assert_eq!(town.sink.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_not_taken_at_all_is_given_up_and_a_human_is_called() {
    let town = Town::new(|_| {}).await;
    let refusals = ["550 new@example.org: nobody here", "554 no such text"];
    for (cause, refusal) in ["a", "b"].into_iter().zip(refusals) {
        let mood =
            if refusal.starts_with("550") { Mood::RefusesTo(refusal) } else { Mood::RefusesText(refusal) };
        town.sink.mood(mood);
        town.ask(cause).await;
        for wait in [0, 30, 120, 600] {
            town.later(wait).await;
        }
        assert_eq!(town.ended(cause).await, "given_up");
        let attention = town.attention().await;
        let called = attention.iter().find(|item| item["subject"] == format!("mail-{cause}")).unwrap();
        assert_eq!(called["what"], "mail given up");
        let detail = called["detail"].as_str().unwrap();
        assert!(detail.contains(&refusal[..3]) && detail.contains("try 3"), "{detail}");
        assert!(!detail.contains("example.org"), "{detail}");
    }
    assert_eq!(town.sink.arrived().len(), 3, "the text was given and refused three times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_without_a_verdict_is_never_sent_again_and_a_human_is_called() {
    let mut town = Town::new(|_| {}).await;
    town.sink.mood(Mood::BreaksOff);
    town.ask("a").await;
    assert_eq!(town.ended("a").await, "in_doubt");
    town.sink.mood(Mood::Takes);
    town.test.restart().await;
    for wait in [30, 600, 86_400] {
        town.later(wait).await;
    }
    assert_eq!(town.sink.arrived().len(), 1);
    let attention = town.attention().await;
    assert_eq!(
        (&attention[0]["subject"], &attention[0]["what"]),
        (&json!("mail-a"), &json!("mail in doubt"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_on_its_way_when_the_server_was_killed_is_in_doubt() {
    let mut town = Town::new(|_| {}).await;
    town.sink.mood(Mood::Down);
    for cause in ["waited", "left"] {
        town.ask(cause).await;
    }
    until(|| "a try".into(), async || town.sink.asked() == 1).await;
    tokio::time::sleep(A_LOOK).await;
    let now = town.test.clock.time();
    let left = town.test.app.private.due_mails(now, 9).await.unwrap().pop().unwrap();
    assert_eq!(left.cause, "left");
    assert!(town.test.app.private.start_mail(left.id, now).await.unwrap());
    town.sink.mood(Mood::Takes);
    town.test.restart().await;
    assert_eq!((town.ended("left").await, town.ended("waited").await), ("in_doubt".into(), "sent".into()));
    assert_eq!(town.sink.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_verdict_is_waited_for() {
    let town = Town::new(|_| {}).await;
    town.sink.mood(Mood::TakesAfter(Duration::from_secs(2)));
    town.ask("a").await;
    town.ask("b").await;
    assert_eq!((town.ended("a").await, town.ended("b").await), ("sent".into(), "sent".into()));
    assert_eq!((town.sink.arrived().len(), town.sink.asked()), (2, 1), "over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_a_server_that_should_encrypt_and_does_not_or_that_does_not_know_us() {
    for (login, query) in
        [("berth:p%40ss-of-the-sink@", ""), ("berth:wrong@", "?tls=none"), ("", "?tls=required")]
    {
        let sink = Sink::new().await;
        let url = sink.url_with(login, query);
        let town = Town::new(|config| config.mail.smtp = Secret(url)).await;
        town.ask("a").await;
        for wait in [0, 30, 60, 120] {
            town.later(wait).await;
        }
        assert_eq!(town.attention().await[0]["what"], "mail server cannot be used");
        assert!(sink.asked() > 0 && sink.arrived().is_empty());
    }
}
