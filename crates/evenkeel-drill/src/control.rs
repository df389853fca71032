//! The control endpoints of the drill's own processes, seen from the drill.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::DrillError;

/// How long a control endpoint may take. It does no work of its own: longer means it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer larger than this is not one of ours.
const LARGEST_ANSWER: usize = 4 << 20;

/// A client of control endpoints. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    http: Client<HttpConnector, Empty<Bytes>>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Asks and returns the text of a 200 answer.
    pub(crate) async fn text(
        &self,
        method: Method,
        at: SocketAddr,
        path: &str,
    ) -> Result<String, DrillError> {
        let asked = || format!("{method} http://{at}{path}");
        let fail = |reason: String| DrillError::Control {
            asked: asked(),
            reason,
        };
        let answer = tokio::time::timeout(PATIENCE, self.exchange(&method, at, path)).await;
        let (status, body) = answer
            .map_err(|_| fail(format!("nothing came within {} s", PATIENCE.as_secs())))?
            .map_err(|error| fail(error.to_string()))?;
        if status != StatusCode::OK {
            return Err(fail(format!("status {status}")));
        }
        String::from_utf8(body.into()).map_err(|error| fail(error.to_string()))
    }

    /// Asks with GET and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        at: SocketAddr,
        path: &str,
    ) -> Result<T, DrillError> {
        let text = self.text(Method::GET, at, path).await?;
        serde_json::from_str(&text).map_err(|error| DrillError::Control {
            asked: format!("GET http://{at}{path}"),
            reason: error.to_string(),
        })
    }

    async fn exchange(
        &self,
        method: &Method,
        at: SocketAddr,
        path: &str,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{at}{path}"))
            .body(Empty::new())?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
    }
}
