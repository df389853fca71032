//! Which file holds what, and which of its sections evenkeel must agree with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::report::Report;
use crate::shape;
use crate::{limits, rates, retries};

/// What there is to compare.
pub(crate) struct Given<'v> {
    /// The section's name; the file's where it has none.
    pub(crate) name: &'v str,
    pub(crate) content: &'v Value,
    /// The whole file: the rows of one section may rest on what another one says.
    pub(crate) file: &'v Value,
}

/// Compares one section, row for row.
type Compare = fn(&Given<'_>, &mut Report) -> Result<()>;

/// A section of a file, and how it is compared; without a way, it is there for reference.
type Section = (&'static str, Option<Compare>);

/// What a file holds.
enum Contents {
    /// One section that is the whole file.
    Whole(Option<Compare>),
    /// Sections by name, and notes to the reader.
    Sections(&'static [Section]),
}

/// Keys that hold words for the reader.
const WORDS: [&str; 2] = ["note", "analysis"];

fn contents(stem: &str) -> Option<Contents> {
    use Contents::{Sections, Whole};
    Some(match stem {
        "aimd" => Whole(Some(limits::aimd)),
        "vegas" => Whole(Some(limits::vegas)),
        "gradient2" => Whole(Some(limits::gradient2)),
        "grpc_retry_throttling" => Whole(Some(retries::grpc_retry_throttling)),
        "finagle_retry_budget" => Whole(None),
        "concurrency_retry_budget" => Sections(&[("envoy", None), ("failsafe_go", None)]),
        "outlier_detection" => Sections(&[
            ("stdev_factor", None),
            ("cases", None),
            ("ejection_time", None),
        ]),
        "rate_limit" => Sections(&[
            ("gcra", Some(rates::gcra)),
            ("resilience4j_atomic", None),
            ("envoy_token_bucket", None),
            ("sentinel_warm_up", None),
        ]),
        "client_throttling" => Sections(&[
            ("google_sre", Some(rates::google_sre)),
            ("envoy_admission_control", None),
            ("failsafe_go", None),
            ("kratos_sre", None),
            ("finagle_nack", None),
        ]),
        "backoff" => Sections(&[
            ("cenkalti", Some(retries::cenkalti)),
            ("cenkalti_test_base_intervals_ms", Some(retries::intervals)),
            ("grpc_retry_policy", Some(retries::grpc_retry_policy)),
            ("grpc_connection", Some(retries::grpc_connection)),
            ("aws_full_and_equal", Some(retries::full_and_equal)),
            ("aws_decorrelated", Some(retries::decorrelated)),
            ("polly_no_jitter_base2s", None),
            ("polly_decorrelated_v2_base1s", None),
            ("envoy_upper_bounds_ms", None),
            ("linkerd_min100_max10000", None),
            ("finagle_decorrelated", None),
        ]),
        "retry_after" => Sections(&[
            ("linkerd_cap_300s", Some(retries::retry_after_header)),
            ("envoy", Some(retries::retry_after_interval)),
            ("grpc_pushback", Some(retries::pushback)),
            ("aws_2026", Some(retries::retry_after_millis)),
        ]),
        "amplification" => Sections(&[
            ("worst_case_attempts", Some(retries::worst_case)),
            ("with_local_ratio_budget", Some(retries::with_budgets)),
            (
                "aws_quota_steady_state_retry_ratio",
                Some(retries::steady_share),
            ),
        ]),
        _ => return None,
    })
}

/// Compares every `.json` of `folder`, in the order of their names.
///
/// # Errors
/// When the folder cannot be read, or holds no such file.
pub(crate) fn run(folder: &Path) -> Result<Vec<Report>> {
    let cannot_read = |path: &Path| format!("cannot read {}", path.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| cannot_read(folder))? {
        let path = entry.with_context(|| cannot_read(folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    ensure!(
        !paths.is_empty(),
        "no vector file in {}: name the folder that holds aimd.json, backoff.json and the others",
        folder.display()
    );
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read(&path).with_context(|| cannot_read(&path))?;
            Ok(file(&path, &text))
        })
        .collect()
}

fn file(path: &Path, text: &[u8]) -> Report {
    let name = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let (name, stem) = (name(path.file_name()), name(path.file_stem()));
    let mut report = Report::new(&name);
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => {
            report.fail(format!("not JSON: {error}"));
            return report;
        }
    };
    match contents(&stem) {
        None => report.fail("unknown shape: no vector file has this name".to_owned()),
        Some(Contents::Whole(compare)) => {
            let given = Given {
                name: &stem,
                content: &value,
                file: &value,
            };
            section(compare, &given, &mut report);
        }
        Some(Contents::Sections(known)) => match shape::sections(&value) {
            Err(error) => report.fail(error.to_string()),
            Ok(sections) => {
                for (key, content) in sections {
                    if WORDS.contains(&key.as_str()) {
                        continue;
                    }
                    match known.iter().find(|(name, _)| name == key) {
                        Some((name, compare)) => {
                            let given = Given {
                                name,
                                content,
                                file: &value,
                            };
                            section(*compare, &given, &mut report);
                        }
                        None => report.fail(format!("{key}: unknown shape: no such section")),
                    }
                }
            }
        },
    }
    report
}

fn section(compare: Option<Compare>, given: &Given<'_>, report: &mut Report) {
    let Some(compare) = compare else {
        report.skip(given.name, shape::rows(given.content));
        return;
    };
    let before = report.tally();
    if let Err(error) = compare(given, report) {
        report.fail(format!("{}: {error}", given.name));
    } else if report.tally() == before {
        report.fail(format!("{}: unknown shape: no rows", given.name));
    }
}

#[cfg(test)]
mod tests;
