//! Mail: what people are told, each thing at most once.
//!
//! # Shape
//! [`follow`] reads the log and puts what it causes into the outbox of the private store; [`queue`] does the same for
//! requests. A row holds a cause and, sealed, to whom and what about ([`letter`]): ids and tokens, never the text. [`send`]
//! looks twice a second which mails are due, lets [`compose`] look up what is so by then and the [`letters`] put it into
//! words, makes a [`message`] of it, and hands that to the [`transport`]: a mail server, or files in a folder.
//!
//! # Correctness
//! A cause has one row for ever, or for as long as it can be caused: told twice, it is sent once. Up to the moment in which
//! the mail server waits for the text, nothing was sent and everything may be repeated. Then the row is marked, in a commit
//! of its own, and only then the text leaves. What is marked and has no outcome is never sent again, because nobody knows
//! whether it arrived: a human is called, and the recipient finds all of it on the pages. A "no" of the server is an
//! outcome: it is tried again, later and later, and given up in the end, with a human called. A file is named after its
//! cause, so writing it twice leaves one.
//!
//! A mail's row holds no text that can be read without the vault key, and nothing at all once it has ended. Addresses are
//! looked up when a mail is sent: whoever is forgotten gets none.

mod compose;
mod follow;
mod letter;
mod letters;
mod message;
mod send;
mod smtp;
mod transport;

use domain::{
    event::Position,
    id::AccountId,
    time::{Seconds, Time},
};
use projections::private::{NewMail, PrivateError};
use tokio_util::sync::CancellationToken;

pub use letter::{Letter, To};
pub use smtp::Server;
pub use transport::Way;

use crate::{app::App, error::Problem};

/// The checkpoint's name.
pub const FOLLOWER: &str = "mail";
/// The longest cause, in bytes.
const MAX_CAUSE: usize = 200;
/// Seconds for which it is known of a mail that it was sent: a request that is repeated within them sends nothing.
const KEEP_S: Seconds = 30 * 86_400;

/// Begins with what happens from now on, if this server has never sent mail: nobody is told what happened long ago.
///
/// # Errors
/// When the log or the private store fails.
pub async fn begin(app: &App) -> anyhow::Result<()> {
    let next = app.executor.log().head().await?.map_or(0, |head| head + 1);
    Ok(app.private.begin_follower(FOLLOWER, next).await?)
}

/// Follows the log and sends what is due, until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    tokio::join!(follow::run(&app, &stop), send::run(&app, &stop));
}

/// Sends a letter once for its cause, however often it is asked for; `cause` is part of logs and holds no secret. An account
/// without an address gets none.
///
/// # Errors
/// When the private store fails.
pub async fn queue(app: &App, cause: &str, to: To, letter: Letter) -> Result<(), Problem> {
    put(app, Caused { cause, position: None, due_at: app.clock.time() }, to, letter).await
}

/// Forgets mails that ended long ago; answers how many.
///
/// # Errors
/// When the private store fails.
pub async fn forget(app: &App) -> Result<u64, PrivateError> {
    app.private.forget_mails(app.clock.time().plus(-KEEP_S), FOLLOWER).await
}

/// Where an account's mail goes, if it wants any: of whoever signs in with an address, to that one, once it is proved.
///
/// # Errors
/// When the private store fails.
pub async fn address_of(app: &App, account: AccountId) -> Result<Option<String>, PrivateError> {
    if let Some(login) = app.private.login_of(account).await? {
        return Ok(login.confirmed_at.map(|_| login.email));
    }
    Ok(app.private.person(account).await?.and_then(|person| person.email))
}

/// Why a mail is sent, and when.
struct Caused<'a> {
    cause: &'a str,
    position: Option<Position>,
    due_at: Time,
}

async fn put(app: &App, caused: Caused<'_>, to: To, letter: Letter) -> Result<(), Problem> {
    let Caused { cause, position, due_at } = caused;
    if cause.is_empty() || cause.len() > MAX_CAUSE || !cause.chars().all(|c| ('!'..='~').contains(&c)) {
        return Err(Problem::internal(&format!("{cause:?} cannot be the cause of a mail")));
    }
    let now = app.clock.time();
    // What is sent later may find an address by then.
    if let To::Account(account) = to
        && due_at <= now
        && address_of(app, account).await?.is_none()
    {
        return Ok(());
    }
    let sealed = letter::seal(app, cause, to, letter).map_err(|e| Problem::internal(&e))?;
    let new = NewMail { cause: cause.to_owned(), sealed, created_at: now, position, due_at };
    if app.private.add_mail(&new).await? {
        tracing::debug!(cause, "a mail waits to be sent");
    }
    Ok(())
}
