//! How much is sent: the rate, the throttle and the adaptive limit.

use core::num::NonZeroU32;

use evenkeel_core::limiter::aimd::{AimdConfig, ClassicConfig};
use evenkeel_core::limiter::gradient2::Gradient2Config;
use evenkeel_core::limiter::own::OwnConfig;
use evenkeel_core::limiter::vegas::VegasConfig;
use evenkeel_core::limiter::{self, Algorithm};
use evenkeel_core::{rate, throttle};

use super::scope::{Read, Scope};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Count, Duration, RateMode, Ratio};

pub(super) fn rate(scope: &Scope<'_>, spec: &spec::Rate) -> Option<rate::Config> {
    let why = "a rate is a number of calls in a time";
    let help = "write `limit: ` and how many calls a second are allowed, or another time in `per`";
    let limit = scope.required("limit", spec.limit, why, help)?;
    let Some(limit) = NonZeroU32::new(limit.0) else {
        scope.at("limit").error(Problem::new(
            "`limit` must be at least 1",
            "with a rate of nothing, no call is ever made",
            help,
        ));
        return None;
    };
    let mut config = rate::Config::per_second(limit);
    config.per = scope
        .read("per", spec.per, Duration(config.per))
        .positive("a number of calls in no time is no rate")
        .get();
    let (mode, said) = match spec.mode {
        Some(RateMode::Strict) => (rate::Mode::Strict, "strict"),
        Some(RateMode::Smooth) | None => (rate::Mode::Smooth, "smooth"),
    };
    config.mode = mode;
    scope.read("mode", spec.mode.map(|_| said), "smooth");
    let burst = scope
        .read_or(
            "burst",
            spec.burst,
            Count(limit.get()),
            Origin::Default(Some("as `limit`")),
        )
        .at_least_one("with a burst of nothing, no call is ever made");
    if burst.written && mode == rate::Mode::Strict {
        burst.scope.warning(Problem::new(
            "`burst` has no effect",
            "with `mode: strict` the limit is the burst",
            "remove it, or write `mode: smooth`",
        ));
    }
    config.burst = NonZeroU32::new(burst.get()).unwrap_or(limit);
    Some(config)
}

pub(super) fn throttle(scope: &Scope<'_>, spec: &spec::Throttle) -> throttle::Config {
    let mut config = throttle::Config::default();
    config.headroom = scope
        .read("headroom", spec.headroom, Ratio(config.headroom))
        .check(
            |headroom| headroom.0 >= evenkeel_core::ratio::Ratio::ONE,
            |headroom| {
                Problem::new(
                    "`headroom` must be at least 1",
                    format!("with {headroom}, attempts that would be accepted are held back"),
                    "write 1.5 or 2",
                )
            },
        )
        .get();
    let window = scope
        .read("window", spec.window, Duration(config.window))
        .window();
    config.min_calls = scope
        .read("min_calls", spec.min_calls, Count(config.min_calls))
        .at_least_one("a share of no attempts is none")
        .get();
    config.min_observed = observed(
        scope,
        spec.min_observed,
        Duration(config.min_observed),
        &window,
    );
    config.window = window.get();
    let max_share = scope
        .read("max_share", spec.max_share, Ratio(config.max_share))
        .share();
    if max_share.sound && max_share.value.0 == evenkeel_core::ratio::Ratio::ONE {
        max_share.scope.warning(Problem::new(
            "nothing may be sent at all",
            "when all attempts are held back, nobody finds out that there is room again",
            "write less than 1, such as `0.9`",
        ));
    }
    config.max_share = max_share.get();
    config
}

/// How long a window must have been observed, which cannot be longer than it is.
fn observed(
    scope: &Scope<'_>,
    written: Option<Duration>,
    default: Duration,
    window: &Read<'_, Duration>,
) -> std::time::Duration {
    let (usual, why) = if default.0 > window.get() {
        (window.value, Origin::Default(Some("lowered to `window`")))
    } else {
        (default, Origin::Default(None))
    };
    let observed = scope.read_or("min_observed", written, usual, why);
    if observed.sound && window.sound && observed.value > window.value {
        observed.scope.error(Problem::new(
            "`min_observed` is longer than `window`",
            format!(
                "{} > {}: nothing would ever be held back",
                observed.value, window.value
            ),
            format!("write at most `{}`", window.value),
        ));
    }
    observed.get()
}

pub(super) fn limiter(scope: &Scope<'_>, spec: &spec::Limiter) -> limiter::Config {
    let mut config = limiter::Config::default();
    config.algorithm = algorithm(scope, spec);
    let shortest = scope
        .read("min_window", spec.min_window, Duration(config.min_window))
        .positive("a limit that is looked at all the time sees one attempt at a time");
    let longest = scope.read("max_window", spec.max_window, Duration(config.max_window));
    if shortest.sound && longest.sound && shortest.value > longest.value {
        let place = if longest.written { &longest } else { &shortest };
        place.scope.error(Problem::new(
            "`min_window` is longer than `max_window`",
            format!("{} > {}", shortest.value, longest.value),
            format!("write at least `{}` for `max_window`", shortest.value),
        ));
    }
    config.min_window = shortest.get();
    config.max_window = longest.get();
    config.min_samples = scope
        .read("min_samples", spec.min_samples, Count(config.min_samples))
        .at_least_one("nothing follows from no attempt")
        .get();
    config
}

/// A limit's three numbers, as its algorithm has them by default.
struct Span {
    initial: NonZeroU32,
    min: NonZeroU32,
    max: NonZeroU32,
}

fn algorithm(scope: &Scope<'_>, spec: &spec::Limiter) -> Algorithm {
    let chosen = spec.algorithm.unwrap_or(spec::Algorithm::Own);
    let said = match chosen {
        spec::Algorithm::Own => "own",
        spec::Algorithm::Classic => "classic",
        spec::Algorithm::Aimd => "aimd",
        spec::Algorithm::Vegas => "vegas",
        spec::Algorithm::Gradient2 => "gradient2",
    };
    scope.read("algorithm", spec.algorithm.map(|_| said), "own");
    if chosen != spec::Algorithm::Own && spec.max_healthy_latency.is_some() {
        scope.at("max_healthy_latency").warning(Problem::new(
            "`max_healthy_latency` has no effect",
            format!("the algorithm {said} does not know it"),
            "remove it, or write `algorithm: own`",
        ));
    }
    match chosen {
        spec::Algorithm::Own => {
            let mut config = OwnConfig::default();
            let usual = (config.initial, config.min, config.max);
            Span {
                initial: config.initial,
                min: config.min,
                max: config.max,
            } = span(scope, spec, usual);
            config.max_healthy_rtt = healthy(scope, spec);
            Algorithm::Own(config)
        }
        spec::Algorithm::Classic => {
            let mut config = ClassicConfig::default();
            let usual = (config.initial, config.min, config.max);
            Span {
                initial: config.initial,
                min: config.min,
                max: config.max,
            } = span(scope, spec, usual);
            Algorithm::Classic(config)
        }
        spec::Algorithm::Aimd => {
            let mut config = AimdConfig::default();
            let usual = (config.initial, config.min, config.max);
            Span {
                initial: config.initial,
                min: config.min,
                max: config.max,
            } = span(scope, spec, usual);
            Algorithm::Aimd(config)
        }
        spec::Algorithm::Vegas => {
            if spec.min.is_some() {
                scope.at("min").warning(Problem::new(
                    "`min` has no effect",
                    "the algorithm vegas does not know it",
                    "remove it",
                ));
            }
            let mut config = VegasConfig::default();
            let usual = (config.initial, NonZeroU32::MIN, config.max);
            Span {
                initial: config.initial,
                max: config.max,
                ..
            } = span(scope, spec, usual);
            Algorithm::Vegas(config)
        }
        spec::Algorithm::Gradient2 => {
            let mut config = Gradient2Config::default();
            let usual = (config.initial, config.min, config.max);
            Span {
                initial: config.initial,
                min: config.min,
                max: config.max,
            } = span(scope, spec, usual);
            Algorithm::Gradient2(config)
        }
    }
}

fn healthy(scope: &Scope<'_>, spec: &spec::Limiter) -> Option<std::time::Duration> {
    let Some(written) = spec.max_healthy_latency else {
        let place = scope.at("max_healthy_latency");
        if !place.is_written() {
            place.note("none", Origin::Default(None));
        }
        return None;
    };
    let read = scope
        .read("max_healthy_latency", Some(written), written)
        .positive("every answer takes some time");
    Some(read.get())
}

fn span(
    scope: &Scope<'_>,
    spec: &spec::Limiter,
    (initial, min, max): (NonZeroU32, NonZeroU32, NonZeroU32),
) -> Span {
    let why = "with no slot, no attempt is ever made";
    let min = scope
        .read("min", spec.min, Count(min.get()))
        .at_least_one(why);
    let max = scope
        .read("max", spec.max, Count(max.get()))
        .at_least_one(why);
    if min.sound && max.sound && min.value.0 > max.value.0 {
        let place = if max.written { &max } else { &min };
        place.scope.error(Problem::new(
            "`min` is more than `max`",
            format!("{} > {}", min.value, max.value),
            "write the smaller one for `min`",
        ));
        return kept(min.get(), min.get(), min.get());
    }
    let held = initial.get().clamp(min.get().min(max.get()), max.get());
    let origin = if held == initial.get() {
        Origin::Default(None)
    } else {
        Origin::Default(Some("held between `min` and `max`"))
    };
    let initial = scope.read_or("initial", spec.initial, Count(held), origin);
    let within = (min.get()..=max.get()).contains(&initial.get());
    if initial.sound && min.sound && max.sound && !within {
        initial.scope.error(Problem::new(
            "`initial` is not between `min` and `max`",
            format!(
                "{} is not from {} to {}",
                initial.value, min.value, max.value
            ),
            format!("write a number from {} to {}", min.value, max.value),
        ));
    }
    kept(initial.get(), min.get(), max.get())
}

/// Zeros were refused: of what is refused, nothing is brought to life.
fn kept(initial: u32, min: u32, max: u32) -> Span {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Span {
        initial: at_least_one(initial),
        min: at_least_one(min),
        max: at_least_one(max),
    }
}
