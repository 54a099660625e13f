//! The listener: accepts connections, limits each of them, and closes them when the server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connections::{ConnectionSlot, Connections};
use super::guard::Peer;
use super::smuggling_guard::GuardedConnection;
use crate::server::context::metrics::Metrics;

/// The number of connections that may be ending while new ones start.
const ENDING: usize = 128;

/// How long a client may be idle between requests.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The largest number of headers of a request.
const MAX_HEADERS: usize = 100;

/// How long the server waits for open requests when it stops.
pub const DRAIN: Duration = Duration::from_secs(15);

/// Accepts connections until `stop` is true; then lets open requests finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let mut open = JoinSet::new();
    let most = connections.places() + ENDING;
    loop {
        while open.try_join_next().is_some() {}
        let next = async {
            // Connections that were closed for others end at once. There is no other reason to wait here.
            while open.len() >= most {
                open.join_next().await;
            }
            listener.accept().await
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = stop.wait_for(|s| *s) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                metrics.connected();
                let place = connections.open(peer.ip());
                open.spawn(one(stream, peer, place, router.clone(), stop.clone()));
            }
            // No file descriptor was free, or the client has disconnected. The next one may work.
            Err(_) => {
                connections.spare();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Handles one connection.
async fn one(
    stream: TcpStream,
    peer: SocketAddr,
    place: ConnectionSlot,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let inner = TowerToHyperService::new(router);
    let seat = place.seat();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(seat.clone());
        request.extensions_mut().insert(Peer(peer));
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let wire = GuardedConnection::new(stream);
    let pace = wire.pace();
    let connection = builder.serve_connection(TokioIo::new(wire), service);
    tokio::pin!(connection);
    tokio::select! {
        // A client that breaks the protocol or disconnects is not reported.
        _ = connection.as_mut() => return,
        () = pace.too_slow() => return,
        () = place.taken() => return,
        _ = stop.wait_for(|s| *s) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
