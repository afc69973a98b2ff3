//! What policies are told about items and fields: the catalogue as Cedar entities.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use minqiao_core::Principal;
use minqiao_schemas::{Field, Item, Level};

use crate::Mask;
use crate::obligations::Obligations;

/// Envelope columns that a principal may see beside the fields; the others are the hub's own.
pub(crate) const ENVELOPE: [(&str, Level); 3] =
    [("_data_date", Level::L1), ("_received_at", Level::L2), ("_provider_code", Level::L1)];

/// A field as the obligations see it.
#[derive(Debug, Clone)]
pub(crate) struct FieldFacts {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) code_table: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) level: i64,
    pub(crate) sealed: bool,
    pub(crate) subject: bool,
}

impl FieldFacts {
    pub(crate) fn of(item: &Item, field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            ty: field.ty.to_string(),
            code_table: field.code_table.clone(),
            tags: field.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            level: level_number(field.level),
            sealed: field.is_sealed(),
            subject: item.subject_fields.contains(&field.name),
        }
    }
}

/// 1 to 4.
pub(crate) fn level_number(level: Level) -> i64 {
    match level {
        Level::L1 => 1,
        Level::L2 => 2,
        Level::L3 => 3,
        Level::L4 => 4,
    }
}

/// A named entity of the policies' namespace. `None` when the name cannot be one.
pub(crate) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str(&format!("Minqiao::{kind}")).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// One field (or envelope column) ready to be asked about.
#[derive(Debug, Clone)]
pub(crate) struct FieldEntity {
    pub(crate) name: String,
    pub(crate) mask: Mask,
    pub(crate) uid: EntityUid,
}

/// An item with all its fields as entities.
#[derive(Debug, Clone)]
pub(crate) struct ItemEntities {
    pub(crate) uid: EntityUid,
    pub(crate) fields: Vec<Option<FieldEntity>>,
    pub(crate) names: Vec<String>,
    pub(crate) entities: Vec<Entity>,
}

/// Everything policies may know about `item`. A field without a shape has no entity, hence no permission.
pub(crate) fn item_entities(item: &Item, obligations: &Obligations) -> Option<ItemEntities> {
    let item_uid = uid("Item", &item.code)?;
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let attrs = HashMap::from([
        ("level".to_owned(), RestrictedExpression::new_long(level_number(item.level))),
        ("kind".to_owned(), text(item.kind.as_str())),
        ("department".to_owned(), text(&item.department)),
        ("authorization_required".to_owned(), RestrictedExpression::new_bool(item.authorization_required)),
        ("contains_minors".to_owned(), RestrictedExpression::new_bool(item.contains_minors)),
    ]);
    let mut all = ItemEntities {
        uid: item_uid.clone(),
        fields: Vec::new(),
        names: Vec::new(),
        entities: vec![Entity::new(item_uid.clone(), attrs, HashSet::new()).ok()?],
    };
    for field in &item.fields {
        let facts = FieldFacts::of(item, field);
        let shaped = obligations.of(&facts).map(|(shape, mask)| (shape.to_owned(), mask));
        all.push(&item.code, &item_uid, &facts, shaped);
    }
    for (name, level) in ENVELOPE {
        let facts = FieldFacts {
            name: name.to_owned(),
            ty: String::new(),
            code_table: None,
            tags: Vec::new(),
            level: level_number(level),
            sealed: false,
            subject: false,
        };
        all.push(&item.code, &item_uid, &facts, Some(("envelope".to_owned(), Mask::Hidden)));
    }
    Some(all)
}

impl ItemEntities {
    fn push(&mut self, item: &str, item_uid: &EntityUid, facts: &FieldFacts, shaped: Option<(String, Mask)>) {
        let entity = shaped.and_then(|(shape, mask)| {
            let uid_of_field = uid("Field", &format!("{item}.{}", facts.name))?;
            let mut parents = HashSet::from([item_uid.clone(), uid("Shape", &shape)?]);
            for tag in &facts.tags {
                parents.insert(uid("Tag", tag)?);
            }
            let attrs = HashMap::from([
                ("level".to_owned(), RestrictedExpression::new_long(facts.level)),
                ("sealed".to_owned(), RestrictedExpression::new_bool(facts.sealed)),
                ("subject".to_owned(), RestrictedExpression::new_bool(facts.subject)),
            ]);
            let entity = Entity::new(uid_of_field.clone(), attrs, parents).ok()?;
            Some((FieldEntity { name: facts.name.clone(), mask, uid: uid_of_field }, entity))
        });
        self.names.push(facts.name.clone());
        match entity {
            Some((field, entity)) => {
                self.fields.push(Some(field));
                self.entities.push(entity);
            }
            None => self.fields.push(None),
        }
    }
}

/// The one who asks.
pub(crate) fn principal_entity(principal: &Principal) -> Option<(EntityUid, Entity)> {
    let uid_of_principal = uid("Principal", &principal.id)?;
    let parents = HashSet::from([uid("Role", principal.role.as_str())?]);
    let optional = [("department", &principal.department), ("county", &principal.county)];
    let attrs = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), RestrictedExpression::new_string(value.clone()?))))
        .collect();
    let entity = Entity::new(uid_of_principal.clone(), attrs, parents).ok()?;
    Some((uid_of_principal, entity))
}
