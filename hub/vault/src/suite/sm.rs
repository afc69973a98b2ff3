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
        self.0.decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into()).map_err(|_| VaultError::Tampered)
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

/// Vectors of the standards themselves.
#[cfg(test)]
mod tests {
    use sm2::elliptic_curve::sec1::ToSec1Point as _;
    use sm3::Digest as _;
    use sm4::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _};

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text).expect("hex")
    }

    /// GB/T 32905-2016, appendix A.
    #[test]
    fn sm3_gives_the_digests_of_gb_t_32905() {
        assert_eq!(
            hex::encode(Sm3::digest(b"abc")),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        assert_eq!(
            hex::encode(Sm3::digest(b"abcd".repeat(16))),
            "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
        );
    }

    /// GB/T 32907-2016, appendix A.1 and A.2 (a million rounds).
    #[test]
    fn sm4_gives_the_blocks_of_gb_t_32907() {
        let text = unhex("0123456789abcdeffedcba9876543210");
        let cipher = Sm4::new_from_slice(&text).expect("key");
        let mut block = sm4::cipher::Block::<Sm4>::try_from(text.as_slice()).expect("block");
        cipher.encrypt_block(&mut block);
        assert_eq!(hex::encode(block), "681edf34d206965e86b3e94f536e4246");
        for _ in 1..1_000_000 {
            cipher.encrypt_block(&mut block);
        }
        assert_eq!(hex::encode(block), "595298c7c6fd271f0402f804c33d3f66");
        cipher.decrypt_block(&mut block);
        assert_ne!(hex::encode(block), "595298c7c6fd271f0402f804c33d3f66");
    }

    /// RFC 8998, appendix A.1.
    #[test]
    fn sm4_gcm_gives_the_text_and_tag_of_rfc_8998() {
        let key = Sm4GcmKey(Sm4Gcm::new_from_slice(&unhex("0123456789ABCDEFFEDCBA9876543210")).expect("key"));
        let nonce: [u8; 12] = unhex("00001234567800000000ABCD").try_into().expect("nonce");
        let aad = unhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2");
        let mut text = [0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA].map(|byte| [byte; 8]).concat();
        let tag = key.seal(&nonce, &aad, &mut text).expect("sealed");
        assert_eq!(
            hex::encode_upper(&text),
            "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735\
             D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D"
        );
        assert_eq!(hex::encode_upper(tag), "83DE3541E4C2B58177E065A9BF7B62EC");
        key.open(&nonce, &aad, &mut text, &tag).expect("opened");
        assert_eq!(text[..8], [0xAA; 8]);
    }

    /// GB/T 32918.5-2017, appendix A.2: the curve `sm2p256v1` with the default id.
    #[test]
    fn sm2_accepts_the_signature_of_gb_t_32918() {
        let secret = Secret::new(unhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"));
        let key = sm2::dsa::SigningKey::from_slice(SM2_ID, secret.expose()).expect("key");
        let public = key.verifying_key().as_affine().to_sec1_point(false);
        assert_eq!(
            hex::encode_upper(&public.as_bytes()[1..]),
            "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
             CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
        );
        let signature = sm2::dsa::Signature::from_slice(&unhex(
            "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3\
             B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
        ))
        .expect("signature");
        let pem = SmSuite.signing(&secret).and_then(|key| key.public_pem()).expect("pem");
        let der = signature.to_der();
        SmSuite.verify(&pem, b"message digest", der.as_ref()).expect("the standard's signature fits");
        assert!(matches!(SmSuite.verify(&pem, b"message digesT", der.as_ref()), Err(VaultError::BadSignature)));
    }
}
