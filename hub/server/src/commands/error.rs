//! What a command was asked for and cannot do.

use std::path::PathBuf;

use minqiao_core::{Kind, KindOf};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The catalogue has no such item.
    #[error("no item `{0}`; `minqiao catalogue list` shows the 73 codes")]
    UnknownItem(String),
    /// The access list has no such user.
    #[error("no user `{account}` in `{}`", .list.display())]
    UnknownUser {
        /// As asked.
        account: String,
        /// The access list.
        list: PathBuf,
    },
    /// Nobody to explain a policy for.
    #[error("`{name}` is neither an account of `{}` nor a role", .list.display())]
    UnknownPrincipal {
        /// As asked.
        name: String,
        /// The access list.
        list: PathBuf,
    },
    /// An argument is not what it must be.
    #[error("`{text}` is no {expected}")]
    Argument {
        /// As given.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// What was to be checked has mistakes; they were printed.
    #[error("{0}")]
    Mistakes(String),
}

impl KindOf for CommandError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownItem(_) | Self::UnknownUser { .. } | Self::UnknownPrincipal { .. } => Kind::NotFound,
            Self::Argument { .. } => Kind::InvalidArgument,
            Self::Mistakes(_) => Kind::FailedPrecondition,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownItem(_) => "unknown_item",
            Self::UnknownUser { .. } => "unknown_user",
            Self::UnknownPrincipal { .. } => "unknown_principal",
            Self::Argument { .. } => "argument",
            Self::Mistakes(_) => "mistakes",
        }
    }
}
