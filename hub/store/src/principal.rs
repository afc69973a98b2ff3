//! Users and systems that may ask.

use minqiao_core::{Principal, Role, Timestamp};

use crate::engine::{Row, query};
use crate::{Store, StoreError};

/// A principal with what the hub knows beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPrincipal {
    /// Who.
    pub principal: Principal,
    /// Whether a password verifier is stored; the verifier itself comes from [`Store::password_verifier`].
    pub has_password: bool,
    /// Since when they may not ask any more.
    pub disabled_at: Option<Timestamp>,
}

impl Store {
    /// Adds a principal or changes its role, department and county; the password stays.
    pub async fn put_principal(&self, principal: &Principal, at: Timestamp) -> Result<(), StoreError> {
        query(
            "INSERT INTO principal (id, role, department, county, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET role = excluded.role, department = excluded.department, \
             county = excluded.county",
        )
        .bind(&principal.id)
        .bind(principal.role.as_str())
        .bind(&principal.department)
        .bind(&principal.county)
        .bind(at.0)
        .execute(self)
        .await?;
        Ok(())
    }

    /// One principal, also a disabled one.
    pub async fn principal(&self, id: &str) -> Result<Option<StoredPrincipal>, StoreError> {
        let row = query("SELECT * FROM principal WHERE id = $1").bind(id).fetch_optional(self).await?;
        row.as_ref().map(read_principal).transpose()
    }

    /// Every principal, by id.
    pub async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError> {
        let rows = query("SELECT * FROM principal ORDER BY id").fetch_all(self).await?;
        rows.iter().map(read_principal).collect()
    }

    /// Takes or gives back the right to ask.
    pub async fn set_principal_disabled(&self, id: &str, disabled_at: Option<Timestamp>) -> Result<(), StoreError> {
        let changed = query("UPDATE principal SET disabled_at = $1 WHERE id = $2")
            .bind(disabled_at.map(|at| at.0))
            .bind(id)
            .execute(self)
            .await?;
        found(changed)
    }

    /// The stored form of a password that can only be compared with.
    pub async fn password_verifier(&self, id: &str) -> Result<Option<String>, StoreError> {
        let row = query("SELECT password_verifier FROM principal WHERE id = $1 AND disabled_at IS NULL")
            .bind(id)
            .fetch_optional(self)
            .await?;
        row.map_or(Ok(None), |row| row.get("password_verifier"))
    }

    /// Sets or removes the verifier.
    pub async fn set_password_verifier(&self, id: &str, verifier: Option<&str>) -> Result<(), StoreError> {
        let changed = query("UPDATE principal SET password_verifier = $1 WHERE id = $2")
            .bind(verifier)
            .bind(id)
            .execute(self)
            .await?;
        found(changed)
    }
}

fn found(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound { what: "principal" }) } else { Ok(()) }
}

fn read_principal(row: &Row) -> Result<StoredPrincipal, StoreError> {
    let role = Role::parse(row.get("role")?).ok_or(StoreError::Damaged { what: "principal" })?;
    let principal =
        Principal { id: row.get("id")?, role, department: row.get("department")?, county: row.get("county")? };
    Ok(StoredPrincipal {
        principal,
        has_password: row.get::<Option<String>>("password_verifier")?.is_some(),
        disabled_at: row.get::<Option<i64>>("disabled_at")?.map(Timestamp),
    })
}
