//! The gateway over HTTPS with client certificates (mutual TLS).
//!
//! A batch travels as one Arrow IPC stream, rows without canonical form as NDJSON, both under an idempotency key. What can
//! pass is tried again: 429, 503, 502, 504 and broken connections, with exponential backoff, jitter and the server's
//! `Retry-After`; everything else is the hub's answer. Repeating is safe because the key makes it the same request.
//!
//! One submission of an item at a time ([`Gateway::window`] is 1): two requests on their way at once may be overtaken by a retry,
//! and the order of batches decides which of two equal rows is the duplicate.
//!
//! Jitter needs no randomness of its own: it is derived from the batch id and the attempt, which differ between
//! connectors, and so runs can be repeated exactly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use minqiao_core::{BatchId, Clock, Problem, Receipt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sm3::{Digest, Sm3};

use crate::gateway::{Gateway, GatewayError, RejectedRow, Rejection, Submission, check_receipt};
use crate::source::FastDigest;

/// Bytes of an answer that are read; a receipt names at most a batch's rows.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How to reach a hub and prove who we are.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `https://host:port`.
    pub url: String,
    /// Certificates of the authority that signed the hub's certificate, PEM.
    pub ca: PathBuf,
    /// Our certificate chain, PEM; its common name is the provider code.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Of one request.
    pub timeout: Duration,
    /// How long failures that may pass are tried again.
    pub retry_for: Duration,
    /// First pause; doubles up to `pause_max`.
    pub pause_min: Duration,
    /// Longest pause of our own; the server may ask for more.
    pub pause_max: Duration,
    /// Batches of one item under way at once; each names the one before it.
    pub window: usize,
    /// Whether receipts must name the digest of what was sent.
    pub check_digest: bool,
}

impl HttpOptions {
    /// Options with the usual patience.
    pub fn new(url: impl Into<String>, ca: &Path, certificate: &Path, key: &Path) -> Self {
        Self {
            url: url.into(),
            ca: ca.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            timeout: Duration::from_secs(120),
            retry_for: Duration::from_secs(600),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(15),
            window: 4,
            check_digest: true,
        }
    }
}

/// Client of a hub.
#[derive(Debug)]
pub struct HttpGateway {
    client: Client,
    url: Url,
    clock: Arc<dyn Clock>,
    options: HttpOptions,
}

/// What the hub sent back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

fn client_error(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> GatewayError {
    move |source| GatewayError::Client { what, source }
}

impl HttpGateway {
    /// Reads the certificates and makes a client. No connection is made yet.
    pub fn new(options: HttpOptions, clock: Arc<dyn Clock>) -> Result<Self, GatewayError> {
        let url = Url::parse(&options.url).map_err(|e| client_error("the hub's address is no URL")(e.into()))?;
        if url.scheme() != "https" {
            return Err(client_error("the hub's address must begin with https://")(options.url.as_str().into()));
        }
        let tls = tls_config(&options)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(options.timeout)
            .connect_timeout(Duration::from_secs(10))
            .no_proxy()
            .user_agent(concat!("minqiao-connector/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| client_error("the HTTPS client cannot be made")(e.into()))?;
        Ok(Self { client, url, clock, options })
    }

    /// Asks whether the hub answers and the certificates of both sides are accepted; one attempt. The probes of the hub are
    /// on its operations port, which departments do not reach, so a route that is open to everyone is asked.
    pub async fn ready(&self) -> Result<(), GatewayError> {
        let url = self.endpoint(&["v1", "keys"])?;
        match self.client.get(url).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(refused(answer).await),
            Err(error) => {
                Err(GatewayError::Unavailable { attempts: 1, elapsed: Duration::ZERO, source: Some(error.into()) })
            }
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks until it is answered for good or patience ends; for requests that may be repeated.
    pub(crate) async fn ask(&self, what: &str, make: impl Fn() -> RequestBuilder) -> Result<Answer, GatewayError> {
        let begun = self.clock.monotonic();
        let mut attempt = 0u32;
        loop {
            attempt += 1;
            let (asked, source) = match make().send().await {
                Ok(answer) if answer.status().is_success() => {
                    let headers = answer.headers().clone();
                    match read_bounded(answer).await {
                        Ok(body) => return Ok(Answer { headers, body }),
                        Err(error) => (None, error),
                    }
                }
                Ok(answer) if may_pass(answer.status()) => {
                    let asked = retry_after(&answer);
                    (asked, refused(answer).await.into())
                }
                Ok(answer) => return Err(refused(answer).await),
                Err(error) => (None, error.into()),
            };
            let elapsed = self.clock.monotonic().saturating_sub(begun);
            let pause = self.pause(what, attempt).max(asked.unwrap_or_default());
            if elapsed + pause > self.options.retry_for {
                return Err(GatewayError::Unavailable { attempts: attempt, elapsed, source: Some(source) });
            }
            tracing::debug!(what, attempt, pause_ms = pause.as_millis() as u64, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    pub(crate) fn endpoint(&self, path: &[&str]) -> Result<Url, GatewayError> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => return Err(client_error("the hub's address cannot have a path")("".into())),
        }
        Ok(url)
    }

    /// Sends until it is answered for good or patience ends.
    async fn post(
        &self,
        path: &[&str],
        content_type: &'static str,
        id: &BatchId,
        after: Option<&BatchId>,
        body: Bytes,
    ) -> Result<Receipt, GatewayError> {
        let url = self.endpoint(path)?;
        let begun = self.clock.monotonic();
        let mut attempt = 0u32;
        loop {
            attempt += 1;
            let mut request = self.client.post(url.clone()).header(CONTENT_TYPE, content_type);
            if let Some(after) = after {
                request = request.header("Minqiao-After", after.as_str());
            }
            let sent = request.header("Idempotency-Key", id.as_str()).body(body.clone()).send().await;
            let (asked, source) = match sent {
                Ok(answer) if answer.status().is_success() => match read_receipt(answer).await {
                    Ok(receipt) => return Ok(receipt),
                    // The answer broke off: the batch may be stored, asking again tells.
                    Err(ReadError::Broken(error)) => (None, error),
                    Err(ReadError::NoReceipt) => return Err(GatewayError::BadReceipt("not a receipt")),
                },
                Ok(answer) if may_pass(answer.status()) => {
                    let asked = retry_after(&answer);
                    (asked, format!("status {}", answer.status().as_u16()).into())
                }
                Ok(answer) => return Err(refused(answer).await),
                Err(error) => (None, error.into()),
            };
            let elapsed = self.clock.monotonic().saturating_sub(begun);
            let pause = self.pause(id.as_str(), attempt).max(asked.unwrap_or_default());
            if elapsed + pause > self.options.retry_for {
                return Err(GatewayError::Unavailable { attempts: attempt, elapsed, source: Some(source) });
            }
            tracing::debug!(batch = id.as_str(), attempt, pause_ms = pause.as_millis() as u64, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Exponential, between half and the whole of the step.
    fn pause(&self, id: &str, attempt: u32) -> Duration {
        let step = self.options.pause_min.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let step = step.min(self.options.pause_max);
        let mut digest = FastDigest::default();
        digest.update(id.as_bytes());
        digest.update(&attempt.to_le_bytes());
        let fraction = (digest.finish() >> 32) as f64 / f64::from(u32::MAX);
        step.mul_f64(0.5 + 0.5 * fraction)
    }

    fn check_digest(&self, receipt: &Receipt, body: &Bytes) -> Result<(), GatewayError> {
        if self.options.check_digest && !receipt.content_digest.eq_ignore_ascii_case(&hex::encode(Sm3::digest(body))) {
            return Err(GatewayError::BadReceipt("another content digest"));
        }
        Ok(())
    }
}

#[async_trait]
impl Gateway for HttpGateway {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        let Submission { item, batch_id, after, batch } = submission;
        let rows = batch.num_rows();
        let body = arrow_stream(&batch)?;
        let path = ["v1", "items", &item, "batches"];
        let media_type = "application/vnd.apache.arrow.stream";
        let receipt = self.post(&path, media_type, &batch_id, after.as_ref(), body.clone()).await?;
        check_receipt(&receipt, &item, &batch_id, rows)?;
        self.check_digest(&receipt, &body)?;
        Ok(receipt)
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        let Rejection { item, batch_id, rows } = rejection;
        let body = ndjson(&rows)?;
        let path = ["v1", "items", &item, "rejects"];
        let receipt = self.post(&path, "application/x-ndjson", &batch_id, None, body.clone()).await?;
        check_receipt(&receipt, &item, &batch_id, rows.len())?;
        self.check_digest(&receipt, &body)?;
        Ok(receipt)
    }

    fn window(&self) -> usize {
        self.options.window
    }
}

/// A batch as one Arrow IPC stream.
pub fn arrow_stream(batch: &RecordBatch) -> Result<Bytes, GatewayError> {
    let failed = |e: arrow::error::ArrowError| client_error("the batch cannot be written")(e.into());
    let mut body = Vec::with_capacity(batch.get_array_memory_size() + 4096);
    let mut writer = StreamWriter::try_new(&mut body, &batch.schema()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.finish().map_err(failed)?;
    drop(writer);
    Ok(Bytes::from(body))
}

/// Rows without canonical form, one JSON object a line.
pub fn ndjson(rows: &[RejectedRow]) -> Result<Bytes, GatewayError> {
    let mut body = Vec::with_capacity(rows.len() * 512);
    for row in rows {
        serde_json::to_writer(&mut body, row).map_err(|e| client_error("a row cannot be written")(e.into()))?;
        body.push(b'\n');
    }
    Ok(Bytes::from(body))
}

fn tls_config(options: &HttpOptions) -> Result<rustls::ClientConfig, GatewayError> {
    let mut roots = rustls::RootCertStore::empty();
    let authorities = CertificateDer::pem_file_iter(&options.ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| client_error("the authority's certificates cannot be read")(e.into()))?;
    for authority in authorities {
        roots.add(authority).map_err(|e| client_error("an authority's certificate is not usable")(e.into()))?;
    }
    let chain = CertificateDer::pem_file_iter(&options.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| client_error("our certificate cannot be read")(e.into()))?;
    let key = PrivateKeyDer::from_pem_file(&options.key)
        .map_err(|e| client_error("our private key cannot be read")(e.into()))?;
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| client_error("TLS cannot be set up")(e.into()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| client_error("our certificate and key do not fit")(e.into()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// `Retry-After` in seconds, at most ten minutes; the form with a date is not used by the hub.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(600)))
}

enum ReadError {
    Broken(Box<dyn std::error::Error + Send + Sync>),
    NoReceipt,
}

async fn read_receipt(answer: Response) -> Result<Receipt, ReadError> {
    let body = read_bounded(answer).await.map_err(ReadError::Broken)?;
    serde_json::from_slice(&body).map_err(|_| ReadError::NoReceipt)
}

async fn read_bounded(mut answer: Response) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the answer exceeds 32 MiB".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn refused(answer: Response) -> GatewayError {
    let status = answer.status().as_u16();
    let problem = read_bounded(answer).await.ok().and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    match problem {
        Some(problem) => {
            let zh = problem.detail_zh.map(|zh| format!("{zh} / ")).unwrap_or_default();
            GatewayError::Refused { status, code: problem.code, detail: format!("{zh}{}", problem.detail) }
        }
        None => GatewayError::Refused { status, code: "unknown".into(), detail: "no explanation".into() },
    }
}
