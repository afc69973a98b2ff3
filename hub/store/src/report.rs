//! Index of verification reports. Bodies arrive sealed (kind `report`, the report's id).

use minqiao_core::Timestamp;
use sqlx::AssertSqlSafe;

use crate::engine::{Row, query};
use crate::{Store, StoreError};

/// Kind under which the vault seals report bodies.
pub const BLOB_KIND: &str = "report";

/// A report to store.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// Unique id.
    pub id: String,
    /// Application it answers.
    pub application_no: String,
    /// Moment it speaks of.
    pub as_of: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// Principal that asked.
    pub created_by: String,
    /// Outcome word, no personal data.
    pub conclusion: String,
    /// Versions it can be computed again from.
    pub versions: serde_json::Value,
    /// SM3 of the report's JSON, hex.
    pub digest: String,
    /// Key that signed the digest.
    pub key_id: String,
    /// Signature, base64.
    pub signature: String,
    /// The report's JSON, sealed.
    pub sealed: Vec<u8>,
}

/// A stored report without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Unique id.
    pub id: String,
    /// Application it answers.
    pub application_no: String,
    /// Moment it speaks of.
    pub as_of: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// Principal that asked.
    pub created_by: String,
    /// Outcome word.
    pub conclusion: String,
    /// Versions it can be computed again from.
    pub versions: serde_json::Value,
    /// SM3 of the report's JSON, hex.
    pub digest: String,
    /// Key that signed.
    pub key_id: String,
    /// Signature, base64.
    pub signature: String,
}

const COLUMNS: &str = "SELECT id, application_no, as_of, created_at, created_by, conclusion, versions, digest, key_id, \
                       signature FROM report";

impl Store {
    /// Stores a report. An id is used once: the same report again (by application and digest) is the one that stands,
    /// another is a [`StoreError::ReportConflict`].
    pub async fn put_report(&self, report: &NewReport) -> Result<(), StoreError> {
        let stored = query(
            "INSERT INTO report (id, application_no, as_of, created_at, created_by, conclusion, versions, digest, \
             key_id, signature, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&report.id)
        .bind(&report.application_no)
        .bind(report.as_of.0)
        .bind(report.created_at.0)
        .bind(&report.created_by)
        .bind(&report.conclusion)
        .bind(report.versions.to_string())
        .bind(&report.digest)
        .bind(&report.key_id)
        .bind(&report.signature)
        .bind(&report.sealed)
        .execute(self)
        .await?;
        if stored == 1 {
            return Ok(());
        }
        let standing = self.report(&report.id).await?;
        let same = standing.digest == report.digest && standing.application_no == report.application_no;
        if same { Ok(()) } else { Err(StoreError::ReportConflict { id: report.id.clone() }) }
    }

    /// One report.
    pub async fn report(&self, id: &str) -> Result<StoredReport, StoreError> {
        let sql = select_report(" WHERE id = $1");
        let row = query(AssertSqlSafe(sql)).bind(id).fetch_optional(self).await?;
        read_report(&row.ok_or(StoreError::NotFound { what: "report" })?)
    }

    /// Its sealed body.
    pub async fn report_body(&self, id: &str) -> Result<Vec<u8>, StoreError> {
        let row = query("SELECT sealed FROM report WHERE id = $1").bind(id).fetch_optional(self).await?;
        row.ok_or(StoreError::NotFound { what: "report" })?.get("sealed")
    }

    /// Reports of an application, newest first; of all applications when `None`.
    pub async fn reports(&self, application_no: Option<&str>, limit: u32) -> Result<Vec<StoredReport>, StoreError> {
        let sql =
            select_report(" WHERE ($1 IS NULL OR application_no = $1) ORDER BY created_at DESC, id DESC LIMIT $2");
        let rows = query(AssertSqlSafe(sql)).bind(application_no).bind(i64::from(limit)).fetch_all(self).await?;
        rows.iter().map(read_report).collect()
    }
}

/// The column list with a clause of this module; no outside text gets here.
fn select_report(clause: &'static str) -> String {
    format!("{COLUMNS}{clause}")
}

fn read_report(row: &Row) -> Result<StoredReport, StoreError> {
    let versions: &str = row.get("versions")?;
    Ok(StoredReport {
        id: row.get("id")?,
        application_no: row.get("application_no")?,
        as_of: Timestamp(row.get("as_of")?),
        created_at: Timestamp(row.get("created_at")?),
        created_by: row.get("created_by")?,
        conclusion: row.get("conclusion")?,
        versions: serde_json::from_str(versions).map_err(|_| StoreError::Damaged { what: "report" })?,
        digest: row.get("digest")?,
        key_id: row.get("key_id")?,
        signature: row.get("signature")?,
    })
}
