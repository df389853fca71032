//! One dependency: each section by itself, then what they say to each other.

use evenkeel_core::breaker::SlowerThan;
use evenkeel_core::{bulkhead, policy};

use super::scope::{Read, Scope};
use super::{breaker, load, retry, spread};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Count, Duration, Ratio};

/// Who makes the calls, where that decides a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A service, through the library.
    Service,
    /// The proxy, on behalf of services that may retry too.
    Proxy,
}

pub(super) fn resolve(
    scope: &Scope<'_>,
    spec: &spec::Dependency,
    caller: Caller,
) -> policy::Config {
    let mut config = policy::Config::default();

    let deadline = scope
        .read("deadline", spec.deadline, Duration(config.deadline))
        .positive("a call that must end at once cannot begin");
    if !deadline.written {
        let default = deadline.value;
        deadline.scope.warning(Problem::new(
            "no deadline is set",
            format!(
                "every call may take the default of {default}, which is too long for most callers"
            ),
            "write `deadline: ` and how long an answer is worth waiting for",
        ));
    }
    config.deadline = deadline.get();
    let section = scope.at("rate");
    section.note_off();
    config.rate = spec
        .rate
        .as_ref()
        .and_then(|written| load::rate(&section, written));

    let attempt_timeout = attempt_timeout(scope, spec.attempt_timeout, &deadline);
    config.attempt_timeout = attempt_timeout.as_ref().map(|read| read.value.0);

    let section = scope.at("retry");
    section.note_off();
    config.retry = spec.retry.as_ref().map(|written| {
        let bounds = retry::Bounds {
            deadline: &deadline,
            attempt_timeout: attempt_timeout.as_ref(),
        };
        retry::resolve(&section, written, caller, &bounds)
    });

    let section = scope.at("hedge");
    section.note_off();
    config.hedge = spec
        .hedge
        .as_ref()
        .map(|written| spread::hedge(&section, written, &deadline));

    let section = scope.at("throttle");
    section.note_off();
    config.throttle = spec
        .throttle
        .as_ref()
        .map(|written| load::throttle(&section, written));

    let section = scope.at("breaker");
    section.note_off();
    config.breaker = spec
        .breaker
        .as_ref()
        .map(|written| breaker::resolve(&section, written));

    let section = scope.at("limiter");
    section.note_off();
    config.limiter = spec
        .limiter
        .as_ref()
        .map(|written| load::limiter(&section, written));

    let section = scope.at("bulkhead");
    section.note_off();
    config.bulkhead = spec
        .bulkhead
        .as_ref()
        .and_then(|written| bulkhead(&section, written, &deadline));

    let section = scope.at("endpoints");
    section.note_off();
    config.endpoints = spec
        .endpoints
        .as_ref()
        .and_then(|written| spread::endpoints(&section, written, caller));
    config.progress = spread::progress(&scope.at("progress"), spec.progress.as_ref());

    one_call_alone(&scope.at("breaker").at("consecutive"), &config);
    never_slow(&scope.at("breaker").at("slow").at("than"), &config);
    config
}

fn attempt_timeout<'t>(
    scope: &Scope<'t>,
    written: Option<Duration>,
    deadline: &Read<'_, Duration>,
) -> Option<Read<'t, Duration>> {
    let Some(written) = written else {
        let scope = scope.at("attempt_timeout");
        if !scope.is_written() {
            scope.note("what is left of the deadline", Origin::Default(None));
        }
        return None;
    };
    let mut read = scope
        .read("attempt_timeout", Some(written), written)
        .positive("an attempt that must end at once cannot begin");
    if deadline.sound {
        let whole = deadline.value;
        read = read.check(
            |timeout| *timeout <= whole,
            |timeout| {
                let default = if deadline.written {
                    ""
                } else {
                    ", its default"
                };
                Problem::new(
                    "`attempt_timeout` is longer than `deadline`",
                    format!("{timeout} > {whole}{default}: the deadline ends the call first"),
                    format!("write at most `{whole}`, or a longer `deadline`"),
                )
            },
        );
    }
    Some(read)
}

fn bulkhead(
    scope: &Scope<'_>,
    spec: &spec::Bulkhead,
    deadline: &Read<'_, Duration>,
) -> Option<bulkhead::Config> {
    let why = "a bulkhead is a limit on attempts in flight";
    let help =
        "write `limit: ` and a number: calls per second at peak x their p99 in seconds x 1.5";
    let limit = scope.required("limit", spec.limit, why, help)?;
    let Some(slots) = core::num::NonZeroU32::new(limit.0) else {
        scope.at("limit").error(Problem::new(
            "`limit` must be at least 1",
            "with no slot, no call is ever made",
            help,
        ));
        return None;
    };
    let mut config = bulkhead::Config::new(slots);
    let queue = scope.read("queue", spec.queue, Count(config.queue));
    let max_wait = scope.read("max_wait", spec.max_wait, Duration(config.max_wait));
    let share = scope
        .read(
            "max_wait_share",
            spec.max_wait_share,
            Ratio(config.max_wait_share),
        )
        .share();

    if queue.value.0 > 0 && max_wait.sound && max_wait.get().is_zero() {
        max_wait.scope.error(Problem::new(
            "nobody can wait for no time",
            format!("{} callers may queue, each for 0s", queue.value),
            "write a longer `max_wait`, or `queue: 0` to reject at once",
        ));
    }
    if queue.sound && queue.value.0 == 0 && max_wait.written {
        max_wait.scope.warning(Problem::new(
            "`max_wait` has no effect",
            "with `queue: 0` nobody waits",
            "remove it, or give the queue some places",
        ));
    }
    if max_wait.written && queue.value.0 > 0 && deadline.sound && max_wait.value >= deadline.value {
        max_wait.scope.error(Problem::new(
            "`max_wait` leaves no time for the call",
            format!(
                "{} of waiting, and the deadline is {}",
                max_wait.value, deadline.value
            ),
            "write a fraction of the deadline, such as a tenth",
        ));
    }
    config.queue = queue.get();
    config.max_wait = max_wait.get();
    config.max_wait_share = share.get();
    Some(config)
}

/// One call whose attempts all fail must not be enough to open the circuit for everyone.
fn one_call_alone(consecutive: &Scope<'_>, config: &policy::Config) {
    let Some(failures) = config.breaker.as_ref().and_then(|it| it.consecutive) else {
        return;
    };
    if config.retry.is_none() && config.hedge.is_none() {
        return;
    }
    let attempts = config.max_attempts();
    if attempts >= failures && failures > 0 {
        consecutive.warning(Problem::new(
            "a single call can open the circuit",
            format!(
                "it makes up to {attempts} attempts, and {failures} failures in a row are enough"
            ),
            format!("write more than {attempts} for `consecutive`, or fewer `attempts`"),
        ));
    }
}

/// An attempt that ends before it is slow by the rule is never slow by the rule.
fn never_slow(than: &Scope<'_>, config: &policy::Config) {
    let slow = config
        .breaker
        .as_ref()
        .and_then(|breaker| breaker.slow.as_ref());
    let Some(SlowerThan::Fixed(slow)) = slow.map(|slow| slow.than) else {
        return;
    };
    let (longest, name) = match config.attempt_timeout {
        Some(timeout) => (timeout, "attempt_timeout"),
        None => (config.deadline, "deadline"),
    };
    if than.is_written() && !slow.is_zero() && slow >= longest {
        than.warning(Problem::new(
            "no call is ever slow by this rule",
            format!(
                "an attempt ends at the `{name}` of {}, and is slow from {} on",
                Duration(longest),
                Duration(slow)
            ),
            format!("write less than {} for `than`", Duration(longest)),
        ));
    }
}
