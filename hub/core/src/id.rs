//! Ids as types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Keyed 128-bit stand-in for an identifier (architecture D5). Equal identifiers have equal tokens; the identifier
/// cannot be computed from it without the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Why an id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{kind}` must be 1 to {max} characters of `A-Z a-z 0-9 . _ : -`")]
pub struct InvalidId {
    kind: &'static str,
    max: usize,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $word:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks length and alphabet.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let fits = !text.is_empty()
                    && text.len() <= $max
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
                if fits { Ok(Self(text)) } else { Err(InvalidId { kind: $word, max: $max }) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id!(
    /// Names one batch of one provider; also the idempotency key.
    BatchId,
    "batch id",
    128
);
text_id!(
    /// Department code plus the county or city suffix of the source system, e.g. `civil-affairs.371002`.
    ProviderCode,
    "provider code",
    64
);

impl ProviderCode {
    /// The department part, before the first dot.
    pub fn department(&self) -> &str {
        self.as_str().split('.').next().unwrap_or_default()
    }

    /// The division part after the first dot, if any.
    pub fn division(&self) -> Option<&str> {
        self.as_str().split_once('.').map(|(_, d)| d)
    }
}
