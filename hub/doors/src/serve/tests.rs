//! Peers that take a place and do nothing with it, on a real listener. A test that would wait for ever without a limit
//! fails at [`PATIENCE`].

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use axum::body::{Body, Bytes};
use axum::routing::get;
use futures::StreamExt;
use futures::stream;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::{TlsFiles, server_config};

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3600);
const NEAR: Ipv4Addr = Ipv4Addr::LOCALHOST;
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The preface of HTTP/2 and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET /` on stream 1: end of stream and headers; three entries of the static table and an authority.
const HEAD: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";

struct Listening {
    address: SocketAddr,
    stop: CancellationToken,
    over: JoinHandle<()>,
}

/// No limit that a test does not set strikes.
fn patient() -> ServeOptions {
    ServeOptions {
        connections_max: 512,
        handshake_timeout: LONG,
        idle_timeout: LONG,
        ping_interval: LONG,
        ping_timeout: LONG,
        drain_timeout: LONG,
    }
}

async fn listen(options: ServeOptions, tls: Option<Arc<rustls::ServerConfig>>) -> Listening {
    let listener = TcpListener::bind((NEAR, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let drops = || {
        let drops = stream::iter(0..10).then(|n| async move {
            tokio::time::sleep(SHORT / 2).await;
            Ok::<_, Infallible>(Bytes::from(n.to_string()))
        });
        Body::from_stream(drops)
    };
    let late = || async {
        tokio::time::sleep(SHORT * 5).await;
        "late"
    };
    let router = Router::new()
        .route("/", get(std::future::pending::<()>))
        .route("/now", get(|| async { "now" }))
        .route("/late", get(late))
        .route("/drops", get(move || async move { drops() }));
    let stop = CancellationToken::new();
    let over = tokio::spawn(serve(listener, tls, router, options, stop.clone()));
    Listening { address, stop, over }
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((IpAddr::V4(from), 0).into()).expect("an address of the loopback");
    socket.connect(to).await.expect("a connection")
}

/// What the peer sends until it closes.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it closes");
    // A reset is an end as well.
    read.map_or_else(|_| Vec::new(), |_| bytes)
}

/// Asks once, keeping the connection.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<String> {
    stream.write_all(b"GET /now HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let mut bytes = vec![0; 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer or an end")?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    let hub = listen(ServeOptions { handshake_timeout: SHORT, idle_timeout: SHORT, ..patient() }, None).await;
    for begun in [b"".as_slice(), b"P", b"GET /now HT", PREFACE, &PREFACE[..20]] {
        let mut stream = connect(NEAR, hub.address).await;
        stream.write_all(begun).await.expect("sent");
        until_closed(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_silent_after_an_answer_is_closed() {
    let hub = listen(ServeOptions { idle_timeout: SHORT, ..patient() }, None).await;
    let mut stream = connect(NEAR, hub.address).await;
    assert!(ask(&mut stream).await.expect("an answer").ends_with("now"));
    until_closed(&mut stream).await;

    let client = reqwest::Client::builder().http2_prior_knowledge().pool_idle_timeout(None);
    let client = client.build().expect("a client");
    let get = async || client.get(format!("http://{}/now", hub.address)).send().await.expect("an answer").remote_addr();
    for _ in 0..2 {
        get().await;
        tokio::time::sleep(SHORT * 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_not_cut() {
    let limits = ServeOptions {
        handshake_timeout: SHORT,
        idle_timeout: SHORT,
        ping_interval: SHORT,
        ping_timeout: PATIENCE,
        ..patient()
    };
    let hub = listen(limits, None).await;
    for http2 in [false, true] {
        let client = reqwest::Client::builder();
        let client = if http2 { client.http2_prior_knowledge() } else { client.http1_only() };
        let client = client.build().expect("a client");
        for (path, whole) in [("late", "late"), ("drops", "0123456789")] {
            let answer = client.get(format!("http://{}/{path}", hub.address)).send().await.expect("an answer");
            assert_eq!(answer.text().await.expect("all of it"), whole, "HTTP/2: {http2}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_vanished_holds_no_request_open() {
    let hub = listen(ServeOptions { ping_interval: SHORT, ping_timeout: SHORT, ..patient() }, None).await;
    let mut stream = connect(NEAR, hub.address).await;
    stream.write_all(&[PREFACE, HEAD].concat()).await.expect("sent");
    let said = until_closed(&mut stream).await;
    let ping = b"\0\0\x08\x06\0\0\0\0\0";
    assert!(said.windows(ping.len()).any(|frame| frame == ping), "it was asked whether it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_every_place() {
    let options = ServeOptions { connections_max: 40, ..patient() };
    let share = options.connections_per_address_max();
    assert_eq!((share, patient().connections_per_address_max()), (16, 128));
    let hub = listen(options, None).await;
    let mut idle = Vec::new();
    for _ in 0..share {
        let mut stream = connect(NEAR, hub.address).await;
        ask(&mut stream).await.expect("an answer");
        idle.push(stream);
    }
    for _ in 0..40 {
        until_closed(&mut connect(NEAR, hub.address).await).await;
    }
    assert!(ask(&mut connect(FAR, hub.address).await).await.expect("an answer").ends_with("now"), "others are served");

    idle.pop();
    let again = async {
        while !ask(&mut connect(NEAR, hub.address).await).await.is_ok_and(|answer| answer.ends_with("now")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place that was given back can be taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_a_certificate_counts_against_no_address() {
    let city = City::new();
    let hub = listen(ServeOptions { connections_max: 40, ..patient() }, Some(city.server())).await;
    let known = city.client(Some("civil-affairs.371002"));
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = shake_hands(&known, hub.address).await.expect("a handshake");
        assert!(ask(&mut stream).await.expect("an answer").ends_with("now"));
        open.push(stream);
    }
    let stranger = city.client(None);
    let mut strangers = Vec::new();
    for _ in 0..16 {
        let mut stream = shake_hands(&stranger, hub.address).await.expect("a handshake");
        assert!(ask(&mut stream).await.expect("an answer").ends_with("now"));
        strangers.push(stream);
    }
    shake_hands(&stranger, hub.address).await.expect_err("strangers have their share");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_what_is_under_way_and_for_nothing_else() {
    let hub = listen(ServeOptions { idle_timeout: SHORT * 20, ..patient() }, None).await;
    let mut silent = connect(NEAR, hub.address).await;
    let mut unanswering = connect(NEAR, hub.address).await;
    unanswering.write_all(PREFACE).await.expect("sent");
    let late = tokio::spawn(reqwest::get(format!("http://{}/late", hub.address)));
    tokio::time::sleep(SHORT).await;
    hub.stop.cancel();
    let late = late.await.expect("no panic").expect("an answer").text().await.expect("all of it");
    assert_eq!(late, "late");
    until_closed(&mut silent).await;
    tokio::time::timeout(PATIENCE, hub.over).await.expect("drained").expect("no panic");
}

/// An authority, and what it signed.
struct City {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl City {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "a city");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).expect("written");
        let city = Self { folder, issuer: Issuer::new(params, key) };
        city.issue("server", "hub");
        city
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, file: &str, name: &str) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.file(&format!("{file}.pem")), certificate.pem()).expect("written");
        std::fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).expect("written");
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        server_config(&TlsFiles {
            certificate: self.file("server.pem"),
            private_key: self.file("server.key"),
            client_authority: self.file("authority.pem"),
        })
        .expect("TLS")
    }

    fn client(&self, name: Option<&str>) -> TlsConnector {
        let read = |file: &str| CertificateDer::from_pem_file(self.file(file)).expect("a certificate");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(read("authority.pem")).expect("usable");
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                self.issue("client", name);
                let key = PrivateKeyDer::from_pem_file(self.file("client.key")).expect("a key");
                config.with_client_auth_cert(vec![read("client.pem")], key).expect("a pair")
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn shake_hands(
    client: &TlsConnector,
    to: SocketAddr,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    client.connect(ServerName::try_from("localhost").expect("a name"), connect(NEAR, to).await).await
}
