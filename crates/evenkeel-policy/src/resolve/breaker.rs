//! When the circuit opens, and what closes it.

use evenkeel_core::breaker::{
    self, FailureRate, MAX_PROBES, Mode, OpenInterval, Probes, SlowRate, SlowerThan,
};
use evenkeel_core::ratio;

use super::backoff;
use super::scope::Scope;
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Count, Duration, OrNone, Ratio};

/// Verdicts on probes are counted in four bits.
const MOST_SUCCESSES: u32 = 15;

pub(super) fn resolve(scope: &Scope<'_>, spec: &spec::Breaker) -> breaker::Config {
    let (mut config, origin) = match spec.preset {
        Some(spec::Preset::Classic) => {
            let preset = scope.at("preset");
            preset.note(
                "classic",
                Origin::Written {
                    line: preset.line(),
                },
            );
            (breaker::Config::classic(), Origin::Preset("classic"))
        }
        None => (breaker::Config::default(), Origin::Default(None)),
    };
    config.rate = rate(&scope.at("rate"), spec.rate.as_ref(), config.rate, origin);
    config.consecutive = consecutive(scope, spec.consecutive, config.consecutive, origin);
    config.slow = slow(&scope.at("slow"), spec.slow.as_ref(), config.slow, origin);
    if config.rate.is_none() && config.consecutive.is_none() && config.slow.is_none() {
        scope.error(Problem::new(
            "this circuit can never open",
            "its rules, `rate`, `slow` and `consecutive`, are all `none`",
            "keep one of them, or remove the `breaker` section",
        ));
    }
    config.open = open(&scope.at("open"), spec.open.as_ref(), config.open, origin);
    config.probes = probes(
        &scope.at("probes"),
        spec.probes.as_ref(),
        config.probes,
        origin,
    );
    config.ramp = scope
        .read_or("ramp", spec.ramp, Duration(config.ramp), origin)
        .get();
    config.mode = mode(scope, spec.mode);
    config
}

fn mode(scope: &Scope<'_>, written: Option<spec::Mode>) -> Mode {
    let live = |mode| match mode {
        spec::Mode::Automatic => Mode::Automatic,
        spec::Mode::ForcedOpen => Mode::ForcedOpen,
        spec::Mode::Disabled => Mode::Disabled,
        spec::Mode::ObserveOnly => Mode::ObserveOnly,
    };
    let mode = written.map_or(Mode::Automatic, live);
    let read = scope.read("mode", written.map(|_| mode.as_str()), mode.as_str());
    let consequence = match mode {
        Mode::Automatic => return mode,
        Mode::ForcedOpen => "no call is made until somebody changes it",
        _ => "calls go on to a dependency that is down",
    };
    read.scope.warning(Problem::new(
        format!("the circuit is {}", mode.as_str()),
        consequence,
        "remove `mode` when you are done",
    ));
    mode
}

fn slow(
    scope: &Scope<'_>,
    spec: Option<&OrNone<spec::SlowRate>>,
    base: Option<SlowRate>,
    origin: Origin,
) -> Option<SlowRate> {
    let absent = spec::SlowRate::default();
    let (spec, mut config, origin) = match (spec, base) {
        (Some(OrNone::None), _) => {
            scope.note("none", Origin::Written { line: scope.line() });
            return None;
        }
        (None, None) => {
            scope.note("none", origin);
            return None;
        }
        (None, Some(base)) => (&absent, base, origin),
        (Some(OrNone::Some(written)), base) => {
            (written, base.unwrap_or_default(), Origin::Default(None))
        }
    };
    config.threshold = scope
        .read_or("threshold", spec.threshold, Ratio(config.threshold), origin)
        .share()
        .check(
            |share| share.0.permille() > 0,
            |_| {
                Problem::new(
                    "`threshold` must be more than zero",
                    "the circuit would open without a slow call",
                    "write a share such as `0.8`",
                )
            },
        )
        .get();
    config.than = slower_than(scope, spec, config.than, origin);
    Some(config)
}

fn slower_than(
    scope: &Scope<'_>,
    spec: &spec::SlowRate,
    base: SlowerThan,
    origin: Origin,
) -> SlowerThan {
    let than = scope.at("than");
    if than.is_written() {
        for (key, written) in [
            ("factor", spec.factor.is_some()),
            ("at_least", spec.at_least.is_some()),
        ] {
            if written {
                scope.at(key).error(Problem::new(
                    format!("`{key}` has no effect with `than`"),
                    "which calls are slow is written, not learned",
                    format!("remove `{key}`, or remove `than`"),
                ));
            }
        }
        let written = spec.than.unwrap_or(Duration(std::time::Duration::ZERO));
        let read = scope
            .read("than", spec.than, written)
            .positive("every call takes some time");
        return SlowerThan::Fixed(read.get());
    }
    let SlowerThan::Usual { factor, at_least } = base else {
        return base;
    };
    let factor = scope
        .read_or("factor", spec.factor, Ratio(factor), origin)
        .check(
            |factor| factor.0 >= ratio::Ratio::ONE,
            |factor| {
                Problem::new(
                    format!("a factor of {factor} makes the usual call a slow one"),
                    "half of all calls take the median or longer",
                    "write 2 or more; 3 is usual",
                )
            },
        )
        .get();
    let at_least = scope
        .read_or("at_least", spec.at_least, Duration(at_least), origin)
        .positive("a call of no time is not slow")
        .get();
    SlowerThan::Usual { factor, at_least }
}

fn rate(
    scope: &Scope<'_>,
    spec: Option<&OrNone<spec::FailureRate>>,
    base: Option<FailureRate>,
    origin: Origin,
) -> Option<FailureRate> {
    let absent = spec::FailureRate::default();
    let (spec, mut config, origin) = match (spec, base) {
        (Some(OrNone::None), _) => {
            scope.note("none", Origin::Written { line: scope.line() });
            return None;
        }
        (None, None) => {
            scope.note("none", origin);
            return None;
        }
        (None, Some(base)) => (&absent, base, origin),
        (Some(OrNone::Some(written)), Some(base)) => (written, base, origin),
        (Some(OrNone::Some(written)), None) => {
            (written, FailureRate::default(), Origin::Default(None))
        }
    };
    let threshold = scope
        .read_or("threshold", spec.threshold, Ratio(config.threshold), origin)
        .share()
        .check(
            |share| share.0.permille() > 0,
            |_| {
                Problem::new(
                    "`threshold` must be more than zero",
                    "the circuit would open without a failure",
                    "write a share such as `0.5`",
                )
            },
        );
    let window = scope
        .read_or("window", spec.window, Duration(config.window), origin)
        .window();
    let min_calls = scope
        .read_or("min_calls", spec.min_calls, Count(config.min_calls), origin)
        .at_least_one("a share of no calls is none");
    let (usual, why) = if config.min_observed > window.get() {
        (window.get(), Origin::Default(Some("lowered to `window`")))
    } else {
        (config.min_observed, origin)
    };
    let observed = scope.read_or("min_observed", spec.min_observed, Duration(usual), why);
    if observed.sound && window.sound && observed.value > window.value {
        observed.scope.error(Problem::new(
            "`min_observed` is longer than `window`",
            format!(
                "{} > {}: the circuit could never open",
                observed.value, window.value
            ),
            format!("write at most `{}`", window.value),
        ));
    }
    config.threshold = threshold.get();
    config.window = window.get();
    config.min_calls = min_calls.get();
    config.min_observed = observed.get();
    Some(config)
}

fn consecutive(
    scope: &Scope<'_>,
    written: Option<OrNone<Count>>,
    base: Option<u32>,
    origin: Origin,
) -> Option<u32> {
    let default = base.map_or(OrNone::None, |failures| OrNone::Some(Count(failures)));
    let read = scope
        .read_or("consecutive", written, default, origin)
        .check(
            |failures| *failures != OrNone::Some(Count(0)),
            |_| {
                Problem::new(
                    "`consecutive` must be at least 1",
                    "the circuit would open without a failure",
                    "write 1 or more, or `none` to switch this rule off",
                )
            },
        );
    match read.value {
        OrNone::Some(Count(failures)) => Some(failures),
        OrNone::None => None,
    }
}

fn open(
    scope: &Scope<'_>,
    spec: Option<&spec::Open>,
    mut config: OpenInterval,
    origin: Origin,
) -> OpenInterval {
    let absent = spec::Open::default();
    let spec = spec.unwrap_or(&absent);
    (config.initial, config.max) = backoff::span(
        scope,
        spec.initial,
        spec.max,
        config.initial,
        config.max,
        origin,
    );
    config.jitter = scope
        .read_or("jitter", spec.jitter, Ratio(config.jitter), origin)
        .share()
        .get();
    config
}

fn probes(
    scope: &Scope<'_>,
    spec: Option<&spec::Probes>,
    mut config: Probes,
    origin: Origin,
) -> Probes {
    let absent = spec::Probes::default();
    let spec = spec.unwrap_or(&absent);
    let count = |key, written, default: u8, least, most: u32, why| {
        scope
            .read_or(key, written, Count(default.into()), origin)
            .within(least, most, why)
            .byte()
    };
    config.concurrent = count(
        "concurrent",
        spec.concurrent,
        config.concurrent,
        1,
        MAX_PROBES.into(),
        "each probe holds one of ten leases",
    );
    config.spacing = scope
        .read_or("spacing", spec.spacing, Duration(config.spacing), origin)
        .get();
    config.successes = count(
        "successes",
        spec.successes,
        config.successes,
        1,
        MOST_SUCCESSES,
        "the circuit closes after them, and counts to 15",
    );
    config.tolerated_failures = count(
        "tolerated_failures",
        spec.tolerated_failures,
        config.tolerated_failures,
        0,
        MOST_SUCCESSES - 1,
        "one more opens the circuit again, and it counts to 15",
    );
    config.lease = scope
        .read_or("lease", spec.lease, Duration(config.lease), origin)
        .positive("a probe needs some time to answer")
        .get();
    config
}
