//! Reminders, and beginning to tell.

use sqlx::Connection;

use super::{A_LOOK, Town};
use crate::app::on_a_server;

const DAY: i64 = 86_400;

impl Town {
    /// What was sent once time has passed and everything due by then was looked at.
    async fn told_after(&self, seconds: i64) -> Vec<String> {
        self.test.advance(seconds);
        self.caught_up().await;
        tokio::time::sleep(A_LOOK).await;
        self.sink.subjects()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_is_reminded_a_day_before_the_end_once() {
    let mut town = Town::new(|_| {}).await;
    town.rent(3 * DAY, "43.20").await;
    assert_eq!(town.told_after(2 * DAY - 1).await.len(), 1, "only the login");
    let told = town.told_after(1).await;
    assert_eq!(told[1], "Your rental of A small computer ends on 2026-11-25 09:00:00 UTC");
    town.test.restart().await;
    town.read_again().await;
    assert_eq!(town.told_after(3_600).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reminded_of_an_end_that_has_moved() {
    let town = Town::new(|_| {}).await;
    let contract = town.rent(3 * DAY, "43.20").await;
    town.told_after(DAY).await;
    town.extend(&contract, DAY, "14.40").await;
    assert_eq!(town.told_after(DAY).await.len(), 2, "login and extension");
    let told = town.told_after(DAY).await;
    assert_eq!(told[2..], ["Your rental of A small computer ends on 2026-11-26 09:00:00 UTC"]);
    // Bought within the day before: the mail about it says all there is to say.
    town.told_after(7_200).await;
    town.extend(&contract, 3_600, "0.60").await;
    assert_eq!(town.told_after(3_600).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_short_rental_or_one_that_ended_early_nobody_is_reminded() {
    let town = Town::new(|_| {}).await;
    town.rent(2 * DAY, "28.80").await;
    assert_eq!(town.told_after(2 * DAY - 1).await.len(), 1);
    let town = Town::new(|_| {}).await;
    let contract = town.rent(3 * DAY, "43.20").await;
    town.told_after(0).await;
    town.terminate(&contract).await;
    assert_eq!(town.told_after(2 * DAY).await.len(), 2, "login and end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_sent_mail_does_not_begin_with_what_happened_long_ago() {
    let mut town = Town::new(|_| {}).await;
    let (owner, renter) = (town.owner.clone(), town.renter.clone());
    town.rent(36_000, "6.00").await;
    town.sink.wait_for(1).await;
    town.test.stop().await;
    let forget = "delete from followers where name = 'mail'; delete from outbox";
    if on_a_server() {
        town.test.database().sql(forget);
    } else {
        let url = format!("sqlite:{}", town.test.data().private().display());
        let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(forget).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }
    town.test.restart().await;
    assert_eq!(town.told_after(0).await.len(), 1, "nothing is told again");
    let device = town.test.offered(&owner).await;
    let town = Town { device, renter, ..town };
    town.rent(36_000, "6.00").await;
    assert_eq!(town.told_after(0).await.len(), 2, "what happens from now on is");
}
