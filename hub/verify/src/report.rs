//! The report: the result of a verification, numbered, dated, hashed and signed (R-VER-03).
//!
//! The signature covers the canonical JSON of everything but itself: [`Report::signed_bytes`]. What cites the state of
//! the world (lake version, parameter version, moment) makes the report reproducible: the same inputs give the same
//! result object, so a re-check compares `result` and nothing else.
//!
//! A report is a reference for the town's decision, not the decision (R-VER-03), and every rendering says so.

use std::collections::BTreeMap;

use minqiao_core::Timestamp;
use minqiao_vault::{Signer, VaultError};
use serde::{Deserialize, Serialize};
use sm3::{Digest, Sm3};

use crate::evidence::Evidence;
use crate::result::Verification;

/// A signed report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number of the report, given by the issuer.
    pub report_no: String,
    /// When it was issued, RFC 3339 at +08:00.
    pub issued_at: String,
    /// Who issued it.
    pub issuer: String,
    /// Version of each item's table that was read (D9).
    pub lake_versions: BTreeMap<String, i64>,
    /// Version of the parameter set (D9).
    pub parameters_version: String,
    /// The result object of computation section 8.
    pub result: Verification,
    /// The records that the result rests on (D9); empty when the issuer did not ask for them.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// SM3 over the canonical JSON of `result`, hexadecimal.
    pub result_sm3: String,
    /// Key that signed.
    pub key_id: String,
    /// Signature over [`Report::signed_bytes`], base64.
    pub signature: String,
}

/// What an issuer adds to a result.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Number of the report.
    pub report_no: String,
    /// When.
    pub issued_at: Timestamp,
    /// Who.
    pub issuer: String,
    /// Versions of the lake's tables that were read.
    pub lake_versions: BTreeMap<String, i64>,
}

/// SM3 of the canonical JSON of a result, hexadecimal.
pub fn result_sm3(result: &Verification) -> String {
    hex::encode(Sm3::digest(serde_json::to_vec(result).unwrap_or_default()))
}

impl Report {
    /// Issues a report.
    pub fn issue(result: Verification, issue: Issue, signer: &Signer) -> Result<Self, VaultError> {
        Self::issue_cited(result, Vec::new(), issue, signer)
    }

    /// Issues a report that names the records it rests on.
    pub fn issue_cited(
        result: Verification,
        evidence: Vec<Evidence>,
        issue: Issue,
        signer: &Signer,
    ) -> Result<Self, VaultError> {
        let mut report = Self {
            report_no: issue.report_no,
            issued_at: issue.issued_at.to_string(),
            issuer: issue.issuer,
            lake_versions: issue.lake_versions,
            parameters_version: result.parameters_version.clone(),
            evidence,
            result_sm3: result_sm3(&result),
            result,
            key_id: signer.key_id(),
            signature: String::new(),
        };
        let signed = signer.sign(&report.signed_bytes())?;
        if signed.key_id != report.key_id {
            // A rotation between the two calls: the bytes must name the key that signs them.
            report.key_id.clone_from(&signed.key_id);
            report.signature = signer.sign(&report.signed_bytes())?.base64();
        } else {
            report.signature = signed.base64();
        }
        Ok(report)
    }

    /// Checks hash and signature.
    pub fn verify(&self, signer: &Signer) -> Result<(), VaultError> {
        if self.result_sm3 != result_sm3(&self.result) {
            return Err(VaultError::BadSignature);
        }
        signer.verify_base64(&self.key_id, &self.signed_bytes(), &self.signature)
    }

    /// The JSON of the report with an empty signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        serde_json::to_vec(&unsigned).unwrap_or_default()
    }
}
