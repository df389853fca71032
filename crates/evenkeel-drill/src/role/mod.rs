//! The services of the stories: small HTTP servers that run as processes of their own.
//!
//! A drill needs services that behave like real ones and can be made to misbehave at an exact
//! time. Each role is one process: it binds a free port on loopback, announces its address, and
//! serves until its lifeline, the standard input it inherited, is closed.
//!
//! * [`page`]: a product page that asks three dependencies for each answer,
//! * [`dependency`]: a service with seeded latencies and a control endpoint that makes it slow,
//! * [`keeper`]: starts another program and ends it when the lifeline closes, for programs that
//!   have no lifeline of their own.
//!
//! None of them uses evenkeel: the page is what an ordinary team would write.

pub mod dependency;
pub mod keeper;
pub mod page;

pub use crate::child::LISTENING;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves HTTP/1.1 on a free port of loopback until `closed` resolves.
async fn serve<H, F>(
    announce: impl FnOnce(SocketAddr),
    closed: impl Future,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut closed = pin!(closed);
    announce(listener.local_addr()?);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut closed => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        // A connection that broke before it was accepted concerns nobody else.
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            // A broken connection has been noticed by whoever was at its other end.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Resolves when the standard input is closed, that is, when the drill is gone.
///
/// A thread of its own, because a blocking read on the runtime would keep it from shutting down.
fn lifeline() -> io::Result<oneshot::Receiver<()>> {
    let (closed, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            let mut byte = [0];
            let mut stdin = io::stdin().lock();
            while matches!(stdin.read(&mut byte), Ok(read) if read > 0) {}
            // The service may have ended before.
            let _ = closed.send(());
        })?;
    Ok(receiver)
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn json<T: serde::Serialize>(value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => answer(StatusCode::OK, body),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// The value of one field of a query, as a number.
fn query_number(request: &Request<Incoming>, field: &str) -> Option<u64> {
    let query = request.uri().query()?;
    let mut fields = query.split('&').filter_map(|pair| pair.split_once('='));
    fields
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests;
