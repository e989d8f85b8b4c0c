//! A mail as it travels: RFC 5322, plain text.
//!
//! # Correctness
//! Names and titles come from people. What goes into a header has no control characters, so none can begin a header of its
//! own; whatever else is in it is quoted or encoded.

use chrono::{DateTime, Utc};
use domain::key::Digest;
use lettre::{
    Message,
    message::{
        Body, Mailbox, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

use super::letters::{Text, one_line};

/// The longest line that is sent as it is, in bytes (RFC 5322: 998).
const MAX_LINE: usize = 990;
/// The longest subject, in characters.
const MAX_SUBJECT: usize = 150;

/// What a mail's text must go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Mail servers, of which some know seven bits only.
    Sent,
    /// People, who read the file as it is: no link is cut into lines.
    Read,
}

/// A mail of a cause: whoever sees the same one twice sees the same `Message-ID`.
///
/// # Errors
/// When it cannot be put into the form of a mail.
pub(super) fn message(
    from: &Mailbox,
    to: Mailbox,
    text: &Text,
    cause: &str,
    at: DateTime<Utc>,
    form: Form,
) -> anyhow::Result<Message> {
    let id = Digest::of(format!("berth mail {cause}").as_bytes()).to_string();
    let id = format!("<{}@{}>", &id[..id.len().min(40)], from.email.domain());
    let subject: String = one_line(&text.subject).chars().take(MAX_SUBJECT).collect();
    // The last line is ended for us.
    let body = text.body.trim_end().to_owned();
    // What no line of a mail can hold is encoded.
    let holds = body.lines().all(|line| line.len() <= MAX_LINE) && !body.contains(['\0', '\r']);
    let as_it_is = |encoding| Body::dangerous_pre_encoded(body.replace('\n', "\r\n").into_bytes(), encoding);
    let body = match (body.is_ascii(), form) {
        (true, _) if holds => as_it_is(ContentTransferEncoding::SevenBit),
        (false, Form::Read) if holds => as_it_is(ContentTransferEncoding::EightBit),
        _ => {
            Body::new_with_encoding(body, ContentTransferEncoding::QuotedPrintable).unwrap_or_else(Body::new)
        }
    };
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let part = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body);
    // The encoder panics at control characters.
    let named = |one: Mailbox| {
        let name = one.name.map(|name| one_line(&name)).filter(|name| !name.is_empty());
        Mailbox::new(name, one.email)
    };
    let builder = Message::builder().from(named(from.clone())).to(named(to)).subject(subject);
    let builder = builder.date(at.into()).message_id(Some(id));
    Ok(builder.raw_header(HeaderValue::new(automatic, "auto-generated".into())).singlepart(part)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: [&str; 9] = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];

    fn formatted(name: &str, subject: &str, body: &str) -> String {
        formatted_to(Mailbox::new(Some(name.into()), "ada@example.org".parse().unwrap()), subject, body)
    }

    fn formatted_to(to: Mailbox, subject: &str, body: &str) -> String {
        let from = "Berth <berth@example.org>".parse().unwrap();
        let text = Text { subject: subject.into(), body: body.into() };
        let at = DateTime::from_timestamp(1_795_338_000, 0).unwrap();
        let message = message(&from, to, &text, "rental-1", at, Form::Sent).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn a_mail_can_be_read_as_it_is() {
        insta::assert_snapshot!(formatted("Ada", "Hello", "One\n\nTwo = 2\n").replace('\r', ""), @r"
        From: Berth <berth@example.org>
        To: Ada <ada@example.org>
        Subject: Hello
        Date: Sun, 22 Nov 2026 09:00:00 +0000
        Message-ID: <c7b04c8d815b69d2b5bf2ca562f5fb51d76a9007@example.org>
        Auto-Submitted: auto-generated
        MIME-Version: 1.0
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: 7bit

        One

        Two = 2
        ");
    }

    #[test]
    fn what_people_are_called_never_becomes_a_header() {
        for evil in [
            "Ada\r\nBcc: all@example.org",
            "Ada\nBcc: x@example.org",
            "a\" <x@example.org>,",
            "\u{85}x\u{2028}y",
        ] {
            let mail = formatted(evil, &format!("Your {evil}"), "Text\n");
            let (headers, body) = mail.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).collect();
            assert!(names.iter().all(|line| !line.starts_with("Bcc")), "{mail}");
            assert_eq!(names.len(), 9, "{mail}");
            assert!(!headers.replace("\r\n", "").contains(['\r', '\n']), "{mail}");
            assert_eq!(body, "Text\r\n");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_people_are_called_the_headers_are_the_same(
            name in "\\PC*|[\\x00-\\x20\"<>@,;:\\\\a-c\u{80}-\u{ff}\u{2028}]*",
            title in "(?s).{0,400}",
            local in "[\\x00-\\x7f\u{e9}]{1,10}",
        ) {
            // Whoever sends has seen to it that an address has no control characters.
            let local: String = local.chars().filter(|c| !c.is_control()).collect();
            let address = format!("{local}@example.org").parse::<lettre::Address>();
            let address = address.unwrap_or_else(|_| "ada@example.org".parse().unwrap());
            let mail = formatted_to(Mailbox::new(Some(name), address), &title, &title);
            let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
            let begins = headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
            let names: Vec<_> = begins.map(|line| line.split(':').next().unwrap()).collect();
            proptest::prop_assert_eq!(names, HEADERS);
        }
    }

    #[test]
    fn other_scripts_arrive_as_they_are() {
        let mail = formatted("Ädä", "Grüße", "Schöne Grüße = 1\n");
        assert!(mail.is_ascii(), "{mail}");
        assert!(mail.contains("quoted-printable") && mail.contains("Sch=C3=B6ne"), "{mail}");
    }
}
