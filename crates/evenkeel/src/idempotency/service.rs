//! One request with a key, from its claim to its record.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::task::JoinHandle;
use tower_service::Service;

use super::answer::Answer;
use super::layer::{OnUnknown, Shared};
use super::problem::Problem;
use super::request::{OVERLOAD, REPLAYED, key};
use super::store::{Begun, Claim, Fingerprint, Place, Store, StoreError};
use crate::context::Context;
use crate::leaks::Kind;

/// Whatever a body fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer: given anew, or passed on.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// A store is asked again about a key that is in flight after 10 ms, then twice that, and so on to 200 ms.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Does what requests ask for once, however often they ask: see [`IdempotencyLayer`](super::IdempotencyLayer).
///
/// Always ready: each request waits for the inner service by itself.
pub struct IdempotencyService<S, Inner> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) inner: Inner,
}

impl<S, Inner: Clone> Clone for IdempotencyService<S, Inner> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            inner: self.inner.clone(),
        }
    }
}

impl<S, Inner> fmt::Debug for IdempotencyService<S, Inner> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl<S, Inner, B, R> Service<Request<B>> for IdempotencyService<S, Inner>
where
    S: Store,
    Inner: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: Send,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shared, inner) = (Arc::clone(&self.shared), self.inner.clone());
        Box::pin(serve(shared, inner, request))
    }
}

async fn serve<S, Inner, B, R>(
    shared: Arc<Shared<S>>,
    inner: Inner,
    request: Request<B>,
) -> Result<Response<AnswerBody>, Inner::Error>
where
    S: Store,
    Inner: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: Send,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let config = &shared.config;
    if !config.methods.contains(request.method()) {
        return pass(inner, request).await;
    }
    let key = match key(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) if !config.required => return pass(inner, request).await,
        Ok(None) => return Ok(told(Problem::Missing)),
        Err(problem) => return Ok(told(problem)),
    };
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, config.max_request).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let most = config.max_request;
            return Ok(told(Problem::TooLarge { most }));
        }
        Err(_) => return Ok(told(Problem::Unreadable)),
    };
    let (place, fingerprint) = identify(&(config.scope)(&parts), &parts, &key, &body);
    let mut request = Request::from_parts(parts, B::from(body));
    match begin(&shared, place, fingerprint).await {
        Ok(Begun::New(claim)) => {
            request.extensions_mut().insert(claim.clone());
            // A task: a client who hangs up does not leave the work half done.
            let present = Context::current().unwrap_or_default();
            let owner = tokio::spawn(own(Arc::clone(&shared), claim, inner, request, present));
            match owner.await {
                Ok(Owned::Answered(response)) => Ok(response),
                Ok(Owned::Failed(error)) => Err(error),
                Ok(Owned::Panicked) | Err(_) => Ok(told(Problem::InDoubt)),
            }
        }
        Ok(Begun::Replay(answer)) => Ok(replay(&answer)),
        Ok(Begun::Mismatch) => Ok(told(Problem::Mismatch)),
        Ok(Begun::InDoubt) => Ok(told(Problem::InDoubt)),
        Ok(Begun::InFlight { lease_left }) => {
            let retry_after = lease_left.min(config.wait);
            Ok(told(Problem::InFlight { retry_after }))
        }
        Err(error) => {
            log(&error, "whether a request was done before cannot be told");
            match config.open_when_store_is_down {
                true => pass(inner, request).await,
                false => Ok(told(Problem::StoreDown)),
            }
        }
    }
}

/// Where the record of a request stands, and what tells it from others under the same key.
fn identify(scope: &[u8], parts: &Parts, key: &str, body: &[u8]) -> (Place, Fingerprint) {
    let (method, path) = (
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
    );
    let place = Place::of(&[scope, method, path, key.as_bytes()]);
    let kind = parts.headers.get(http::header::CONTENT_TYPE);
    let kind = kind.map_or(&[][..], HeaderValue::as_bytes);
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    (place, Fingerprint::of(&[method, path, query, kind, body]))
}

/// Claims the key; where somebody else holds it, waits for them first, for as long as that makes sense.
async fn begin<S: Store>(
    shared: &Arc<Shared<S>>,
    place: Place,
    fingerprint: Fingerprint,
) -> Result<Begun, StoreError> {
    let (store, terms) = (&shared.store, &shared.config.terms);
    let cx = Context::current().unwrap_or_default();
    let cx = cx.with_timeout(shared.config.wait);
    loop {
        let begun = store.begin(place, fingerprint, terms).await?;
        if !matches!(begun, Begun::InFlight { .. }) || cx.check().is_err() {
            return Ok(begun);
        }
        let waiting = Arc::clone(shared);
        let landed = shared.waits.run(&cx, place, || async move {
            let mut pause = LOOK_AGAIN.0;
            while waiting.store.is_in_flight(place).await.map_err(Arc::new)? {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_AGAIN.1);
            }
            Ok(())
        });
        if landed.await.is_err() {
            // Its time is up, or the store is down: one last look says which.
            return store.begin(place, fingerprint, terms).await;
        }
    }
}

enum Owned<E> {
    Answered(Response<AnswerBody>),
    Failed(E),
    Panicked,
}

/// Does the work of a claim, and leaves word of it.
async fn own<S, Inner, B, R>(
    shared: Arc<Shared<S>>,
    claim: Claim,
    inner: Inner,
    request: Request<B>,
    present: Context,
) -> Owned<Inner::Error>
where
    S: Store,
    Inner: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let _registered = present.register().enter(Kind::Claim, "idempotency", None);
    let store = &shared.store;
    // A task of its own: its panic is told like any other end.
    let mut work = AbortOnDrop(tokio::spawn(
        present.enter(async move { pass_whole(inner, request).await }),
    ));
    let mut renewal = tokio::time::interval(claim.terms.lease / 3);
    renewal.tick().await;
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work.0 => break done,
            _ = renewal.tick() => match store.renew(&claim).await {
                Ok(_) => {}
                Err(error) => log(&error, "a lease could not be renewed"),
            },
        }
    };
    let (word, owned) = match done {
        Err(_) => (store.doubt(&claim).await, Owned::Panicked),
        Ok(Err(error)) => {
            let word = match shared.config.on_unknown {
                OnUnknown::Release => store.abandon(&claim).await,
                OnUnknown::Hold | OnUnknown::Replay => store.doubt(&claim).await,
            };
            (word, Owned::Failed(error))
        }
        Ok(Ok(response)) => {
            let (word, response) = keep(&shared, &claim, response).await;
            (word, Owned::Answered(response))
        }
    };
    if let Err(error) = word {
        // The lease ends without a word, and the key is in doubt: as it should be.
        log(&error, "what became of a request could not be recorded");
    }
    owned
}

/// Leaves the word that follows from a response, and hands the response on.
async fn keep<S, R>(
    shared: &Shared<S>,
    claim: &Claim,
    response: Response<R>,
) -> (Result<(), StoreError>, Response<AnswerBody>)
where
    S: Store,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let (store, config) = (&shared.store, &shared.config);
    let (parts, body) = response.into_parts();
    let status = parts.status;
    let refused = parts.headers.contains_key(OVERLOAD);
    let body = body.map_err(Into::into).boxed_unsync();
    if refused || is_retryable(status) {
        let word = store.abandon(claim).await;
        return (word, Response::from_parts(parts, body));
    }
    if status.is_server_error() && config.on_unknown != OnUnknown::Replay {
        let word = match config.on_unknown {
            OnUnknown::Release => store.abandon(claim).await,
            OnUnknown::Hold | OnUnknown::Replay => store.doubt(claim).await,
        };
        return (word, Response::from_parts(parts, body));
    }
    let (answer, body) = match collect(body, config.max_answer).await {
        Collected::Whole(body) => {
            let answer = Answer::new(status, body.clone());
            let answer = answer.with_headers(&parts.headers, &config.kept_headers);
            (answer, whole(body))
        }
        Collected::TooLarge(body) => (Answer::too_large(status), body),
        // Its handler failed after it had said yes: nobody can give that answer again.
        Collected::Broken(body) => {
            let word = store.doubt(claim).await;
            return (word, Response::from_parts(parts, body));
        }
    };
    let word = store.finish(claim, &answer).await.map(|held| {
        if !held {
            tracing::error!(
                target: "evenkeel::idempotency",
                "a claim was lost while its work was done: it may have been done twice"
            );
        }
    });
    (word, Response::from_parts(parts, body))
}

/// Answers that say "not now": nothing was done, so the next attempt is the first.
fn is_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
    )
}

enum Collected {
    Whole(Bytes),
    TooLarge(AnswerBody),
    Broken(AnswerBody),
}

/// Reads a body up to `most` bytes; a larger one is handed on with what was read in front.
async fn collect(mut body: AnswerBody, most: usize) -> Collected {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => data,
            // Trailers are not kept.
            Ok(Err(_)) => continue,
            Err(error) => return Collected::Broken(Broken(Some(error)).boxed_unsync()),
        };
        read.extend_from_slice(&data);
        if read.len() > most {
            let rest = Prefixed {
                prefix: Some(read.freeze()),
                rest: body,
            };
            return Collected::TooLarge(rest.boxed_unsync());
        }
    }
    Collected::Whole(read.freeze())
}

/// A body that was read in part.
struct Prefixed {
    prefix: Option<Bytes>,
    rest: AnswerBody,
}

impl Body for Prefixed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        match self.prefix.take() {
            Some(prefix) => Poll::Ready(Some(Ok(http_body::Frame::data(prefix)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// A body that ends with the error it ended with.
struct Broken(Option<BoxError>);

impl Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// The work of a claim ends with whoever leaves word of it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pass_whole<Inner, Q>(mut inner: Inner, request: Q) -> Result<Inner::Response, Inner::Error>
where
    Inner: Service<Q>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

async fn pass<Inner, B, R>(
    inner: Inner,
    request: Request<B>,
) -> Result<Response<AnswerBody>, Inner::Error>
where
    Inner: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let response = pass_whole(inner, request).await?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn whole(body: Bytes) -> AnswerBody {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn told(problem: Problem) -> Response<AnswerBody> {
    problem.response(whole)
}

fn replay(answer: &Answer) -> Response<AnswerBody> {
    let mut response = if answer.body().is_some() {
        answer.to_response::<Bytes>().map(whole)
    } else {
        let status = answer.status();
        told(Problem::AnswerNotKept { status })
    };
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn log(error: &StoreError, what: &'static str) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(target: "evenkeel::idempotency", %error, cause, "{what}");
}
