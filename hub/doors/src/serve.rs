//! Accept loops. The caller hands over the listener and the token that ends it; nothing here binds or decides when to
//! stop. Connections are bounded (D12): beyond the limit a connection waits in the kernel's queue, and beyond its
//! address's share it is closed. A place is held only by who uses it: there is a deadline for the handshake, another for
//! the head of the first request, and a limit for silence between requests ([`activity`]). Peers of HTTP/2 are pinged, so
//! that one that vanished holds no stream open.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::tls::common_name;

mod activity;
mod addresses;

use activity::{Activity, Held, Patience, Watched};
use addresses::{Addresses, Share};

/// Time that a connection gets to end once it was asked to and nothing is under way on it.
const GOODBYE: Duration = Duration::from_secs(5);

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
    /// Time a client has for the TLS handshake, and then for the head of a request.
    pub handshake_timeout: Duration,
    /// Time a connection may stay without a request under way.
    pub idle_timeout: Duration,
    /// Time between two pings of HTTP/2.
    pub ping_interval: Duration,
    /// Time a peer has to answer a ping.
    pub ping_timeout: Duration,
    /// Time that open requests get to finish on shutdown.
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections_max: 512,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

impl ServeOptions {
    /// Connections without a certificate that one client address may hold: a quarter of all, and 16 in any case.
    pub fn connections_per_address_max(&self) -> usize {
        (self.connections_max / 4).max(16)
    }

    fn patience(&self) -> Patience {
        Patience { first: self.handshake_timeout, later: self.idle_timeout, goodbye: GOODBYE.min(self.idle_timeout) }
    }
}

/// What every connection of a listener shares.
struct Door {
    acceptor: Option<TlsAcceptor>,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
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
    let places = Arc::new(Semaphore::new(options.connections_max));
    let addresses = Addresses::new(options.connections_per_address_max());
    let drain_timeout = options.drain_timeout;
    let door = Arc::new(Door { acceptor: tls.map(TlsAcceptor::from), router, options, stop });
    let connections = TaskTracker::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = door.stop.cancelled() => break,
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
        let Some(share) = addresses.enter(address.ip()) else {
            tracing::info!(%address, "closed: its address has its share of the connections");
            continue;
        };
        let door = door.clone();
        connections.spawn(async move {
            connection(stream, address, &door, share).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("connections were still open when the drain time ended");
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, door: &Door, share: Share) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let Some(acceptor) = &door.acceptor else {
        return door.answer(stream, Peer { address, certificate_name: None }).await;
    };
    let stream = match tokio::time::timeout(door.options.handshake_timeout, acceptor.accept(stream)).await {
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
    let certificates = stream.get_ref().1.peer_certificates();
    let _share = certificates.is_none().then_some(share);
    let certificate_name = certificates.and_then(|chain| chain.first()).and_then(common_name).map(Arc::from);
    door.answer(stream, Peer { address, certificate_name }).await;
}

impl Door {
    fn server(&self) -> auto::Builder<TokioExecutor> {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(self.options.handshake_timeout);
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(64)
            .keep_alive_interval(self.options.ping_interval)
            .keep_alive_timeout(self.options.ping_timeout);
        server
    }

    /// Answers the requests of a connection until the peer leaves, is quiet for too long, or the hub stops.
    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: Peer) {
        let activity = Activity::new();
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        let service = service(self.router.clone(), peer, activity.clone());
        let server = self.server();
        let mut connection = pin!(server.serve_connection(stream, service));
        let mut closing = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if closing.is_none() => {}
                () = activity.quiet(self.options.patience(), closing) => {
                    if closing.is_some() {
                        return;
                    }
                }
            }
            closing = Some(Instant::now());
            connection.as_mut().graceful_shutdown();
        }
    }
}

fn service(
    router: Router,
    peer: Peer,
    activity: Arc<Activity>,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = hyper::Response<Held>,
    Error = Infallible,
    Future: Send + 'static,
> {
    hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let under_way = activity.request();
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer.clone());
        let answer = router.clone().oneshot(request);
        async move { answer.await.map(|response| response.map(|body| Held::new(body, under_way))) }
    })
}

#[cfg(test)]
mod tests;
