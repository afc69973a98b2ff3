//! Who asks, and what for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Roles are disjoint (GB/T 39477: management, audit and operation are separate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Works a household's case.
    Caseworker,
    /// Queries across departments, pseudonymised.
    Analyst,
    /// Sees aggregates only.
    Statistician,
    /// Runs the system; sees no personal data.
    Operator,
    /// Reads the audit chain; sees no personal data.
    Auditor,
    /// A department's connector; publishes only.
    Connector,
    /// A department that reads what it is entitled to: its receipts, and items that a policy shares with it.
    Department,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Caseworker,
        Self::Analyst,
        Self::Statistician,
        Self::Operator,
        Self::Auditor,
        Self::Connector,
        Self::Department,
    ];

    /// Name in policies and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caseworker => "caseworker",
            Self::Analyst => "analyst",
            Self::Statistician => "statistician",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Connector => "connector",
            Self::Department => "department",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An authenticated user or system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Stable account name (never a citizen's name).
    pub id: String,
    /// What they may do.
    pub role: Role,
    /// Department code they belong to.
    pub department: Option<String>,
    /// Six-digit county they are confined to; `None` = the whole city.
    pub county: Option<String>,
}

/// What data is asked for; `code` is matched by policies, `case` names the application or alert worked on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Purpose {
    /// e.g. `dibao_verification`, `statistics`, `operations`, `audit`.
    pub code: String,
    /// Application or alert number.
    pub case: Option<String>,
}
