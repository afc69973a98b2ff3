//! The catalog of one session: what exists for this principal and purpose, and nothing else.
//!
//! `minqiao.public` holds a secure table per visible item and the hub's own tables that may be read;
//! `minqiao.information_schema` describes exactly those. There is no other catalog, schema or table to reach, so a
//! hidden table and one that never existed are the same thing. Tables are made when a statement names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use minqiao_core::{Principal, Purpose};
use minqiao_policy::{Access, Policy, TableDecision};
use minqiao_schemas::Item;
use parking_lot::Mutex;

use crate::secure_table::{ENTITY, SHOWN, SecureTable, TableParts};

/// Name of the one catalog.
pub(crate) const CATALOG: &str = "minqiao";
/// Name of the schema with the tables.
pub(crate) const PUBLIC: &str = "public";
/// Name of the schema that describes them.
pub(crate) const INFORMATION: &str = "information_schema";

/// A visible table, for doors that describe the catalog in their own protocol.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Name in SQL.
    pub name: String,
    /// Chinese name.
    pub label_zh: String,
    /// `rows` or `aggregates`.
    pub access: String,
    /// Visible columns in order.
    pub columns: Vec<ColumnInfo>,
}

/// A visible column.
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// Name in SQL.
    pub name: String,
    /// Chinese name.
    pub label_zh: String,
    /// How it is shown: `raw`, `masked(…)`, `pseudonym`, `aggregate_only`.
    pub shown: String,
    /// Arrow type.
    pub ty: DataType,
}

/// What one principal may reach for one purpose. Decided when a statement names a table, so that a query pays for the
/// tables it reads.
#[derive(Debug)]
pub(crate) struct SessionCatalog {
    pub(crate) asking: Asking,
    pub(crate) system: BTreeMap<String, (String, Arc<dyn TableProvider>)>,
    pub(crate) parts: Arc<TableParts>,
    /// Separates pseudonyms.
    pub(crate) context: String,
    /// Aggregate-only columns are there, and every table is under the aggregate guard.
    pub(crate) guarded: bool,
    made: Mutex<BTreeMap<String, Arc<SecureTable>>>,
}

/// Who asks whom for what about which items.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) policy: Arc<Policy>,
    pub(crate) principal: Principal,
    pub(crate) purpose: Purpose,
    pub(crate) items: Arc<BTreeMap<String, Arc<Item>>>,
}

impl Asking {
    fn visible(&self, item: &Item) -> Option<Arc<TableDecision>> {
        let decision = self.policy.decide(&self.principal, &self.purpose, item);
        decision.is_visible().then_some(decision)
    }
}

impl SessionCatalog {
    pub(crate) fn new(
        asking: Asking,
        system: BTreeMap<String, (String, Arc<dyn TableProvider>)>,
        parts: Arc<TableParts>,
        context: String,
        guarded: bool,
    ) -> Self {
        Self { asking, system, parts, context, guarded, made: Mutex::new(BTreeMap::new()) }
    }

    /// The secure table of an item, as it was used by the statement planned with this catalog.
    pub(crate) fn secure(&self, name: &str) -> Option<Arc<SecureTable>> {
        if let Some(made) = self.made.lock().get(name) {
            return Some(Arc::clone(made));
        }
        let item = self.asking.items.get(name)?;
        let decision = self.asking.visible(item)?;
        // A table that only answers aggregates is always under the guard, whatever the session tries first.
        let guarded = self.guarded || decision.access == Access::Aggregates;
        let made = Arc::new(self.table(item, decision, guarded));
        self.made.lock().insert(name.to_owned(), Arc::clone(&made));
        Some(made)
    }

    /// Every visible table.
    pub(crate) fn tables(&self) -> Vec<TableInfo> {
        let mut all = Vec::new();
        for (name, item) in self.asking.items.iter() {
            let Some(decision) = self.asking.visible(item) else { continue };
            let access = decision.access.to_string();
            // With its aggregate-only columns, for they can be asked for too.
            let table = self.table(item, decision, true);
            let columns = columns_of(&table.schema());
            all.push(TableInfo { name: name.clone(), label_zh: item.name_zh.clone(), access, columns });
        }
        for (name, (label_zh, provider)) in &self.system {
            let columns = columns_of(&provider.schema());
            let access = Access::Rows.to_string();
            all.push(TableInfo { name: name.clone(), label_zh: label_zh.clone(), access, columns });
        }
        all
    }

    fn table(&self, item: &Arc<Item>, decision: Arc<TableDecision>, guarded: bool) -> SecureTable {
        SecureTable::new(Arc::clone(item), decision, guarded, Arc::clone(&self.parts), self.context.clone())
    }
}

pub(crate) fn columns_of(schema: &Schema) -> Vec<ColumnInfo> {
    let text = |field: &Field, key: &str| field.metadata().get(key).cloned();
    schema
        .fields()
        .iter()
        .filter(|field| field.name() != ENTITY)
        .map(|field| ColumnInfo {
            name: field.name().clone(),
            label_zh: text(field, "label_zh").unwrap_or_default(),
            shown: text(field, SHOWN).unwrap_or_else(|| "raw".into()),
            ty: field.data_type().clone(),
        })
        .collect()
}

/// `minqiao.public`.
#[derive(Debug)]
struct PublicSchema(Arc<SessionCatalog>);

#[async_trait]
impl SchemaProvider for PublicSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.tables().into_iter().map(|table| table.name).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(table) = self.0.secure(name) {
            return Ok(Some(table));
        }
        Ok(self.0.system.get(name).map(|(_, provider)| Arc::clone(provider)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.secure(name).is_some() || self.0.system.contains_key(name)
    }
}

/// `minqiao.information_schema`: `tables`, `columns`, `schemata`.
#[derive(Debug)]
struct InformationSchema(Arc<SessionCatalog>);

pub(crate) const INFORMATION_TABLES: &[&str] = &["columns", "schemata", "tables"];
/// Columns of those three, whichever has them.
pub(crate) const INFORMATION_COLUMNS: &[&str] = &[
    "access",
    "catalog_name",
    "column_name",
    "data_type",
    "is_nullable",
    "label_zh",
    "ordinal_position",
    "schema_name",
    "shown",
    "table_catalog",
    "table_name",
    "table_schema",
    "table_type",
];

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        INFORMATION_TABLES.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let batch = match name {
            "tables" => tables_batch(&self.0.tables())?,
            "columns" => columns_batch(&self.0.tables())?,
            "schemata" => text_batch(&[
                ("catalog_name", vec![CATALOG.into(); 2]),
                ("schema_name", vec![INFORMATION.into(), PUBLIC.into()]),
            ])?,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        INFORMATION_TABLES.contains(&name)
    }
}

fn tables_batch(tables: &[TableInfo]) -> Result<RecordBatch> {
    let each = |value: &dyn Fn(&TableInfo) -> String| tables.iter().map(value).collect::<Vec<String>>();
    text_batch(&[
        ("table_catalog", each(&|_| CATALOG.into())),
        ("table_schema", each(&|_| PUBLIC.into())),
        ("table_name", each(&|t| t.name.clone())),
        ("table_type", each(&|_| "BASE TABLE".into())),
        ("label_zh", each(&|t| t.label_zh.clone())),
        ("access", each(&|t| t.access.clone())),
    ])
}

fn columns_batch(tables: &[TableInfo]) -> Result<RecordBatch> {
    let all: Vec<(&TableInfo, i32, &ColumnInfo)> = tables
        .iter()
        .flat_map(|table| (1i32..).zip(&table.columns).map(move |(position, column)| (table, position, column)))
        .collect();
    let each = |value: &dyn Fn(&TableInfo, &ColumnInfo) -> String| {
        all.iter().map(|(table, _, column)| value(table, column)).collect::<Vec<String>>()
    };
    let texts = text_batch(&[
        ("table_catalog", each(&|_, _| CATALOG.into())),
        ("table_schema", each(&|_, _| PUBLIC.into())),
        ("table_name", each(&|t, _| t.name.clone())),
        ("column_name", each(&|_, c| c.name.clone())),
        ("data_type", each(&|_, c| c.ty.to_string())),
        ("is_nullable", each(&|_, _| "YES".into())),
        ("label_zh", each(&|_, c| c.label_zh.clone())),
        ("shown", each(&|_, c| c.shown.clone())),
    ])?;
    let positions: ArrayRef = Arc::new(all.iter().map(|(_, position, _)| *position).collect::<Int32Array>());
    let mut fields = texts.schema().fields().to_vec();
    let mut columns = texts.columns().to_vec();
    fields.insert(4, Arc::new(Field::new("ordinal_position", DataType::Int32, false)));
    columns.insert(4, positions);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn text_batch(columns: &[(&str, Vec<String>)]) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.clone())) as ArrayRef).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The one catalog, and the list that holds only it.
#[derive(Debug)]
pub(crate) struct OneCatalog(pub(crate) Arc<SessionCatalog>);

impl CatalogProvider for OneCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![INFORMATION.to_owned(), PUBLIC.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            PUBLIC => Some(Arc::new(PublicSchema(Arc::clone(&self.0)))),
            INFORMATION => Some(Arc::new(InformationSchema(Arc::clone(&self.0)))),
            _ => None,
        }
    }
}

/// Registering is ignored: the catalog of a session never changes.
#[derive(Debug)]
pub(crate) struct OneCatalogList(pub(crate) Arc<OneCatalog>);

impl CatalogProviderList for OneCatalogList {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.0) as Arc<dyn CatalogProvider>)
    }
}
