//! An error of serde with its parts kept apart: what, why, the way out, and where.

use std::fmt;

use serde::de::{self, Unexpected};

use crate::finding::Problem;
use crate::path::Path;
use crate::quote::{decimal, suggestion, ticked};

/// What serde was told, and where.
#[derive(Debug)]
pub(super) struct DecodeError {
    /// None until the mapping or list that holds the value has added it.
    pub(super) path: Option<Path>,
    /// What to strike, where that is more than `path`.
    pub(super) strike: Option<Path>,
    /// The key is wrong, not its value.
    pub(super) at_key: bool,
    pub(super) problem: Problem,
}

impl DecodeError {
    pub(super) fn new(problem: Problem) -> Self {
        Self {
            path: None,
            strike: None,
            at_key: false,
            problem,
        }
    }

    pub(super) fn or_at(mut self, path: Path) -> Self {
        self.path.get_or_insert(path);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.what)
    }
}

impl std::error::Error for DecodeError {}

/// How a [`Problem`] passes through serde, which carries only a text: its three parts on three lines.
pub(crate) fn problem<E: de::Error>(problem: &Problem) -> E {
    let Problem { what, why, help } = problem;
    E::custom(format_args!("{what}\n{why}\n{help}"))
}

/// A value in a sentence.
fn shown(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(text) => format!("the text {}", ticked(text)),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {}", decimal(number)),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let mut parts = message.splitn(3, '\n');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let what = part();
        let (why, help) = (part(), part());
        Self::new(Problem { what, why, help })
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = shown(unexpected);
        let expected = match expected.to_string().as_str() {
            "a boolean" => "`true` or `false`".to_owned(),
            "a map" => "a mapping".to_owned(),
            "a sequence" => "a list".to_owned(),
            "a string" => "a text".to_owned(),
            other => other.to_owned(),
        };
        let help = match unexpected {
            Unexpected::Bool(_)
            | Unexpected::Unsigned(_)
            | Unexpected::Signed(_)
            | Unexpected::Float(_)
                if expected == "a text" =>
            {
                "put it into quotes".to_owned()
            }
            _ => format!("write {expected}"),
        };
        let (what, why) = (
            format!("expected {expected}, found {found}"),
            format!("this is {found}"),
        );
        Self::new(Problem::new(what, why, help))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::new(
            format!("{} is not one of the choices here", ticked(variant)),
            "not a choice",
            suggestion(variant, expected, "leave it out"),
        ))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            path: None,
            strike: None,
            at_key: true,
            problem: Problem::new(
                format!("unknown key {}", ticked(field)),
                "nothing reads this key",
                known_elsewhere(field, expected)
                    .unwrap_or_else(|| suggestion(field, expected, "remove it")),
            ),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::new(
            format!("{} is missing", ticked(field)),
            "needed here",
            format!("add {}", ticked(&format!("{field}: …"))),
        ))
    }
}

/// Names that other systems use for what is meant, and ours.
const KNOWN_ELSEWHERE: &[(&str, &str)] = &[
    ("backoff_multiplier", "multiplier"),
    ("base", "initial"),
    ("base_interval", "initial"),
    ("circuit_breaker", "breaker"),
    ("error_rate", "rate"),
    ("factor", "multiplier"),
    ("failure_rate", "rate"),
    ("failure_threshold", "consecutive"),
    ("half_open", "probes"),
    ("initial_interval", "initial"),
    ("max_attempts", "attempts"),
    ("max_concurrent", "limit"),
    ("max_delay", "max"),
    ("max_interval", "max"),
    ("max_queue", "queue"),
    ("method", "methods"),
    ("min_retries_per_second", "floor_per_second"),
    ("minimum_calls", "min_calls"),
    ("num_retries", "attempts"),
    ("per_try_timeout", "attempt_timeout"),
    ("percent", "ratio"),
    ("prefix", "path_prefix"),
    ("randomization_factor", "jitter"),
    ("reset_timeout", "open"),
    ("retries", "retry"),
    ("retry_ratio", "ratio"),
    ("timeout", "deadline"),
    ("ttl", "window"),
];

fn known_elsewhere(field: &str, expected: &[&str]) -> Option<String> {
    let (_, ours) = KNOWN_ELSEWHERE
        .iter()
        .find(|(theirs, ours)| *theirs == field && expected.contains(ours))?;
    Some(match (field, *ours) {
        ("timeout", _) if expected.contains(&"attempt_timeout") => {
            "`deadline` bounds the whole call, `attempt_timeout` one attempt of it".to_owned()
        }
        ("num_retries", ours) => format!(
            "here it is called `{ours}`, and counts the first attempt too: one retry is `{ours}: 2`"
        ),
        (_, ours) => format!("here it is called `{ours}`"),
    })
}
