//! What `minqiao policy explain PRINCIPAL ITEM` prints: the decision per field with the policies behind it.

use std::fmt;

use minqiao_core::{Principal, Purpose};
use minqiao_schemas::Item;

use crate::{Access, CountyBy, Policy, Reach, TableDecision};

/// A decision with what a reader needs around it; `Display` is a table for a terminal.
#[derive(Debug)]
pub struct Explanation<'a> {
    principal: &'a Principal,
    purpose: &'a Purpose,
    item: &'a Item,
    decision: std::sync::Arc<TableDecision>,
    has_feed: bool,
}

impl Policy {
    /// The decision for `principal`, `purpose` and `item`, with reasons.
    pub fn explain<'a>(&self, principal: &'a Principal, purpose: &'a Purpose, item: &'a Item) -> Explanation<'a> {
        let decision = self.decide(principal, purpose, item);
        let listed = decision.access == Access::Rows && decision.is_visible();
        let has_feed = listed && self.may_subscribe(principal, purpose, item);
        Explanation { principal, purpose, item, decision, has_feed }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = &self.decision;
        let case = if self.purpose.case.is_some() { ", with a case" } else { "" };
        writeln!(f, "{} ({}) asks for `{}`{case}", self.principal.id, self.principal.role, self.purpose.code)?;
        writeln!(f, "item      {} {}", self.item.code, self.item.name_zh)?;
        writeln!(f, "policies  version {}", decision.policy_version)?;
        writeln!(f, "access    {} (k = {})", decision.access, decision.k)?;
        writeln!(f, "feed      {}", if self.has_feed { "yes" } else { "no" })?;
        writeln!(f, "rows      {}", Rows(decision))?;
        writeln!(f, "because   {}", join(&decision.reasons))?;
        let width = decision.fields.iter().map(|d| d.field.len()).max().unwrap_or(0);
        for field in &decision.fields {
            let show = field.show.to_string();
            writeln!(f, "  {:width$}  {show:20}  {}", field.field, join(&field.reasons))?;
        }
        Ok(())
    }
}

struct Rows<'a>(&'a TableDecision);

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = &self.0.rows;
        match &rows.reach {
            Reach::City => f.write_str("of the city")?,
            Reach::County { county, by: CountyBy::Field(name) } => write!(f, "with `{name}` in {county}")?,
            Reach::County { county, by: CountyBy::Subject } => write!(f, "of people registered in {county}")?,
            Reach::Case { county: Some(county), .. } => write!(f, "of the case's household, accepted in {county}")?,
            Reach::Case { county: None, .. } => f.write_str("of the case's household")?,
            Reach::Nothing => f.write_str("none")?,
        }
        if rows.authorised_only {
            f.write_str(", under a valid authorisation")?;
        }
        if rows.without_minors {
            f.write_str(", without subjects under 14")?;
        }
        Ok(())
    }
}

fn join(reasons: &[String]) -> String {
    if reasons.is_empty() { "no policy permits it".to_owned() } else { reasons.join(", ") }
}
