//! What is expected of a result.

use evenkeel_policy::document::Section;

/// A range for one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Which.
    pub metric: String,
    /// Its range.
    pub bound: Bound,
}

/// A range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// From one number to another, both within.
    Range(f64, f64),
    /// It never happens: the metric is a time, and infinite.
    Never,
    /// It happens some time: the metric is a time, and finite.
    Ever,
}

impl Bound {
    /// Whether the value is within.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::Range(low, high) => (low..=high).contains(&value),
            Self::Never => value == f64::INFINITY,
            Self::Ever => value < f64::INFINITY,
        }
    }
}

impl core::fmt::Display for Bound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Range(low, f64::INFINITY) => write!(f, "at least {}", short(low)),
            Self::Range(f64::NEG_INFINITY, high) => write!(f, "at most {}", short(high)),
            Self::Range(low, high) => write!(f, "{} to {}", short(low), short(high)),
            Self::Never => f.write_str("never"),
            Self::Ever => f.write_str("some time"),
        }
    }
}

/// A number in few digits.
pub(crate) fn short(value: f64) -> String {
    if value == f64::INFINITY {
        return "never".to_owned();
    }
    let size = if value < 0.0 { -value } else { value };
    let decimals = match size {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// What stands in an `expect` section, for the sweep's point at `point`.
///
/// # Errors
/// With the metric and what cannot be read about it.
pub(super) fn read(section: &Section, point: Option<usize>) -> Result<Vec<Expectation>, String> {
    let mut all = Vec::new();
    for (metric, range) in section.entries() {
        if let Some(bound) = bound(metric, &range, point)? {
            all.push(Expectation {
                metric: metric.to_owned(),
                bound,
            });
        }
    }
    Ok(all)
}

const KEYS: [&str; 7] = [
    "at_least",
    "at_most",
    "about",
    "within",
    "within_pct",
    "never",
    "each",
];

fn bound(metric: &str, range: &Section, point: Option<usize>) -> Result<Option<Bound>, String> {
    for (key, _) in range.entries() {
        if !KEYS.contains(&key) {
            let help = evenkeel_policy::suggestion(key, &KEYS, "");
            return Err(format!("{metric}: `{key}` is not known; {help}"));
        }
    }
    let number = |key: &str| range.get(key).and_then(|value| value.number());
    let is_never = |value: &Section| value.text().is_some_and(|text| text == "never");
    if let Some(never) = range.get("never") {
        let never = never.text().is_some_and(|text| text == "true");
        return Ok(Some(if never { Bound::Never } else { Bound::Ever }));
    }
    let mut about = range.get("about");
    if let Some(each) = range.get("each") {
        let place = point.ok_or_else(|| format!("{metric}: `each` needs a `sweep`"))?;
        let Some(value) = each.items().nth(place) else {
            return Err(format!(
                "{metric}: `each` has fewer values than the sweep has points"
            ));
        };
        if value.text().is_some_and(|text| text == "-") {
            return Ok(None);
        }
        if value.entries().next().is_some() {
            return bound(metric, &value, point);
        }
        about = Some(value);
    }
    if let Some(about) = about {
        if is_never(&about) {
            return Ok(Some(Bound::Never));
        }
        let about = about
            .number()
            .ok_or_else(|| format!("{metric}: a number belongs here"))?;
        let size = if about < 0.0 { -about } else { about };
        let share = number("within_pct").unwrap_or(0.0) / 100.0 * size;
        let within = number("within").unwrap_or(0.0).max(share);
        return Ok(Some(Bound::Range(about - within, about + within)));
    }
    match (number("at_least"), number("at_most")) {
        (None, None) => Err(format!(
            "{metric}: write `at_least`, `at_most`, `about` or `never`"
        )),
        (low, high) => Ok(Some(Bound::Range(
            low.unwrap_or(f64::NEG_INFINITY),
            high.unwrap_or(f64::INFINITY),
        ))),
    }
}
