//! An address to be confirmed, a password to be set anew.

use super::{Text, letter};

/// Somebody named this address as theirs.
pub(in crate::mail) struct ConfirmAddress {
    /// Where they say so.
    pub page: String,
}

impl ConfirmAddress {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let page = &self.page;
        letter(
            name,
            "Confirm your address".into(),
            &format!(
                "somebody, hopefully you, named this address for an account. Confirm that it is yours:\n\n  {page}\n\n\
                 The link works once, and not for long. If it was not you, do nothing."
            ),
        )
    }
}

/// Somebody wants a new password.
pub(in crate::mail) struct ResetPassword {
    /// Where they set it.
    pub page: String,
}

impl ResetPassword {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let page = &self.page;
        letter(
            name,
            "Set a new password".into(),
            &format!(
                "somebody, hopefully you, wants a new password for your account. Set it here:\n\n  {page}\n\n\
                 The link works once, and not for long. If it was not you, do nothing: your password\n\
                 stays as it is."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples::shown, *};

    #[test]
    fn an_address_is_confirmed_by_a_link() {
        let page = "https://berth.example/confirm/token".into();
        insta::assert_snapshot!(shown(&ConfirmAddress { page }.text(None)), @r"
        Subject: Confirm your address

        Hello,

        somebody, hopefully you, named this address for an account. Confirm that it is yours:

          https://berth.example/confirm/token

        The link works once, and not for long. If it was not you, do nothing.
        ");
    }

    #[test]
    fn a_password_is_set_anew_by_a_link() {
        let page = "https://berth.example/reset/token".into();
        insta::assert_snapshot!(shown(&ResetPassword { page }.text(Some("Rita"))), @r"
        Subject: Set a new password

        Hello Rita,

        somebody, hopefully you, wants a new password for your account. Set it here:

          https://berth.example/reset/token

        The link works once, and not for long. If it was not you, do nothing: your password
        stays as it is.
        ");
    }
}
