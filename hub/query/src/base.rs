//! What the service stands on: stored tables and the vault's handles.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use minqiao_vault::{Tokens, Unsealer, Vault};

/// The lake as queries need it. Providers have the columns of [`minqiao_schemas::Item::sealed_schema`] by name (more
/// columns do no harm) and give the current rows only.
pub trait BaseTables: Send + Sync + std::fmt::Debug {
    /// Current rows of an item; `None` when nothing was ever stored for it (the table is then empty, not absent).
    fn current(&self, item: &str) -> Option<Arc<dyn TableProvider>>;

    /// A number that changes whenever [`BaseTables::current`] would give other rows; lets scopes be kept between
    /// queries. `None` = unknown, nothing is kept.
    fn version(&self, item: &str) -> Option<u64>;
}

/// Handles of the vault that queries need: opening ciphertext, computing tokens and pseudonyms.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Opens.
    pub unsealer: Unsealer,
    /// Tokens and pseudonyms.
    pub tokens: Tokens,
}

impl Sealing {
    /// The handles of `vault`.
    pub fn of(vault: &Vault) -> Self {
        Self { unsealer: vault.unsealer(), tokens: vault.tokens() }
    }
}

impl BaseTables for minqiao_lake::Lake {
    fn current(&self, item: &str) -> Option<Arc<dyn TableProvider>> {
        Self::current(self, item).ok()
    }

    fn version(&self, item: &str) -> Option<u64> {
        // −1 before the first row, which is a version as good as any.
        Self::version(self, item).ok().map(|version| version.wrapping_add(1) as u64)
    }
}
