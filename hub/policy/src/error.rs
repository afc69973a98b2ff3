//! Why policies could not be loaded.

use minqiao_core::{Kind, KindOf};

/// A mistake in the policy files. Policies are not personal data, so messages name files and rules.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file is missing or unreadable.
    #[error("policy file `{file}` cannot be read")]
    Read {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not Cedar, a Cedar schema or YAML.
    #[error("policy file `{file}` cannot be parsed: {detail}")]
    Parse {
        /// Which.
        file: String,
        /// Where and what.
        detail: String,
    },
    /// A policy has no `@id` or shares one.
    #[error("every policy needs an `@id` of its own; `{id}` in `{file}` has none or shares it")]
    PolicyId {
        /// Which file.
        file: String,
        /// The id, or Cedar's number of the policy.
        id: String,
    },
    /// Policies do not fit the schema or the catalogue.
    #[error("{} finding(s) in the policies, the first: {}", .0.len(), .0.first().map_or("", String::as_str))]
    Invalid(Vec<String>),
}

impl KindOf for PolicyError {
    fn kind(&self) -> Kind {
        Kind::FailedPrecondition
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "policy_unreadable",
            Self::Parse { .. } => "policy_malformed",
            Self::PolicyId { .. } => "policy_without_id",
            Self::Invalid(_) => "policy_invalid",
        }
    }
}
