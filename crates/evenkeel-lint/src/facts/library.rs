//! Retry libraries of both languages: what their defaults give.
//!
//! A loop or call that goes through one of these is judged by what the library does, not by its
//! shape. Read in each library's own documentation.

/// What a library does on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library {
    /// Import path or crate path prefix.
    pub(crate) path: &'static str,
    pub(crate) jitter: bool,
    pub(crate) cap: bool,
    /// Gives up by itself, without being told to.
    pub(crate) bound: bool,
}

const fn library(path: &'static str, jitter: bool, cap: bool, bound: bool) -> Library {
    Library { path, jitter, cap, bound }
}

/// The shipped table.
pub(crate) const LIBRARIES: &[Library] = &[
    library("github.com/grafana/dskit/backoff", true, true, true),
    library("github.com/cenkalti/backoff", true, true, true),
    library("github.com/hashicorp/go-retryablehttp", false, true, true),
    library("k8s.io/apimachinery/pkg/util/wait", true, true, true),
    library("k8s.io/client-go/util/retry", true, true, true),
    library("github.com/avast/retry-go", true, true, true),
    library("github.com/sethvargo/go-retry", false, false, false),
    library("github.com/jpillora/backoff", false, true, false),
    library("github.com/eapache/go-resiliency/retrier", false, true, true),
    library("github.com/failsafe-go/failsafe-go", false, true, true),
    library("github.com/Rican7/retry", false, false, false),
    library("github.com/lestrrat-go/backoff", true, true, true),
    library("github.com/googleapis/gax-go", true, true, false),
    library("github.com/hashicorp/consul/lib/retry", true, true, false),
    library("backon", false, true, true),
    library("backoff", true, true, true),
    library("tokio_retry", false, false, false),
    library("tokio_retry2", false, false, false),
    library("reqwest_retry", true, true, true),
    library("tower::retry", false, false, true),
    library("again", true, true, true),
    library("retry", false, false, true),
    library("exponential_backoff", true, true, true),
];

/// The library an import path belongs to.
pub(crate) fn of(path: &str) -> Option<&'static Library> {
    LIBRARIES.iter().find(|l| {
        path.strip_prefix(l.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '.']))
    })
}
