//! Suite `intl`: HMAC-SHA-256, AES-256-GCM-SIV, Ed25519, for deployments outside the reach of the SM standards.

use std::fmt;
use std::sync::Arc;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit};
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    AeadKey, CryptoSuite, Entropy, KeyUse, MAC_BYTES, MacKey, NONCE_BYTES, Secret, SigningKey, SuiteId, TAG_BYTES,
    derivation_input,
};
use crate::VaultError;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct IntlSuite;

impl CryptoSuite for IntlSuite {
    fn id(&self) -> SuiteId {
        SuiteId::INTL
    }

    fn name(&self) -> &'static str {
        "intl"
    }

    fn generate(&self, _purpose: KeyUse, entropy: &dyn Entropy) -> Result<Secret, VaultError> {
        let mut bytes = vec![0; 32];
        entropy.fill(&mut bytes)?;
        Ok(Secret::new(bytes))
    }

    fn mac(&self, key: &Secret) -> Result<Arc<dyn MacKey>, VaultError> {
        Ok(Arc::new(HmacSha256(hmac(key)?)))
    }

    fn derive_aead(&self, master: &Secret, context: &[u8]) -> Result<Arc<dyn AeadKey>, VaultError> {
        let mut mac = hmac(master)?;
        mac.update(&derivation_input(context, 256));
        let block: Zeroizing<[u8; MAC_BYTES]> = Zeroizing::new(mac.finalize().into_bytes().into());
        let cipher =
            Aes256GcmSiv::new_from_slice(&block[..]).map_err(|_| VaultError::Module { what: "cipher set-up" })?;
        Ok(Arc::new(GcmSivKey(cipher)))
    }

    fn signing(&self, key: &Secret) -> Result<Arc<dyn SigningKey>, VaultError> {
        let seed = key.expose().try_into().map_err(|_| VaultError::Module { what: "signing key set-up" })?;
        Ok(Arc::new(Ed25519Key(ed25519_dalek::SigningKey::from_bytes(seed))))
    }

    fn verify(&self, public_pem: &str, message: &[u8], signature: &[u8]) -> Result<(), VaultError> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(public_pem).map_err(|_| VaultError::UnknownKeyId)?;
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| VaultError::BadSignature)?;
        key.verify_strict(message, &signature).map_err(|_| VaultError::BadSignature)
    }
}

fn hmac(key: &Secret) -> Result<Hmac<Sha256>, VaultError> {
    Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_| VaultError::Module { what: "keyed hash set-up" })
}

#[derive(Clone)]
struct HmacSha256(Hmac<Sha256>);

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(…)")
    }
}

impl MacKey for HmacSha256 {
    fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    fn prefixed(&self, prefix: &[u8]) -> Arc<dyn MacKey> {
        let mut mac = self.0.clone();
        mac.update(prefix);
        Arc::new(Self(mac))
    }
}

struct GcmSivKey(Aes256GcmSiv);

impl fmt::Debug for GcmSivKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcmSivKey(…)")
    }
}

impl AeadKey for GcmSivKey {
    fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_BYTES], VaultError> {
        let tag = self
            .0
            .encrypt_inout_detached(nonce.into(), aad, text.into())
            .map_err(|_| VaultError::Module { what: "encryption" })?;
        Ok(tag.into())
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), VaultError> {
        // SIV decrypts before it can check: work on a copy so that a refused text stays ciphertext.
        let mut copy = Zeroizing::new(text.to_vec());
        self.0
            .decrypt_inout_detached(nonce.into(), aad, copy.as_mut_slice().into(), tag.into())
            .map_err(|_| VaultError::Tampered)?;
        text.copy_from_slice(&copy);
        Ok(())
    }
}

struct Ed25519Key(ed25519_dalek::SigningKey);

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Key(…)")
    }
}

impl SigningKey for Ed25519Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }

    fn public_pem(&self) -> Result<String, VaultError> {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|_| VaultError::Module { what: "public key" })
    }
}
