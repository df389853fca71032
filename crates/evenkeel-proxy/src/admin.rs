//! What the proxy says about itself, on an address of its own.
//!
//! `/livez` (and `/healthz`) is about the process alone: a proxy that is draining, or whose
//! upstreams are all down, must not be killed for it. `/readyz` is about new work: it says no from
//! the first moment of a drain. `/metrics` is OpenMetrics text. The endpoints answer until the
//! last request is done.

use crate::activity::Activity;
use crate::config::Bounds;
use crate::drain::Drain;
use crate::proxy::Proxy;
use crate::{connection, listener};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Scrapers and probes; nobody else has business here.
const MAX_CONNECTIONS: usize = 64;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves the endpoints until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let bounds: Arc<Bounds> = Arc::new(proxy.bounds.clone());
    // Its own, which never begins: the endpoints outlive the drain they report.
    let drain = Arc::new(Drain::new(proxy.stopping.idle));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let (stream, _) = listener::accept(&listener).await;
        let (proxy, bounds, drain) = (Arc::clone(&proxy), Arc::clone(&bounds), Arc::clone(&drain));
        tokio::spawn(async move {
            let _place = place;
            let service = |activity: &Arc<Activity>| {
                let (proxy, activity) = (Arc::clone(&proxy), Arc::clone(activity));
                service_fn(move |request: Request<Incoming>| {
                    let busy = activity.begin();
                    let response = answer(&proxy, &request);
                    async move {
                        drop(busy);
                        Ok::<_, Infallible>(response)
                    }
                })
            };
            connection::serve(stream, service, || {}, &bounds, &drain).await;
        });
    }
}

fn answer(proxy: &Proxy, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" | "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if proxy.drain.is_serving() => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/metrics" => {
            let mut response = text(StatusCode::OK, proxy.metrics.encode());
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, OPENMETRICS);
            response
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "nothing here; there are /livez, /healthz, /readyz and /metrics\n",
        ),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}
