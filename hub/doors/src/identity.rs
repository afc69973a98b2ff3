//! Who is asking: extractors that routes name in their arguments. A route without one is public by declaration, and
//! the route table of [`crate::http`] says so.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use minqiao_core::{Kind, Principal, ProviderCode, Purpose, Role};
use minqiao_schemas::normalise::citizen_id;
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
///
/// Both stand in the audit chain in clear and for ever, so neither is free text: a purpose is one that policies can speak
/// about, a case has the form of an application's or an alert's number and is nobody's citizen number.
#[derive(Debug, Clone)]
pub struct AskedFor(pub Purpose);

/// The closed list of `ops/policies/schema.cedarschema`, for those who are told; the policies in force decide.
pub(crate) const PURPOSES: [&str; 9] = [
    "dibao_verification",
    "identity_check",
    "temporary_assistance",
    "monitoring",
    "analysis",
    "statistics",
    "operations",
    "audit",
    "exchange",
];

/// Longest number of a case.
const CASE_CHARACTERS_MAX: usize = 32;

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

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        // What is not ASCII is no text of ours; it is refused like any other, never taken for absent.
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
        let code = header("x-minqiao-purpose").filter(|code| !code.is_empty()).ok_or_else(|| {
            Refusal::new(
                Kind::InvalidArgument,
                "purpose_missing",
                "say what the data is for in the header `X-Minqiao-Purpose`",
                "请在请求头 X-Minqiao-Purpose 中写明用途",
            )
        })?;
        if !state.sql.knows_purpose(code) {
            return Err(unknown_purpose());
        }
        let case = header("x-minqiao-case").filter(|case| !case.is_empty());
        if case.is_some_and(|case| !is_case(case)) {
            return Err(malformed_case());
        }
        Ok(Self(Purpose { code: code.to_owned(), case: case.map(str::to_owned) }))
    }
}

fn unknown_purpose() -> Refusal {
    let known = PURPOSES.join(", ");
    Refusal::new(
        Kind::InvalidArgument,
        "purpose_unknown",
        format!("the header `X-Minqiao-Purpose` names no purpose of the policies; built in are: {known}"),
        format!("请求头 X-Minqiao-Purpose 的用途不在策略规定的清单中；内置用途：{known}"),
    )
}

fn malformed_case() -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "case_malformed",
        format!(
            "the header `X-Minqiao-Case` is the number of an application or alert: at most {CASE_CHARACTERS_MAX} of \
             `A-Z a-z 0-9 - _ .`, and never a citizen number"
        ),
        format!(
            "请求头 X-Minqiao-Case 须为申请编号或预警编号：最多 {CASE_CHARACTERS_MAX} 个字符，限字母、数字和 - _ .，不得填写公民身份号码"
        ),
    )
}

/// Whether a text has the form of a case's number and names no person: no run of digits in it is a citizen number, with
/// or without the signs that separate groups.
fn is_case(text: &str) -> bool {
    let separator = |c: char| matches!(c, '-' | '_' | '.');
    let formed = !text.is_empty()
        && text.len() <= CASE_CHARACTERS_MAX
        && text.chars().all(|c| c.is_ascii_alphanumeric() || separator(c));
    let whole: String = text.to_ascii_uppercase();
    let joined: String = whole.chars().filter(|c| !separator(*c)).collect();
    formed && !names_a_person(&whole) && !names_a_person(&joined)
}

fn names_a_person(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let with_check = digits + usize::from(rest[digits..].starts_with('X'));
        if citizen_id::is_canonical(&rest[..digits]) || citizen_id::is_canonical(&rest[..with_check]) {
            return true;
        }
        rest = &rest[digits..];
    }
    false
}

#[cfg(test)]
mod tests {
    use minqiao_policy::PolicySource;

    use super::*;

    #[test]
    fn purposes_are_those_that_policies_can_speak_about() {
        let schema = PolicySource::embedded().schema;
        let list =
            schema.split_once("entity Purpose enum [").expect("a closed list").1.split_once(']').expect("its end");
        let named: Vec<&str> = list.0.split(',').map(|name| name.trim().trim_matches('"')).collect();
        assert_eq!(named, PURPOSES);
    }

    #[test]
    fn a_case_is_a_number_of_an_application_and_nobodys_own() {
        for case in ["SQ20263710020000000001", "370000202600001", "YJ-2026_3710.02", "A1", &"9".repeat(32)] {
            assert!(is_case(case), "{case}");
        }
        for case in ["", "a b", "张三", "SQ/1", "x'--", &"9".repeat(33)] {
            assert!(!is_case(case), "{case}");
        }
        let bodies = (0..11).map(|n| format!("37100219400101{n:03}"));
        let numbers = bodies.map(|body| format!("{body}{}", citizen_id::check_character(&body).expect("17 digits")));
        let numbers: Vec<String> = numbers.collect();
        assert!(numbers.iter().any(|number| number.ends_with('X')));
        for number in &numbers {
            let (region, rest) = number.split_at(6);
            let forms = [
                number.clone(),
                number.to_ascii_lowercase(),
                format!("SQ{number}"),
                format!("{number}-1"),
                format!("x{number}x"),
                format!("{region}-{rest}"),
                format!("case.{}_{}", &number[..14], &number[14..]),
            ];
            for form in forms {
                assert!(!is_case(&form), "{form}");
            }
        }
    }
}
