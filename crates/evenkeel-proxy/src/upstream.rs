//! Connections to one upstream, and one exchange over one of them.
//!
//! hyper's own pool runs each connection in a task of its own and talks to it through channels.
//! Here a connection belongs to whoever uses it: the task of the request drives it, and when that
//! task lets go of it in the middle of an exchange the connection is closed, there and then. That
//! is three things at once. Cancellation is a drop, with no window in which work goes on for a
//! client who left. Nothing is scheduled twice, so an exchange costs no wake-ups between tasks.
//! And the pool knows what happened to a request: a message that hyper hands back unsent, or that
//! met a connection already closed, provably never left and may go again whatever its method.

use crate::config::{Bounds, MAX_FIELDS};
use crate::replay::AttemptBody;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    authority: Authority,
    port: u16,
}

impl Origin {
    /// Reads `http://host[:port]`.
    ///
    /// # Errors
    /// One clause that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Origin, String> {
        let uri: Uri = url.parse().map_err(|_| format!("`{url}` is not a URL"))?;
        let Some(authority) = uri.authority() else {
            return Err(format!(
                "`{url}` names no host; write it as http://HOST:PORT"
            ));
        };
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(format!(
                "`{url}` is not http; TLS to upstreams is not there yet"
            ));
        }
        if authority.as_str().contains('@') {
            return Err(format!(
                "`{url}` has a user part, which would be sent to nobody"
            ));
        }
        if !matches!(
            uri.path_and_query().map(PathAndQuery::as_str),
            None | Some("/")
        ) {
            return Err(format!(
                "`{url}` has a path: an upstream is a host and a port"
            ));
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            _ => match authority.port_u16() {
                Some(port) if port > 0 => port,
                _ => return Err(format!("`{url}` has no usable port")),
            },
        };
        Ok(Origin {
            authority: authority.clone(),
            port,
        })
    }

    /// `host[:port]` as it was written.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    /// The port, 80 where none was written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Why an exchange brought no answer.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum ExchangeError {
    /// No connection could be opened: nothing was sent.
    Connect(io::Error),
    /// None could be opened in time: nothing was sent.
    ConnectTimeout(Duration),
    /// The connection failed after the request was on its way: nobody knows what was done.
    Broken(hyper::Error),
    /// The upstream switched protocols without being asked.
    Switched,
    /// The body cannot be sent from its beginning any more.
    BodyGone,
    /// The time of the attempt was over, and the client had not sent its body.
    ClientStalled,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeError::Connect(error) => write!(f, "could not connect: {error}"),
            ExchangeError::ConnectTimeout(after) => write!(f, "no connection within {after:?}"),
            ExchangeError::Broken(error) => write!(f, "the exchange broke off: {error}"),
            ExchangeError::Switched => f.write_str("switched protocols without being asked"),
            ExchangeError::BodyGone => f.write_str("the request body cannot be sent again"),
            ExchangeError::ClientStalled => {
                f.write_str("the request body did not arrive in the time of an attempt")
            }
        }
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExchangeError::Connect(error) => Some(error),
            ExchangeError::Broken(error) => Some(error),
            _ => None,
        }
    }
}

/// One connection, driven by whoever holds it.
pub(crate) struct Link {
    sender: SendRequest<AttemptBody>,
    driver: http1::Connection<TokioIo<TcpStream>, AttemptBody>,
    /// The driver has returned; it must not be polled again.
    ended: bool,
    /// The other side once answered in HTTP/1.0. hyper would answer in kind on the next request
    /// and drop a chunked body without a word, so such a connection serves one exchange.
    old_peer: bool,
    idle_since: Instant,
}

impl Link {
    /// Moves bytes.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.driver).poll(cx).is_ready() {
            self.ended = true;
        }
    }

    /// Whether another request may be sent on it now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ended && !self.old_peer && self.sender.is_ready()
    }
}

/// One upstream's connections.
pub(crate) struct Pool {
    origin: Origin,
    builder: http1::Builder,
    connect_timeout: Duration,
    idle_timeout: Duration,
    max_idle: usize,
    /// The most recently used at the back: reused first, so that the others age out.
    idle: Mutex<VecDeque<Box<Link>>>,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(origin: Origin, bounds: &Bounds) -> Pool {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(bounds.max_buffer_bytes.max(8192));
        builder.max_headers(MAX_FIELDS);
        builder.max_header_size(bounds.max_head_bytes);
        Pool {
            origin,
            builder,
            connect_timeout: bounds.connect_timeout,
            idle_timeout: bounds.upstream_idle_timeout,
            max_idle: bounds.upstream_idle_connections,
            idle: Mutex::default(),
        }
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// A pooled connection that turns out to be closed before the request was on it is replaced:
    /// that is not an attempt, nothing has left.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection it uses. The request is lost.
    ///
    /// `make` is asked for the request only once there is a connection for it.
    pub(crate) async fn exchange(
        &self,
        make: impl FnOnce() -> Result<Request<AttemptBody>, ExchangeError>,
    ) -> Result<(Response<Incoming>, Box<Link>), ExchangeError> {
        let mut make = Some(make);
        let mut unsent = None;
        loop {
            let (mut link, fresh) = match poll_fn(|cx| Poll::Ready(self.take_idle(cx))).await {
                Some(link) => (link, false),
                None => (self.connect().await?, true),
            };
            let request = match (unsent.take(), make.take()) {
                (Some(request), _) => request,
                (None, Some(make)) => make()?,
                (None, None) => return Err(ExchangeError::BodyGone),
            };
            let sent = link.sender.try_send_request(request);
            let mut answer = pin!(sent);
            let result = poll_fn(|cx| {
                link.drive(cx);
                answer.as_mut().poll(cx)
            })
            .await;
            match result {
                Ok(response) if response.status().as_u16() == 101 => {
                    return Err(ExchangeError::Switched);
                }
                Ok(response) => {
                    link.old_peer = response.version() != Version::HTTP_11;
                    return Ok((response, link));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(request) if !fresh => unsent = Some(request),
                    Some(_) => {
                        let closed = io::Error::new(
                            io::ErrorKind::ConnectionReset,
                            "closed by the upstream before a request was sent",
                        );
                        return Err(ExchangeError::Connect(closed));
                    }
                    None => return Err(ExchangeError::Broken(failed.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Box<Link>, ExchangeError> {
        let stream = tokio::time::timeout(self.connect_timeout, self.origin.connect())
            .await
            .map_err(|_| ExchangeError::ConnectTimeout(self.connect_timeout))?
            .map_err(ExchangeError::Connect)?;
        let (sender, driver) = self
            .builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ExchangeError::Broken)?;
        Ok(Box::new(Link {
            sender,
            driver,
            ended: false,
            old_peer: false,
            idle_since: Instant::now(),
        }))
    }

    /// The most recently used connection that is still open.
    fn take_idle(&self, cx: &mut Context<'_>) -> Option<Box<Link>> {
        loop {
            let mut link = self.lock().pop_back()?;
            if link.idle_since.elapsed() >= self.idle_timeout {
                // The others have waited longer.
                self.lock().clear();
                return None;
            }
            // One look at the socket, with the waker of whoever will use it: a close by the other
            // side since the last use shows here.
            link.drive(cx);
            if link.is_ready() {
                return Some(link);
            }
        }
    }

    /// Takes a connection back whose exchange is over. One that is not is closed instead.
    pub(crate) fn give_back(&self, mut link: Box<Link>) {
        if !link.is_ready() {
            return;
        }
        link.idle_since = Instant::now();
        let mut idle = self.lock();
        if idle.len() >= self.max_idle {
            idle.pop_front();
        }
        idle.push_back(link);
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let mut old = Vec::new();
        let mut idle = self.lock();
        while idle
            .front()
            .is_some_and(|link| link.idle_since.elapsed() >= self.idle_timeout)
        {
            old.extend(idle.pop_front());
        }
        drop(idle);
    }

    /// How many are idle now.
    pub(crate) fn idle_connections(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Box<Link>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn an_origin_is_a_host_and_a_port() {
        for (url, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://shop/", "shop"),
            ("http://[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(Origin::parse(url).unwrap().authority(), authority);
        }
        for bad in [
            "127.0.0.1:8080",
            "https://shop",
            "http://shop/base",
            "http://u:p@shop",
            "http://shop:0",
            "http://shop:x",
            "/x",
            "",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
