//! The table that a user sees in place of a stored one: row scope, leak-proof predicates, barrier.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use minqiao_core::Timestamp;
use minqiao_policy::{Access, Show, TableDecision};
use minqiao_schemas::{Field, Item};

use crate::barrier::SecurityBarrierExec;
use crate::base::{BaseTables, Sealing};
use crate::predicate::{Below, STORED, leak_proof, stored};
use crate::reveal::{Reveal, Revealer};
use crate::scope::Scopes;

/// Suffix of the pseudonym column beside a citizen number that is masked or raw, so that rows of one person join.
pub(crate) const REFERENCE_SUFFIX: &str = "_ref";
/// The person a row counts for, in tables under the aggregate guard. Users cannot name it.
pub(crate) const ENTITY: &str = "__entity";
/// What happened to a row, in a table of changes.
pub(crate) const OP: &str = minqiao_schemas::envelope::OP;
/// What all versions of a record have in common, in a table of changes.
pub(crate) const RECORD: &str = "_record";
/// Which of the rows handed in a row is, in a table of changes. Nobody outside the crate sees it.
pub(crate) const PLACE: &str = "__place";
/// Schema metadata of a column: how the policies show it.
pub(crate) const SHOWN: &str = "shown";

/// One visible column.
#[derive(Debug, Clone)]
struct Column {
    source: Source,
    below: Below,
}

/// From which stored column, and how.
#[derive(Debug, Clone)]
struct Source {
    stored: String,
    reveal: How,
}

#[derive(Debug, Clone)]
enum How {
    Plain,
    Masked(minqiao_policy::Mask),
    Opened(Option<minqiao_policy::Mask>),
    TokenPseudonym,
    TextPseudonym { domain: String, sealed: bool },
}

/// An item as one principal sees it for one purpose.
#[derive(Debug)]
pub(crate) struct SecureTable {
    pub(crate) item: Arc<Item>,
    pub(crate) decision: Arc<TableDecision>,
    /// Under the aggregate guard: aggregate-only columns and the entity are there too.
    pub(crate) guarded: bool,
    schema: SchemaRef,
    columns: Vec<Column>,
    parts: Arc<TableParts>,
    context: String,
}

/// What all tables of a session share.
#[derive(Debug)]
pub(crate) struct TableParts {
    pub(crate) base: Arc<dyn BaseTables>,
    pub(crate) sealing: Sealing,
    pub(crate) scopes: Arc<Scopes>,
    pub(crate) now: Timestamp,
}

impl SecureTable {
    /// `context` separates pseudonyms.
    pub(crate) fn new(
        item: Arc<Item>,
        decision: Arc<TableDecision>,
        guarded: bool,
        parts: Arc<TableParts>,
        context: String,
    ) -> Self {
        let stored_schema = item.sealed_schema();
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for field in &item.fields {
            let show = decision.show(&field.name);
            if let Some(source) = source_of(field, show, guarded) {
                let below = below_of(field, show);
                let ty = if matches!(show, Show::Pseudonym) { DataType::Utf8 } else { field.ty.arrow() };
                let ty = if show == Show::AggregateOnly && field.is_sealed() { DataType::Utf8 } else { ty };
                let sealed_field = stored_schema.field_with_name(&field.name).ok();
                fields.push(visible(&field.name, ty, sealed_field, &show.to_string()));
                columns.push(Column { source, below });
            }
            if !guarded && field.is_citizen_number() && field.has_token() && matches!(show, Show::Raw | Show::Masked(_))
            {
                let name = format!("{}{REFERENCE_SUFFIX}", field.name);
                let label = format!("{}(关联代号)", field.label_zh);
                let metadata = HashMap::from([("label_zh".into(), label), (SHOWN.into(), "pseudonym".into())]);
                fields.push(ArrowField::new(name, DataType::Utf8, true).with_metadata(metadata));
                let source = Source { stored: field.token_column(), reveal: How::TokenPseudonym };
                columns.push(Column { source, below: Below::Opaque });
            }
        }
        for decided in decision.fields.iter().filter(|d| d.field.starts_with('_') && d.show == Show::Raw) {
            if let Ok(field) = stored_schema.field_with_name(&decided.field) {
                fields.push(visible(&decided.field, field.data_type().clone(), Some(field), "raw"));
                let below = Below::Same { name: decided.field.clone(), ty: field.data_type().clone() };
                columns.push(Column { source: Source { stored: decided.field.clone(), reveal: How::Plain }, below });
            }
        }
        if guarded {
            let subject = item.subject_field();
            fields.push(ArrowField::new(ENTITY, DataType::FixedSizeBinary(16), true));
            let source = Source { stored: subject.token_column(), reveal: How::Plain };
            columns.push(Column { source, below: Below::Opaque });
        }
        let metadata = HashMap::from([
            ("name_zh".to_owned(), item.name_zh.clone()),
            ("name_en".to_owned(), item.name_en.clone()),
            ("access".to_owned(), decision.access.to_string()),
        ]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Self { item, decision, guarded, schema, columns, parts, context }
    }

    /// The same table with the columns of changes ([`crate::changes`]).
    pub(crate) fn of_changes(mut self) -> Self {
        let named = |name: &str, ty: DataType, shown: &str, label: &str| {
            let metadata =
                HashMap::from([("label_zh".to_owned(), label.to_owned()), (SHOWN.to_owned(), shown.to_owned())]);
            ArrowField::new(name, ty, true).with_metadata(metadata)
        };
        let added = [
            (named(OP, DataType::Utf8, "raw", "操作"), OP, How::Plain),
            (
                named(RECORD, DataType::Utf8, "pseudonym", "记录代号"),
                minqiao_schemas::envelope::KEY,
                How::TokenPseudonym,
            ),
            (named(PLACE, DataType::Int64, "raw", ""), PLACE, How::Plain),
        ];
        let mut fields: Vec<ArrowField> = self.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (field, stored, reveal) in added {
            fields.push(field);
            self.columns.push(Column { source: Source { stored: stored.to_owned(), reveal }, below: Below::Opaque });
        }
        self.schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        self
    }

    /// The same table over other rows; who is in its row scope stays with the lake.
    pub(crate) fn over(&self, base: Arc<dyn BaseTables>) -> Self {
        let parts = TableParts {
            base,
            sealing: self.parts.sealing.clone(),
            scopes: Arc::clone(&self.parts.scopes),
            now: self.parts.now,
        };
        Self { parts: Arc::new(parts), ..self.with_tokens(&[]) }
    }

    /// Place of a column that is a pseudonym made of a stored token.
    pub(crate) fn token_pseudonym(&self, column: &str) -> Option<usize> {
        let at = self.schema.index_of(column).ok()?;
        matches!(self.columns[at].source.reveal, How::TokenPseudonym).then_some(at)
    }

    /// The same table with the tokens themselves in some columns of pseudonyms, for [`crate::late`] alone.
    pub(crate) fn with_tokens(&self, columns: &[usize]) -> Self {
        let mut fields: Vec<ArrowField> = self.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut shown = self.columns.clone();
        for at in columns {
            fields[*at] = fields[*at].clone().with_data_type(DataType::FixedSizeBinary(16));
            shown[*at].source.reveal = How::Plain;
        }
        Self {
            item: Arc::clone(&self.item),
            decision: Arc::clone(&self.decision),
            guarded: self.guarded,
            schema: Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone())),
            columns: shown,
            parts: Arc::clone(&self.parts),
            context: self.context.clone(),
        }
    }

    /// How a visible column is shown, for audit and guard.
    pub(crate) fn shown(&self, column: &str) -> Show {
        let field = column.strip_suffix(REFERENCE_SUFFIX).filter(|f| self.item.field(f).is_some());
        if field.is_some() && self.item.field(column).is_none() { Show::Pseudonym } else { self.decision.show(column) }
    }

    fn below(&self, column: &str) -> Below {
        self.schema.index_of(column).map_or(Below::Opaque, |at| self.columns[at].below.clone())
    }

    fn revealer(&self, wanted: &[usize], inputs: &mut Vec<String>) -> Result<Revealer> {
        let mut columns = Vec::with_capacity(wanted.len());
        for at in wanted {
            let source = &self.columns[*at].source;
            let input = match inputs.iter().position(|name| *name == source.stored) {
                Some(known) => known,
                None => {
                    inputs.push(source.stored.clone());
                    inputs.len() - 1
                }
            };
            let field = source.stored.clone();
            columns.push(match &source.reveal {
                How::Plain => Reveal::Plain { input },
                How::Masked(mask) => Reveal::Masked { input, mask: *mask },
                How::Opened(mask) => Reveal::Opened { input, field, mask: *mask },
                How::TokenPseudonym => Reveal::TokenPseudonym { input },
                How::TextPseudonym { domain, sealed } => {
                    Reveal::TextPseudonym { input, field, domain: domain.clone(), sealed: *sealed }
                }
            });
        }
        Ok(Revealer {
            item: Arc::clone(&self.item),
            sealing: self.parts.sealing.clone(),
            context: self.context.clone(),
            columns,
            schema: Arc::new(self.schema.project(wanted)?),
        })
    }
}

/// A column as the session's schema describes it: labels of the catalogue, and how it is shown.
fn visible(name: &str, ty: DataType, stored: Option<&ArrowField>, show: &str) -> ArrowField {
    let mut metadata = HashMap::new();
    if let Some(stored) = stored {
        for key in ["label_zh", "level", "code_table"] {
            if let Some(value) = stored.metadata().get(key) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
    }
    metadata.insert(SHOWN.to_owned(), show.to_owned());
    ArrowField::new(name, ty, true).with_metadata(metadata)
}

fn source_of(field: &Field, show: Show, guarded: bool) -> Option<Source> {
    let own = |reveal| Some(Source { stored: field.name.clone(), reveal });
    let pseudonym = || match (field.has_token(), field.is_sealed()) {
        (true, _) => Some(Source { stored: field.token_column(), reveal: How::TokenPseudonym }),
        (false, sealed) => own(How::TextPseudonym { domain: field.token_domain().to_owned(), sealed }),
    };
    match show {
        Show::Absent => None,
        Show::Raw if field.is_sealed() => own(How::Opened(None)),
        Show::Raw => own(How::Plain),
        Show::Masked(mask) if field.is_sealed() => own(How::Opened(Some(mask))),
        Show::Masked(mask) => own(How::Masked(mask)),
        Show::Pseudonym if field.ty == minqiao_schemas::FieldType::Utf8 => pseudonym(),
        Show::Pseudonym => None,
        Show::AggregateOnly if !guarded => None,
        Show::AggregateOnly if field.has_token() => pseudonym(),
        Show::AggregateOnly if field.is_sealed() => None,
        Show::AggregateOnly => own(How::Plain),
    }
}

fn below_of(field: &Field, show: Show) -> Below {
    match show {
        Show::Raw if field.is_sealed() => Below::of_sealed_raw(field),
        Show::Raw => Below::Same { name: field.name.clone(), ty: field.ty.arrow() },
        _ => Below::Opaque,
    }
}

#[async_trait]
impl TableProvider for SecureTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| {
            let below = |name: &str| self.below(name);
            let same = filter.column_refs().iter().all(|column| matches!(self.below(&column.name), Below::Same { .. }));
            match leak_proof(filter, &below, &self.parts.sealing) {
                // The very same comparison on the very same values need not run twice.
                Some(_) if same => TableProviderFilterPushDown::Exact,
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.decision.access == Access::None {
            return Err(DataFusionError::Internal("a table without access was planned".into()));
        }
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let mut inputs = Vec::new();
        let revealer = Arc::new(self.revealer(&wanted, &mut inputs)?);
        let Some(provider) = self.parts.base.current(&self.item.code) else {
            let nothing = datafusion::physical_plan::empty::EmptyExec::new(Arc::clone(&revealer.schema));
            return Ok(Arc::new(nothing));
        };
        let mut plan = LogicalPlanBuilder::scan(STORED, provider_as_source(provider), None)?;
        for condition in self.parts.scopes.predicates(&self.item, &self.decision.rows, self.parts.now).await? {
            plan = plan.filter(condition)?;
        }
        for filter in filters {
            if let Some(condition) = leak_proof(filter, &|name| self.below(name), &self.parts.sealing) {
                plan = plan.filter(condition)?;
            }
        }
        plan = plan.project(inputs.iter().map(|name| stored(name)))?;
        // The engine hands down a limit only when no filter of its own remains above.
        if let Some(rows) = limit {
            plan = plan.limit(0, Some(rows))?;
        }
        let below = state.create_physical_plan(&plan.build()?).await?;
        Ok(Arc::new(SecurityBarrierExec::new(below, revealer)))
    }
}
