//! The lake on an object store that speaks S3.
//!
//! A Delta commit is a PUT of the next log entry with `If-None-Match: *`: of two writers one gets it, the other hears
//! that it exists. Everything the lake promises rests upon that answer, and S3-compatible stores exist that ignore the
//! header, which would let the second writer replace the first one's commit. So the promise is put to the proof each
//! time a lake is opened: several writers create one object at the same time and exactly one of them must succeed.
//!
//! Files are durable when the store has answered; there is nothing to sync. A request that failed is repeated for a
//! bounded time; a PUT under a condition is not repeated after its answer was lost, because the log tells what became
//! of it (LAKE-2). Keys are static: read once, at the start; there is no search for keys in metadata services.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path as StorePath;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use uuid::Uuid;

use crate::LakeError;
use crate::options::Location;

/// Writers that try to create the same object in the proof.
const RIVALS: usize = 8;
/// Folder of the proof's objects, below the lake.
const PROOF: &str = "_minqiao_proof";
/// Region that stores without regions expect.
const DEFAULT_REGION: &str = "us-east-1";
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Keys of an account. Never printed.
#[derive(Clone)]
pub struct S3Credentials {
    /// Names the account.
    pub access_key_id: String,
    /// Signs its requests.
    pub secret_access_key: String,
    /// Belongs to keys that were lent for a time.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where the store is and how it is spoken to.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Bucket; it must exist.
    pub bucket: String,
    /// Path of the lake in the bucket, without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
    /// `https://host:port` of a store that is not Amazon's.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// The account.
    pub credentials: S3Credentials,
    /// Authority of the store's certificate, PEM; without it the system's authorities count.
    pub authority: Option<Vec<u8>>,
    /// Allows `http://` beyond this machine: keys are safe, because requests are signed, but rows travel in clear.
    pub allow_http: bool,
    /// The bucket stands in the host's name, not in the path.
    pub virtual_hosted: bool,
    /// Time of one request.
    pub request_timeout: Duration,
    /// Time for the attempts of one request.
    pub retry_for: Duration,
}

/// Why a store cannot hold the lake.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// Not `s3://bucket/prefix`.
    #[error("`{0}` is not of the form `s3://bucket/prefix`")]
    Url(String),
    /// The endpoint cannot be used.
    #[error("the endpoint `{endpoint}` {mistake}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        mistake: &'static str,
    },
    /// The client cannot be made.
    #[error("the client of the object store cannot be made")]
    Client(#[source] object_store::Error),
    /// The store does not answer, or refuses.
    #[error(
        "bucket `{bucket}` of the object store cannot be written and read; check endpoint, bucket, region and keys"
    )]
    Refused {
        /// The bucket.
        bucket: String,
        /// The store's answer.
        #[source]
        source: object_store::Error,
    },
    /// Two writers created the same object.
    #[error(
        "the object store ignores `If-None-Match: *`: {winners} of {RIVALS} writers created the same object in bucket \
         `{bucket}`. Commits of the lake would overwrite each other. Use a store that honours conditional PUT, upgrade \
         this one, or switch the condition on where a gateway in between removes it"
    )]
    Unconditional {
        /// The bucket.
        bucket: String,
        /// How many succeeded.
        winners: usize,
    },
}

impl S3Options {
    /// Options for `s3://bucket/prefix`, otherwise the defaults.
    pub fn at(url: &str, credentials: S3Credentials) -> Result<Self, S3Error> {
        let (bucket, prefix) = split_url(url)?;
        Ok(Self {
            bucket,
            prefix,
            endpoint: None,
            region: DEFAULT_REGION.to_owned(),
            credentials,
            authority: None,
            allow_http: false,
            virtual_hosted: false,
            request_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(20),
        })
    }

    /// Says what is wrong with an address and an endpoint, without speaking to anybody.
    pub fn check(url: &str, endpoint: Option<&str>, allow_http: bool) -> Result<(), S3Error> {
        split_url(url)?;
        endpoint.map_or(Ok(()), |endpoint| is_plain(endpoint, allow_http).map(drop))
    }

    /// The lake's address.
    pub fn url(&self) -> String {
        if self.prefix.is_empty() {
            format!("s3://{}/", self.bucket)
        } else {
            format!("s3://{}/{}/", self.bucket, self.prefix)
        }
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>, S3Error> {
        let plain = match &self.endpoint {
            Some(endpoint) => is_plain(endpoint, self.allow_http)?,
            None => false,
        };
        let mut client = ClientOptions::new()
            .with_allow_http(plain)
            .with_timeout(self.request_timeout)
            .with_connect_timeout(CONNECT_TIMEOUT);
        for authority in self.authority.iter() {
            for certificate in Certificate::from_pem_bundle(authority).map_err(S3Error::Client)? {
                client = client.with_root_certificate(certificate);
            }
        }
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
            max_retries: 10,
            retry_timeout: self.retry_for,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.credentials.access_key_id)
            .with_secret_access_key(&self.credentials.secret_access_key)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_allow_http(plain)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(token) = &self.credentials.session_token {
            builder = builder.with_token(token);
        }
        Ok(Arc::new(builder.build().map_err(S3Error::Client)?))
    }
}

impl Location {
    /// A bucket, after the proof that its store honours put-if-absent.
    pub async fn s3(options: &S3Options) -> Result<Self, LakeError> {
        let store = options.store().map_err(refuse)?;
        prove(store.as_ref(), &options.bucket, &options.prefix).await.map_err(refuse)?;
        Ok(Self::on(store, &options.url()))
    }

    /// Deletes every object below the location of an object store: for lakes that were made to be thrown away. Does
    /// nothing to a directory.
    pub async fn delete_all(&self) -> Result<(), LakeError> {
        let Some(prefix) = self.prefix().filter(|prefix| self.directory.is_none() && !prefix.as_ref().is_empty())
        else {
            return Ok(());
        };
        let found: Vec<_> = self.store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await?;
        let found = futures::stream::iter(found.into_iter().map(Ok));
        self.store.delete_stream(Box::pin(found)).try_collect::<Vec<_>>().await?;
        Ok(())
    }
}

fn refuse(error: S3Error) -> LakeError {
    LakeError::Location(Box::new(error))
}

/// Demands that of several writers of one new object exactly one succeeds, and that a later one does not either.
pub(crate) async fn prove(store: &dyn ObjectStore, bucket: &str, prefix: &str) -> Result<(), S3Error> {
    let refused = |source| S3Error::Refused { bucket: bucket.to_owned(), source };
    let path = StorePath::from(format!("{prefix}/{PROOF}/{}", Uuid::new_v4()));
    // The first stands before the others come, so that a store which looks and then writes is not excused by luck.
    let mut outcomes = vec![create(store, &path, 0).await];
    if let Some(Err(_)) = outcomes.first() {
        // It may have been stored all the same.
        let _gone = store.delete(&path).await;
        return outcomes.remove(0).map(drop).map_err(refused);
    }
    outcomes.extend(futures::future::join_all((1..RIVALS).map(|rival| create(store, &path, rival))).await);
    let raced = StorePath::from(format!("{prefix}/{PROOF}/{}", Uuid::new_v4()));
    let race = futures::future::join_all((0..RIVALS).map(|rival| create(store, &raced, rival))).await;
    for path in [&path, &raced] {
        store.delete(path).await.map_err(refused)?;
    }
    for outcomes in [outcomes, race] {
        let winners = count(outcomes).map_err(refused)?;
        // None is no proof of anything wrong: a winner whose answer was lost counts as a loser.
        if winners > 1 {
            return Err(S3Error::Unconditional { bucket: bucket.to_owned(), winners });
        }
    }
    Ok(())
}

/// Whether this writer created the object.
async fn create(store: &dyn ObjectStore, path: &StorePath, rival: usize) -> object_store::Result<bool> {
    let payload = PutPayload::from(rival.to_string().into_bytes());
    match store.put_opts(path, payload, PutOptions::from(PutMode::Create)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn count(outcomes: Vec<object_store::Result<bool>>) -> object_store::Result<usize> {
    outcomes.into_iter().try_fold(0, |winners, outcome| Ok(winners + usize::from(outcome?)))
}

/// Bucket and prefix of `s3://bucket/prefix`.
fn split_url(url: &str) -> Result<(String, String), S3Error> {
    let mistaken = || S3Error::Url(url.to_owned());
    let rest = url.strip_prefix("s3://").ok_or_else(mistaken)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let bucket_is_one = (3..=63).contains(&bucket.len()) && bucket.chars().all(named);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
    let prefix_is_one = prefix.is_empty() || prefix.split('/').all(part);
    if bucket_is_one && prefix_is_one { Ok((bucket.to_owned(), prefix.to_owned())) } else { Err(mistaken()) }
}

/// Whether the endpoint is spoken to without TLS, which it must not be beyond this machine unless it was `allowed`.
fn is_plain(endpoint: &str, allowed: bool) -> Result<bool, S3Error> {
    let mistaken = |mistake| S3Error::Endpoint { endpoint: endpoint.to_owned(), mistake };
    let (plain, rest) = match (endpoint.strip_prefix("http://"), endpoint.strip_prefix("https://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(mistaken("must begin with `https://`, or with `http://` on this machine")),
    };
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', '?', '#']) {
        return Err(mistaken("must name a host and a port, and nothing else"));
    }
    if plain && !allowed && !is_loopback(host) {
        return Err(mistaken("sends rows in clear to another machine: use `https://`, or set `allow_http`"));
    }
    Ok(plain)
}

/// `host`, `host:port`, `[v6]:port`.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn credentials() -> S3Credentials {
        S3Credentials {
            access_key_id: "account".into(),
            secret_access_key: "geheim".into(),
            session_token: Some("geheim".into()),
        }
    }

    #[test]
    fn addresses_are_taken_apart_and_mistakes_are_told() {
        for (url, again) in [("s3://city/lake/2026/", "s3://city/lake/2026/"), ("s3://city", "s3://city/")] {
            assert_eq!(S3Options::at(url, credentials()).expect("an address").url(), again);
        }
        for url in ["s3://", "s3://Ci", "s3://city/a//b", "s3://city/../x", "s3://city/a?b", "https://city/x", "/x"] {
            assert!(matches!(S3Options::at(url, credentials()), Err(S3Error::Url(_))), "{url}");
        }
    }

    #[test]
    fn rows_leave_the_machine_in_clear_only_when_asked() {
        for here in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000", "http://localhost"] {
            assert!(matches!(is_plain(here, false), Ok(true)), "{here}");
        }
        assert!(matches!(is_plain("https://s3.weihai.example", false), Ok(false)));
        assert!(is_plain("http://10.0.0.8:9000", false).is_err());
        assert!(matches!(is_plain("http://10.0.0.8:9000", true), Ok(true)));
        for mistake in ["10.0.0.8:9000", "http://", "http://localhost@evil.example", "http://localhost/bucket"] {
            assert!(is_plain(mistake, true).is_err(), "{mistake}");
        }
    }

    #[test]
    fn keys_are_never_printed() {
        let shown = format!("{:?}", S3Options::at("s3://city/lake", credentials()).expect("an address"));
        assert!(shown.contains("city") && !shown.contains("geheim"), "{shown}");
    }

    /// A store that takes the condition for a decoration.
    #[derive(Debug)]
    struct Careless(InMemory);

    impl fmt::Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Careless")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Careless {
        async fn put_opts(
            &self,
            location: &StorePath,
            payload: PutPayload,
            _: PutOptions,
        ) -> object_store::Result<object_store::PutResult> {
            self.0.put_opts(location, payload, PutOptions::default()).await
        }
        async fn put_multipart_opts(
            &self,
            location: &StorePath,
            options: object_store::PutMultipartOptions,
        ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }
        async fn get_opts(
            &self,
            location: &StorePath,
            options: object_store::GetOptions,
        ) -> object_store::Result<object_store::GetResult> {
            self.0.get_opts(location, options).await
        }
        fn delete_stream(
            &self,
            locations: futures::stream::BoxStream<'static, object_store::Result<StorePath>>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<StorePath>> {
            self.0.delete_stream(locations)
        }
        fn list(
            &self,
            prefix: Option<&StorePath>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(
            &self,
            prefix: Option<&StorePath>,
        ) -> object_store::Result<object_store::ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        async fn copy_opts(
            &self,
            from: &StorePath,
            to: &StorePath,
            options: object_store::CopyOptions,
        ) -> object_store::Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_condition_is_refused_and_the_proof_leaves_nothing() {
        let (honest, careless) = (InMemory::new(), Careless(InMemory::new()));
        prove(&honest, "city", "lake").await.expect("memory honours the condition");
        let error = prove(&careless, "city", "lake").await.expect_err("refused");
        assert!(matches!(&error, S3Error::Unconditional { winners: RIVALS, .. }), "{error}");
        assert!(error.to_string().contains("If-None-Match") && error.to_string().contains("`city`"), "{error}");
        for store in [&honest, &careless.0] {
            assert_eq!(store.list(None).try_collect::<Vec<_>>().await.expect("listed"), vec![]);
        }
    }
}
