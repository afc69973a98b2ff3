//! A balancer of connections, as a Service of Kubernetes is one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A connection is cut after it, so that a client does not stay with one server.
const CUT_AFTER: Duration = Duration::from_secs(2);

/// Sends each connection to the next server that answers, until it is dropped.
#[derive(Debug)]
pub struct Balancer {
    port: u16,
    task: JoinHandle<()>,
}

impl Balancer {
    /// In front of these ports of loopback.
    pub async fn start(servers: Vec<u16>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        Ok(Self { port, task: tokio::spawn(balance(listener, servers)) })
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn balance(listener: TcpListener, mut servers: Vec<u16>) {
    loop {
        let Ok((mut from, _)) = listener.accept().await else { continue };
        servers.rotate_left(1);
        let servers = servers.clone();
        tokio::spawn(async move {
            for port in servers {
                if let Ok(mut to) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await {
                    let carried = tokio::io::copy_bidirectional(&mut from, &mut to);
                    let _cut = tokio::time::timeout(CUT_AFTER, carried).await;
                    return;
                }
            }
        });
    }
}
