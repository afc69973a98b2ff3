//! A page, and the forms in which it leaves: JSON, NDJSON, CSV, Arrow; as one piece.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use minqiao_core::Receipt;
use minqiao_query::{ColumnInfo, TableRead};
use minqiao_store::{BatchKind, StoredReceipt};
use serde_json::json;

use super::Position;
use crate::sql_format::{Encoder, Format, json_lines};

/// What a feed answers.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) feed: String,
    /// Behind the last row.
    pub(crate) position: Position,
    /// Whether to ask again at once.
    pub(crate) more: bool,
    pub(crate) policy_version: String,
    pub(crate) read: Option<TableRead>,
    pub(crate) rows: Rows,
}

/// Rows of a page.
#[derive(Debug)]
pub(crate) enum Rows {
    Receipts(Vec<StoredReceipt>),
    Changes { rows: RecordBatch, columns: Vec<ColumnInfo> },
}

impl Rows {
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Receipts(receipts) => receipts.len(),
            Self::Changes { rows, .. } => rows.num_rows(),
        }
    }

    /// One JSON object a line.
    fn lines(&self) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Changes { rows, .. } => json_lines(rows),
            Self::Receipts(receipts) => {
                let mut lines = Vec::new();
                for stored in receipts {
                    // The signed receipt as it is, so that its signature can be checked.
                    let line = json!({"kind": stored.kind.as_str(), "receipt": stored.receipt});
                    serde_json::to_writer(&mut lines, &line).map_err(|e| ArrowError::JsonError(e.to_string()))?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
        }
    }

    /// For forms that know columns.
    fn table(&self) -> Result<RecordBatch, ArrowError> {
        match self {
            Self::Changes { rows, .. } => Ok(rows.clone()),
            Self::Receipts(receipts) => receipts_table(receipts),
        }
    }
}

impl Page {
    /// The page as one JSON object without line breaks; `position` is its text.
    pub(crate) fn json(&self, position: &str) -> Result<Vec<u8>, ArrowError> {
        let columns: Vec<_> = match &self.rows {
            Rows::Receipts(_) => Vec::new(),
            Rows::Changes { columns, .. } => columns
                .iter()
                .map(|c| json!({"name": c.name, "label_zh": c.label_zh, "type": c.ty.to_string(), "shown": c.shown}))
                .collect(),
        };
        let head = json!({
            "feed": self.feed, "position": position, "more": self.more, "row_count": self.rows.count(), "columns": columns,
        });
        let mut text = head.to_string().into_bytes();
        text.pop();
        text.extend_from_slice(b",\"rows\":[");
        let lines = self.rows.lines()?;
        for (at, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(line);
        }
        text.extend_from_slice(b"]}");
        Ok(text)
    }

    /// The body in one of the forms of SQL.
    pub(crate) fn body(&self, format: Format, position: &str) -> Result<Vec<u8>, ArrowError> {
        match format {
            Format::Json => self.json(position),
            Format::NdJson => self.rows.lines(),
            Format::Csv | Format::Arrow => {
                let table = self.rows.table()?;
                let (mut encoder, mut body) = Encoder::start(format, &table.schema())?;
                body.extend(encoder.batch(&table)?);
                body.extend(encoder.finish()?);
                Ok(body)
            }
        }
    }
}

/// Receipts as columns; `receipt` is the signed whole.
fn receipts_table(receipts: &[StoredReceipt]) -> Result<RecordBatch, ArrowError> {
    let text = |value: &dyn Fn(&StoredReceipt) -> String| -> ArrayRef {
        Arc::new(receipts.iter().map(|stored| Some(value(stored))).collect::<StringArray>())
    };
    let count = |value: fn(&Receipt) -> u32| -> ArrayRef {
        Arc::new(receipts.iter().map(|stored| Some(value(&stored.receipt))).collect::<UInt32Array>())
    };
    let whole = |stored: &StoredReceipt| serde_json::to_string(&stored.receipt).unwrap_or_default();
    let columns: Vec<(&str, &str, ArrayRef)> = vec![
        ("kind", "类别", text(&|s| BatchKind::as_str(s.kind).to_owned())),
        ("batch_id", "批次", text(&|s| s.receipt.batch_id.clone())),
        ("item", "信息项", text(&|s| s.receipt.item.clone())),
        ("provider", "报送单位", text(&|s| s.receipt.provider.clone())),
        ("received_at", "接收时间", text(&|s| s.receipt.received_at.clone())),
        ("rows", "行数", count(|r| r.rows)),
        ("accepted", "接收", count(|r| r.accepted)),
        ("duplicate", "重复", count(|r| r.duplicate)),
        ("quarantined", "隔离", count(|r| r.quarantined)),
        ("receipt", "回执全文", text(&whole)),
    ];
    let field = |(name, label, column): &(&str, &str, ArrayRef)| {
        let metadata = std::collections::HashMap::from([("label_zh".to_owned(), (*label).to_owned())]);
        let ty: DataType = column.data_type().clone();
        Field::new(*name, ty, false).with_metadata(metadata)
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, _, column)| column).collect())
}
