//! A rental goes on.

use domain::{money::Money, time::Time};

use super::{Text, letter, one_line, table, when};

/// A rental goes on.
pub(in crate::mail) struct Extended<'a> {
    /// What was rented.
    pub title: &'a str,
    /// Until when it was before.
    pub from: Time,
    /// Until when it is now.
    pub until: Time,
    /// What was paid for that.
    pub paid: Money,
    /// The order that paid.
    pub order: String,
    /// Its page.
    pub page: String,
}

impl Extended<'_> {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (title, until, page) = (one_line(self.title), when(self.until), &self.page);
        let rows = table(&[
            ("before", when(self.from)),
            ("now", until.clone()),
            ("paid", self.paid.to_string()),
            ("order", self.order.clone()),
        ]);
        letter(
            name,
            format!("Your rental of {title} goes on until {until}"),
            &format!(
                "your rental of \"{title}\" goes on until {until}.\n\n{rows}\n\
                 Everything else stays as it is:\n\n  {page}"
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

    #[test]
    fn it_says_until_when_and_what_was_paid() {
        let letter = Extended {
            title: "A small computer",
            from: at(10),
            until: at(11),
            paid: usd("0.60"),
            order: "shop-2".into(),
            page: "https://berth.example/rentals/0190-1".into(),
        };
        insta::assert_snapshot!(shown(&letter.text(Some("Rita"))), @r#"
        Subject: Your rental of A small computer goes on until 2026-12-01 11:00:00 UTC

        Hello Rita,

        your rental of "A small computer" goes on until 2026-12-01 11:00:00 UTC.

          before  2026-12-01 10:00:00 UTC
          now     2026-12-01 11:00:00 UTC
          paid    0.60 USD
          order   shop-2

        Everything else stays as it is:

          https://berth.example/rentals/0190-1
        "#);
    }
}
