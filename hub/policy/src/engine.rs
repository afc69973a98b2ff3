//! The deciding: for each table and field, which of the actions do the policies permit.
//!
//! Cedar answers permit or deny per (principal, action, resource). A field is asked for `showRaw`, `showMasked`,
//! `showPseudonym`, `aggregate` in this order and the first that is permitted holds; rows likewise from the city to
//! the case. Any error on the way, an unknown purpose included, leaves the action denied (SEC-1).

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request, RestrictedExpression,
    Schema,
};
use minqiao_core::{Principal, Purpose};
use minqiao_schemas::{Catalogue, Item};

use crate::facts::{self, ItemEntities};
use crate::obligations::Obligations;
use crate::rails;
use crate::scope::Scopes;
use crate::{Access, FieldDecision, PolicyError, PolicySource, Reach, RowScope, Show, TableDecision};

/// Decisions kept before the cache is emptied.
const CACHED_DECISIONS_MAX: usize = 20_000;

/// A loaded policy set. Cheap to share by `Arc`.
pub struct Policy {
    pub(crate) set: PolicySet,
    pub(crate) schema: Schema,
    /// Actions with their groups, which the evaluation knows only when it is told.
    actions: Vec<Entity>,
    pub(crate) obligations: Obligations,
    pub(crate) scopes: Scopes,
    version: String,
    items: HashMap<String, ItemEntities>,
    cache: Mutex<HashMap<CacheKey, Arc<TableDecision>>>,
}

type CacheKey = (Principal, Purpose, String);

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Policy {
    /// The set built into the binary, against the built-in catalogue.
    pub fn embedded() -> Result<Self, PolicyError> {
        Self::load(&PolicySource::embedded(), Catalogue::embedded())
    }

    /// Parses `source` and validates it against its schema and `catalogue`; policies with findings do not load.
    pub fn load(source: &PolicySource, catalogue: &Catalogue) -> Result<Self, PolicyError> {
        let policy = Self::parse(source, catalogue)?;
        let findings = policy.validate(catalogue);
        if findings.is_empty() { Ok(policy) } else { Err(PolicyError::Invalid(findings)) }
    }

    /// Parses without [`Policy::check`].
    pub fn parse(source: &PolicySource, catalogue: &Catalogue) -> Result<Self, PolicyError> {
        let schema_file = || "schema.cedarschema".to_owned();
        let (schema, _warnings) = Schema::from_cedarschema_str(&source.schema)
            .map_err(|e| PolicyError::Parse { file: schema_file(), detail: e.to_string() })?;
        let mut policies = Vec::new();
        for (file, text) in &source.policies {
            let parsed = PolicySet::from_str(text)
                .map_err(|e| PolicyError::Parse { file: file.clone(), detail: e.to_string() })?;
            for policy in parsed.policies() {
                let id = policy.annotation("id").unwrap_or_default();
                if id.is_empty() || policies.iter().any(|p: &cedar_policy::Policy| *p.id() == PolicyId::new(id)) {
                    let named = if id.is_empty() { policy.id().to_string() } else { id.to_owned() };
                    return Err(PolicyError::PolicyId { file: file.clone(), id: named });
                }
                policies.push(policy.new_id(PolicyId::new(id)));
            }
        }
        let set = PolicySet::from_policies(policies)
            .map_err(|e| PolicyError::Parse { file: "*.cedar".into(), detail: e.to_string() })?;
        let actions = schema
            .action_entities()
            .map_err(|e| PolicyError::Parse { file: schema_file(), detail: e.to_string() })?
            .iter()
            .cloned()
            .collect();
        let obligations = Obligations::parse(&source.obligations)?;
        let items = catalogue
            .items()
            .iter()
            .filter_map(|item| Some((item.code.clone(), facts::item_entities(item, &obligations)?)))
            .collect();
        Ok(Self {
            set,
            schema,
            actions,
            scopes: Scopes::parse(&source.scopes)?,
            version: source.version(),
            items,
            obligations,
            cache: Mutex::new(HashMap::new()),
        })
    }

    /// Version of the texts; part of every decision, cache key and audit record.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// People per published cell, at least.
    pub fn k(&self) -> u32 {
        self.obligations.k
    }

    /// What `principal` may see of `item` for `purpose`.
    pub fn decide(&self, principal: &Principal, purpose: &Purpose, item: &Item) -> Arc<TableDecision> {
        let key = (principal.clone(), purpose.clone(), item.code.clone());
        if let Some(known) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut decision = self.decide_afresh(principal, purpose, item);
        rails::hold(&mut decision, item, principal, purpose);
        let decision = Arc::new(decision);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_DECISIONS_MAX {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&decision));
        decision
    }

    /// Whether `principal` may read one of the hub's own tables (`audit_log`, `ingest_counts`).
    pub fn may_read_view(&self, principal: &Principal, purpose: &Purpose, view: &str) -> bool {
        self.permits_view("read", principal, purpose, view)
    }

    /// Whether `principal` may subscribe to something that is not an item (`receipts`).
    pub fn may_subscribe_view(&self, principal: &Principal, purpose: &Purpose, view: &str) -> bool {
        self.permits_view("subscribe", principal, purpose, view)
    }

    /// Whether `principal` may subscribe to changes of `item`. That is leave for the feed as such: what is in it is
    /// decided by [`Policy::decide`], as for a query.
    pub fn may_subscribe(&self, principal: &Principal, purpose: &Purpose, item: &Item) -> bool {
        let asked = || {
            let known = self.items.get(&item.code)?;
            let (who, entity) = facts::principal_entity(principal)?;
            let entities = self.entities(known.entities.iter().cloned().chain([entity]))?;
            let asking = Asking { policy: self, who, purpose, entities: &entities };
            Some(asking.permits("subscribe", &known.uid).0)
        };
        asked().unwrap_or(false)
    }

    fn permits_view(&self, action: &str, principal: &Principal, purpose: &Purpose, view: &str) -> bool {
        let asked = || {
            let (who, entity) = facts::principal_entity(principal)?;
            let entities = self.entities([entity])?;
            let asking = Asking { policy: self, who, purpose, entities: &entities };
            Some(asking.permits(action, &facts::uid("View", view)?).0)
        };
        asked().unwrap_or(false)
    }

    /// What an evaluation knows: these entities, and which group an action is in.
    fn entities(&self, known: impl IntoIterator<Item = Entity>) -> Option<Entities> {
        Entities::from_entities(known.into_iter().chain(self.actions.iter().cloned()), None).ok()
    }

    /// What the policies alone say.
    pub(crate) fn decide_afresh(&self, principal: &Principal, purpose: &Purpose, item: &Item) -> TableDecision {
        self.try_decide(principal, purpose, item).unwrap_or_else(|| TableDecision {
            item: item.code.clone(),
            policy_version: self.version.clone(),
            access: Access::None,
            k: self.obligations.k,
            rows: RowScope { reach: Reach::Nothing, authorised_only: true, without_minors: true },
            fields: item.fields.iter().map(|field| absent(&field.name, Vec::new())).collect(),
            reasons: vec!["denied: unknown attribute".to_owned()],
        })
    }

    fn try_decide(&self, principal: &Principal, purpose: &Purpose, item: &Item) -> Option<TableDecision> {
        let known = self.items.get(&item.code)?;
        let (who, entity) = facts::principal_entity(principal)?;
        let entities = self.entities(known.entities.iter().cloned().chain([entity]))?;
        let asking = Asking { policy: self, who, purpose, entities: &entities };
        let mut reasons = Vec::new();
        let mut table = |action: &str| {
            let (permitted, why) = asking.permits(action, &known.uid);
            reasons.extend(why);
            permitted
        };
        let access = if table("list") {
            Access::Rows
        } else if table("count") {
            Access::Aggregates
        } else {
            Access::None
        };
        let reach = if access == Access::None {
            Reach::Nothing
        } else if table("rowsOfCity") {
            Reach::City
        } else if table("rowsOfCounty") {
            self.county_reach(principal, item)
        } else if table("rowsOfCase") {
            case_reach(principal, purpose)
        } else {
            Reach::Nothing
        };
        let authorised_only = item.authorization_required && !table("withoutAuthorisation");
        let without_minors = item.contains_minors && !table("rowsOfMinors");
        let closed = access == Access::None || reach == Reach::Nothing;
        let mut fields = Vec::with_capacity(known.names.len());
        for (name, entity) in known.names.iter().zip(&known.fields) {
            fields.push(match entity {
                Some(field) if !closed => asking.show(field),
                _ => absent(name, Vec::new()),
            });
        }
        reasons.sort();
        reasons.dedup();
        Some(TableDecision {
            item: item.code.clone(),
            policy_version: self.version.clone(),
            access,
            k: self.obligations.k,
            rows: RowScope { reach, authorised_only, without_minors },
            fields,
            reasons,
        })
    }

    fn county_reach(&self, principal: &Principal, item: &Item) -> Reach {
        let county = principal.county.as_ref().filter(|c| c.len() == 6 && c.bytes().all(|b| b.is_ascii_digit()));
        match (county, self.scopes.county(&item.code)) {
            (Some(county), Some(by)) => Reach::County { county: county.clone(), by: by.clone() },
            _ => Reach::Nothing,
        }
    }
}

fn case_reach(principal: &Principal, purpose: &Purpose) -> Reach {
    match purpose.case.as_deref() {
        Some(case) if !case.is_empty() => Reach::Case { case: case.to_owned(), county: principal.county.clone() },
        _ => Reach::Nothing,
    }
}

fn absent(field: &str, reasons: Vec<String>) -> FieldDecision {
    FieldDecision { field: field.to_owned(), show: Show::Absent, reasons }
}

/// One principal, one purpose, one set of entities.
struct Asking<'a> {
    policy: &'a Policy,
    who: EntityUid,
    purpose: &'a Purpose,
    entities: &'a Entities,
}

impl Asking<'_> {
    fn show(&self, field: &facts::FieldEntity) -> FieldDecision {
        let ladder = [
            ("showRaw", Show::Raw),
            ("showMasked", Show::Masked(field.mask)),
            ("showPseudonym", Show::Pseudonym),
            ("aggregate", Show::AggregateOnly),
        ];
        let mut against = Vec::new();
        for (action, show) in ladder {
            let (permitted, mut reasons) = self.permits(action, &field.uid);
            if permitted {
                reasons.sort();
                return FieldDecision { field: field.name.clone(), show, reasons };
            }
            against.extend(reasons);
        }
        against.sort();
        against.dedup();
        absent(&field.name, against)
    }

    /// Whether the action is permitted, and the policies that decided.
    fn permits(&self, action: &str, resource: &EntityUid) -> (bool, Vec<String>) {
        let Some(request) = self.request(action, resource) else {
            return (false, Vec::new());
        };
        let response = Authorizer::new().is_authorized(&request, &self.policy.set, self.entities);
        let clean = response.diagnostics().errors().next().is_none();
        let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
        (clean && response.decision() == Decision::Allow, reasons)
    }

    fn request(&self, action: &str, resource: &EntityUid) -> Option<Request> {
        let context = Context::from_pairs([
            ("purpose".to_owned(), RestrictedExpression::new_entity_uid(facts::uid("Purpose", &self.purpose.code)?)),
            (
                "has_case".to_owned(),
                RestrictedExpression::new_bool(self.purpose.case.as_ref().is_some_and(|case| !case.is_empty())),
            ),
        ])
        .ok()?;
        let action = facts::uid("Action", action)?;
        Request::new(self.who.clone(), action, resource.clone(), context, Some(&self.policy.schema)).ok()
    }
}
