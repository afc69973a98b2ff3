//! Who is asking: extractors that routes name in their arguments. A route without one is public by declaration, and
//! the route table of [`crate::http`] says so.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use minqiao_core::{Kind, Principal, ProviderCode, Purpose, Role};
use minqiao_store::Providers;

use crate::access::reader_of;
use crate::feeds::Reader;
use crate::problem::Refusal;
use crate::serve::Peer;
use crate::state::AppState;

/// An authenticated user.
#[derive(Debug, Clone)]
pub struct User(pub Arc<Principal>);

/// An authenticated connector.
#[derive(Debug, Clone)]
pub struct Connector(pub ProviderCode);

/// Who reads feeds: a connector on behalf of its department, or a user.
///
/// A connector's certificate reads as the role `department` here and nowhere else: with it a department sees its own
/// receipts, and of items what a policy shares with it. SQL stays closed to it.
#[derive(Debug, Clone)]
pub struct FeedReader(pub Reader);

/// What the caller asks for, from `X-Minqiao-Purpose` and `X-Minqiao-Case`.
#[derive(Debug, Clone)]
pub struct AskedFor(pub Purpose);

fn certificate_name(parts: &Parts) -> Option<Arc<str>> {
    parts.extensions.get::<Peer>().and_then(|peer| peer.certificate_name.clone())
}

impl FromRequestParts<AppState> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let by_certificate = certificate_name(parts).and_then(|name| state.access.user(&name));
        let bearer = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let by_token = bearer.and_then(|token| state.access.user_of_token(token.trim()));
        match (by_certificate, by_token, bearer) {
            // Two identities in one request are a mistake, not a choice for us to make.
            (Some(a), Some(b), _) if a.id != b.id => Err(Refusal::unauthenticated()),
            (Some(_), None, Some(_)) => Err(Refusal::unauthenticated()),
            (Some(user), ..) | (None, Some(user), _) => Ok(Self(user)),
            (None, None, _) => Err(Refusal::unauthenticated()),
        }
    }
}

impl FromRequestParts<AppState> for Connector {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let name = certificate_name(parts).ok_or_else(Refusal::unauthenticated)?;
        match state.access.connector(&name) {
            Some(code) => Ok(Self(code)),
            None => Err(Refusal::new(
                Kind::Forbidden,
                "not_a_connector",
                "this certificate does not belong to a registered connector: ask the hub's operator to list its common name under `connectors`",
                "该证书不属于已登记的接入方：请联系平台运维人员登记证书名称",
            )),
        }
    }
}

impl FromRequestParts<AppState> for FeedReader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let connector = certificate_name(parts).and_then(|name| state.access.connector(&name));
        let Some(code) = connector else {
            let User(user) = User::from_request_parts(parts, state).await?;
            let receipts = providers_of(&user);
            return Ok(Self(Reader { principal: user, receipts }));
        };
        // Two identities in one request are a mistake here, too.
        if parts.headers.contains_key(AUTHORIZATION) {
            return Err(Refusal::unauthenticated());
        }
        Ok(Self(Reader { principal: Arc::new(reader_of(&code)), receipts: Some(Providers::One(code.to_string())) }))
    }
}

/// Whose receipts are a user's: those of the department in their county, or all of it. Other roles have none.
fn providers_of(user: &Principal) -> Option<Providers> {
    let department = user.department.as_deref().filter(|_| user.role == Role::Department)?;
    Some(match &user.county {
        Some(county) => Providers::One(format!("{department}.{county}")),
        None => Providers::Department(department.to_owned()),
    })
}

impl FromRequestParts<AppState> for AskedFor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refusal> {
        let header =
            |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim).map(str::to_owned);
        let code = header("x-minqiao-purpose").filter(|code| !code.is_empty()).ok_or_else(|| {
            Refusal::new(
                Kind::InvalidArgument,
                "purpose_missing",
                "say what the data is for in the header `X-Minqiao-Purpose`",
                "请在请求头 X-Minqiao-Purpose 中写明用途",
            )
        })?;
        Ok(Self(Purpose { code, case: header("x-minqiao-case").filter(|case| !case.is_empty()) }))
    }
}
