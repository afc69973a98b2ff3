//! What can go wrong with keys and ciphertexts. Nothing here says what a value or a key was.

use minqiao_core::{Kind, KindOf};

/// Outcome of a vault operation that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key directory or a file in it can be read by others than its owner.
    #[error("`{file}` of the key ring can be read by others: it must have mode {wanted}")]
    PermissionsTooOpen {
        /// File name in the key directory, `.` for the directory.
        file: String,
        /// The mode to set.
        wanted: &'static str,
    },
    /// A key file is missing or is not what it must be.
    #[error("`{file}` of the key ring is missing or damaged")]
    DamagedRing {
        /// File name in the key directory.
        file: String,
    },
    /// The key ring was made by a suite that this process does not have.
    #[error("the key ring uses cryptographic suite {suite}, which is not available")]
    UnknownSuite {
        /// Its number.
        suite: u8,
    },
    /// The ciphertext names a key version that the ring does not have.
    #[error("key version {version} is not in the key ring")]
    UnknownKeyVersion {
        /// The version named.
        version: u16,
    },
    /// No public key has this id.
    #[error("no key has the id that the signature names")]
    UnknownKeyId,
    /// Another process rotated at the same time.
    #[error("the key ring was rotated by another process at the same time, try again")]
    RotatedElsewhere,
    /// The ring has used up its version numbers.
    #[error("the key ring has no version number left")]
    VersionsExhausted,
    /// The bytes are not a ciphertext of this vault, were changed, or belong to another item or field.
    #[error("a ciphertext could not be opened: it was changed or belongs elsewhere")]
    Tampered,
    /// The signature does not fit the message.
    #[error("the signature does not fit")]
    BadSignature,
    /// A column of the batch has another type than its field.
    #[error("column `{field}` does not have the type of its field")]
    ColumnType {
        /// Name of the column.
        field: String,
    },
    /// The field is not sealed, or the item has no such field.
    #[error("`{field}` is not a sealed field of `{item}`")]
    NotSealed {
        /// Item code.
        item: String,
        /// Field name.
        field: String,
    },
    /// More rows or bytes than one batch can hold (2^31 bytes per column, 2^32 rows).
    #[error("the batch is too large to seal")]
    TooLarge,
    /// The cryptographic module refused.
    #[error("the cryptographic module failed: {what}")]
    Module {
        /// What it was asked to do.
        what: &'static str,
    },
    /// Arrow refused to assemble a column.
    #[error("a sealed batch could not be assembled")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The key directory could not be read or written.
    #[error("the key ring's `{file}` could not be read or written")]
    Io {
        /// File name in the key directory.
        file: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}

impl KindOf for VaultError {
    fn kind(&self) -> Kind {
        match self {
            Self::PermissionsTooOpen { .. } | Self::UnknownSuite { .. } | Self::VersionsExhausted => {
                Kind::FailedPrecondition
            }
            Self::RotatedElsewhere => Kind::Conflict,
            Self::BadSignature | Self::UnknownKeyId | Self::ColumnType { .. } | Self::TooLarge => Kind::InvalidArgument,
            Self::NotSealed { .. } => Kind::InvalidArgument,
            Self::DamagedRing { .. }
            | Self::UnknownKeyVersion { .. }
            | Self::Tampered
            | Self::Module { .. }
            | Self::Arrow(_)
            | Self::Io { .. } => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::PermissionsTooOpen { .. } => "key_permissions_too_open",
            Self::DamagedRing { .. } => "key_ring_damaged",
            Self::UnknownSuite { .. } => "unknown_crypto_suite",
            Self::UnknownKeyVersion { .. } => "unknown_key_version",
            Self::UnknownKeyId => "unknown_key_id",
            Self::RotatedElsewhere => "key_ring_rotated",
            Self::VersionsExhausted => "key_versions_exhausted",
            Self::Tampered => "ciphertext_tampered",
            Self::BadSignature => "signature_invalid",
            Self::ColumnType { .. } => "type_mismatch",
            Self::NotSealed { .. } => "not_sealed",
            Self::TooLarge => "batch_too_large",
            Self::Module { .. } => "crypto_module_failed",
            Self::Arrow(_) => "seal_failed",
            Self::Io { .. } => "key_ring_unreadable",
        }
    }
}
