//! A "no" as a page.

use askama::Template;
use axum::{
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use tower_http::csrf::ProtectionError;

use super::{
    page::{Shell, page as render},
    visit::Visit,
};
use crate::error::Problem;

/// Why a page is not shown.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Something does not allow it.
    No(Problem),
    /// Somebody must sign in first, and goes on here after that.
    SignIn(String),
}

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::No(error.into())
    }
}

impl Failure {
    /// Leads to where people sign in, and from there back; what a form was to do is not done then.
    #[must_use]
    pub fn sign_in_first(method: &Method, uri: &Uri) -> Self {
        let back = uri.path_and_query().filter(|_| method == Method::GET);
        let back = back.map_or("/home", |path| path.as_str());
        let mut next = reqwest::Url::parse("http://x/sign-in").map_or_else(
            |_| String::new(),
            |mut url| {
                url.query_pairs_mut().append_pair("next", back);
                url.query().unwrap_or_default().to_owned()
            },
        );
        next.insert_str(0, "/sign-in?");
        Self::SignIn(next)
    }
}

impl IntoResponse for Failure {
    /// A redirection, or a response that [`super::visit::enter`] replaces with a page that fits the visitor.
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(to) => Redirect::to(&to).into_response(),
            Self::No(problem) => problem.into_response(),
        }
    }
}

/// The page of a "no".
#[derive(Template)]
#[template(path = "failure.html")]
pub struct FailurePage {
    /// What is around it.
    pub shell: Shell,
    /// The status in words.
    pub what: &'static str,
    /// What was wrong.
    pub detail: String,
    /// What to do.
    pub action: String,
    /// The request's id, for operators.
    pub request: String,
}

/// What people are told to do: programs are told other things.
fn advice(problem: &Problem) -> &'static str {
    match problem.status() {
        StatusCode::NOT_FOUND => "Check the address, or begin at the market.",
        StatusCode::FORBIDDEN if problem.kind() == "forbidden" => {
            "Sign in as somebody who may, or ask an operator."
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "Go back, mend it and send it again.",
        _ => problem.action(),
    }
}

/// Shows a "no".
pub fn page(visit: &Visit, problem: &Problem) -> Response {
    let status = problem.status();
    let what = match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::TOO_MANY_REQUESTS => "Too often",
        status if status.is_server_error() => "Something went wrong here",
        _ => "That did not work",
    };
    let page = FailurePage {
        shell: visit.shell(what),
        what,
        detail: problem.detail().to_owned(),
        action: advice(problem).to_owned(),
        request: visit.request.to_string(),
    };
    let mut response = render(&page);
    *response.status_mut() = status;
    if let Some(seconds) = problem.retry_after_s() {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer to a request that another site made a browser send.
pub fn foreign(_: ProtectionError) -> Response {
    let detail = "another site asked for this";
    Failure::from(Problem::new(
        StatusCode::FORBIDDEN,
        "foreign-form",
        detail,
        "open the page here and send its form",
    ))
    .into_response()
}
