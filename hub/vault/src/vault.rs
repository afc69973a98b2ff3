//! The vault itself: opens the ring, hands out the four narrow handles, rotates.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ring::{Ring, RingStore};
use crate::suite::{AeadKey, CryptoSuite, Entropy, IntlSuite, MacKey, SmSuite, SystemEntropy};
use crate::{KeyVersions, PublicKey, Sealer, Signer, Tokens, Unsealer, VaultError};

/// How to open a [`Vault`].
#[derive(Debug, Clone)]
pub struct VaultOptions {
    /// Key directory; made with mode 0700 when missing.
    pub dir: PathBuf,
    /// Suite of keys that are made from now on. A ring keeps the suites that its older keys were made with.
    pub suite: Arc<dyn CryptoSuite>,
    /// Source of keys and nonces.
    pub entropy: Arc<dyn Entropy>,
}

impl VaultOptions {
    /// Suite `sm`, the operating system's randomness.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), suite: Arc::new(SmSuite), entropy: Arc::new(SystemEntropy) }
    }
}

/// Keys and what is done with them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

/// Data keys by version and context.
type Ciphers = HashMap<(u16, Vec<u8>), Arc<dyn AeadKey>>;

/// Shared by a vault and its handles.
#[derive(Debug)]
pub(crate) struct Inner {
    store: RingStore,
    suite: Arc<dyn CryptoSuite>,
    pub(crate) entropy: Arc<dyn Entropy>,
    ring: RwLock<Arc<Ring>>,
    /// Data keys by version and context; at most fields × versions of them.
    ciphers: RwLock<Ciphers>,
    /// Token keys by domain, the domain hashed in.
    domains: RwLock<HashMap<String, Arc<dyn MacKey>>>,
}

impl Vault {
    /// Opens the key ring, making one when there is none.
    pub fn open(options: VaultOptions) -> Result<Self, VaultError> {
        let VaultOptions { dir, suite, entropy } = options;
        let suites: Vec<Arc<dyn CryptoSuite>> = vec![Arc::clone(&suite), Arc::new(SmSuite), Arc::new(IntlSuite)];
        let store = RingStore::new(dir, suites, Arc::clone(&entropy));
        let ring = RwLock::new(Arc::new(store.open_or_create(&suite)?));
        let inner = Inner { store, suite, entropy, ring, ciphers: RwLock::default(), domains: RwLock::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Encrypts and tokenises; cannot decrypt.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(Arc::clone(&self.inner))
    }

    /// Decrypts.
    pub fn unsealer(&self) -> Unsealer {
        Unsealer::new(Arc::clone(&self.inner))
    }

    /// Tokens and pseudonyms.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(Arc::clone(&self.inner))
    }

    /// Signs and verifies.
    pub fn signer(&self) -> Signer {
        Signer::new(Arc::clone(&self.inner))
    }

    /// Makes and activates a new data key and a new signing key. Running processes that meet the new version read the
    /// ring again by themselves. Token, content-hash and pseudonym keys stay (see [`crate::ring`]).
    pub fn rotate(&self) -> Result<KeyVersions, VaultError> {
        let ring = Arc::new(self.inner.store.rotate(&self.inner.suite)?);
        let versions = ring.versions();
        self.inner.replace(ring);
        Ok(versions)
    }

    /// Which key versions exist.
    pub fn versions(&self) -> KeyVersions {
        self.inner.ring().versions()
    }

    /// The public keys of all signing versions, oldest first, for checks outside the hub.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.inner.ring().sign.values().map(|key| key.public.clone()).collect()
    }
}

impl Inner {
    pub(crate) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the ring again; another process may have rotated.
    pub(crate) fn reload(&self) -> Result<Arc<Ring>, VaultError> {
        let ring = Arc::new(self.store.load()?);
        self.replace(Arc::clone(&ring));
        Ok(ring)
    }

    fn replace(&self, ring: Arc<Ring>) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// The data key of `context` in `version`, derived once.
    pub(crate) fn cipher(&self, ring: &Ring, version: u16, context: &[u8]) -> Result<Arc<dyn AeadKey>, VaultError> {
        let place = (version, context.to_vec());
        if let Some(cipher) = self.ciphers.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(Arc::clone(cipher));
        }
        let key = ring.data.get(&version).ok_or(VaultError::UnknownKeyVersion { version })?;
        let cipher = key.suite.derive_aead(&key.master, context)?;
        self.ciphers.write().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&cipher));
        Ok(cipher)
    }

    /// The token key of `domain`.
    pub(crate) fn domain(&self, domain: &str) -> Arc<dyn MacKey> {
        if let Some(mac) = self.domains.read().unwrap_or_else(PoisonError::into_inner).get(domain) {
            return Arc::clone(mac);
        }
        let mut prefix = domain.as_bytes().to_vec();
        prefix.push(crate::canonical::SEPARATOR);
        let mac = self.ring().token.prefixed(&prefix);
        self.domains.write().unwrap_or_else(PoisonError::into_inner).insert(domain.to_owned(), Arc::clone(&mac));
        mac
    }
}
