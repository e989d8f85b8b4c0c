//! A rental started: how to log in, or where that is shown.

use domain::time::Time;

use super::{Text, letter, one_line, table, when};

/// How the renter logs in.
pub(in crate::mail) struct Login {
    /// The gateway's host.
    pub host: String,
    /// The leased port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// The name that leads to the device's web server.
    pub name: String,
}

/// A rental started.
pub(in crate::mail) struct Credentials<'a> {
    /// What was rented.
    pub title: &'a str,
    /// The rental.
    pub contract: String,
    /// Its end.
    pub until: Time,
    /// Its page.
    pub page: String,
    /// How to log in; none when that is shown on the page only.
    pub login: Option<Login>,
}

impl Credentials<'_> {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (title, page, until) = (one_line(self.title), &self.page, when(self.until));
        let subject = format!("Your rental of {title}");
        let intro = format!("you have rented \"{title}\" until {until}.");
        let Some(login) = &self.login else {
            let rows = table(&[("contract", self.contract.clone())]);
            return letter(
                name,
                subject,
                &format!(
                    "{intro}\n\n{rows}\nHow to log in is shown on the page of your rental, where you also extend or end it:\n\n  {page}"
                ),
            );
        };
        let rows = table(&[
            ("host", login.host.clone()),
            ("port", login.port.to_string()),
            ("user", login.user.clone()),
            ("password", login.password.clone()),
            ("web", login.name.clone()),
            ("contract", self.contract.clone()),
        ]);
        let ssh = format!("ssh -p {} {}@{}", login.port, login.user, login.host);
        letter(
            name,
            subject,
            &format!(
                "{intro}\n\n{rows}\nConnect with\n\n  {ssh}\n\n\
                 and compare the host key with the one on the page of your rental, where you also\n\
                 extend or end it:\n\n  {page}\n\n\
                 Whoever has this mail can log in as long as the rental runs: show it to nobody."
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

    fn sample(login: Option<Login>) -> String {
        let letter = Credentials {
            title: "A small computer",
            contract: "0190-1".into(),
            until: at(10),
            page: "https://berth.example/rentals/0190-1".into(),
            login,
        };
        shown(&letter.text(Some("Rita")))
    }

    #[test]
    fn it_says_how_to_log_in() {
        let (host, user, password) = ("gw.example".into(), "berth".into(), "abc234".into());
        let login = Login { host, port: 20_001, user, password, name: "d1.gw.example".into() };
        insta::assert_snapshot!(sample(Some(login)), @r#"
        Subject: Your rental of A small computer

        Hello Rita,

        you have rented "A small computer" until 2026-12-01 10:00:00 UTC.

          host      gw.example
          port      20001
          user      berth
          password  abc234
          web       d1.gw.example
          contract  0190-1

        Connect with

          ssh -p 20001 berth@gw.example

        and compare the host key with the one on the page of your rental, where you also
        extend or end it:

          https://berth.example/rentals/0190-1

        Whoever has this mail can log in as long as the rental runs: show it to nobody.
        "#);
    }

    #[test]
    fn or_only_where_that_is_shown() {
        insta::assert_snapshot!(sample(None), @r#"
        Subject: Your rental of A small computer

        Hello Rita,

        you have rented "A small computer" until 2026-12-01 10:00:00 UTC.

          contract  0190-1

        How to log in is shown on the page of your rental, where you also extend or end it:

          https://berth.example/rentals/0190-1
        "#);
    }
}
