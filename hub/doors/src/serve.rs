//! Accept loops. The caller hands over the listener and the token that ends it; nothing here binds or decides when to
//! stop. Connections are bounded (D12): beyond the limit a connection waits in the kernel's queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::tls::common_name;

/// Who is at the other end of a connection, as far as the transport knows.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address, for logs.
    pub address: SocketAddr,
    /// Common name of the verified client certificate.
    pub certificate_name: Option<Arc<str>>,
}

/// Bounds of one listener.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections served at the same time.
    pub connections_max: usize,
    /// Time a client has for the TLS handshake and for sending its request head.
    pub handshake_timeout: Duration,
    /// Time that open requests get to finish on shutdown.
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections_max: 512,
            handshake_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` on `listener` until `stop`; `tls` of `None` is for the operations port on loopback.
/// Returns when every connection has drained or the drain time has passed.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(options.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors and the like: let others finish first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, router, options) = (acceptor.clone(), router.clone(), options.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            connection(stream, address, acceptor, router, &options, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(options.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the drain time ended");
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    options: &ServeOptions,
    watcher: hyper_util::server::graceful::Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(options.handshake_timeout);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(64);
    let Some(acceptor) = acceptor else {
        let peer = Peer { address, certificate_name: None };
        let connection = server.serve_connection(TokioIo::new(stream), service(router, peer));
        finish(watcher.watch(connection.into_owned()).await);
        return;
    };
    let stream = match tokio::time::timeout(options.handshake_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%address, %error, "TLS handshake refused");
            return;
        }
        Err(_) => {
            tracing::info!(%address, "TLS handshake took too long");
            return;
        }
    };
    let certificate_name =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(common_name).map(Arc::from);
    let peer = Peer { address, certificate_name };
    let connection = server.serve_connection(TokioIo::new(stream), service(router, peer));
    finish(watcher.watch(connection.into_owned()).await);
}

fn finish(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}

fn service(
    router: Router,
    peer: Peer,
) -> impl hyper::service::Service<
    hyper::Request<hyper::body::Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Clone {
    hyper_util::service::TowerToHyperService::new(tower::service_fn(
        move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request)
        },
    ))
}
