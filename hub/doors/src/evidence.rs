//! The audit chain as the query service sees it (SEC-5).

use std::sync::Arc;

use async_trait::async_trait;
use minqiao_query::{AuditSink, AuditUnavailable, QueryClosed, QueryOpened};
use minqiao_store::{AuditEntry, AuditLog};

/// Writes query records to the chain and waits until they are durable.
#[derive(Debug, Clone)]
pub struct QueryEvidence(pub Arc<AuditLog>);

impl QueryEvidence {
    async fn write(&self, entry: AuditEntry) -> Result<(), AuditUnavailable> {
        self.0.append(entry).await.map(|_seq| ()).map_err(|_| AuditUnavailable)
    }
}

#[async_trait]
impl AuditSink for QueryEvidence {
    async fn opened(&self, record: &QueryOpened) -> Result<(), AuditUnavailable> {
        self.write(AuditEntry {
            principal: record.principal.id.clone(),
            purpose: record.purpose.code.clone(),
            action: "query.opened".to_owned(),
            detail: serde_json::to_value(record).map_err(|_| AuditUnavailable)?,
        })
        .await
    }

    async fn closed(&self, record: &QueryClosed) -> Result<(), AuditUnavailable> {
        self.write(AuditEntry {
            principal: "hub".to_owned(),
            purpose: "audit".to_owned(),
            action: "query.closed".to_owned(),
            detail: serde_json::to_value(record).map_err(|_| AuditUnavailable)?,
        })
        .await
    }
}
