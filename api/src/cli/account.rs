//! `berth account`: whoever holds the data folder may open accounts and make tokens, also while the server runs.

use std::io::Read;

use clap::Subcommand;
use domain::{
    account::{Account, AccountCommand as Change, Role},
    event::SystemPart,
    id::{AccountId, MarketplaceName},
};
use projections::private::Person;

use super::{Common, rebuild, show::table};
use crate::{
    accounts,
    app::{App, DataDir},
    execute::By,
    logins,
    stores::Stores,
};

/// Bytes read of standard input.
const MAX_LINE: u64 = 1_024;

/// Opens accounts and makes tokens.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Open an account and print its first token, once
    Add {
        /// Whom it belongs to
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// The name of its orders' stream; with the role marketplace only
        #[arg(long)]
        marketplace: Option<MarketplaceName>,
    },
    /// Make another token of an account and print it, once
    Token {
        /// The account
        account: AccountId,
        /// What it may do; all that the account may when not given
        #[arg(long = "role")]
        roles: Vec<Role>,
        /// What it is for
        #[arg(long, default_value = "command line")]
        label: String,
        /// Days until it stops working; never when not given
        #[arg(long)]
        days: Option<u32>,
    },
    /// Let an account sign in on the pages: reads its password from standard input
    Password {
        /// The account
        account: AccountId,
        /// The mail address that is typed at sign-in
        #[arg(long)]
        email: String,
    },
    /// List all accounts
    List,
    /// Give an account a role
    Grant {
        /// The account
        account: AccountId,
        /// The role
        role: Role,
    },
    /// Take a role away from an account
    Revoke {
        /// The account
        account: AccountId,
        /// The role
        role: Role,
    },
}

impl AccountCommand {
    /// Carries it out on the data folder.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let app = match &self {
            // The first account may be opened before the server ever ran.
            Self::Add { .. } => {
                let (data, config) = (DataDir::open(&common.data())?, common.load(&[])?.config);
                let clock = Stores::new(&data, &config)?.clock().await?;
                App::open(&data, config, clock, rebuild::bar()).await?
            }
            _ => common.open().await?,
        };
        let by = app.by_system(SystemPart::Cli, None);
        match self {
            Self::Add { name, roles, marketplace } => {
                let person = Person { name, marketplace, ..Person::default() };
                let account = accounts::open(&app, person, roles.clone(), &by).await?;
                app.private.forbid_setup().await?;
                print_token(&app, common, account, "first", roles, None).await
            }
            Self::Token { account, roles, label, days } => {
                let state = app.executor.load::<Account>(&account).await?.state;
                let roles = if roles.is_empty() { state.roles() } else { roles };
                print_token(&app, common, account, &label, roles, days).await
            }
            Self::Password { account, email } => {
                let mut password = String::new();
                std::io::stdin().take(MAX_LINE).read_to_string(&mut password)?;
                logins::set_password(&app, account, &email, password.trim_end_matches(['\r', '\n'])).await?;
                println!("It signs in as {email}.");
                Ok(())
            }
            Self::List => list(&app, common).await,
            Self::Grant { account, role } => change(&app, account, Change::Grant { role }, &by).await,
            Self::Revoke { account, role } => change(&app, account, Change::Revoke { role }, &by).await,
        }
    }
}

async fn print_token(
    app: &App,
    common: &Common,
    account: AccountId,
    label: &str,
    roles: Vec<Role>,
    days: Option<u32>,
) -> anyhow::Result<()> {
    let expires_at = days.map(|days| app.clock.time().plus(i64::from(days) * 86_400));
    let names: Vec<_> = roles.iter().map(ToString::to_string).collect();
    let issued = accounts::issue_token(app, account, label, roles, expires_at).await?;
    if common.json {
        println!("{}", serde_json::json!({ "account": account, "roles": names, "token": issued.token }));
    } else {
        table(
            false,
            &["account", "roles", "token"],
            &[vec![account.to_string(), names.join(","), issued.token]],
        );
        println!("The token is shown only now.");
    }
    Ok(())
}

async fn list(app: &App, common: &Common) -> anyhow::Result<()> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = app.private.people(after, 500).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (account, person) in page {
            let roles = app.executor.load::<Account>(&account).await?.state.roles();
            let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
            let marketplace = person.marketplace.map(|m| m.to_string()).unwrap_or_default();
            rows.push(vec![account.to_string(), roles.join(","), marketplace, person.name]);
        }
    }
    table(common.json, &["account", "roles", "marketplace", "name"], &rows);
    Ok(())
}

async fn change(app: &App, account: AccountId, command: Change, by: &By) -> anyhow::Result<()> {
    let done = app.executor.execute::<Account>(&account, command, by).await?;
    println!("{}", if done.position.is_some() { "done" } else { "already so" });
    Ok(())
}
