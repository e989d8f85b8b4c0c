//! A rental is over: why, and what becomes of the money.

use domain::{money::Money, policy::EndedBy, time::Time};

use super::{Text, letter, one_line, table, when};

/// The most payments that are listed.
const MAX_PARTS: usize = 50;

/// What becomes of one payment.
pub(in crate::mail) struct Part {
    /// The order that paid.
    pub order: String,
    /// What it paid.
    pub paid: Money,
    /// What goes back of it; none while that is disputed.
    pub back: Option<Money>,
}

/// A rental is over.
pub(in crate::mail) struct Ended<'a> {
    /// What was rented.
    pub title: &'a str,
    /// Who or what ended it.
    pub by: EndedBy,
    /// When.
    pub at: Time,
    /// What was paid for it, each with what becomes of it.
    pub parts: Vec<Part>,
    /// All that was paid.
    pub paid: Money,
    /// What of that goes back.
    pub refund: Money,
    /// What the owner gets.
    pub owner: Money,
    /// What the operator keeps.
    pub fee: Money,
    /// Its page.
    pub page: String,
}

const fn why(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Term => "its time is over",
        EndedBy::Renter => "you ended it",
        EndedBy::Owner => "its owner ended it",
        EndedBy::Operator => "the operator ended it",
        EndedBy::DeviceLost => "the device was not heard of any more",
    }
}

impl Ended<'_> {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (title, at, page) = (one_line(self.title), when(self.at), &self.page);
        let rows = table(&[
            ("paid", self.paid.to_string()),
            ("goes back to you", self.refund.to_string()),
            ("the owner gets", self.owner.to_string()),
            ("the operator keeps", self.fee.to_string()),
        ]);
        let line = |part: &Part| {
            let back = part.back.map_or("disputed".into(), |back| format!("{back} back"));
            format!("  {}: {} paid, {back}\n", one_line(&part.order), part.paid)
        };
        let mut parts: String = self.parts.iter().take(MAX_PARTS).map(line).collect();
        if let Some(more @ 1..) = self.parts.len().checked_sub(MAX_PARTS) {
            parts += &format!("  and {more} more, on the page\n");
        }
        let disputed = match self.parts.iter().any(|part| part.back.is_none()) {
            true => "\nWhat is disputed is not counted above: it is decided on its own.\n",
            false => "",
        };
        let moved = match self.refund.is_zero() {
            true => "",
            false => "\nYou get another mail when the refund has moved.\n",
        };
        letter(
            name,
            format!("Your rental of {title} is over"),
            &format!(
                "your rental of \"{title}\" ended on {at}: {}.\n\n{rows}\nBy order:\n\n{parts}{disputed}{moved}\n\
                 The device erases what you left on it; you get another mail when it has proved that.\n\
                 The whole record stays on the page of the rental:\n\n  {page}",
                why(self.by)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{at, shown, usd},
        *,
    };

    fn sample(by: EndedBy, [first, refund]: [&str; 2], second: Option<Money>) -> String {
        let part = |order: &str, paid: &str, back| Part { order: order.into(), paid: usd(paid), back };
        let letter = Ended {
            title: "A small computer",
            by,
            at: at(5),
            parts: vec![part("shop-1", "6.00", Some(usd(first))), part("shop-2", "0.60", second)],
            paid: usd("6.60"),
            refund: usd(refund),
            owner: usd("2.70"),
            fee: usd("0.30"),
            page: "https://berth.example/rentals/0190-1".into(),
        };
        shown(&letter.text(Some("Rita")))
    }

    #[test]
    fn it_says_why_and_what_becomes_of_every_cent() {
        insta::assert_snapshot!(sample(EndedBy::Renter, ["3.00", "3.60"], Some(usd("0.60"))), @r#"
        Subject: Your rental of A small computer is over

        Hello Rita,

        your rental of "A small computer" ended on 2026-12-01 05:00:00 UTC: you ended it.

          paid                6.60 USD
          goes back to you    3.60 USD
          the owner gets      2.70 USD
          the operator keeps  0.30 USD

        By order:

          shop-1: 6.00 USD paid, 3.00 USD back
          shop-2: 0.60 USD paid, 0.60 USD back

        You get another mail when the refund has moved.

        The device erases what you left on it; you get another mail when it has proved that.
        The whole record stays on the page of the rental:

          https://berth.example/rentals/0190-1
        "#);
    }

    #[test]
    fn of_what_is_disputed_it_promises_nothing() {
        insta::assert_snapshot!(sample(EndedBy::DeviceLost, ["0.00"; 2], None), @r#"
        Subject: Your rental of A small computer is over

        Hello Rita,

        your rental of "A small computer" ended on 2026-12-01 05:00:00 UTC: the device was not heard of any more.

          paid                6.60 USD
          goes back to you    0.00 USD
          the owner gets      2.70 USD
          the operator keeps  0.30 USD

        By order:

          shop-1: 6.00 USD paid, 0.00 USD back
          shop-2: 0.60 USD paid, disputed

        What is disputed is not counted above: it is decided on its own.

        The device erases what you left on it; you get another mail when it has proved that.
        The whole record stays on the page of the rental:

          https://berth.example/rentals/0190-1
        "#);
    }

    #[test]
    fn it_is_no_longer_than_a_mail_should_be() {
        let parts = (0..500).map(|i| Part { order: format!("shop-{i}"), paid: usd("1.00"), back: None });
        let (paid, none, page) = (usd("500.00"), usd("0.00"), "/".into());
        let (title, by, at) = ("Pi", EndedBy::Term, at(0));
        let letter =
            Ended { title, by, at, parts: parts.collect(), paid, refund: none, owner: none, fee: none, page };
        let text = letter.text(None);
        assert!(text.body.contains("and 450 more") && text.body.lines().count() < 80);
    }
}
