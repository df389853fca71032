//! The bodies the proxy sends to clients.
//!
//! An attempt over HTTP ends when its body ends, not when its head arrives: until then it holds
//! its slot in the bulkhead, its outcome is open, its deadline runs and its connection is taken.
//! So the body carries all of that with it. Where it ends well the connection goes back to its
//! pool; where it is dropped in the middle, because the client left, the connection is closed, and
//! the upstream sees the close at once.

use crate::activity::Busy;
use crate::fallback::Capture;
use crate::fate::Fate;
use crate::forward::{Answer, Lease, Open};
use crate::record::Record;
use crate::replay::Upload;
use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Why a body was not sent to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The upstream broke off.
    Upstream(hyper::Error),
    /// The deadline passed.
    Deadline,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Upstream(error) => write!(f, "the upstream broke off: {error}"),
            BodyError::Deadline => f.write_str("the deadline passed before the body had ended"),
        }
    }
}

impl std::error::Error for BodyError {}

/// An answer's body, whoever wrote it, with the request's books.
pub(crate) struct AnswerBody {
    source: Source,
    /// Dropped last: the books close when everything else has been let go.
    record: Option<Record>,
    _busy: Busy,
}

enum Source {
    Ours(Option<Bytes>),
    Upstream(Pin<Box<UpstreamBody>>),
}

impl AnswerBody {
    /// Bytes of ours.
    pub(crate) fn ours(bytes: Bytes, record: Option<Record>, busy: Busy) -> AnswerBody {
        let bytes = (!bytes.is_empty()).then_some(bytes);
        AnswerBody {
            source: Source::Ours(bytes),
            record,
            _busy: busy,
        }
    }

    /// What an upstream sends. `record` is settled when it ends.
    pub(crate) fn upstream(
        answer: Answer,
        ending: Ending,
        record: Record,
        busy: Busy,
    ) -> Response<AnswerBody> {
        let Answer {
            response,
            lease,
            open,
        } = answer;
        let (mut parts, incoming) = response.into_parts();
        parts.version = Version::HTTP_11;
        // The upstream's reason phrase among them, which nobody needs to see.
        parts.extensions.clear();
        let body = UpstreamBody {
            incoming,
            lease: Some(lease),
            open,
            ending,
            timer: None,
        };
        let mut body = AnswerBody {
            source: Source::Upstream(Box::pin(body)),
            record: Some(record),
            _busy: busy,
        };
        // Nothing to wait for: the books close now, not when somebody asks for a frame.
        if body.is_end_stream() {
            body.end_upstream(Ok(()));
        }
        Response::from_parts(parts, body)
    }

    fn end_upstream(&mut self, result: Result<(), &BodyError>) {
        if let Source::Upstream(body) = &mut self.source
            && let Some(record) = &mut self.record
        {
            body.as_mut().end(record, result);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.source {
            Source::Ours(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Source::Upstream(body) => body.as_mut().poll_frame(cx),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.end_upstream(Ok(())),
            Poll::Ready(Some(Ok(frame))) => {
                // hyper does not ask again after the last frame of a body whose length is known.
                if frame.is_trailers() || self.is_end_stream() {
                    self.end_upstream(Ok(()));
                }
            }
            Poll::Ready(Some(Err(error))) => self.end_upstream(Err(error)),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ours(bytes) => bytes.is_none(),
            Source::Upstream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Upstream(body) => body.incoming.size_hint(),
        }
    }
}

pin_project! {
    /// A body on its way from an upstream, with all that its attempt holds.
    pub(crate) struct UpstreamBody {
        incoming: Incoming,
        lease: Option<Lease>,
        open: Option<Open>,
        ending: Ending,
        // Made when the body is first waited for: most bodies come with their heads.
        #[pin]
        timer: Option<Sleep>,
    }
}

/// What becomes of a request whose answer is on its way.
pub(crate) struct Ending {
    /// Its fate if the body ends well.
    pub(crate) fate: Fate,
    /// Bounds the body.
    pub(crate) deadline: Option<Instant>,
    /// Keeps the answer.
    pub(crate) capture: Option<Capture>,
    /// The rest of the request's body, where the answer began before its end.
    pub(crate) upload: Upload,
}

impl UpstreamBody {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let mut polled = Pin::new(&mut *this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = this.lease
        {
            lease.drive(cx);
            polled = Pin::new(&mut *this.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && this
                        .ending
                        .capture
                        .as_mut()
                        .is_some_and(|capture| !capture.push(data))
                {
                    this.ending.capture = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Upstream(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some(deadline) = this.ending.deadline else {
                    return Poll::Pending;
                };
                if this.timer.is_none() {
                    this.timer
                        .set(Some(tokio::time::sleep_until(deadline.into())));
                }
                match this.timer.as_pin_mut().map(|timer| timer.poll(cx)) {
                    Some(Poll::Ready(())) => Poll::Ready(Some(Err(BodyError::Deadline))),
                    _ => Poll::Pending,
                }
            }
        }
    }

    /// Lets go of what the attempt holds, and says how it ended. Only the first call does.
    fn end(self: Pin<&mut Self>, record: &mut Record, result: Result<(), &BodyError>) {
        let this = self.project();
        let open = this.open.take();
        // Asked before the connection goes: the upload goes with it.
        let client_owes = this.ending.upload.awaits_client();
        if let Some(lease) = this.lease.take() {
            drop(lease);
        } else {
            return;
        }
        match result {
            Ok(()) => {
                if let Some(open) = open {
                    open.ended_well();
                }
                if let Some(capture) = this.ending.capture.take() {
                    record
                        .client()
                        .proxy
                        .last_good
                        .keep(capture, Instant::now());
                }
                record.settle(this.ending.fate);
            }
            // The answer waits for its question: dropped, the attempt says nothing.
            Err(BodyError::Deadline) if client_owes => {
                drop(open);
                record.settle(Fate::CancelledByClient);
            }
            Err(error) => {
                if let Some(open) = open {
                    open.broke(error);
                }
                record.settle(match error {
                    BodyError::Upstream(_) => Fate::UpstreamError,
                    BodyError::Deadline => Fate::DeadlineExceeded,
                });
            }
        }
    }
}
