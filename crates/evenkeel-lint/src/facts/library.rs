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
}

const fn library(path: &'static str, jitter: bool, cap: bool) -> Library {
    Library { path, jitter, cap }
}

/// The shipped table.
pub(crate) const LIBRARIES: &[Library] = &[
    library("github.com/grafana/dskit/backoff", true, true),
    library("github.com/cenkalti/backoff", true, true),
    library("github.com/hashicorp/go-retryablehttp", false, true),
    library("k8s.io/apimachinery/pkg/util/wait", true, true),
    library("k8s.io/client-go/util/retry", true, true),
    library("github.com/avast/retry-go", true, true),
    library("github.com/sethvargo/go-retry", false, false),
    library("github.com/jpillora/backoff", false, true),
    library("github.com/eapache/go-resiliency/retrier", false, true),
    library("github.com/failsafe-go/failsafe-go", false, true),
    library("github.com/Rican7/retry", false, false),
    library("github.com/lestrrat-go/backoff", true, true),
    library("github.com/googleapis/gax-go", true, true),
    library("github.com/hashicorp/consul/lib/retry", true, true),
    library("backon", false, true),
    library("backoff", true, true),
    library("tokio_retry", false, false),
    library("tokio_retry2", false, false),
    library("reqwest_retry", true, true),
    library("tower::retry", false, false),
    library("again", true, true),
    library("retry", false, false),
    library("exponential_backoff", true, true),
];

/// The library an import path belongs to.
pub(crate) fn of(path: &str) -> Option<&'static Library> {
    LIBRARIES.iter().find(|l| {
        path.strip_prefix(l.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '.']))
    })
}
