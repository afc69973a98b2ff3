//! Verification as a service: who may ask for a household, evidence before the answer, a signed report that is kept.
//!
//! A caseworker asks for an application of their own county, for the purpose `dibao_verification` (R-AUT-07); an
//! application of another county does not exist for them. Citizen numbers in the report are pseudonyms of that purpose:
//! the clear numbers live in the memory of the computation only. The report is stored sealed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minqiao_core::{Clock, Kind, KindOf, Principal, Purpose, Role, Timestamp};
use minqiao_lake::Lake;
use minqiao_store::report::BLOB_KIND;
use minqiao_store::{AuditEntry, AuditError, AuditLog, NewReport, Store, StoreError};
use minqiao_vault::{Vault, VaultError};
use minqiao_verify::case::Inputs;
use minqiao_verify::compute::{Engine, Run, RunError};
use minqiao_verify::fact_map::MapError;
use minqiao_verify::lake_source::LakeSource;
use minqiao_verify::number::Citizen;
use minqiao_verify::parameters::{Parameters, ParametersError};
use minqiao_verify::report::{Issue, Report};
use minqiao_verify::result::Verification;
use minqiao_verify::source::{Question, SourceError, verify_all, verify_one_cited};

use crate::request_id;

/// Purpose that verification needs.
const PURPOSE: &str = "dibao_verification";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// The principal may not verify.
    #[error("verification is for caseworkers, for the purpose `dibao_verification`")]
    Forbidden,
    /// Not known, or not this principal's.
    #[error("there is no such application or report here for you")]
    NotFound,
    /// The computation says no.
    #[error("the application cannot be verified: {0}")]
    Run(#[from] RunError),
    /// Rows cannot be had.
    #[error("the rows of the household cannot be read")]
    Source(#[from] SourceError),
    /// The store failed.
    #[error("the report cannot be kept")]
    Store(#[from] StoreError),
    /// The audit record cannot be written, so nothing is answered.
    #[error("the audit log cannot be written at the moment")]
    Audit(#[from] AuditError),
    /// Sealing or signing failed.
    #[error("the report cannot be sealed or signed")]
    Vault(#[from] VaultError),
    /// A stored report does not read back.
    #[error("the stored report is damaged")]
    Damaged(#[source] serde_json::Error),
}

impl KindOf for VerificationError {
    fn kind(&self) -> Kind {
        match self {
            Self::Forbidden => Kind::Forbidden,
            Self::NotFound | Self::Run(RunError::ApplicationUnknown) => Kind::NotFound,
            Self::Run(RunError::BaseAfterAsOf) => Kind::InvalidArgument,
            Self::Run(RunError::ParameterMissing(_)) => Kind::FailedPrecondition,
            Self::Source(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Vault(_) | Self::Damaged(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Forbidden => "verification_forbidden",
            Self::NotFound => "not_found",
            Self::Run(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Audit(error) => error.code(),
            Self::Vault(_) | Self::Damaged(_) => "internal",
        }
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The list of parameters cannot be read.
    #[error("cannot read the parameters `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    /// A parameter is wrong.
    #[error("the parameters `{0}` were refused")]
    Parameters(PathBuf, #[source] ParametersError),
    /// The fact map does not fit the catalogue.
    #[error("the fact map does not fit the catalogue")]
    Map(#[from] MapError),
}

/// The service.
#[derive(Debug)]
pub struct Verifications {
    lake: Arc<Lake>,
    vault: Vault,
    store: Store,
    audit: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    engine: Engine,
    parameters: Parameters,
    inputs: Inputs,
}

impl Verifications {
    /// Reads the parameters; a missing file means defaults only, with which most cities cannot verify yet.
    pub fn open(
        lake: Arc<Lake>,
        vault: Vault,
        store: Store,
        audit: Arc<AuditLog>,
        clock: Arc<dyn Clock>,
        parameters: &Path,
    ) -> Result<Self, OpenError> {
        let text = match std::fs::read(parameters) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "[]".to_owned(),
            Err(error) => return Err(OpenError::Read(parameters.to_owned(), error)),
        };
        // The version names the content, so that a report says which parameters it rests on.
        let version = format!("sm3:{}", &hex::encode(minqiao_vault::sm3(text.as_bytes()))[..16]);
        let parameters = Parameters::from_json(&text, &version)
            .map_err(|error| OpenError::Parameters(parameters.to_owned(), error))?;
        Ok(Self { lake, vault, store, audit, clock, engine: Engine::new()?, parameters, inputs: Inputs::default() })
    }

    fn source(&self) -> LakeSource {
        LakeSource::new(self.lake.clone(), self.vault.unsealer(), self.vault.tokens())
    }

    /// Verifies one application for a principal and keeps the report.
    pub async fn verify(
        &self,
        principal: &Principal,
        purpose: &Purpose,
        application_no: &str,
        as_of: Option<Timestamp>,
        reverify_on: Option<minqiao_verify::calendar::Day>,
    ) -> Result<Report, VerificationError> {
        may_verify(principal, purpose)?;
        let now = self.clock.now();
        let run = Run { application_no: application_no.to_owned(), as_of: as_of.unwrap_or(now), reverify_on };
        let tokens = self.vault.tokens();
        let show = move |number: Citizen| tokens.pseudonym(PURPOSE, &tokens.person_token(&number.to_string()));
        let source = self.source();
        let question =
            Question { engine: &self.engine, inputs: &self.inputs, parameters: &self.parameters, show: &show };
        let (result, evidence) = Box::pin(verify_one_cited(&source, &question, &run)).await?;
        let result = result?;
        if !in_county(principal, &result.county) {
            self.record(principal, "report.refused", application_no, None).await?;
            return Err(VerificationError::NotFound);
        }
        let issue = Issue {
            report_no: uuid::Uuid::now_v7().to_string(),
            issued_at: now,
            issuer: "minqiao".to_owned(),
            lake_versions: source.versions(),
        };
        let report = Report::issue_cited(result, evidence, issue, &self.vault.signer())?;
        self.record(principal, "report.issued", application_no, Some(&report)).await?;
        self.keep(principal, run.as_of, now, &report).await?;
        Ok(report)
    }

    async fn keep(
        &self,
        principal: &Principal,
        as_of: Timestamp,
        now: Timestamp,
        report: &Report,
    ) -> Result<(), VerificationError> {
        let body = serde_json::to_vec(report).map_err(VerificationError::Damaged)?;
        let stored = NewReport {
            id: report.report_no.clone(),
            application_no: report.result.application_no.clone(),
            as_of,
            created_at: now,
            created_by: principal.id.clone(),
            conclusion: report.result.category.clone(),
            versions: serde_json::json!({"lake": report.lake_versions, "parameters": report.parameters_version}),
            digest: report.result_sm3.clone(),
            key_id: report.key_id.clone(),
            signature: report.signature.clone(),
            sealed: self.vault.sealer().seal_blob(BLOB_KIND, &report.report_no, &body)?,
        };
        Ok(self.store.put_report(&stored).await?)
    }

    async fn record(
        &self,
        principal: &Principal,
        action: &str,
        application_no: &str,
        report: Option<&Report>,
    ) -> Result<(), AuditError> {
        let entry = AuditEntry {
            principal: principal.id.clone(),
            purpose: PURPOSE.to_owned(),
            action: action.to_owned(),
            detail: serde_json::json!({
                "request_id": request_id::current(),
                "application_no": application_no,
                "report_no": report.map(|r| r.report_no.as_str()),
                "result_sm3": report.map(|r| r.result_sm3.as_str()),
            }),
        };
        self.audit.append(entry).await.map(|_seq| ())
    }

    /// A kept report, for a principal of its county.
    pub async fn read(&self, principal: &Principal, purpose: &Purpose, id: &str) -> Result<Report, VerificationError> {
        may_verify(principal, purpose)?;
        let sealed = match self.store.report_body(id).await {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == Kind::NotFound => return Err(VerificationError::NotFound),
            Err(error) => return Err(error.into()),
        };
        let body = self.vault.unsealer().open_blob(BLOB_KIND, id, &sealed)?;
        let report: Report = serde_json::from_slice(&body).map_err(VerificationError::Damaged)?;
        if !in_county(principal, &report.result.county) {
            return Err(VerificationError::NotFound);
        }
        self.record(principal, "report.read", &report.result.application_no, Some(&report)).await?;
        Ok(report)
    }

    /// Every application known at `as_of`, with clear numbers: for the operator's own machine (batch checks against a
    /// truth), never for a door. The access is recorded first.
    pub async fn all(
        &self,
        operator: &str,
        as_of: Timestamp,
        mut each: impl FnMut(&Run, Result<Verification, RunError>) -> bool,
    ) -> Result<(), VerificationError> {
        let entry = AuditEntry {
            principal: operator.to_owned(),
            purpose: PURPOSE.to_owned(),
            action: "verification.all".to_owned(),
            detail: serde_json::json!({"as_of": as_of.to_string()}),
        };
        self.audit.append(entry).await?;
        let show = |number: Citizen| number.to_string();
        let source = self.source();
        let question =
            Question { engine: &self.engine, inputs: &self.inputs, parameters: &self.parameters, show: &show };
        Ok(Box::pin(verify_all(&source, &question, as_of, &mut each)).await?)
    }
}

fn may_verify(principal: &Principal, purpose: &Purpose) -> Result<(), VerificationError> {
    if principal.role == Role::Caseworker && purpose.code == PURPOSE {
        Ok(())
    } else {
        Err(VerificationError::Forbidden)
    }
}

fn in_county(principal: &Principal, county: &str) -> bool {
    principal.county.as_deref().is_none_or(|own| own == county)
}
