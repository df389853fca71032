//! One client connection, from accept to close.
//!
//! The task here drives hyper and keeps the connection's time: a head must arrive within its
//! timeout, an idle connection does not stay for ever, an answer that outlives its deadline
//! because nobody reads it is cut. Closing is the delicate part. A close with unread bytes in the
//! socket makes the kernel send a reset, and a reset destroys the answer that is still on its way;
//! so we close our half, and go on reading what the client sends until it closes too, or a bound
//! is reached. And a connection that idles during a drain may have its client's next request on
//! the wire at this very moment: before it is closed the socket is asked once more, and what has
//! come is served, with `Connection: close`.
//!
//! The HTTP layer does not say what is in its buffer, where a client that pipelines may have left
//! half a head. So a connection that has been idle for as long as a head may take is taken apart
//! once, to look; and whatever is taken apart hands its buffer on.

use crate::activity::{Activity, Doing, Watched};
use crate::config::{Bounds, MAX_FIELDS};
use crate::drain::{Drain, Phase};
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at};

/// Why serving a connection stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// hyper is done with it: the client closed, or the last answer said `Connection: close`.
    Done,
    /// What came is not HTTP. It has been answered; that answer must arrive.
    Refused,
    /// It failed; what was written may be half an answer.
    Broken,
    /// It was idle for too long, or idle when the listener had closed.
    Idle,
    /// It was idle for as long as a head may take, unless half a head is in the buffer.
    Unsure,
    /// A bound was passed in the middle of something.
    Cut,
}

/// Serves one connection until it is closed. `service` is made anew for each HTTP connection on
/// it, of which there is one, or two when a drain finds a request at the last moment. `refused` is
/// told of a head that does not parse, which no service ever sees.
pub(crate) async fn serve<S, F>(
    tcp: TcpStream,
    service: F,
    refused: impl Fn(),
    bounds: &Bounds,
    drain: &Drain,
) where
    F: Fn(&Arc<Activity>) -> S,
    S: HttpService<Incoming> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: Body + 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let builder = http_builder(bounds);
    let mut tcp = tcp;
    let mut before = Bytes::new();
    let mut idle_since = Instant::now();
    loop {
        let activity = Activity::new();
        let io = TokioIo::new(Watched {
            before,
            tcp,
            activity: Arc::clone(&activity),
        });
        let mut http = builder.serve_connection(io, service(&activity));
        let mut clock = Clock::new(&activity, idle_since);
        let ended = drive(&mut http, &mut clock, &activity, bounds, drain).await;
        let parts = http.into_parts();
        drop(parts.service);
        let io = parts.io.into_inner();
        tcp = io.tcp;
        before = if io.before.is_empty() {
            parts.read_buf
        } else {
            [parts.read_buf, io.before].concat().into()
        };
        idle_since = Instant::now();
        match ended {
            Ended::Idle if !before.is_empty() || request_is_waiting(&tcp) => {}
            Ended::Unsure if before.is_empty() => idle_since = clock.since,
            Ended::Refused => {
                refused();
                return linger(tcp, bounds, drain).await;
            }
            Ended::Idle | Ended::Done => return linger(tcp, bounds, drain).await,
            Ended::Broken | Ended::Cut | Ended::Unsure => {
                // A reset, not an orderly end: for an answer that ends with its connection the
                // difference is whether the client takes the half for the whole.
                let _ = tcp.set_zero_linger();
                return;
            }
        }
    }
}

// Not `pipeline_flush`: with bytes of a further request in the buffer it puts off writing the
// answer, and where that answer is the connection's last it is never written.
fn http_builder(bounds: &Bounds) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_headers(MAX_FIELDS)
        .max_header_size(bounds.max_head_bytes)
        .max_buf_size(bounds.max_buffer_bytes.max(bounds.max_head_bytes).max(8192));
    builder
}

async fn drive<C>(
    http: &mut C,
    clock: &mut Clock,
    activity: &Activity,
    bounds: &Bounds,
    drain: &Drain,
) -> Ended
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let period = tick(bounds, drain);
    let mut tick = interval_at(tokio::time::Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut phase_changed = pin!(drain.changed());
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut *http).poll(cx) {
            return Poll::Ready(match result {
                Ok(()) => Ended::Done,
                Err(error) if error.is_parse() => Ended::Refused,
                Err(error) => {
                    tracing::debug!(%error, "client connection failed");
                    Ended::Broken
                }
            });
        }
        let mut look = false;
        while phase_changed.as_mut().poll(cx).is_ready() {
            phase_changed.set(drain.changed());
            look = true;
        }
        while tick.poll_tick(cx).is_ready() {
            look = true;
        }
        if look && let Some(ended) = clock.look(activity, bounds, drain) {
            return Poll::Ready(ended);
        }
        Poll::Pending
    })
    .await
}

/// How often a connection looks at its clocks: a quarter of its shortest timeout, within 10 ms and
/// 1 s. One timer a connection, never one a request.
fn tick(bounds: &Bounds, drain: &Drain) -> Duration {
    let shortest = bounds
        .head_timeout
        .min(bounds.idle_timeout)
        .min(bounds.stall_timeout)
        .min(drain.idle());
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// What the last look saw, and since when.
struct Clock {
    doing: Doing,
    moved: u64,
    requests: u64,
    /// Since when `doing` has not changed, nor a request come and gone.
    since: Instant,
    /// Since when `moved` has not changed.
    still_since: Instant,
}

impl Clock {
    fn new(activity: &Activity, since: Instant) -> Clock {
        Clock {
            doing: activity.doing(),
            moved: activity.moved(),
            requests: activity.requests(),
            since,
            still_since: since,
        }
    }

    fn look(&mut self, activity: &Activity, bounds: &Bounds, drain: &Drain) -> Option<Ended> {
        let now = Instant::now();
        let (doing, moved) = (activity.doing(), activity.moved());
        if moved != self.moved {
            (self.moved, self.still_since) = (moved, now);
        }
        // The bytes of a head do not count as progress: one a minute would keep it open for ever.
        if doing != self.doing || activity.requests() != self.requests {
            (self.doing, self.since) = (doing, now);
            self.requests = activity.requests();
        }
        let since = now - self.since;
        match (drain.phase(), doing) {
            (Phase::Aborting, Doing::Idle) => Some(Ended::Idle),
            (Phase::Aborting, _) => Some(Ended::Cut),
            (Phase::Closing(closed), Doing::Idle)
                if since >= drain.idle() && now - closed >= drain.idle() =>
            {
                Some(Ended::Idle)
            }
            (_, Doing::Idle) if since >= bounds.idle_timeout => Some(Ended::Idle),
            // Before its first request nothing can have been left over from one.
            (_, Doing::Idle) => {
                (self.requests > 0 && since >= bounds.head_timeout).then_some(Ended::Unsure)
            }
            (_, Doing::Flushing) => {
                (now - self.still_since >= bounds.idle_timeout).then_some(Ended::Cut)
            }
            (_, Doing::ReadingHead) => (since >= bounds.head_timeout).then_some(Ended::Cut),
            (_, Doing::Request) => match activity.deadline() {
                // The body keeps its deadline itself as long as somebody reads it; a tick later
                // nobody does.
                Some(deadline) => (now >= deadline + tick(bounds, drain)).then_some(Ended::Cut),
                None => (now - self.still_since >= bounds.stall_timeout).then_some(Ended::Cut),
            },
        }
    }
}

/// Asks the socket itself: the reactor's idea of it may be a moment old.
fn request_is_waiting(tcp: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    matches!(socket2::SockRef::from(tcp).peek(&mut byte), Ok(1..))
}

/// Closes our half and reads the rest.
async fn linger(mut tcp: TcpStream, bounds: &Bounds, drain: &Drain) {
    if tcp.shutdown().await.is_err() {
        return;
    }
    let mut scrap = [0; 4096];
    let read_on = async { while let Ok(1..) = tcp.read(&mut scrap).await {} };
    tokio::select! {
        biased;
        () = read_on => {}
        () = tokio::time::sleep(bounds.linger_timeout) => {}
        () = drain.aborting() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use std::io::{Read, Write};
    use tokio::net::TcpListener;

    /// On one thread the order is certain: the task of the connection learns of the drain before
    /// the reactor learns of the bytes.
    #[tokio::test(flavor = "current_thread")]
    async fn a_request_that_arrives_as_its_connection_is_let_go_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let drain = Arc::new(Drain::new(Duration::ZERO));
        let serving = tokio::spawn({
            let drain = Arc::clone(&drain);
            let mut bounds = Bounds::default();
            bounds.linger_timeout = Duration::from_millis(10);
            async move {
                let service = |activity: &Arc<Activity>| {
                    let activity = Arc::clone(activity);
                    service_fn(move |_: Request<Incoming>| {
                        let busy = activity.begin();
                        async move {
                            drop(busy);
                            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("ok"))))
                        }
                    })
                };
                serve(tcp, service, || {}, &bounds, &drain).await;
            }
        });
        tokio::task::yield_now().await;
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        drain.enter(Phase::Closing(Instant::now()));
        serving.await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
    }
}
