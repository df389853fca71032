//! Where attempts go and what they cost beside the first: hedges and endpoints; and what counts as progress.

use core::num::NonZeroU32;

use evenkeel_core::endpoint::{self, MAX_ENDPOINTS};
use evenkeel_core::hedge::{self, After};
use evenkeel_core::{outlier, progress};

use super::backoff;
use super::dependency::Caller;
use super::scope::{Read, Scope};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Count, Duration, OrNone, Ratio};

/// More hedges than this for one call only add load.
const MOST_HEDGES: u32 = 3;

pub(super) fn hedge(
    scope: &Scope<'_>,
    spec: &spec::Hedge,
    deadline: &Read<'_, Duration>,
) -> hedge::Config {
    let mut config = hedge::Config::default();
    let (after, said) = match spec.after {
        Some(spec::After::P90) => (After::P90, "p90"),
        Some(spec::After::P95) | None => (After::P95, "p95"),
        Some(spec::After::P99) => (After::P99, "p99"),
    };
    config.after = after;
    scope.read("after", spec.after.map(|_| said), "p95");
    let min_delay = scope.read("min_delay", spec.min_delay, Duration(config.min_delay));
    if min_delay.sound && deadline.sound && min_delay.value >= deadline.value {
        min_delay.scope.error(Problem::new(
            "no hedge can ever be made",
            format!(
                "it waits for at least {}, and the deadline is {}",
                min_delay.value, deadline.value
            ),
            "write a shorter `min_delay`, or remove the `hedge` section",
        ));
    }
    config.min_delay = min_delay.get();
    let samples = u32::try_from(config.min_samples).unwrap_or(u32::MAX);
    config.min_samples = scope
        .read("min_samples", spec.min_samples, Count(samples))
        .at_least_one("latency is not known from no attempt")
        .get()
        .into();
    config.max_hedges = scope
        .read("max_hedges", spec.max_hedges, Count(config.max_hedges))
        .within(1, MOST_HEDGES, "more copies of one call only add load")
        .get();
    config.ratio = scope
        .read("ratio", spec.ratio, Ratio(config.ratio))
        .share()
        .check(
            |ratio| ratio.0.permille() > 0,
            |_| {
                Problem::new(
                    "this budget never allows a hedge",
                    "`ratio` is zero, and there is no floor",
                    "write a share such as `0.05`, or remove the `hedge` section",
                )
            },
        )
        .get();
    config.max_used = scope
        .read("max_used", spec.max_used, Ratio(config.max_used))
        .share()
        .get();
    config.latency.window = scope
        .read("window", spec.window, Duration(config.latency.window))
        .window()
        .get();
    config
}

pub(super) fn endpoints(
    scope: &Scope<'_>,
    spec: &spec::Endpoints,
    caller: Caller,
) -> Option<endpoint::Config> {
    if caller == Caller::Proxy {
        scope.error(Problem::new(
            "the proxy addresses one host for each upstream",
            "with `endpoints`, whoever makes the attempts has to choose the host that it is told",
            "remove `endpoints`, or call the dependency with the library",
        ));
    }
    let why = "endpoints are a number of hosts";
    let help = "write `count: ` and how many hosts there are, from 2 to 64";
    let written = scope.required("count", spec.count, why, help)?;
    let count = NonZeroU32::new(written.0).filter(|_| (2..=MAX_ENDPOINTS).contains(&written.0));
    let Some(count) = count else {
        scope.at("count").error(Problem::new(
            format!("`count` is {written}, and must be from 2 to {MAX_ENDPOINTS}"),
            "a call remembers in one word where it has been, and one host needs no choice",
            help,
        ));
        return None;
    };
    let mut config = endpoint::Config::new(count);
    config.balance.half_life = scope
        .read(
            "half_life",
            spec.half_life,
            Duration(config.balance.half_life),
        )
        .positive("what is forgotten at once is not known")
        .get();
    config.balance.penalty = scope
        .read("penalty", spec.penalty, Duration(config.balance.penalty))
        .get();
    config.panic = scope
        .read("panic", spec.panic, Ratio(config.panic))
        .share()
        .get();
    config.outlier = outlier(&scope.at("outlier"), spec.outlier.as_ref());
    Some(config)
}

fn outlier(scope: &Scope<'_>, spec: Option<&OrNone<spec::Outlier>>) -> Option<outlier::Config> {
    let absent = spec::Outlier::default();
    let spec = match spec {
        Some(OrNone::None) => {
            scope.note("none", Origin::Written { line: scope.line() });
            return None;
        }
        Some(OrNone::Some(written)) => written,
        None => &absent,
    };
    let mut config = outlier::Config::default();
    let consecutive = scope
        .read(
            "consecutive",
            spec.consecutive,
            config
                .consecutive
                .map_or(OrNone::None, |failures| OrNone::Some(Count(failures))),
        )
        .check(
            |failures| *failures != OrNone::Some(Count(0)),
            |_| {
                Problem::new(
                    "`consecutive` must be at least 1",
                    "a host would be left out without a failure",
                    "write 1 or more, or `none`",
                )
            },
        );
    config.consecutive = match consecutive.value {
        OrNone::Some(Count(failures)) => Some(failures),
        OrNone::None => None,
    };
    config.factor = scope
        .read("factor", spec.factor, Ratio(config.factor))
        .check(
            |factor| factor.0 >= evenkeel_core::ratio::Ratio::ONE,
            |_| {
                Problem::new(
                    "`factor` must be at least 1",
                    "a host that is as good as its peers would be left out",
                    "write 2 or 3",
                )
            },
        )
        .get();
    let share = |key, written, default| scope.read(key, written, Ratio(default)).share().get();
    config.min_failures = share("min_failures", spec.min_failures, config.min_failures);
    config.jitter = share("jitter", spec.jitter, config.jitter);
    config.max_ejected = share("max_ejected", spec.max_ejected, config.max_ejected);
    config.panic = share("panic", spec.panic, config.panic);
    config.min_calls = scope
        .read("min_calls", spec.min_calls, Count(config.min_calls))
        .at_least_one("a share of no attempts is none")
        .get();
    config.window = scope
        .read("window", spec.window, Duration(config.window))
        .window()
        .get();
    (config.initial, config.max) = backoff::span(
        scope,
        spec.initial,
        spec.max,
        config.initial,
        config.max,
        Origin::Default(None),
    );
    Some(config)
}

/// Reads the section at `scope`. None: it is not written, and the defaults hold.
pub(super) fn progress(scope: &Scope<'_>, spec: Option<&spec::Progress>) -> progress::Config {
    let absent = spec::Progress::default();
    let spec = spec.unwrap_or(&absent);
    let mut config = progress::Config::default();
    config.window = scope
        .read("window", spec.window, Duration(config.window))
        .window()
        .get();
    config.min_calls = scope
        .read("min_calls", spec.min_calls, Count(config.min_calls))
        .at_least_one("nothing follows from no call")
        .get();
    config.stalled_after = scope
        .read(
            "stalled_after",
            spec.stalled_after,
            Duration(config.stalled_after),
        )
        .positive("every call takes some time")
        .get();
    config.max_attempts_per_success = scope
        .read(
            "max_attempts_per_success",
            spec.max_attempts_per_success,
            Count(config.max_attempts_per_success),
        )
        .at_least_one("a call that ends well has made an attempt")
        .get();
    config.degraded_below = scope
        .read(
            "degraded_below",
            spec.degraded_below,
            Ratio(config.degraded_below),
        )
        .share()
        .get();
    config
}
