//! The cryptography, behind a seam.
//!
//! | | `sm` (default) | `intl` |
//! |---|---|---|
//! | keyed hash, tokens, key derivation | HMAC-SM3 (GB/T 32905) | HMAC-SHA-256 |
//! | encryption | SM4-GCM (GB/T 32907, RFC 8998) | AES-256-GCM-SIV (RFC 8452) |
//! | signature | SM2 with SM3, id `1234567812345678` (GB/T 32918.2), DER | Ed25519 |
//!
//! A certified module (a PCIe card or a network HSM, GM/T 0018) becomes a third [`CryptoSuite`]: what
//! [`CryptoSuite::generate`] returns is stored as it is and handed back, so it may be a key's label instead of a key.
//! Numbers from 128 on are for such suites.

mod intl;
mod sm;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::VaultError;

pub use intl::IntlSuite;
pub use sm::{SM2_ID, SmSuite};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a keyed hash.
pub const MAC_BYTES: usize = 32;

/// Number of a suite, part of every ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SuiteId(pub u8);

impl SuiteId {
    /// HMAC-SM3, SM4-GCM, SM2.
    pub const SM: Self = Self(1);
    /// HMAC-SHA-256, AES-256-GCM-SIV, Ed25519.
    pub const INTL: Self = Self(2);
}

/// What a key is for; a suite may treat them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Keyed hashes and derivation of data keys.
    Mac,
    /// Signatures.
    Sign,
}

/// A stored key, or a module's name for one. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for a suite.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Source of randomness; passed in so that tests can hold it.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]) -> Result<(), VaultError>;
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), VaultError> {
        getrandom::fill(out).map_err(|_| VaultError::Module { what: "randomness" })
    }
}

/// A keyed hash with its key set up.
pub trait MacKey: Send + Sync + fmt::Debug {
    /// The hash of `message`.
    fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES];

    /// A key whose every message begins with `prefix`; what can be computed beforehand, is.
    fn prefixed(&self, prefix: &[u8]) -> Arc<dyn MacKey>;
}

/// An authenticated cipher with its key set up.
pub trait AeadKey: Send + Sync + fmt::Debug {
    /// Encrypts in place and answers the tag. A nonce must not repeat under one key.
    fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_BYTES], VaultError>;

    /// Checks and decrypts in place; [`VaultError::Tampered`] leaves `text` as ciphertext.
    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), VaultError>;
}

/// A private key for signatures.
pub trait SigningKey: Send + Sync + fmt::Debug {
    /// Signs a message (not a digest).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, VaultError>;

    /// The public key as PEM (SubjectPublicKeyInfo).
    fn public_pem(&self) -> Result<String, VaultError>;
}

/// A set of algorithms that belong together.
pub trait CryptoSuite: Send + Sync + fmt::Debug {
    /// Its number in ciphertexts and key rings.
    fn id(&self) -> SuiteId;

    /// Its name in configuration (`sm`, `intl`) and in key ids.
    fn name(&self) -> &'static str;

    /// Makes a key.
    fn generate(&self, purpose: KeyUse, entropy: &dyn Entropy) -> Result<Secret, VaultError>;

    /// Sets up a keyed hash.
    fn mac(&self, key: &Secret) -> Result<Arc<dyn MacKey>, VaultError>;

    /// Derives the data key of `context` from `master` (KDF in counter mode, one block: SP 800-108, GM/T 0091) and
    /// sets up the cipher.
    fn derive_aead(&self, master: &Secret, context: &[u8]) -> Result<Arc<dyn AeadKey>, VaultError>;

    /// Sets up a private key.
    fn signing(&self, key: &Secret) -> Result<Arc<dyn SigningKey>, VaultError>;

    /// Checks a signature against a public key in PEM; [`VaultError::BadSignature`] when it does not fit.
    fn verify(&self, public_pem: &str, message: &[u8], signature: &[u8]) -> Result<(), VaultError>;
}

/// The suite of that name.
pub fn by_name(name: &str) -> Option<Arc<dyn CryptoSuite>> {
    match name {
        "sm" => Some(Arc::new(SmSuite)),
        "intl" => Some(Arc::new(IntlSuite)),
        _ => None,
    }
}

/// SM3 digest (GB/T 32905), whatever the suite: receipts and the audit chain name it.
pub fn sm3(data: &[u8]) -> [u8; 32] {
    use sm3::Digest as _;
    sm3::Sm3::digest(data).into()
}

/// Message of the derivation: counter ‖ label ‖ 0 ‖ context ‖ bits of the key.
fn derivation_input(context: &[u8], key_bits: u32) -> Vec<u8> {
    let mut input = Vec::with_capacity(context.len() + 32);
    input.extend_from_slice(&1u32.to_be_bytes());
    input.extend_from_slice(b"minqiao data key");
    input.push(0);
    input.extend_from_slice(context);
    input.extend_from_slice(&key_bits.to_be_bytes());
    input
}
