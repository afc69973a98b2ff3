//! Which items of a person may be seen (section 6, R-AUT-01 … 07).

use crate::case::Case;
use crate::items::{VerificationAuthorization, item_no};
use crate::number::Citizen;

/// Items covered for a person, as bits by item number.
pub(crate) fn coverage(case: &Case<'_>, person: Citizen) -> u128 {
    let mut covered = 0u128;
    let bound = case.decl(person).and_then(|d| d.row).filter(|_| case.settings.case_bound);
    for row in case.rows::<VerificationAuthorization>(person) {
        let by_self = person.age_on(crate::calendar::Day::of(row.signed_at)) >= 16;
        let by_agent = row.sign_method_code.is("4") && row.agent_citizen_id.is_some();
        let in_force = row.status_code.is("1")
            && row.signed_at <= case.as_of
            && row.valid_from <= case.q
            && row.valid_until.is_none_or(|until| until >= case.q)
            && row.revoked_at.is_none_or(|at| at > case.as_of);
        let this_case =
            bound.is_none_or(|declared| case.text(declared.authorization_no) == case.text(row.authorization_no));
        if in_force && (by_self || by_agent) && this_case {
            covered |= scope(case.text(row.scope_codes));
        }
    }
    covered
}

/// `ALL`, or a comma list of item codes; `ALL` inside a list is no item code.
fn scope(codes: &str) -> u128 {
    if codes == "ALL" {
        return u128::MAX;
    }
    codes.split(',').map(|code| item_no(code.trim())).filter(|no| *no != 0).fold(0, |bits, no| bits | 1 << no)
}

#[cfg(test)]
mod tests {
    use super::scope;

    #[test]
    fn a_list_is_trimmed_and_exact() {
        assert_eq!(scope("ALL"), u128::MAX);
        assert_eq!(scope(" bank_deposit , individual_income_tax"), 1 << 11 | 1 << 65);
        assert_eq!(scope("ALL,bank_deposit"), 1 << 11);
        assert_eq!(scope("bank"), 0);
    }
}
