//! What `minqiao policy check` looks at, beyond syntax.
//!
//! 1. Every policy validates strictly against the schema: types, closed lists of roles, purposes, tags and shapes.
//! 2. The schema's tags are the catalogue's; every field has a shape; every item has a county rule that exists.
//! 3. Nothing that the rails close is opened by the policies alone ([`Policy::guard_rails`]). The rails themselves are
//!    applied to every decision, also of a replaced directory.

use cedar_policy::{ValidationMode, Validator};
use minqiao_core::{Principal, Purpose, Role};
use minqiao_schemas::{Catalogue, Item, Tag};

use crate::facts::{self, FieldFacts};
use crate::rails;
use crate::{CountyBy, Policy, TableDecision};

/// Purposes of the schema, for walking over all of them.
const PURPOSES: [&str; 9] = [
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

impl Policy {
    /// Every mistake that validation finds, in words; quick enough for every start.
    pub fn validate(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut findings = self.check_against_schema();
        findings.extend(self.check_vocabulary(catalogue));
        findings.extend(self.check_scopes(catalogue));
        findings
    }

    /// Validation, and then every role, purpose and field held against the rails; takes seconds.
    pub fn check(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut findings = self.validate(catalogue);
        if findings.is_empty() {
            findings.extend(catalogue.items().iter().flat_map(|item| self.guard_rails(item)));
        }
        findings
    }

    fn check_against_schema(&self) -> Vec<String> {
        let result = Validator::new(self.schema.clone()).validate(&self.set, ValidationMode::Strict);
        result.validation_errors().map(|e| format!("policy `{}`: {e}", e.policy_id())).collect()
    }

    fn check_vocabulary(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut findings = Vec::new();
        for tag in Tag::ALL {
            if !self.knows("Tag", tag.as_str()) {
                findings.push(format!("schema: tag `{tag}` of the catalogue is missing"));
            }
        }
        for role in Role::ALL {
            if !self.knows("Role", role.as_str()) {
                findings.push(format!("schema: role `{role}` is missing"));
            }
        }
        for item in catalogue.items() {
            for field in &item.fields {
                match self.obligations.of(&FieldFacts::of(item, field)) {
                    None => findings.push(format!("obligations: `{}.{}` has no shape", item.code, field.name)),
                    Some((shape, _)) if !self.knows("Shape", shape) => {
                        findings.push(format!("obligations: shape `{shape}` is not in the schema"));
                    }
                    Some(_) => {}
                }
            }
        }
        findings.dedup();
        findings
    }

    /// Whether a purpose is one of the schema's closed list.
    pub fn knows_purpose(&self, code: &str) -> bool {
        self.knows("Purpose", code)
    }

    /// Whether an entity of a closed list is valid under the schema.
    fn knows(&self, kind: &str, id: &str) -> bool {
        facts::uid(kind, id).is_some_and(|uid| {
            let entity = cedar_policy::Entity::new_no_attrs(uid, std::collections::HashSet::new());
            cedar_policy::Entities::from_entities([entity], Some(&self.schema)).is_ok()
        })
    }

    fn check_scopes(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut findings = Vec::new();
        for item in catalogue.items() {
            match self.scopes.county(&item.code) {
                None => findings.push(format!("scopes: item `{}` has no county rule", item.code)),
                Some(CountyBy::Field(name)) => {
                    let fits = item
                        .field(name)
                        .is_some_and(|f| matches!(f.code_table.as_deref(), Some("GBT2260" | "GBT10114")));
                    if !fits {
                        findings.push(format!("scopes: `{}.{name}` is not a division or town code", item.code));
                    }
                }
                Some(CountyBy::Subject) => {}
            }
        }
        for (item, _) in self.scopes.items() {
            if catalogue.item(item).is_none() {
                findings.push(format!("scopes: `{item}` is not an item of the catalogue"));
            }
        }
        findings
    }

    /// Where the policies alone would open what the rails close. The rails hold anyway; a policy that runs into
    /// them is a mistake all the same.
    pub fn guard_rails(&self, item: &Item) -> Vec<String> {
        let mut findings = Vec::new();
        for role in Role::ALL {
            for code in PURPOSES {
                for case in [None, Some("CASE".to_owned())] {
                    let county = Some("371002".to_owned());
                    let principal = Principal { id: "check".into(), role, department: None, county };
                    let purpose = Purpose { code: code.into(), case };
                    let decision = self.decide_afresh(&principal, &purpose, item);
                    findings.extend(broken_rails(item, &principal, &purpose, &decision));
                }
            }
        }
        findings
    }
}

fn broken_rails(item: &Item, principal: &Principal, purpose: &Purpose, decision: &TableDecision) -> Vec<String> {
    let mut findings = Vec::new();
    for field in &item.fields {
        let show = decision.show(&field.name);
        if let Some(rail) = rails::broken(field, show, principal, purpose) {
            let (role, code) = (principal.role, &purpose.code);
            findings.push(format!("{rail}: `{role}` for `{code}` would see `{}.{}` {show}", item.code, field.name));
        }
    }
    findings
}
