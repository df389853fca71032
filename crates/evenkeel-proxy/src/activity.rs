//! What one client connection is doing, for the task that keeps its time.
//!
//! The HTTP layer polls our body only when it has room to write, so a timer inside the body never
//! fires while a client that does not read holds it: deadlines over the body have to be kept from
//! outside. The task of the connection looks here a few times a second. Everything here is
//! touched by that one task only; the atomics are there because the task may move between
//! threads, so `Relaxed` is enough everywhere.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Shared between a connection's socket, its requests and its timekeeper.
#[derive(Debug)]
pub(crate) struct Activity {
    epoch: Instant,
    read: AtomicU64,
    written: AtomicU64,
    /// `read` when the last request ended: anything beyond is the beginning of a head.
    read_at_end: AtomicU64,
    in_flight: AtomicBool,
    /// Something was given to be written, and was not flushed since.
    unflushed: AtomicBool,
    requests: AtomicU64,
    /// Nanoseconds after `epoch`; zero is none.
    deadline: AtomicU64,
}

/// What the timekeeper sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Between two requests, with nothing of the next one here.
    Idle,
    /// Some of a head has come.
    ReadingHead,
    /// A request is being answered.
    Request,
    /// It was, and the last of the answer waits until the client reads.
    Flushing,
}

impl Activity {
    pub(crate) fn new() -> Arc<Activity> {
        Arc::new(Activity {
            epoch: Instant::now(),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read_at_end: AtomicU64::new(0),
            in_flight: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
        })
    }

    pub(crate) fn doing(&self) -> Doing {
        if self.in_flight.load(Relaxed) {
            Doing::Request
        } else if self.unflushed.load(Relaxed) {
            Doing::Flushing
        } else if self.read.load(Relaxed) == self.read_at_end.load(Relaxed) {
            Doing::Idle
        } else {
            Doing::ReadingHead
        }
    }

    /// Bytes moved so far, either way.
    pub(crate) fn moved(&self) -> u64 {
        self.read
            .load(Relaxed)
            .wrapping_add(self.written.load(Relaxed))
    }

    /// Requests begun so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// When the request in flight must be over, if its body has a deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Relaxed) {
            0 => None,
            nanos => Some(self.epoch + Duration::from_nanos(nanos)),
        }
    }

    /// Bounds the answer being sent.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        let nanos = deadline.saturating_duration_since(self.epoch).as_nanos();
        self.deadline
            .store(u64::try_from(nanos).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// A request begins; it ends when the returned guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.store(true, Relaxed);
        self.requests
            .store(self.requests.load(Relaxed).wrapping_add(1), Relaxed);
        Busy {
            activity: Arc::clone(self),
        }
    }
}

/// A request is in flight while this lives.
#[derive(Debug)]
pub(crate) struct Busy {
    activity: Arc<Activity>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.deadline.store(0, Relaxed);
        self.activity
            .read_at_end
            .store(self.activity.read.load(Relaxed), Relaxed);
        self.activity.in_flight.store(false, Relaxed);
    }
}

/// A client's socket that counts what moves.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What was read from it before, and is still to be understood.
    pub(crate) before: Bytes,
    pub(crate) tcp: TcpStream,
    pub(crate) activity: Arc<Activity>,
}

fn add(counter: &AtomicU64, bytes: usize) {
    // One writer: no read-modify-write needed.
    counter.store(counter.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let size = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before.split_to(size));
            add(&self.activity.read, size);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        add(&self.activity.read, buf.filled().len() - before);
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.activity.unflushed.store(true, Relaxed);
        let result = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = &result {
            add(&self.activity.written, *bytes);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.unflushed.store(true, Relaxed);
        let result = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(bytes)) = &result {
            add(&self.activity.written, *bytes);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.tcp).poll_flush(cx);
        if flushed.is_ready() {
            self.activity.unflushed.store(false, Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
