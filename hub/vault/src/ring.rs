//! Keys on disk.
//!
//! ```text
//! keys/                0700
//!   ring.json          0600  which versions exist, which are active, public keys; no secrets
//!   token.key          0600  tokens and record keys
//!   content.key        0600  content hashes
//!   pseudonym.key      0600  purpose pseudonyms
//!   data-<n>.key       0600  master key of version n, from which data keys are derived
//!   sign-<n>.key       0600  private key of version n
//!   lock               0600  held while rotating
//! ```
//!
//! Rotation makes the next `data` and `sign` version; older ones stay, so what they sealed opens and what they signed
//! verifies. The other three keys are never rotated: tokens, record keys, content hashes and pseudonyms are compared
//! with what is stored, and a new key would cut the city's records in two. Replacing them means sealing the lake anew.
//!
//! A file appears whole (written aside, synced, renamed) and `ring.json` is written last, so a crash leaves a ring
//! that opens. Files that group or others can read are refused (SEC-4): a key that was readable must count as known.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::VaultError;
use crate::suite::{CryptoSuite, Entropy, KeyUse, MacKey, Secret, SigningKey, SuiteId};

const RING_FILE: &str = "ring.json";
const LOCK_FILE: &str = "lock";
const FORMAT: u32 = 1;

/// Which key versions are in use; safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyVersions {
    /// Version that seals new data.
    pub data_active: u16,
    /// Every version that can open data.
    pub data: Vec<u16>,
    /// Id of the key that signs.
    pub sign_active: String,
    /// Every id that can be verified.
    pub sign: Vec<String>,
}

/// A public key for whoever checks signatures outside the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// As named by signatures.
    pub key_id: String,
    /// SubjectPublicKeyInfo.
    pub pem: String,
}

#[derive(Serialize, Deserialize)]
struct StoredRing {
    format: u32,
    /// Suite of token, content and pseudonym keys.
    hash_suite: u8,
    data_active: u16,
    data: BTreeMap<u16, StoredData>,
    sign_active: u16,
    sign: BTreeMap<u16, StoredSign>,
}

#[derive(Serialize, Deserialize)]
struct StoredData {
    suite: u8,
}

#[derive(Serialize, Deserialize)]
struct StoredSign {
    suite: u8,
    key_id: String,
    public_pem: String,
}

/// A version of the data master key.
#[derive(Debug)]
pub(crate) struct DataKey {
    pub(crate) suite: Arc<dyn CryptoSuite>,
    pub(crate) master: Secret,
}

/// A version of the signing key.
#[derive(Debug)]
pub(crate) struct SignKey {
    pub(crate) suite: Arc<dyn CryptoSuite>,
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) public: PublicKey,
}

/// An opened ring; replaced as a whole by rotation.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) data_active: u16,
    pub(crate) data: BTreeMap<u16, DataKey>,
    pub(crate) sign_active: u16,
    pub(crate) sign: BTreeMap<u16, SignKey>,
    pub(crate) token: Arc<dyn MacKey>,
    pub(crate) content: Arc<dyn MacKey>,
    pub(crate) pseudonym: Arc<dyn MacKey>,
}

impl Ring {
    pub(crate) fn versions(&self) -> KeyVersions {
        KeyVersions {
            data_active: self.data_active,
            data: self.data.keys().copied().collect(),
            sign_active: self.sign.get(&self.sign_active).map(|key| key.public.key_id.clone()).unwrap_or_default(),
            sign: self.sign.values().map(|key| key.public.key_id.clone()).collect(),
        }
    }
}

/// Where the ring lies and which suites can be met in it.
#[derive(Debug)]
pub(crate) struct RingStore {
    dir: PathBuf,
    suites: Vec<Arc<dyn CryptoSuite>>,
    entropy: Arc<dyn Entropy>,
}

impl RingStore {
    pub(crate) fn new(dir: PathBuf, suites: Vec<Arc<dyn CryptoSuite>>, entropy: Arc<dyn Entropy>) -> Self {
        Self { dir, suites, entropy }
    }

    /// Opens the ring, making one of `suite` when the directory has none.
    pub(crate) fn open_or_create(&self, suite: &Arc<dyn CryptoSuite>) -> Result<Ring, VaultError> {
        if !self.dir.try_exists().map_err(io("."))? {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io("."))?;
        }
        check_mode(&self.dir, ".", "0700")?;
        if !self.dir.join(RING_FILE).try_exists().map_err(io(RING_FILE))? {
            let _lock = self.lock_in_turn()?;
            // Another process may have made it while this one waited.
            if !self.dir.join(RING_FILE).try_exists().map_err(io(RING_FILE))? {
                self.create(suite)?;
            }
        }
        self.load()
    }

    /// Reads the ring from disk.
    pub(crate) fn load(&self) -> Result<Ring, VaultError> {
        check_mode(&self.dir, ".", "0700")?;
        let stored = self.stored()?;
        let hash_suite = self.suite(stored.hash_suite)?;
        let mut data = BTreeMap::new();
        for (version, entry) in &stored.data {
            let master = self.read(&data_file(*version))?;
            data.insert(*version, DataKey { suite: self.suite(entry.suite)?, master });
        }
        let mut sign = BTreeMap::new();
        for (version, entry) in stored.sign {
            let suite = self.suite(entry.suite)?;
            let key = suite.signing(&self.read(&sign_file(version))?)?;
            let public = PublicKey { key_id: entry.key_id, pem: entry.public_pem };
            sign.insert(version, SignKey { suite, key, public });
        }
        if !data.contains_key(&stored.data_active) || !sign.contains_key(&stored.sign_active) {
            return Err(VaultError::DamagedRing { file: RING_FILE.to_owned() });
        }
        Ok(Ring {
            data_active: stored.data_active,
            data,
            sign_active: stored.sign_active,
            sign,
            token: hash_suite.mac(&self.read("token.key")?)?,
            content: hash_suite.mac(&self.read("content.key")?)?,
            pseudonym: hash_suite.mac(&self.read("pseudonym.key")?)?,
        })
    }

    /// Makes the next version of data and signing key with `suite` and activates both.
    pub(crate) fn rotate(&self, suite: &Arc<dyn CryptoSuite>) -> Result<Ring, VaultError> {
        let _lock = self.lock()?;
        let mut stored = self.stored()?;
        let next = |last: Option<&u16>| match last {
            Some(last) => last.checked_add(1).ok_or(VaultError::VersionsExhausted),
            None => Ok(1),
        };
        let version = next(stored.data.keys().next_back())?;
        self.write(&data_file(version), suite.generate(KeyUse::Mac, &*self.entropy)?.expose())?;
        stored.data.insert(version, StoredData { suite: suite.id().0 });
        stored.data_active = version;
        let version = next(stored.sign.keys().next_back())?;
        stored.sign.insert(version, self.make_signing(suite, version)?);
        stored.sign_active = version;
        self.write_ring(&stored)?;
        self.load()
    }

    fn create(&self, suite: &Arc<dyn CryptoSuite>) -> Result<(), VaultError> {
        for file in ["token.key", "content.key", "pseudonym.key", &data_file(1)] {
            self.write(file, suite.generate(KeyUse::Mac, &*self.entropy)?.expose())?;
        }
        let sign = self.make_signing(suite, 1)?;
        let suite = suite.id().0;
        self.write_ring(&StoredRing {
            format: FORMAT,
            hash_suite: suite,
            data_active: 1,
            data: BTreeMap::from([(1, StoredData { suite })]),
            sign_active: 1,
            sign: BTreeMap::from([(1, sign)]),
        })
    }

    fn make_signing(&self, suite: &Arc<dyn CryptoSuite>, version: u16) -> Result<StoredSign, VaultError> {
        let secret = suite.generate(KeyUse::Sign, &*self.entropy)?;
        let public_pem = suite.signing(&secret)?.public_pem()?;
        self.write(&sign_file(version), secret.expose())?;
        let print = hex::encode(&crate::sm3(public_pem.as_bytes())[..4]);
        Ok(StoredSign { suite: suite.id().0, key_id: format!("{}-{version}-{print}", suite.name()), public_pem })
    }

    fn suite(&self, id: u8) -> Result<Arc<dyn CryptoSuite>, VaultError> {
        let found = self.suites.iter().find(|suite| suite.id() == SuiteId(id));
        found.cloned().ok_or(VaultError::UnknownSuite { suite: id })
    }

    fn stored(&self) -> Result<StoredRing, VaultError> {
        let damaged = || VaultError::DamagedRing { file: RING_FILE.to_owned() };
        let text = self.read(RING_FILE)?;
        let stored: StoredRing = serde_json::from_slice(text.expose()).map_err(|_| damaged())?;
        if stored.format == FORMAT { Ok(stored) } else { Err(damaged()) }
    }

    fn write_ring(&self, stored: &StoredRing) -> Result<(), VaultError> {
        let text =
            serde_json::to_vec_pretty(stored).map_err(|_| VaultError::DamagedRing { file: RING_FILE.to_owned() })?;
        self.write(RING_FILE, &text)
    }

    fn read(&self, file: &str) -> Result<Secret, VaultError> {
        let path = self.dir.join(file);
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(VaultError::DamagedRing { file: file.to_owned() });
            }
            Err(error) => return Err(io(file)(error)),
        };
        check_mode(&path, file, "0600")?;
        let mut bytes = Vec::with_capacity(4096);
        opened.take(1 << 20).read_to_end(&mut bytes).map_err(io(file))?;
        if bytes.is_empty() {
            return Err(VaultError::DamagedRing { file: file.to_owned() });
        }
        Ok(Secret::new(bytes))
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let aside = self.dir.join(format!("{file}.new"));
        let mut opened =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside).map_err(io(file))?;
        opened.write_all(bytes).and_then(|()| opened.sync_all()).map_err(io(file))?;
        fs::rename(&aside, self.dir.join(file)).map_err(io(file))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io("."))
    }

    /// Waits while another process makes the ring, which takes milliseconds: hubs of a city may start at once.
    fn lock_in_turn(&self) -> Result<File, VaultError> {
        let file = self.lock_file()?;
        file.lock().map_err(io(LOCK_FILE))?;
        Ok(file)
    }

    fn lock_file(&self) -> Result<File, VaultError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.dir.join(LOCK_FILE)).map_err(io(LOCK_FILE))
    }

    /// Held until dropped; the system releases it when the process dies.
    fn lock(&self) -> Result<File, VaultError> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(VaultError::RotatedElsewhere),
            Err(fs::TryLockError::Error(error)) => Err(io(LOCK_FILE)(error)),
        }
    }
}

fn data_file(version: u16) -> String {
    format!("data-{version}.key")
}

fn sign_file(version: u16) -> String {
    format!("sign-{version}.key")
}

fn check_mode(path: &Path, file: &str, wanted: &'static str) -> Result<(), VaultError> {
    let mode = fs::metadata(path).map_err(io(file))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(VaultError::PermissionsTooOpen { file: file.to_owned(), wanted }) }
}

fn io(file: &str) -> impl Fn(std::io::Error) -> VaultError + use<> {
    let file = file.to_owned();
    move |source| VaultError::Io { file: file.clone(), source }
}
