//! The sections of a case's policy beside retries, breaker and slots.

use core::num::NonZeroU32;

use super::parse::{Reading, duration, number, ratio, settings, unknown};
use crate::limiter::aimd::{AimdConfig, ClassicConfig};
use crate::limiter::gradient2::Gradient2Config;
use crate::limiter::own::OwnConfig;
use crate::limiter::vegas::VegasConfig;
use crate::limiter::{self, Algorithm};
use crate::policy::Config;
use crate::{endpoint, hedge, outlier, progress, rate, throttle};

/// Reads one of these sections into `policy`; false if `keyword` is none of them.
pub(super) fn read(policy: &mut Config, keyword: &str, text: &str) -> Reading<bool> {
    match keyword {
        "rate" => policy.rate = Some(read_rate(text)?),
        "throttle" => policy.throttle = Some(read_throttle(text)?),
        "hedge" => policy.hedge = Some(read_hedge(text)?),
        "limiter" => policy.limiter = Some(read_limiter(text)?),
        "endpoints" => policy.endpoints = Some(read_endpoints(text)?),
        "progress" => policy.progress = read_progress(text)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn read_rate(text: &str) -> Reading<rate::Config> {
    let mut rate = rate::Config::per_second(NonZeroU32::MIN);
    for (key, value) in settings(text)? {
        match key {
            "limit" => rate = rate::Config::new(number(value)?, rate.per),
            "per" => rate.per = duration(value)?,
            "burst" => rate.burst = number(value)?,
            "mode" if value == "smooth" => rate.mode = rate::Mode::Smooth,
            "mode" if value == "strict" => rate.mode = rate::Mode::Strict,
            other => return Err(unknown(other)),
        }
    }
    Ok(rate)
}

fn read_throttle(text: &str) -> Reading<throttle::Config> {
    let mut throttle = throttle::Config::default();
    for (key, value) in settings(text)? {
        match key {
            "headroom" => throttle.headroom = ratio(value)?,
            "window" => throttle.window = duration(value)?,
            "min_calls" => throttle.min_calls = number(value)?,
            "min_observed" => throttle.min_observed = duration(value)?,
            "max_share" => throttle.max_share = ratio(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(throttle)
}

fn read_hedge(text: &str) -> Reading<hedge::Config> {
    let mut hedge = hedge::Config::default();
    for (key, value) in settings(text)? {
        match key {
            "after" if value == "p90" => hedge.after = hedge::After::P90,
            "after" if value == "p95" => hedge.after = hedge::After::P95,
            "after" if value == "p99" => hedge.after = hedge::After::P99,
            "min_delay" => hedge.min_delay = duration(value)?,
            "min_samples" => hedge.min_samples = number(value)?,
            "max" => hedge.max_hedges = number(value)?,
            "ratio" => hedge.ratio = ratio(value)?,
            "max_used" => hedge.max_used = ratio(value)?,
            "window" => hedge.latency.window = duration(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(hedge)
}

fn read_limiter(text: &str) -> Reading<limiter::Config> {
    let (name, text) = text.split_once(' ').unwrap_or((text, ""));
    let mut limiter = limiter::Config::default();
    let mut bounds = (None, None, None);
    for (key, value) in settings(text)? {
        match key {
            "initial" => bounds.0 = Some(number(value)?),
            "min" => bounds.1 = Some(number(value)?),
            "max" => bounds.2 = Some(number(value)?),
            "min_window" => limiter.min_window = duration(value)?,
            "max_window" => limiter.max_window = duration(value)?,
            "min_samples" => limiter.min_samples = number(value)?,
            other => return Err(unknown(other)),
        }
    }
    limiter.algorithm = algorithm(name, bounds)?;
    Ok(limiter)
}

/// The first limit, the least and the most, where they are written.
type Bounds = (Option<NonZeroU32>, Option<NonZeroU32>, Option<NonZeroU32>);

fn algorithm(name: &str, (initial, min, max): Bounds) -> Reading<Algorithm> {
    macro_rules! bounded {
        ($config:expr) => {{
            let mut config = $config;
            config.initial = initial.unwrap_or(config.initial);
            config.min = min.unwrap_or(config.min);
            config.max = max.unwrap_or(config.max);
            config
        }};
    }
    Ok(match name {
        "own" => Algorithm::Own(bounded!(OwnConfig::default())),
        "classic" => Algorithm::Classic(bounded!(ClassicConfig::default())),
        "aimd" => Algorithm::Aimd(bounded!(AimdConfig::default())),
        "gradient2" => Algorithm::Gradient2(bounded!(Gradient2Config::default())),
        "vegas" if min.is_none() => {
            let mut config = VegasConfig::default();
            config.initial = initial.unwrap_or(config.initial);
            config.max = max.unwrap_or(config.max);
            Algorithm::Vegas(config)
        }
        other => return Err(format!("{other:?} is not an algorithm of a limiter")),
    })
}

fn read_endpoints(text: &str) -> Reading<endpoint::Config> {
    let (count, text) = text.split_once(' ').unwrap_or((text, ""));
    let mut endpoints = endpoint::Config::new(number(count)?);
    for (key, value) in settings(text)? {
        let outlier = endpoints
            .outlier
            .get_or_insert_with(outlier::Config::default);
        match key {
            "outlier" if value == "off" => endpoints.outlier = None,
            "consecutive" => outlier.consecutive = Some(number(value)?),
            "away" => outlier.initial = duration(value)?,
            "jitter" => outlier.jitter = ratio(value)?,
            "max_ejected" => outlier.max_ejected = ratio(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(endpoints)
}

fn read_progress(text: &str) -> Reading<progress::Config> {
    let mut progress = progress::Config::default();
    for (key, value) in settings(text)? {
        match key {
            "window" => progress.window = duration(value)?,
            "min_calls" => progress.min_calls = number(value)?,
            "stalled_after" => progress.stalled_after = duration(value)?,
            "max_attempts_per_success" => progress.max_attempts_per_success = number(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(progress)
}
