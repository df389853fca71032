//! How waits grow and spread.

use std::time;

use evenkeel_core::backoff::{Config, Growth, Jitter};
use evenkeel_core::ratio;

use super::scope::{Read, Scope};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::spec::{self, Duration, Ratio};

/// Jitter under this share of the wait leaves a crowd a crowd.
const LEAST_JITTER: ratio::Ratio = ratio::Ratio::from_permille(500);

/// Reads the section at `scope`, whose defaults are `base`. None: it is not written.
pub(super) fn resolve(scope: &Scope<'_>, spec: Option<&spec::Backoff>, base: Config) -> Config {
    let absent = spec::Backoff::default();
    let spec = spec.unwrap_or(&absent);
    let mut config = base;

    config.authoritative = scope.read("authoritative", spec.authoritative, false).value;
    if config.authoritative {
        never_waits(scope, spec);
        return config;
    }
    let jitter = scope.read(
        "jitter",
        spec.jitter.map(Said),
        Said(spec::Jitter::Decorrelated),
    );
    config.jitter = judge_jitter(&jitter);
    if jitter.sound {
        config.growth = match jitter.value.0 {
            spec::Jitter::Decorrelated => {
                without_effect(scope, spec);
                config.growth
            }
            _ => growth(scope, spec, config.growth),
        };
    }

    let (initial, max) = span(
        scope,
        spec.initial,
        spec.max,
        config.initial,
        config.max,
        Origin::Default(None),
    );
    config.initial = initial;
    config.max = max;
    config
}

/// The first and the longest of growing times, of which the one not written gives way to the other.
pub(super) fn span(
    scope: &Scope<'_>,
    initial: Option<Duration>,
    max: Option<Duration>,
    default_initial: time::Duration,
    default_max: time::Duration,
    origin: Origin,
) -> (time::Duration, time::Duration) {
    let (default_initial, default_max) = (Duration(default_initial), Duration(default_max));
    let (lowered, raised) = match (initial, max) {
        (None, Some(max)) if max < default_initial => (max, default_max),
        (Some(initial), None) if initial > default_max => (default_initial, initial),
        _ => (default_initial, default_max),
    };
    let because = |given: Duration, usual: Duration, reason| {
        if given == usual {
            origin
        } else {
            Origin::Default(Some(reason))
        }
    };
    let initial = scope
        .read_or(
            "initial",
            initial,
            lowered,
            because(lowered, default_initial, "lowered to `max`"),
        )
        .positive("waiting begins with some wait, and what is zero does not grow");
    let max = scope
        .read_or(
            "max",
            max,
            raised,
            because(raised, default_max, "raised to `initial`"),
        )
        .positive("a wait of at most zero is none");
    if initial.sound && max.sound && initial.value > max.value {
        initial.scope.error(Problem::new(
            "`initial` is longer than `max`",
            format!(
                "{} > {}: every wait would be cut to `max`",
                initial.value, max.value
            ),
            format!("write at most `{}`, or a longer `max`", max.value),
        ));
    }
    (initial.get(), max.get())
}

/// The shortest first wait that the configuration can draw.
pub(super) fn least_wait(config: &Config) -> time::Duration {
    if config.authoritative {
        return time::Duration::ZERO;
    }
    let initial = config.initial.min(config.max);
    match config.jitter {
        Jitter::None | Jitter::Decorrelated => initial,
        Jitter::Equal => initial / 2,
        Jitter::Proportional(factor) => {
            let left = ratio::Ratio::ONE
                .permille()
                .saturating_sub(factor.permille());
            initial.saturating_mul(left) / ratio::Ratio::ONE.permille()
        }
        _ => time::Duration::ZERO,
    }
}

fn judge_jitter(read: &Read<'_, Said<spec::Jitter>>) -> Jitter {
    let too_little = |how: String| {
        read.scope.warning(Problem::new(
            "too little jitter",
            format!("{how}: clients that fail together come back together"),
            "write `decorrelated`, `full` or `equal`, or a proportional factor of at least 0.5",
        ));
    };
    match read.value.0 {
        spec::Jitter::None => {
            too_little("none at all".to_owned());
            Jitter::None
        }
        spec::Jitter::Full => Jitter::Full,
        spec::Jitter::Equal => Jitter::Equal,
        spec::Jitter::Decorrelated => Jitter::Decorrelated,
        spec::Jitter::Proportional(Ratio(factor)) => {
            if factor > ratio::Ratio::ONE {
                read.scope.at("proportional").error(Problem::new(
                    format!("a factor of {factor} would make waits negative"),
                    "waits are spread from (1 - factor) to (1 + factor) times their length",
                    "write a factor from 0.5 to 1",
                ));
            } else if factor < LEAST_JITTER {
                too_little(format!("{factor} < 0.5 of the wait"));
            }
            Jitter::Proportional(factor)
        }
    }
}

/// Who does not wait has no waits to describe.
fn never_waits(scope: &Scope<'_>, spec: &spec::Backoff) {
    let written = [
        ("growth", spec.growth.is_some()),
        ("multiplier", spec.multiplier.is_some()),
        ("increment", spec.increment.is_some()),
        ("jitter", spec.jitter.is_some()),
        ("initial", spec.initial.is_some()),
        ("max", spec.max.is_some()),
    ];
    for (key, _) in written.into_iter().filter(|(_, written)| *written) {
        scope.at(key).error(Problem::new(
            format!("`{key}` has no effect with `authoritative`"),
            "an authoritative party retries at once and waits for nothing",
            format!("remove `{key}`, or remove `authoritative`"),
        ));
    }
}

/// With decorrelated jitter the draw makes the wait grow: settings of growth would do nothing.
fn without_effect(scope: &Scope<'_>, spec: &spec::Backoff) {
    let written = [
        ("growth", spec.growth.is_some()),
        ("multiplier", spec.multiplier.is_some()),
        ("increment", spec.increment.is_some()),
    ];
    for (key, _) in written.into_iter().filter(|(_, written)| *written) {
        scope.at(key).error(Problem::new(
            format!("`{key}` has no effect with decorrelated jitter"),
            "its draw, from `initial` to three times the wait before, makes the wait grow",
            format!("remove `{key}`, or choose another jitter, such as `jitter: full`"),
        ));
    }
}

fn growth(scope: &Scope<'_>, spec: &spec::Backoff, default: Growth) -> Growth {
    let kind = scope.read(
        "growth",
        spec.growth.map(Said),
        Said(spec::Growth::Exponential),
    );
    if !kind.sound {
        return default;
    }
    let kind = kind.value.0;
    let misplaced = |key: &str, belongs: &str| {
        scope.at(key).error(Problem::new(
            format!("`{key}` has no effect here"),
            format!("it belongs to `growth: {belongs}`"),
            format!("remove it, or write `growth: {belongs}`"),
        ));
    };
    if kind != spec::Growth::Exponential && spec.multiplier.is_some() {
        misplaced("multiplier", "exponential");
    }
    if kind != spec::Growth::Linear && spec.increment.is_some() {
        misplaced("increment", "linear");
    }
    match kind {
        spec::Growth::Constant => Growth::Constant,
        spec::Growth::Linear => {
            let why = "linear growth adds it to each wait";
            let help = "write `increment: ` and by how much each wait is longer";
            let increment = scope.required("increment", spec.increment, why, help);
            Growth::Linear {
                increment: increment.map_or(time::Duration::ZERO, |by| by.0),
            }
        }
        spec::Growth::Exponential => {
            let usual = match default {
                Growth::Exponential { multiplier } => multiplier,
                _ => ratio::Ratio::from_permille(2000),
            };
            let multiplier = scope
                .read("multiplier", spec.multiplier, Ratio(usual))
                .check(
                    |by| by.0 >= ratio::Ratio::ONE,
                    |by| {
                        Problem::new(
                            format!("a multiplier of {by} makes waits shorter"),
                            "each failure would bring the next attempt sooner",
                            "write 1 or more; 2 is usual",
                        )
                    },
                );
            Growth::Exponential {
                multiplier: multiplier.get(),
            }
        }
    }
}

/// A choice as the file spells it.
#[derive(Clone, Copy)]
struct Said<T>(T);

impl std::fmt::Display for Said<spec::Jitter> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            spec::Jitter::None => f.write_str("none"),
            spec::Jitter::Full => f.write_str("full"),
            spec::Jitter::Equal => f.write_str("equal"),
            spec::Jitter::Decorrelated => f.write_str("decorrelated"),
            spec::Jitter::Proportional(factor) => write!(f, "proportional {factor}"),
        }
    }
}

impl std::fmt::Display for Said<spec::Growth> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            spec::Growth::Constant => "constant",
            spec::Growth::Linear => "linear",
            spec::Growth::Exponential => "exponential",
        })
    }
}
