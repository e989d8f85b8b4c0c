//! A rental is about to end.

use domain::time::Time;

use super::{Text, letter, one_line, when};

/// A rental is about to end.
pub(in crate::mail) struct Reminder<'a> {
    /// What was rented.
    pub title: &'a str,
    /// Its end.
    pub end: Time,
    /// Its page.
    pub page: String,
}

impl Reminder<'_> {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (title, end, page) = (one_line(self.title), when(self.end), &self.page);
        letter(
            name,
            format!("Your rental of {title} ends on {end}"),
            &format!(
                "your rental of \"{title}\" ends on {end}.\n\n\
                 If you want it for longer, extend it before that on its page:\n\n  {page}\n\n\
                 Otherwise save what you want to keep: when the rental is over, the device erases\n\
                 everything that you left on it."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{at, shown},
        *,
    };

    #[test]
    fn it_says_when_and_what_to_do_before() {
        let page = "https://berth.example/rentals/0190-1".into();
        let letter = Reminder { title: "A small computer", end: at(10), page };
        insta::assert_snapshot!(shown(&letter.text(Some("Rita"))), @r#"
        Subject: Your rental of A small computer ends on 2026-12-01 10:00:00 UTC

        Hello Rita,

        your rental of "A small computer" ends on 2026-12-01 10:00:00 UTC.

        If you want it for longer, extend it before that on its page:

          https://berth.example/rentals/0190-1

        Otherwise save what you want to keep: when the rental is over, the device erases
        everything that you left on it.
        "#);
    }
}
