//! Every limit the proxy keeps, with its default, in one place.
//!
//! A proxy that forgets one bound is the service that its slowest client decides about: a head
//! sent one byte a minute, a reader that never reads, a body nobody bounded, an idle connection
//! kept for ever. Each field here names one such bound, its unit, and what moves when it does.
//! The `proxy` section of the policy file overrides them by the same names.

use std::time::Duration;

/// The proxy's own bounds: what it spends on clients before any dependency is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Client connections open at once. At the bound the proxy stops accepting, so that further
    /// clients wait in the kernel's backlog instead of in our memory. Default 10 000.
    pub max_connections: usize,
    /// Bytes of one request head, line and fields together; a larger one is answered 431.
    /// Default 32 KiB, four times what browsers and load balancers send at most.
    pub max_head_bytes: usize,
    /// Bytes one connection buffers in each direction: what a slow reader can hold. Default
    /// 64 KiB; at least `max_head_bytes`.
    pub max_buffer_bytes: usize,
    /// From the first byte of a request head to its last. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may stay open between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a request may go without one byte moving in either direction, where its route
    /// has no deadline over the body. Default 5 min.
    pub stall_timeout: Duration,
    /// After we closed our half: how long to keep reading what the client still sends, so that
    /// the reset its bytes would cause does not destroy the answer on its way. Default 2 s.
    pub linger_timeout: Duration,
    /// To open a connection to an upstream. Default 1 s: three SYNs would take longer.
    pub connect_timeout: Duration,
    /// Idle connections kept per upstream. Default 128.
    pub upstream_idle_connections: usize,
    /// How long an idle upstream connection may be used again. Default 4 s, just under the 5 s
    /// after which Node.js, Apache and uvicorn close theirs: the race between their close and our
    /// request is the commonest cause of a spurious 502.
    pub upstream_idle_timeout: Duration,
    /// Bytes of one request body kept for another attempt. Default 64 KiB. A longer body is sent
    /// once, streaming.
    pub replay_bytes: usize,
    /// The same for all requests together. Default 16 MiB.
    pub replay_bytes_total: usize,
    /// Bytes of one answer kept as the last good one. Default 256 KiB.
    pub last_good_bytes: usize,
    /// The same for all answers together. Default 16 MiB.
    pub last_good_bytes_total: usize,
    /// How old a last good answer may be when it is served. Default 24 h.
    pub last_good_age: Duration,
    /// After SIGTERM: how long to go on accepting while `/readyz` already says no, so that load
    /// balancers can look away first. Default 5 s.
    pub drain_delay: Duration,
    /// From the closing of the listener to the last answer. What is still running then is cut and
    /// counted. Default 20 s: with the delay it stays under the 30 s of Kubernetes.
    pub drain_timeout: Duration,
    /// How long a connection without a request is kept once the listener is closed, for the
    /// request that may be on its way. Default 500 ms.
    pub drain_idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            max_connections: 10_000,
            max_head_bytes: 32 * 1024,
            max_buffer_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(300),
            linger_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            upstream_idle_connections: 128,
            upstream_idle_timeout: Duration::from_secs(4),
            replay_bytes: 64 * 1024,
            replay_bytes_total: 16 * 1024 * 1024,
            last_good_bytes: 256 * 1024,
            last_good_bytes_total: 16 * 1024 * 1024,
            last_good_age: Duration::from_secs(24 * 3600),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
            drain_idle: Duration::from_millis(500),
        }
    }
}

impl Bounds {
    /// How often a connection looks at its clocks: a quarter of its shortest timeout, within
    /// 10 ms and 1 s. One timer a connection, never one a request.
    pub(crate) fn tick(&self) -> Duration {
        let shortest = self
            .head_timeout
            .min(self.idle_timeout)
            .min(self.stall_timeout)
            .min(self.drain_idle);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}
