//! The first operator.

use axum::{Extension, extract::State};
use domain::event::SystemPart;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answer::Answer, extract::Json, frame::RequestId};
use crate::{accounts, app::App, error::Problem, execute::By};

/// What sets up the first operator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The code that the server printed at its first start; it works once.
    code: String,
    /// What the operator is called.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// The first operator.
#[derive(Serialize, ToSchema)]
pub struct FirstOperator {
    /// The account.
    account: Uuid,
    /// Its first token, shown once.
    token: String,
}

/// Makes the first operator.
#[utoipa::path(post, path = "/v1/setup", tag = "accounts", request_body = SetUp,
    responses((status = 201, description = "The operator's account and token", body = FirstOperator)))]
pub async fn set_up(
    State(app): State<App>,
    Extension(RequestId(correlation)): Extension<RequestId>,
    Json(SetUp { code, name }): Json<SetUp>,
) -> Result<Answer<FirstOperator>, Problem> {
    let by = By { correlation, ..app.by_system(SystemPart::Cli, None) };
    let (account, issued) = accounts::set_up(&app, &code, &name, &by).await?;
    let first = FirstOperator { account: account.0, token: issued.token };
    Ok(Answer::created(first, &format!("/v1/accounts/{account}"))
        .header(axum::http::header::CACHE_CONTROL, "no-store"))
}
