//! The running proxy: bound, serving, drained.

use crate::admin;
use crate::client::Client;
use crate::config::ProxyConfig;
use crate::drain::Phase;
use crate::proxy::Proxy;
use crate::{answer, connection, listener};
use hyper::service::service_fn;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

/// Why the proxy could not start.
#[derive(Debug)]
pub struct BindError {
    /// What the address was for: `requests` or `admin`.
    pub purpose: &'static str,
    /// The address as it was given.
    pub address: String,
    /// Why it cannot be listened on.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError {
            purpose,
            address,
            source,
        } = self;
        if source.kind() == io::ErrorKind::AddrInUse {
            return write!(
                f,
                "cannot listen on {address} for {purpose}: the port is in use; stop what uses it, \
                 or choose another"
            );
        }
        write!(f, "cannot listen on {address} for {purpose}: {source}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// How far a server has been told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    Drain,
    DrainAtOnce,
    Now,
}

/// Stops a server. Requests to stop only ever become more urgent.
#[derive(Clone, Debug)]
pub struct StopHandle {
    stop: watch::Sender<Stop>,
}

impl StopHandle {
    /// Readiness goes, and after the drain delay the listener closes; what runs is finished.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
    }

    /// The same without the delay.
    pub fn drain_at_once(&self) {
        self.raise(Stop::DrainAtOnce);
    }

    /// Cuts everything.
    pub fn now(&self) {
        self.raise(Stop::Now);
    }

    fn raise(&self, to: Stop) {
        self.stop.send_if_modified(|now| {
            let raised = to > *now;
            *now = to.max(*now);
            raised
        });
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut with a request on them, or half of one.
    pub cut: usize,
}

/// A proxy that has its addresses and serves nobody yet.
pub struct Server {
    proxy: Arc<Proxy>,
    requests: TcpListener,
    admin: Option<TcpListener>,
    stop: StopHandle,
}

impl Server {
    /// Takes the addresses.
    ///
    /// # Errors
    /// When one of them cannot be listened on; then neither is.
    pub async fn bind(config: ProxyConfig) -> Result<Server, BindError> {
        let requests = bind("requests", &config.listen).await?;
        let admin = match &config.admin {
            None => None,
            Some(address) => Some(bind("admin", address).await?),
        };
        let stop = StopHandle {
            stop: watch::Sender::new(Stop::No),
        };
        Ok(Server {
            proxy: Proxy::new(config),
            requests,
            admin,
            stop,
        })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// What the operating system says when it does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.requests.local_addr()
    }

    /// Where the admin endpoints are, if anywhere.
    ///
    /// # Errors
    /// What the operating system says when it does not know.
    pub fn admin_address(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Stops this server, from anywhere.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Serves until stopped, then drains.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; connections that are open go on in their own tasks.
    /// Stop with the handle instead.
    pub async fn run(self) -> Drained {
        let Server {
            proxy,
            requests,
            admin,
            stop,
        } = self;
        let admin = admin.map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&proxy))));
        let sweeper = tokio::spawn(sweep(Arc::clone(&proxy)));
        let mut stop = stop.stop.subscribe();
        let door = Door {
            room: Arc::new(Semaphore::new(
                proxy
                    .bounds
                    .max_connections
                    .clamp(1, Semaphore::MAX_PERMITS),
            )),
            tracker: TaskTracker::new(),
            proxy,
        };
        tokio::select! {
            biased;
            () = reached(&mut stop, Stop::Drain) => {}
            () = door.accept_all(&requests) => {}
        }
        let drained = door.drain(requests, &mut stop).await;
        sweeper.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
        drained
    }
}

async fn bind(purpose: &'static str, address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError {
            purpose,
            address: address.to_owned(),
            source,
        })
}

async fn reached(stop: &mut watch::Receiver<Stop>, at_least: Stop) {
    if stop.wait_for(|now| *now >= at_least).await.is_err() {
        // Every handle is gone: nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// Closes idle upstream connections that have become too old to use.
async fn sweep(proxy: Arc<Proxy>) {
    let mut tick = tokio::time::interval(
        proxy
            .bounds
            .upstream_idle_timeout
            .max(Duration::from_millis(100)),
    );
    loop {
        tick.tick().await;
        for upstream in &proxy.upstreams {
            upstream.pool.sweep();
        }
    }
}

/// Where connections come in.
struct Door {
    proxy: Arc<Proxy>,
    room: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Door {
    /// Accepts for ever, within the room there is.
    async fn accept_all(&self, listener: &TcpListener) {
        while let Ok(place) = Arc::clone(&self.room).acquire_owned().await {
            let (stream, peer) = listener::accept(listener).await;
            self.admit(stream, peer, Some(place));
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, place: Option<OwnedSemaphorePermit>) {
        let proxy = Arc::clone(&self.proxy);
        proxy.metrics.connections.inc();
        self.tracker.spawn(async move {
            let _open = Open {
                proxy: Arc::clone(&proxy),
                _place: place,
            };
            // Without it the last segment of an answer waits for the client's acknowledgement.
            let _ = stream.set_nodelay(true);
            let service = |activity: &Arc<_>| {
                let client = Client::new(Arc::clone(&proxy), Arc::clone(activity), peer);
                service_fn(move |request| answer::answer(Arc::clone(&client), request))
            };
            let refused = || proxy.metrics.invalid("bad_head");
            connection::serve(stream, service, refused, &proxy.bounds, &proxy.drain).await;
        });
    }

    async fn drain(self, requests: TcpListener, stop: &mut watch::Receiver<Stop>) -> Drained {
        let Door { proxy, .. } = &self;
        let stopping = &proxy.stopping;
        proxy.drain.enter(Phase::Draining);
        tracing::info!(delay = ?stopping.delay, "draining: not ready any more, still accepting");
        tokio::select! {
            biased;
            () = reached(stop, Stop::DrainAtOnce) => {}
            () = tokio::time::sleep(stopping.delay) => {}
            () = self.accept_all(&requests) => {}
        }
        tokio::select! {
            biased;
            () = reached(stop, Stop::Now) => {}
            () = listener::close(requests, |stream, peer| self.admit(stream, peer, None)) => {}
        }
        proxy.drain.enter(Phase::Closing(Instant::now()));
        self.tracker.close();
        tracing::info!(connections = self.tracker.len(), "listener closed");
        tokio::select! {
            biased;
            () = self.tracker.wait() => return Drained { cut: 0 },
            () = reached(stop, Stop::Now) => {}
            () = tokio::time::sleep(stopping.timeout) => {}
        }
        let cut = usize::try_from(proxy.metrics.in_flight.get()).unwrap_or(0);
        proxy.metrics.drain_cut.inc_by(cut as u64);
        proxy.drain.enter(Phase::Aborting);
        self.tracker.wait().await;
        Drained { cut }
    }
}

/// One open connection, as long as this lives.
struct Open {
    proxy: Arc<Proxy>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.proxy.metrics.connections.dec();
    }
}
