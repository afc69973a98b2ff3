//! Arrow schemas of an item.
//!
//! ```text
//! submission   field 1 … field n │ _source_record_id _source_updated_at _data_date _op
//! sealed       field 1 … field n │ <field>__token … │ _item_code … _content_hash _key
//!              (sealed: Binary)  │ FixedSizeBinary(16)
//! ```
//!
//! Every column is nullable: what must not be null is a rule of [`crate::check`], whose answer is a reason per row;
//! an Arrow null check would refuse the batch instead. Metadata of a field: `label_zh`, `type` (canonical), `required`,
//! `level`, `tags` (comma-separated), `code_table`, `seal`; metadata of the schema: the item's own description.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};

use crate::envelope;
use crate::model::{Field, Item, Seal};

impl Seal {
    /// The word in schema metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Cipher => "cipher",
            Self::CipherAndToken => "cipher_and_token",
        }
    }
}

fn field_metadata(field: &Field) -> HashMap<String, String> {
    let tags: Vec<&str> = field.tags.iter().map(|t| t.as_str()).collect();
    let mut metadata = HashMap::from([
        ("label_zh".to_owned(), field.label_zh.clone()),
        ("type".to_owned(), field.ty.to_string()),
        ("required".to_owned(), field.required.to_string()),
        ("level".to_owned(), field.level.to_string()),
        ("tags".to_owned(), tags.join(",")),
        ("seal".to_owned(), field.seal.as_str().to_owned()),
    ]);
    if let Some(table) = &field.code_table {
        metadata.insert("code_table".to_owned(), table.clone());
    }
    metadata
}

fn item_metadata(item: &Item) -> HashMap<String, String> {
    HashMap::from([
        ("item".to_owned(), item.code.clone()),
        ("no".to_owned(), item.no.to_string()),
        ("name_zh".to_owned(), item.name_zh.clone()),
        ("name_en".to_owned(), item.name_en.clone()),
        ("department".to_owned(), item.department.clone()),
        ("class".to_owned(), item.class.clone()),
        ("kind".to_owned(), item.kind.to_string()),
        ("cadence".to_owned(), item.cadence.to_string()),
        ("level".to_owned(), item.level.to_string()),
        ("natural_key".to_owned(), item.natural_key.join(",")),
        ("subject_fields".to_owned(), item.subject_fields.join(",")),
        ("contains_minors".to_owned(), item.contains_minors.to_string()),
        ("authorization_required".to_owned(), item.authorization_required.to_string()),
        ("catalogue_version".to_owned(), item.catalogue_version.clone()),
    ])
}

pub(crate) fn submission(item: &Item) -> SchemaRef {
    let mut fields: Vec<ArrowField> = Vec::with_capacity(item.fields.len() + envelope::SUBMISSION_COLUMNS.len());
    for field in &item.fields {
        fields.push(ArrowField::new(&field.name, field.ty.arrow(), true).with_metadata(field_metadata(field)));
    }
    fields.extend(envelope::SUBMISSION_COLUMNS.iter().map(|name| envelope::field(name)));
    Arc::new(Schema::new_with_metadata(fields, item_metadata(item)))
}

pub(crate) fn sealed(item: &Item) -> SchemaRef {
    let mut fields: Vec<ArrowField> = Vec::with_capacity(2 * item.fields.len() + envelope::SEALED_COLUMNS.len());
    for field in &item.fields {
        let ty = if field.is_sealed() { DataType::Binary } else { field.ty.arrow() };
        fields.push(ArrowField::new(&field.name, ty, true).with_metadata(field_metadata(field)));
    }
    for (_, field) in item.token_fields() {
        let metadata = HashMap::from([
            ("token_of".to_owned(), field.name.clone()),
            ("token_domain".to_owned(), field.token_domain.clone()),
            ("level".to_owned(), field.level.to_string()),
        ]);
        let ty = DataType::FixedSizeBinary(envelope::TOKEN_BYTES);
        fields.push(ArrowField::new(field.token_column(), ty, true).with_metadata(metadata));
    }
    fields.extend(envelope::SEALED_COLUMNS.iter().map(|name| envelope::field(name)));
    Arc::new(Schema::new_with_metadata(fields, item_metadata(item)))
}
