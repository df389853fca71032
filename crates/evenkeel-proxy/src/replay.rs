//! A request body that can be sent again.
//!
//! A retry needs the body once more, and the client sends it only once. Buffering it first would
//! add its whole upload to every request's latency and its size to our memory; so the first
//! attempt streams it as it comes, and what has passed is kept on the way, up to a limit per
//! request and one for the process. Over either limit nothing is lost but the right to another
//! attempt: what was kept is let go, and the body goes on streaming, once.
//!
//! A body has one reader at a time. The reel (the rest of the client's stream, and what was kept
//! of its beginning) is lent to an attempt and comes back when the attempt's body is dropped, so
//! an attempt that was abandoned in the middle of an upload is followed by one that sends the kept
//! part and then goes on where the other stopped.

use crate::expect::Gate;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

/// The memory all kept bodies share.
#[derive(Debug)]
pub(crate) struct ReplayMemory {
    used: AtomicUsize,
    per_request: usize,
    total: usize,
}

impl ReplayMemory {
    /// At most `per_request` bytes of one body, and `total` of all together.
    pub(crate) fn new(per_request: usize, total: usize) -> Arc<ReplayMemory> {
        Arc::new(ReplayMemory {
            used: AtomicUsize::new(0),
            per_request,
            total,
        })
    }

    /// Bytes kept now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn reserve(&self, bytes: usize) -> bool {
        self.used
            .try_update(Relaxed, Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.total)
            })
            .is_ok()
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// The body of one request, for as many attempts as its policy allows.
pub(crate) struct RequestBody {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    /// None while an attempt reads it.
    reel: Mutex<Option<Reel>>,
    /// Whether the body can still be sent from its beginning.
    replayable: AtomicBool,
    /// The client's stream broke: no attempt can succeed, and no upstream is to blame.
    client_failed: AtomicBool,
    /// It broke because what came is not a body.
    malformed: AtomicBool,
    /// An attempt asked for more of the body, and the client has not sent it yet.
    awaits_client: AtomicBool,
}

impl RequestBody {
    /// Takes over a body as it came from the client. `keep` is false where no second attempt is
    /// allowed anyway: nothing is copied then.
    pub(crate) fn new(body: Incoming, keep: bool, memory: &Arc<ReplayMemory>) -> RequestBody {
        if body.is_end_stream() {
            return RequestBody { shared: None };
        }
        let fits = body.size_hint().lower() <= memory.per_request as u64;
        let reel = Reel {
            source: Some(body),
            kept: Vec::new(),
            reserved: 0,
            keeping: keep && fits,
            trailers: None,
            memory: Arc::clone(memory),
        };
        RequestBody {
            shared: Some(Arc::new(Shared {
                reel: Mutex::new(Some(reel)),
                replayable: AtomicBool::new(true),
                client_failed: AtomicBool::new(false),
                malformed: AtomicBool::new(false),
                awaits_client: AtomicBool::new(false),
            })),
        }
    }

    /// Whether another attempt could send all of it.
    pub(crate) fn is_replayable(&self) -> bool {
        self.shared
            .as_ref()
            .is_none_or(|shared| shared.replayable.load(Relaxed))
    }

    /// Whether the client's stream broke.
    pub(crate) fn client_failed(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.client_failed.load(Relaxed))
    }

    /// Whether it broke because what came is not a body, such as a chunk without a size.
    pub(crate) fn is_malformed(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.malformed.load(Relaxed))
    }

    /// Whether there was anything for the client to send after its head.
    pub(crate) fn is_streamed(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether it is the client that an attempt waits for at this moment. An upstream cannot be
    /// late with an answer to a question that was never finished.
    pub(crate) fn awaits_client(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.awaits_client.load(Relaxed))
    }

    /// The upload as it can be watched once the answer is on its way.
    pub(crate) fn upload(&self) -> Upload {
        Upload(self.shared.as_ref().map(Arc::downgrade))
    }

    /// The body for one attempt. `gate` holds it back until the upstream asks for it. None while
    /// another attempt has it, or when it can no longer be sent from its beginning.
    pub(crate) fn attempt(&self, gate: Option<Arc<Gate>>) -> Option<AttemptBody> {
        let Some(shared) = &self.shared else {
            return Some(AttemptBody {
                lent: None,
                prefix: Bytes::new(),
                trailers_due: false,
                gate: None,
            });
        };
        if !shared.replayable.load(Relaxed) {
            return None;
        }
        let reel = shared.lock().take()?;
        let prefix = Bytes::copy_from_slice(&reel.kept);
        let trailers_due = reel.trailers.is_some();
        Some(AttemptBody {
            lent: Some((reel, Arc::clone(shared))),
            prefix,
            trailers_due,
            gate,
        })
    }
}

/// An upload that may go on while its answer arrives. It keeps nothing of the body alive.
pub(crate) struct Upload(Option<Weak<Shared>>);

impl Upload {
    /// Whether it is the client that the exchange waits for at this moment.
    pub(crate) fn awaits_client(&self) -> bool {
        self.0
            .as_ref()
            .and_then(Weak::upgrade)
            .is_some_and(|shared| shared.awaits_client.load(Relaxed))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reel>> {
        // A panic between take and put back loses the reel, never corrupts it.
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the bytes were at fault, and not the connection or whoever left it.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &io::Error| {
        matches!(
            cause.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        )
    })
}

/// What is left of the client's stream, and what was kept of its beginning.
struct Reel {
    /// None once it has ended.
    source: Option<Incoming>,
    kept: Vec<u8>,
    reserved: usize,
    keeping: bool,
    trailers: Option<HeaderMap>,
    memory: Arc<ReplayMemory>,
}

impl Reel {
    /// Keeps a copy of what passes. A copy, not a reference count: a slice would pin the whole
    /// read buffer it lies in, and the limits would count the slice alone.
    fn keep(&mut self, data: &[u8], shared: &Shared) {
        if self.keeping {
            let fits = self.kept.len() + data.len() <= self.memory.per_request;
            if fits && self.memory.reserve(data.len()) {
                self.reserved += data.len();
                self.kept.extend_from_slice(data);
                return;
            }
            self.keeping = false;
            self.kept = Vec::new();
            self.memory.release(std::mem::take(&mut self.reserved));
        }
        shared.replayable.store(false, Relaxed);
    }
}

impl Drop for Reel {
    fn drop(&mut self) {
        self.memory.release(self.reserved);
    }
}

/// The body of one attempt.
pub(crate) struct AttemptBody {
    lent: Option<(Reel, Arc<Shared>)>,
    /// What earlier attempts have read, still to be sent by this one.
    prefix: Bytes,
    /// Whether trailers that an earlier attempt has read are still to be sent by this one.
    trailers_due: bool,
    gate: Option<Arc<Gate>>,
}

impl Drop for AttemptBody {
    fn drop(&mut self) {
        if let Some((reel, shared)) = self.lent.take() {
            *shared.lock() = Some(reel);
        }
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(gate) = &this.gate {
            ready!(gate.poll_open(cx));
            this.gate = None;
        }
        if !this.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.prefix)))));
        }
        let Some((reel, shared)) = &mut this.lent else {
            return Poll::Ready(None);
        };
        let Some(source) = &mut reel.source else {
            let due = std::mem::take(&mut this.trailers_due);
            let trailers = reel.trailers.clone().filter(|_| due);
            return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))));
        };
        let polled = Pin::new(&mut *source).poll_frame(cx);
        shared.awaits_client.store(polled.is_pending(), Relaxed);
        match ready!(polled) {
            Some(Ok(frame)) => {
                if source.is_end_stream() {
                    reel.source = None;
                }
                if let Some(data) = frame.data_ref() {
                    reel.keep(data, shared);
                } else if let Some(trailers) = frame.trailers_ref() {
                    if reel.keeping {
                        reel.trailers = Some(trailers.clone());
                    }
                    reel.source = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                shared.malformed.store(is_malformed(&error), Relaxed);
                shared.client_failed.store(true, Relaxed);
                shared.replayable.store(false, Relaxed);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                reel.source = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_empty()
            && !self.trailers_due
            && self
                .lent
                .as_ref()
                .is_none_or(|(reel, _)| reel.source.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let Some((reel, _)) = &self.lent else {
            return SizeHint::with_exact(0);
        };
        let prefix = self.prefix.len() as u64;
        match &reel.source {
            // What has ended with trailers was chunked, and is chunked again.
            None if reel.trailers.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(prefix),
            Some(source) => match source.size_hint().exact() {
                Some(rest) => SizeHint::with_exact(prefix + rest),
                None => SizeHint::default(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
