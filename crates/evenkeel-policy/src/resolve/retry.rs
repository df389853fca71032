//! How often a failed attempt is repeated, and whether that fits the time there is.

use core::num::NonZeroU32;

use evenkeel_core::{budget, retry};

use super::backoff;
use super::dependency::Caller;
use super::scope::{Read, Scope};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Count, Duration, OrNone, Ratio};

/// What retries must fit into.
pub(super) struct Bounds<'a> {
    pub(super) deadline: &'a Read<'a, Duration>,
    pub(super) attempt_timeout: Option<&'a Read<'a, Duration>>,
}

pub(super) fn resolve(
    scope: &Scope<'_>,
    spec: &spec::Retry,
    caller: Caller,
    bounds: &Bounds<'_>,
) -> retry::Config {
    let mut config = retry::Config::default();

    let (usual, origin) = match caller {
        Caller::Service => (config.max_attempts.get(), Origin::Default(None)),
        // RFC 9110, 9.2.2: an intermediary's callers may retry as well, and the two multiply.
        Caller::Proxy => (
            2,
            Origin::Default(Some("one retry, since the proxy's callers may retry too")),
        ),
    };
    let attempts = scope
        .read_or("attempts", spec.attempts, Count(usual), origin)
        .at_least_one("the first attempt counts: 1 is no retry");
    config.max_attempts = NonZeroU32::new(attempts.get()).unwrap_or(NonZeroU32::MIN);

    config.backoff = backoff::resolve(&scope.at("backoff"), spec.backoff.as_ref(), config.backoff);
    config.throttled = backoff::resolve(
        &scope.at("throttled"),
        spec.throttled.as_ref(),
        config.throttled,
    );

    let wish = scope.read(
        "max_retry_after",
        spec.max_retry_after,
        Duration(config.retry_after.cap),
    );
    if wish.written && wish.sound && bounds.deadline.sound && wish.value > bounds.deadline.value {
        wish.scope.warning(Problem::new(
            "`max_retry_after` is longer than the deadline",
            format!(
                "{} > {}: the deadline decides",
                wish.value, bounds.deadline.value
            ),
            "leave it out",
        ));
    }
    config.retry_after.cap = wish.get();
    config.max_elapsed = max_elapsed(scope, spec.max_elapsed, &config, bounds);
    config.budget = budget(&scope.at("budget"), spec.budget.as_ref(), &config);

    if attempts.sound {
        without_effect(scope, spec, &config, bounds);
        fits(scope, &config, bounds);
    }
    config
}

/// The time after which nothing is retried. That nobody chose one is reported where nobody chose a deadline
/// either: an unbounded default is how the best-known library of its kind hurts people.
fn max_elapsed(
    scope: &Scope<'_>,
    written: Option<Duration>,
    config: &retry::Config,
    bounds: &Bounds<'_>,
) -> Option<std::time::Duration> {
    let place = scope.at("max_elapsed");
    let deadline = bounds.deadline;
    let Some(value) = written else {
        if !place.is_written() {
            place.note("the deadline", Origin::Default(None));
            if !deadline.written && config.max_attempts.get() > 1 {
                scope.warning(Problem::new(
                    "nobody chose how long retries may go on",
                    format!(
                        "neither `max_elapsed` nor `deadline` is written: it is {}",
                        deadline.value
                    ),
                    "write a `deadline` for the dependency, or `max_elapsed` here",
                ));
            }
        }
        return None;
    };
    let read = scope
        .read("max_elapsed", Some(value), value)
        .positive("a retry that must begin at once cannot wait for its back-off");
    if read.sound && deadline.sound && read.value >= deadline.value {
        read.scope.warning(Problem::new(
            "`max_elapsed` has no effect",
            format!(
                "{} >= {}: the deadline ends the call first",
                read.value, deadline.value
            ),
            "write less than the deadline, or leave it out",
        ));
    }
    let wait = backoff::least_wait(&config.backoff);
    if read.sound && !read.value.0.is_zero() && wait >= read.value.0 {
        read.scope.error(Problem::new(
            "no retry can ever be made",
            format!(
                "the first wait is at least {}, and `max_elapsed` is {}",
                Duration(wait),
                read.value
            ),
            "write a longer `max_elapsed`, or a shorter `initial`",
        ));
    }
    Some(read.get())
}

/// Finds what is written about retries that are never made.
fn without_effect(
    scope: &Scope<'_>,
    spec: &spec::Retry,
    config: &retry::Config,
    bounds: &Bounds<'_>,
) {
    if config.max_attempts == NonZeroU32::MIN {
        let others = spec.backoff.is_some()
            || spec.throttled.is_some()
            || spec.max_retry_after.is_some()
            || spec.budget.is_some();
        if others {
            scope.at("attempts").warning(Problem::new(
                "the other settings of `retry` have no effect",
                "one attempt is the first: there is no retry",
                "write 2 or more, or remove the `retry` section",
            ));
        }
    } else if spec.throttled.is_some() && bounds.deadline.sound {
        let (wait, deadline) = (
            backoff::least_wait(&config.throttled),
            bounds.deadline.value,
        );
        if wait >= deadline.0 {
            scope.at("throttled").at("initial").warning(Problem::new(
                "a refused attempt is never repeated",
                format!(
                    "the first wait is at least {}, and the deadline is {deadline}",
                    Duration(wait)
                ),
                "write a shorter `initial`, or leave `throttled` out",
            ));
        }
    }
}

/// Compares the time that the attempts take with the time there is.
///
/// Attempts that do not all fit are a warning, no error: those that fail at once, as a refused connection
/// does, leave time for the others. A first wait beyond the deadline is an error: then no retry is ever
/// made.
fn fits(scope: &Scope<'_>, config: &retry::Config, bounds: &Bounds<'_>) {
    let attempts = config.max_attempts.get();
    if attempts < 2 || !bounds.deadline.sound {
        return;
    }
    let (deadline, wait) = (bounds.deadline.get(), backoff::least_wait(&config.backoff));
    let shown = Duration;
    if wait >= deadline {
        scope.at("backoff").at("initial").error(Problem::new(
            "no retry can ever be made",
            format!(
                "the first wait is at least {}, and the deadline is {}",
                shown(wait),
                shown(deadline)
            ),
            "write a shorter `initial`, a longer `deadline`, or `attempts: 1`",
        ));
        return;
    }
    let Some(timeout) = bounds.attempt_timeout else {
        scope.at("attempts").warning(Problem::new(
            "an attempt that hangs leaves no time for a retry",
            "without an `attempt_timeout` it may use up the whole deadline",
            format!(
                "write an `attempt_timeout` for the dependency, such as `{}`",
                shown(deadline / (attempts + 1))
            ),
        ));
        return;
    };
    if !timeout.sound {
        return;
    }
    let timeout = timeout.get();
    let gaps = wait.saturating_mul(attempts - 1);
    let needed = timeout.saturating_mul(attempts).saturating_add(gaps);
    if needed <= deadline {
        return;
    }
    let arithmetic = format!(
        "{attempts} x {} + {} x {} = {} > {}",
        shown(timeout),
        attempts - 1,
        shown(wait),
        shown(needed),
        shown(deadline)
    );
    let consequence = if timeout.saturating_add(wait) >= deadline {
        "after an attempt that times out there is none; only failures that come sooner are retried"
    } else {
        "when they time out, the last is cut short or not made"
    };
    scope.at("attempts").warning(Problem::new(
        "the attempts do not fit into the deadline",
        format!("{arithmetic}: {consequence}"),
        "lower `attempts` or `attempt_timeout`, or raise `deadline`",
    ));
}

fn budget(
    scope: &Scope<'_>,
    spec: Option<&OrNone<spec::Budget>>,
    retry: &retry::Config,
) -> Option<budget::Config> {
    let absent = spec::Budget::default();
    let spec = match spec {
        Some(OrNone::None) => {
            scope.note("none", Origin::Written { line: scope.line() });
            let attempts = retry.max_attempts;
            scope.warning(Problem::new(
                "retries are not bounded over all calls",
                format!(
                    "when every call fails, the load on the dependency is {attempts} times as high"
                ),
                "leave `budget` out for the default of 0.2 retries per call",
            ));
            return None;
        }
        Some(OrNone::Some(written)) => written,
        None => &absent,
    };
    let mut config = budget::Config::default();
    let ratio = scope.read("ratio", spec.ratio, Ratio(config.ratio)).share();
    let floor = scope.read(
        "floor_per_second",
        spec.floor_per_second,
        Count(config.floor_per_second),
    );
    let window = scope
        .read("window", spec.window, Duration(config.window))
        .window();
    let least = scope.read(
        "min_concurrent",
        spec.min_concurrent,
        Count(config.min_concurrent),
    );
    let share = scope
        .read("concurrent", spec.concurrent, Ratio(config.concurrent))
        .share();

    let never = |place: &Scope<'_>, keys: &str| {
        place.error(Problem::new(
            "this budget never allows a retry",
            format!("{keys} are both zero"),
            "raise one of them, or remove the `retry` section",
        ));
    };
    if ratio.value.0.permille() == 0 && floor.value.0 == 0 {
        never(&ratio.scope, "`ratio` and `floor_per_second`");
    }
    if least.value.0 == 0 && share.value.0.permille() == 0 {
        never(&least.scope, "`min_concurrent` and `concurrent`");
    }
    config.ratio = ratio.get();
    config.floor_per_second = floor.get();
    config.window = window.get();
    config.min_concurrent = least.get();
    config.concurrent = share.get();
    Some(config)
}
