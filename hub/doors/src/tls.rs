//! TLS of the HTTP door: our certificate, and who the other side is.
//!
//! Client certificates are verified against one authority of our own and are optional in the handshake, because
//! analysts may come with a bearer token; which route demands which identity is decided by [`crate::identity`]. An
//! expired, foreign or malformed client certificate ends the handshake: it is never treated as "no certificate".

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minqiao_core::{Kind, KindOf};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where the PEM files are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain of this server, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// Authority that signs the certificates of connectors and users.
    pub client_authority: PathBuf,
}

/// Why TLS cannot be set up. Paths are named, contents never.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read a PEM section from `{path}`: check that it exists, is readable and holds what the key names")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The parts do not fit together.
    #[error("the TLS certificate, key and client authority do not fit together")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl KindOf for TlsError {
    fn kind(&self) -> Kind {
        Kind::FailedPrecondition
    }
    fn code(&self) -> &'static str {
        "tls_setup"
    }
}

fn pem_error(path: &Path) -> impl FnOnce(rustls_pki_types::pem::Error) -> TlsError + '_ {
    move |error| TlsError::File { path: path.to_owned(), source: io::Error::other(error.to_string()) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(pem_error(path))?.collect();
    let found = found.map_err(pem_error(path))?;
    if found.is_empty() {
        return Err(TlsError::File { path: path.to_owned(), source: io::ErrorKind::UnexpectedEof.into() });
    }
    Ok(found)
}

/// Server side: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, client certificates verified when given.
pub fn server_config(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let setup = |error: Box<dyn std::error::Error + Send + Sync>| TlsError::Setup(error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authority = RootCertStore::empty();
    for certificate in certificates(&files.client_authority)? {
        authority.add(certificate).map_err(|e| setup(e.into()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| setup(e.into()))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(pem_error(&files.private_key))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(e.into()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(|e| setup(e.into()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Common name of a verified client certificate; `None` when it has none or more than one.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.as_ref()).ok()?;
    let mut names = parsed.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}
