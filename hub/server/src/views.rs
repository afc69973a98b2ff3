//! The hub's tables about itself, for operators and auditors: `audit_log` and `ingest_counts`. Codes, counts and names of
//! objects; no personal data stands in the store in clear.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use minqiao_query::{SystemError, SystemRows, SystemTable};
use minqiao_store::{AuditLog, AuditRecord, IngestCount, Store};

/// Records read at a time.
const PAGE: u32 = 4096;

/// Both tables.
pub(crate) fn all(store: Store, audit: Arc<AuditLog>) -> Vec<SystemTable> {
    vec![
        SystemTable::new("audit_log", "审计日志", Arc::new(AuditRows(audit))),
        SystemTable::new("ingest_counts", "接入计数", Arc::new(IngestRows(store))),
    ]
}

fn schema(columns: &[(&str, &str, DataType)]) -> SchemaRef {
    let field = |(name, label, kind): &(&str, &str, DataType)| {
        let label = HashMap::from([("label_zh".to_owned(), (*label).to_owned())]);
        Field::new(*name, kind.clone(), false).with_metadata(label)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn texts<'a>(values: impl Iterator<Item = &'a String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

#[derive(Debug)]
struct AuditRows(Arc<AuditLog>);

impl SystemRows for AuditRows {
    fn schema(&self) -> SchemaRef {
        schema(&[
            ("seq", "序号", DataType::UInt64),
            ("at", "时间", DataType::Timestamp(TimeUnit::Millisecond, Some("+08:00".into()))),
            ("principal", "操作人", DataType::Utf8),
            ("purpose", "用途", DataType::Utf8),
            ("action", "操作", DataType::Utf8),
            ("detail", "详情", DataType::Utf8),
            ("prev_hash", "前一记录散列", DataType::Utf8),
            ("hash", "散列", DataType::Utf8),
        ])
    }

    fn rows(&self) -> BoxStream<'static, Result<RecordBatch, SystemError>> {
        let (audit, columns) = (Arc::clone(&self.0), self.schema());
        stream::try_unfold(0, move |after| {
            let (audit, columns) = (Arc::clone(&audit), Arc::clone(&columns));
            async move {
                let records = audit.records(after, PAGE).await?;
                let Some(last) = records.last().map(|record| record.seq) else { return Ok(None) };
                Ok(Some((audit_page(columns, &records)?, last)))
            }
        })
        .boxed()
    }
}

fn audit_page(columns: SchemaRef, records: &[AuditRecord]) -> Result<RecordBatch, SystemError> {
    let at = TimestampMillisecondArray::from_iter_values(records.iter().map(|r| r.at.0)).with_timezone("+08:00");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(records.iter().map(|r| r.seq))),
        Arc::new(at),
        texts(records.iter().map(|r| &r.principal)),
        texts(records.iter().map(|r| &r.purpose)),
        texts(records.iter().map(|r| &r.action)),
        texts(records.iter().map(|r| &r.detail)),
        texts(records.iter().map(|r| &r.prev_hash)),
        texts(records.iter().map(|r| &r.hash)),
    ];
    Ok(RecordBatch::try_new(columns, arrays)?)
}

#[derive(Debug)]
struct IngestRows(Store);

impl SystemRows for IngestRows {
    fn schema(&self) -> SchemaRef {
        schema(&[
            ("day", "日期", DataType::Date32),
            ("provider", "提供方", DataType::Utf8),
            ("item", "信息项", DataType::Utf8),
            ("batches", "批次数", DataType::Int64),
            ("accepted", "接收行数", DataType::Int64),
            ("duplicate", "重复行数", DataType::Int64),
            ("quarantined", "隔离行数", DataType::Int64),
        ])
    }

    fn rows(&self) -> BoxStream<'static, Result<RecordBatch, SystemError>> {
        let (store, columns) = (self.0.clone(), self.schema());
        stream::once(async move { ingest_page(columns, &store.ingest_counts().await?) }).boxed()
    }
}

fn ingest_page(columns: SchemaRef, counts: &[IngestCount]) -> Result<RecordBatch, SystemError> {
    let numbers =
        |of: fn(&IngestCount) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(counts.iter().map(of))) };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(counts.iter().map(|c| c.day))),
        texts(counts.iter().map(|c| &c.provider)),
        texts(counts.iter().map(|c| &c.item)),
        numbers(|c| c.batches),
        numbers(|c| c.accepted),
        numbers(|c| c.duplicate),
        numbers(|c| c.quarantined),
    ];
    Ok(RecordBatch::try_new(columns, arrays)?)
}
