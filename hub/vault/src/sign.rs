//! Signatures of the hub: receipts, reports, checkpoints of the audit chain.
//!
//! A signature names its key; keys that were rotated out still verify. The public keys go out as PEM, and an SM2
//! signature is DER over the message with the default id, so `openssl pkeyutl -verify -rawin -digest sm3
//! -pkeyopt distid:1234567812345678` checks it without the hub.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minqiao_core::Receipt;

use crate::VaultError;
use crate::vault::Inner;

/// A signature and the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Id of the key.
    pub key_id: String,
    /// DER for SM2, 64 bytes for Ed25519.
    pub signature: Vec<u8>,
}

impl Signed {
    /// The signature as base64, as JSON carries it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.signature)
    }
}

/// Signs and verifies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signer {
    vault: Arc<Inner>,
}

impl Signer {
    pub(crate) fn new(vault: Arc<Inner>) -> Self {
        Self { vault }
    }

    /// Signs with the active key.
    pub fn sign(&self, message: &[u8]) -> Result<Signed, VaultError> {
        let ring = self.vault.ring();
        let key = ring.sign.get(&ring.sign_active).ok_or(VaultError::UnknownKeyId)?;
        Ok(Signed { key_id: key.public.key_id.clone(), signature: key.key.sign(message)? })
    }

    /// Id of the active key, for objects whose signed bytes include it.
    pub fn key_id(&self) -> String {
        self.vault.ring().versions().sign_active
    }

    /// Checks a signature by the key of that id, also one rotated out.
    pub fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<(), VaultError> {
        let mut ring = self.vault.ring();
        if !ring.sign.values().any(|key| key.public.key_id == key_id) {
            ring = self.vault.reload()?;
        }
        let key = ring.sign.values().find(|key| key.public.key_id == key_id).ok_or(VaultError::UnknownKeyId)?;
        key.suite.verify(&key.public.pem, message, signature)
    }

    /// [`Signer::verify`] for a signature in base64.
    pub fn verify_base64(&self, key_id: &str, message: &[u8], signature: &str) -> Result<(), VaultError> {
        let signature = STANDARD.decode(signature).map_err(|_| VaultError::BadSignature)?;
        self.verify(key_id, message, &signature)
    }

    /// Fills `key_id` and `signature`.
    pub fn sign_receipt(&self, receipt: &mut Receipt) -> Result<(), VaultError> {
        receipt.key_id = self.key_id();
        let signed = self.sign(&receipt.signed_bytes())?;
        // A rotation between the two calls would leave the wrong id in the signed bytes.
        if signed.key_id != receipt.key_id {
            return self.sign_receipt(receipt);
        }
        receipt.signature = signed.base64();
        Ok(())
    }

    /// Checks a receipt of this hub.
    pub fn verify_receipt(&self, receipt: &Receipt) -> Result<(), VaultError> {
        self.verify_base64(&receipt.key_id, &receipt.signed_bytes(), &receipt.signature)
    }
}
