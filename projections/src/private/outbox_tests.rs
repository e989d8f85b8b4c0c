use domain::time::Time;

use super::{
    Mail, MailEnd, NewMail, Private,
    fresh::{Fresh, on_both},
};
use crate::sql::sql;

const NOW: Time = Time::from_unix(1_000);

on_both!(
    a_cause_has_one_mail_even_after_it_was_sent,
    what_a_mail_said_is_gone_once_it_ended,
    mails_are_due_at_their_time_the_longest_due_first,
    a_refused_mail_is_due_again_later_and_one_without_a_word_is_found,
    a_mail_is_forgotten_only_when_it_cannot_be_caused_again,
);

fn new(cause: &str) -> NewMail {
    NewMail { cause: cause.into(), sealed: vec![7], created_at: NOW, position: None, due_at: NOW }
}

async fn due(private: &Private, now: Time) -> Vec<Mail> {
    private.due_mails(now, 10).await.unwrap()
}

async fn a_cause_has_one_mail_even_after_it_was_sent(Fresh { private, .. }: Fresh) {
    assert!(private.add_mail(&new("a")).await.unwrap());
    assert!(!private.add_mail(&new("a")).await.unwrap());
    let mail = due(&private, NOW).await.remove(0);
    assert!(private.start_mail(mail.id, NOW).await.unwrap());
    assert!(!private.start_mail(mail.id, NOW).await.unwrap(), "it is on its way already");
    private.end_mail(mail.id, MailEnd::Sent, None, NOW).await.unwrap();
    assert!(!private.add_mail(&new("a")).await.unwrap());
    assert!(due(&private, NOW.plus(1_000_000)).await.is_empty());
    assert_eq!(private.mail_outcome("a").await.unwrap().as_deref(), Some("sent"));
}

async fn what_a_mail_said_is_gone_once_it_ended(Fresh { private, .. }: Fresh) {
    private.add_mail(&new("a")).await.unwrap();
    let id = due(&private, NOW).await.remove(0).id;
    private.end_mail(id, MailEnd::Dropped, None, NOW).await.unwrap();
    let left = sql("select count(*) from outbox where sealed is not null");
    assert_eq!(left.one::<(i64,)>(&private.store).await.unwrap(), (0,));
}

async fn mails_are_due_at_their_time_the_longest_due_first(Fresh { private, .. }: Fresh) {
    for (cause, wait) in [("late", 60), ("soon", 10), ("first", 0)] {
        private.add_mail(&NewMail { due_at: NOW.plus(wait), ..new(cause) }).await.unwrap();
    }
    let causes = async |at| due(&private, at).await.into_iter().map(|m| m.cause).collect::<Vec<_>>();
    assert_eq!(causes(NOW.plus(9)).await, ["first"]);
    assert_eq!(causes(NOW.plus(60)).await, ["first", "soon", "late"]);
}

async fn a_refused_mail_is_due_again_later_and_one_without_a_word_is_found(Fresh { private, .. }: Fresh) {
    private.add_mail(&new("a")).await.unwrap();
    let mail = due(&private, NOW).await.remove(0);
    private.start_mail(mail.id, NOW).await.unwrap();
    assert_eq!(private.started_mails().await.unwrap(), std::slice::from_ref(&mail));
    private.mail_refused(mail.id, "no", NOW.plus(30)).await.unwrap();
    assert!(private.started_mails().await.unwrap().is_empty());
    assert!(due(&private, NOW.plus(29)).await.is_empty());
    assert_eq!(due(&private, NOW.plus(30)).await, [Mail { failures: 1, ..mail }]);
}

async fn a_mail_is_forgotten_only_when_it_cannot_be_caused_again(Fresh { private, .. }: Fresh) {
    for (cause, position) in [("asked", None), ("passed", Some(4)), ("to be read again", Some(5))] {
        private.add_mail(&NewMail { position, ..new(cause) }).await.unwrap();
    }
    private.add_mail(&NewMail { due_at: NOW.plus(1_000), ..new("waits") }).await.unwrap();
    for mail in due(&private, NOW).await {
        private.end_mail(mail.id, MailEnd::Sent, None, NOW).await.unwrap();
    }
    private.begin_follower("mail", 5).await.unwrap();
    private.begin_follower("mail", 0).await.unwrap();
    assert_eq!(private.forget_mails(NOW, "mail").await.unwrap(), 0, "they are too young");
    assert_eq!(private.forget_mails(NOW.plus(1), "mail").await.unwrap(), 2);
    assert!(!private.add_mail(&new("to be read again")).await.unwrap());
    private.advance_follower("mail", 6).await.unwrap();
    assert_eq!(private.forget_mails(NOW.plus(1), "mail").await.unwrap(), 1);
    assert!(!private.add_mail(&new("waits")).await.unwrap());
}
