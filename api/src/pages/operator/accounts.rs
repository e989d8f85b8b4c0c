//! All accounts, and opening one.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    account::{Account, Role},
    id::AccountId,
};
use projections::private::Person;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        visit::Member,
    },
    SHOWN, again, authorise, mendable,
};
use crate::{accounts, app::App, error::Problem, execute::By, http::extract::Query};

/// An account.
#[derive(Debug, Clone)]
pub struct AccountLine {
    /// Its number.
    pub account: Uuid,
    /// What the person is called.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The name of a marketplace's orders.
    pub marketplace: Option<String>,
}

/// What was typed to open an account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NewAccount {
    /// What the person is called.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// Where refunds go.
    pub refund_address: String,
    /// Where payouts go.
    pub payout_address: String,
    /// The name of a marketplace's orders.
    pub marketplace: String,
    /// Ticked for an owner.
    pub owner: String,
    /// Ticked for a renter.
    pub renter: String,
    /// Ticked for an operator.
    pub operator: String,
    /// Ticked for an auditor.
    pub auditor: String,
}

impl NewAccount {
    /// Whether a role is ticked; a marketplace is one by its name.
    #[must_use]
    pub fn has(&self, role: &Role) -> bool {
        let ticked = match role {
            Role::Owner => &self.owner,
            Role::Renter => &self.renter,
            Role::Operator => &self.operator,
            Role::Auditor => &self.auditor,
            Role::Marketplace => &self.marketplace,
        };
        !ticked.trim().is_empty()
    }
}

/// Accounts, and a form to open one.
#[derive(Template)]
#[template(path = "operator/accounts.html")]
pub struct AccountsPage {
    /// What is around it.
    pub shell: Shell,
    /// In the order of their numbers.
    pub accounts: Vec<AccountLine>,
    /// Where the next ones begin.
    pub next: Option<Uuid>,
    /// What was typed before.
    pub typed: NewAccount,
    /// What was wrong with that.
    pub wrong: Option<String>,
}

impl AccountsPage {
    /// The roles that are ticked.
    #[must_use]
    pub const fn roles(&self) -> [Role; 4] {
        [Role::Owner, Role::Renter, Role::Operator, Role::Auditor]
    }
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
pub struct After {
    after: Option<AccountId>,
}

async fn accounts_page(
    app: &App,
    member: &Member,
    after: Option<AccountId>,
    typed: NewAccount,
    wrong: Option<String>,
) -> Result<Response, Failure> {
    let mut people = app.private.people(after, u32::try_from(SHOWN + 1).unwrap_or(u32::MAX)).await?;
    let more = people.len() > SHOWN;
    people.truncate(SHOWN);
    let next = people.last().filter(|_| more).map(|(id, _)| id.0);
    let mut accounts = Vec::with_capacity(people.len());
    for (id, person) in people {
        accounts.push(AccountLine {
            account: id.0,
            name: person.name,
            email: person.email.unwrap_or_default(),
            roles: app.executor.load::<Account>(&id).await?.state.roles(),
            marketplace: person.marketplace.map(|name| name.to_string()),
        });
    }
    Ok(page(&AccountsPage { shell: member.shell("Accounts"), accounts, next, typed, wrong }))
}

/// Lists accounts.
pub async fn list(
    State(app): State<App>,
    member: Member,
    Query(After { after }): Query<After>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    accounts_page(&app, &member, after, NewAccount::default(), None).await
}

async fn open_one(app: &App, new: &NewAccount, by: &By) -> Result<AccountId, Problem> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let marketplace = given(&new.marketplace).map(|name| name.parse());
    let marketplace =
        marketplace.transpose().map_err(|e: domain::id::InvalidName| Problem::invalid(e.to_string()))?;
    let person = Person {
        name: new.name.clone(),
        email: given(&new.email),
        refund_address: given(&new.refund_address),
        payout_address: given(&new.payout_address),
        marketplace,
    };
    let roles = Role::ALL.into_iter().filter(|role| new.has(role)).collect();
    accounts::open(app, person, roles, by).await
}

/// Opens an account.
pub async fn open(
    State(app): State<App>,
    member: Member,
    Form { fields: new, id }: Form<NewAccount>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    match open_one(&app, &new, &member.by_form(id)).await {
        Ok(account) => Ok(done(&format!("/operator/accounts/{account}"), "opened")),
        Err(problem) => {
            let (status, wrong) = mendable(problem)?;
            Ok(again(accounts_page(&app, &member, None, new, Some(wrong)).await?, status))
        }
    }
}
