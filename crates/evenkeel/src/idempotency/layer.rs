//! What stands in front of the handlers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderName, Method};
use tower_layer::Layer;

use super::record::Recovery;
use super::request::by_credential;
use super::service::IdempotencyService;
use super::store::{Place, Store, StoreError, Terms};
use crate::singleflight::Singleflight;

/// What a key means when its handler answered 5xx or panicked: the work may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnknown {
    /// The key is in doubt: 409 until its record expires. Default.
    #[default]
    Hold,
    /// The key is free again: right if a handler that fails has done nothing.
    Release,
    /// The 5xx is the answer, and is given again. A panic is in doubt.
    Replay,
}

/// Says whose key a request's is: keys of different scopes never meet.
pub type Scope = Arc<dyn Fn(&Parts) -> Vec<u8> + Send + Sync>;

/// How requests with a key are served.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The methods that are looked at; others pass. Default POST and PATCH: the rest of them can be
    /// repeated anyway, or changes nothing.
    pub methods: Vec<Method>,
    /// Whether a request of these methods without a key is refused with 400. Default: no, it passes.
    pub required: bool,
    /// How records are kept: lease 60 s, 24 h.
    pub terms: Terms,
    /// What a key means when its handler answered 5xx or panicked.
    pub on_unknown: OnUnknown,
    /// How long a request waits for the first one with its key, within its own deadline. Default 5 s.
    pub wait: Duration,
    /// Bytes of a request's body, which is read whole for its fingerprint. Default 1 MiB.
    pub max_request: usize,
    /// Bytes of an answer's body that are kept. A larger one is given once. Default 1 MiB.
    pub max_answer: usize,
    /// Fields of an answer that are kept. Default `content-type`, `content-language`, `location`, `etag`.
    pub kept_headers: Vec<HeaderName>,
    /// Whether requests pass unprotected while the store does not answer. Default: no, they are refused
    /// with 503, since whoever sends a key means it.
    pub open_when_store_is_down: bool,
    /// Whose keys they are. Default: those of whoever shows the same `authorization`.
    pub scope: Scope,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("methods", &self.methods)
            .field("required", &self.required)
            .field("terms", &self.terms)
            .field("on_unknown", &self.on_unknown)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            methods: vec![Method::POST, Method::PATCH],
            required: false,
            terms: Terms::default(),
            on_unknown: OnUnknown::default(),
            wait: Duration::from_secs(5),
            max_request: 1 << 20,
            max_answer: 1 << 20,
            kept_headers: vec![CONTENT_TYPE, CONTENT_LANGUAGE, LOCATION, ETAG],
            open_when_store_is_down: false,
            scope: Arc::new(by_credential),
        }
    }
}

impl Config {
    /// For handlers that write their record in their own transaction, and have done nothing if it is not
    /// there: what was abandoned is done again, and a failure frees the key.
    #[must_use]
    pub fn transactional() -> Self {
        let mut config = Self {
            on_unknown: OnUnknown::Release,
            ..Self::default()
        };
        config.terms.recovery = Recovery::RunAgain;
        config
    }
}

/// Puts an [`IdempotencyService`] in front of a service. Make one and clone it: all clones share the store.
///
/// ```
/// use evenkeel::idempotency::{Config, IdempotencyLayer, memory::MemoryStore};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use std::convert::Infallible;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// static ORDERS: AtomicU32 = AtomicU32::new(0);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handler = service_fn(|_: Request<Full<Bytes>>| async {
///     let number = ORDERS.fetch_add(1, Ordering::Relaxed) + 1;
///     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(number.to_string()))))
/// });
/// let service = IdempotencyLayer::new(MemoryStore::new(), Config::default()).layer(handler);
/// for replayed in [false, true] {
///     let order = Request::post("/orders").header("idempotency-key", "o-1");
///     let answer = service.clone().oneshot(order.body(Full::default()).unwrap()).await.unwrap();
///     assert_eq!(answer.headers().contains_key("idempotent-replayed"), replayed);
/// }
/// assert_eq!(ORDERS.load(Ordering::Relaxed), 1);
/// # }
/// ```
pub struct IdempotencyLayer<S>(pub(super) Arc<Shared<S>>);

pub(super) struct Shared<S> {
    pub(super) store: S,
    pub(super) config: Config,
    /// All who wait for one key ask the store together.
    pub(super) waits: Singleflight<Place, (), Arc<StoreError>>,
}

impl<S> Clone for IdempotencyLayer<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for IdempotencyLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdempotencyLayer")
            .field(&self.0.config)
            .finish()
    }
}

impl<S: Store> IdempotencyLayer<S> {
    /// A layer that keeps its records in `store`.
    #[must_use]
    pub fn new(store: S, config: Config) -> Self {
        let sharing = crate::singleflight::Config {
            max_age: config.wait,
            ..crate::singleflight::Config::default()
        };
        Self(Arc::new(Shared {
            store,
            config,
            waits: Singleflight::with("idempotency waits", sharing),
        }))
    }
}

impl<S, Inner> Layer<Inner> for IdempotencyLayer<S> {
    type Service = IdempotencyService<S, Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        IdempotencyService {
            shared: Arc::clone(&self.0),
            inner,
        }
    }
}
