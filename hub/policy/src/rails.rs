//! What no policy set may open, whatever it says. The built-in `separation.cedar` says the same in Cedar; a replaced
//! directory may have lost it, and these rails hold all the same: every decision passes through [`hold`].

use minqiao_core::{Principal, Purpose, Role};
use minqiao_schemas::{Field, Item, Tag};

use crate::{Show, TableDecision};

/// Takes back what a rail forbids.
pub(crate) fn hold(decision: &mut TableDecision, item: &Item, principal: &Principal, purpose: &Purpose) {
    for decided in &mut decision.fields {
        let Some(field) = item.field(&decided.field) else { continue };
        if let Some(rail) = broken(field, decided.show, principal, purpose) {
            decided.show = Show::Absent;
            decided.reasons = vec![rail.to_owned()];
        }
    }
}

/// The rail that showing `field` like this would break: data for operators, auditors and connectors; custody, movement
/// and biometric fields for anybody; sealed values in clear for anybody but a caseworker with a case.
pub(crate) fn broken(field: &Field, show: Show, principal: &Principal, purpose: &Purpose) -> Option<&'static str> {
    if show == Show::Absent {
        return None;
    }
    if matches!(principal.role, Role::Operator | Role::Auditor | Role::Connector) {
        return Some("rail: no data for this role");
    }
    if [Tag::Criminal, Tag::Movement, Tag::Biometric].iter().any(|tag| field.has_tag(*tag)) {
        return Some("rail: custody, movements and biometrics are not queried");
    }
    let with_case = principal.role == Role::Caseworker && purpose.case.as_ref().is_some_and(|case| !case.is_empty());
    if field.is_sealed() && show == Show::Raw && !with_case {
        return Some("rail: sealed values in clear need a caseworker and a case");
    }
    None
}
