//! Suite `sm`: SM2, SM3, SM4.

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{AeadInOut, consts::U12};
use aes_gcm::{AesGcm, KeyInit};
use hmac::{Hmac, Mac};
use sm2::dsa::signature::{Signer as _, Verifier as _};
use sm2::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use sm3::Sm3;
use sm4::Sm4;
use zeroize::Zeroizing;

use super::{
    AeadKey, CryptoSuite, Entropy, KeyUse, MAC_BYTES, MacKey, NONCE_BYTES, Secret, SigningKey, SuiteId, TAG_BYTES,
    derivation_input,
};
use crate::VaultError;

/// Distinguishing identifier of every SM2 signature here (GM/T 0009 default).
pub const SM2_ID: &str = "1234567812345678";

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct SmSuite;

type Sm4Gcm = AesGcm<Sm4, U12>;

impl CryptoSuite for SmSuite {
    fn id(&self) -> SuiteId {
        SuiteId::SM
    }

    fn name(&self) -> &'static str {
        "sm"
    }

    fn generate(&self, purpose: KeyUse, entropy: &dyn Entropy) -> Result<Secret, VaultError> {
        // One in 2^32 random strings is no SM2 scalar; 8 failures mean a broken generator.
        for _ in 0..8 {
            let mut bytes = vec![0; 32];
            entropy.fill(&mut bytes)?;
            let secret = Secret::new(bytes);
            if purpose == KeyUse::Mac || sm2::dsa::SigningKey::from_slice(SM2_ID, secret.expose()).is_ok() {
                return Ok(secret);
            }
        }
        Err(VaultError::Module { what: "key generation" })
    }

    fn mac(&self, key: &Secret) -> Result<Arc<dyn MacKey>, VaultError> {
        Ok(Arc::new(HmacSm3(hmac(key)?)))
    }

    fn derive_aead(&self, master: &Secret, context: &[u8]) -> Result<Arc<dyn AeadKey>, VaultError> {
        let mut mac = hmac(master)?;
        mac.update(&derivation_input(context, 128));
        let block: Zeroizing<[u8; MAC_BYTES]> = Zeroizing::new(mac.finalize().into_bytes().into());
        let cipher = Sm4Gcm::new_from_slice(&block[..16]).map_err(|_| VaultError::Module { what: "cipher set-up" })?;
        Ok(Arc::new(Sm4GcmKey(cipher)))
    }

    fn signing(&self, key: &Secret) -> Result<Arc<dyn SigningKey>, VaultError> {
        let key = sm2::dsa::SigningKey::from_slice(SM2_ID, key.expose())
            .map_err(|_| VaultError::Module { what: "signing key set-up" })?;
        Ok(Arc::new(Sm2Key(key)))
    }

    fn verify(&self, public_pem: &str, message: &[u8], signature: &[u8]) -> Result<(), VaultError> {
        let key = sm2::PublicKey::from_public_key_pem(public_pem)
            .ok()
            .and_then(|key| sm2::dsa::VerifyingKey::new(SM2_ID, key).ok())
            .ok_or(VaultError::UnknownKeyId)?;
        let signature = sm2::dsa::Signature::from_der(signature).map_err(|_| VaultError::BadSignature)?;
        key.verify(message, &signature).map_err(|_| VaultError::BadSignature)
    }
}

fn hmac(key: &Secret) -> Result<Hmac<Sm3>, VaultError> {
    Hmac::<Sm3>::new_from_slice(key.expose()).map_err(|_| VaultError::Module { what: "keyed hash set-up" })
}

#[derive(Clone)]
struct HmacSm3(Hmac<Sm3>);

impl fmt::Debug for HmacSm3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSm3(…)")
    }
}

impl MacKey for HmacSm3 {
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

struct Sm4GcmKey(Sm4Gcm);

impl fmt::Debug for Sm4GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sm4GcmKey(…)")
    }
}

impl AeadKey for Sm4GcmKey {
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
        self.0
            .decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into())
            .map_err(|_| VaultError::Tampered)
    }
}

#[derive(Debug)]
struct Sm2Key(sm2::dsa::SigningKey);

impl SigningKey for Sm2Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, VaultError> {
        // The nonce is derived from key and message (RFC 6979 with SM3), so a weak generator cannot leak the key.
        let signature = self.0.try_sign(message).map_err(|_| VaultError::Module { what: "signature" })?;
        Ok(signature.to_der().to_vec())
    }

    fn public_pem(&self) -> Result<String, VaultError> {
        let public = sm2::PublicKey::try_from(*self.0.verifying_key().as_affine())
            .map_err(|_| VaultError::Module { what: "public key" })?;
        public.to_public_key_pem(LineEnding::LF).map_err(|_| VaultError::Module { what: "public key" })
    }
}
