//! What a caller can do about a failure. Each crate has its own error type; each maps its variants to one [`Kind`]
//! here, and each protocol maps kinds to its own statuses in one `match`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The closed set of outcomes that are not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// Nobody knows who is asking.
    Unauthenticated,
    /// It is known who asks, and they may not.
    Forbidden,
    /// There is no such thing, or the caller may not know that there is.
    NotFound,
    /// It clashes with something that exists (another batch under the same id).
    Conflict,
    /// The system must be brought into another state first.
    FailedPrecondition,
    /// Too much at once.
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// A part is not there at the moment.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// A defect of the hub.
    Internal,
}

impl Kind {
    /// HTTP status (RFC 9110).
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::FailedPrecondition => 412,
            Self::RateLimited { .. } => 429,
            Self::Unavailable { .. } => 503,
            Self::Internal => 500,
        }
    }

    /// Exit code of a command (after sysexits).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArgument => 64,
            Self::NotFound => 66,
            Self::Unauthenticated | Self::Forbidden => 77,
            Self::Conflict | Self::FailedPrecondition => 65,
            Self::RateLimited { .. } | Self::Unavailable { .. } => 75,
            Self::Internal => 70,
        }
    }

    /// When trying again makes sense.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}

/// Errors that know their kind.
pub trait KindOf: std::error::Error {
    /// What the caller can do.
    fn kind(&self) -> Kind;
    /// A stable machine-readable code, snake_case (`unknown_item`).
    fn code(&self) -> &'static str;
    /// What may be shown to the caller; never a data value. Defaults to `Display`, which by house rule holds none.
    fn public_message(&self) -> String {
        self.to_string()
    }
}

/// RFC 9457 problem, as every HTTP door sends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank` or a documentation anchor.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short English summary.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What happened and what to do, English.
    pub detail: String,
    /// The same for department staff, Chinese.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail_zh: Option<String>,
    /// To quote when asking for help.
    pub request_id: String,
}
