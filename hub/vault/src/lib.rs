//! Identity is sealed here, and only here (architecture D5).
//!
//! Everything that knows a key or the layout of a ciphertext is in this crate. The rest of the hub holds one of four
//! narrow handles of a [`Vault`]: [`Sealer`] (gateway: encrypts, cannot decrypt), [`Unsealer`] (query and
//! verification), [`Tokens`] (joins and pseudonyms), [`Signer`] (receipts, reports, audit checkpoints).
//!
//! Reading order: [`suite`] (the cryptography behind a seam), [`ring`] (keys on disk, versions, rotation),
//! [`canonical`] (values as text), [`token`], [`seal`] (the hot path), [`unseal`], [`sign`].
//!
//! Invariants:
//! - SEC-1 No error, `Debug` output or log line of this crate holds a key, a token's key or a plaintext value.
//! - SEC-2 A ciphertext opens only as the item and field that it was sealed for: the data key is derived for the pair
//!   and the pair is authenticated with the text.
//! - SEC-3 A nonce is used once per data key: 64 random bits per batch, then a counter.
//! - SEC-4 Key files that others than their owner can read are refused.
//!
//! Left out: the certified module that GB/T 39786 asks for. [`CryptoSuite`] is its seam; the suites in this crate are
//! software (RustCrypto) and are not certified.

pub mod canonical;
pub mod error;
pub mod ring;
pub mod seal;
pub mod sign;
pub mod suite;
pub mod token;
pub mod unseal;
pub mod vault;

mod column;

pub use error::VaultError;
pub use ring::{KeyVersions, PublicKey};
pub use seal::Sealer;
pub use sign::{Signed, Signer};
pub use suite::{CryptoSuite, Entropy, SuiteId, SystemEntropy, sm3};
pub use token::Tokens;
pub use unseal::Unsealer;
pub use vault::{Vault, VaultOptions};
