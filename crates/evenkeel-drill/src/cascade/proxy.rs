//! The proxy of the protected run: its policy file, its process, its breaker.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::Method;
use serde::Serialize;

use super::stage::Addresses;
use crate::DrillError;
use crate::child::{Process, Start};
use crate::control::Control;

/// How long the proxy may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// How often it is looked at while it starts.
const LOOK: Duration = Duration::from_millis(20);

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Healthy: calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls pass, to see.
    HalfOpen,
}

impl Breaker {
    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The policy of the protected run, as the proxy is given it.
///
/// Recommendations are the part of the page that can be left out: they are not asked twice, their
/// attempt ends before the page would become slow, and when there is no answer in time an empty
/// list stands in. The page cannot do without inventory and pricing: they have more time, and a
/// second attempt.
fn policy(dependencies: &Addresses) -> String {
    let Addresses {
        inventory,
        pricing,
        recommendations,
    } = dependencies;
    format!(
        "\
version: 1
service: product-page
dependencies:
  recommendations:
    deadline: 60ms
    attempt_timeout: 50ms
    breaker: {{}}
    bulkhead: {{ limit: 40, queue: 0 }}
  inventory:
    deadline: 500ms
    attempt_timeout: 200ms
    retry: {{ attempts: 2 }}
    breaker: {{}}
    bulkhead: {{ limit: 30 }}
  pricing:
    deadline: 500ms
    attempt_timeout: 200ms
    retry: {{ attempts: 2 }}
    breaker: {{}}
    bulkhead: {{ limit: 30 }}
proxy:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  upstreams:
    recommendations: {{ url: \"http://{recommendations}\", dependency: recommendations }}
    inventory: {{ url: \"http://{inventory}\", dependency: inventory }}
    pricing: {{ url: \"http://{pricing}\", dependency: pricing }}
  routes:
    - match: {{ path_prefix: /recommendations }}
      upstream: recommendations
      fallback: {{ static: {{ status: 200, body: \"[]\", content_type: application/json }} }}
    - match: {{ path_prefix: /inventory }}
      upstream: inventory
    - match: {{ path_prefix: /pricing }}
      upstream: pricing
"
    )
}

/// The running proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) process: Process,
    pub(super) listen: SocketAddr,
    admin: SocketAddr,
    pub(super) policy: String,
}

impl Proxy {
    /// Starts the proxy in front of the dependencies and waits until it is ready.
    pub(super) async fn start(
        program: &Path,
        dependencies: &Addresses,
        control: &Control,
    ) -> Result<Self, DrillError> {
        let policy = policy(dependencies);
        let mut arguments: Vec<OsString> = vec!["drill-role".into(), "keeper".into()];
        arguments.extend(["--config".into(), policy.clone().into(), "--".into()]);
        arguments.extend([program.into(), "proxy".into()]);
        let start = Start {
            name: "proxy",
            program,
            arguments,
        };
        let mut process = Process::start(start)?;
        let starting = async {
            let (listen, admin) = addresses(&mut process).await?;
            while control.text(Method::GET, admin, "/readyz").await.is_err() {
                process.still_runs()?;
                tokio::time::sleep(LOOK).await;
            }
            Ok((listen, admin))
        };
        let started = tokio::time::timeout(READY, starting).await;
        let (listen, admin) = started.unwrap_or_else(|_| {
            Err(process.failed(format!("was not ready within {} s", READY.as_secs())))
        })?;
        Ok(Self {
            process,
            listen,
            admin,
            policy,
        })
    }

    /// The state of the breaker of the recommendations, if the proxy tells one.
    pub(super) async fn breaker(&self, control: &Control) -> Result<Option<Breaker>, DrillError> {
        let metrics = control.text(Method::GET, self.admin, "/metrics").await?;
        Ok(breaker_state(&metrics, "recommendations"))
    }
}

/// Waits until the proxy has said where it listens and where its admin endpoints are.
async fn addresses(process: &mut Process) -> Result<(SocketAddr, SocketAddr), DrillError> {
    loop {
        if let Some(addresses) = announced(&process.log()) {
            return Ok(addresses);
        }
        process.still_runs()?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads both addresses from the line in which the proxy announces them.
fn announced(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log
        .split_inclusive('\n')
        .find(|line| line.ends_with('\n') && line.contains("listening on http://"))?;
    let after = |words: &str| {
        let (_, rest) = line.split_once(words)?;
        let address = rest.split([',', ' ', '\n']).next()?;
        address.parse().ok()
    };
    Some((after("listening on http://")?, after("admin on http://")?))
}

/// Reads the one state that is 1 among `evenkeel_breaker_state{dependency="...",state="..."}`.
fn breaker_state(metrics: &str, dependency: &str) -> Option<Breaker> {
    let named = format!("dependency=\"{dependency}\"");
    let mut lines = metrics
        .lines()
        .filter(|line| line.starts_with("evenkeel_breaker_state{") && line.contains(&named));
    let set = lines.find(|line| {
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse::<f64>().ok());
        value.is_some_and(|value| value > 0.0)
    })?;
    let (_, rest) = set.split_once("state=\"")?;
    match rest.split('"').next()? {
        "closed" => Some(Breaker::Closed),
        "open" => Some(Breaker::Open),
        "half_open" | "half-open" => Some(Breaker::HalfOpen),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_protected_run_is_valid_and_draws_no_warning() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let policy = policy(&Addresses {
            inventory: address(4001),
            pricing: address(4002),
            recommendations: address(4003),
        });
        let loaded = evenkeel_policy::parse("policy.yaml", &policy);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let limit = |name| {
            let bulkhead = &loaded.policy.dependencies[name].bulkhead;
            bulkhead.as_ref().map(|bulkhead| bulkhead.limit.get())
        };
        assert_eq!(limit("recommendations"), Some(40));
        assert_eq!((limit("inventory"), limit("pricing")), (Some(30), Some(30)));
    }

    #[test]
    fn the_addresses_are_read_once_their_line_is_complete() {
        let line = "evenkeel proxy: listening on http://127.0.0.1:4001, admin on \
                    http://127.0.0.1:4002, in front of http://127.0.0.1:4003";
        assert_eq!(announced(line), None, "the line may still be growing");
        let (listen, admin) = announced(&format!("warning\n{line}\n")).unwrap();
        assert_eq!((listen.port(), admin.port()), (4001, 4002));
    }

    #[test]
    fn the_breaker_state_is_the_one_that_is_set_for_the_dependency() {
        let metrics = "\
# TYPE evenkeel_breaker_state gauge
evenkeel_breaker_state{service=\"s\",dependency=\"pricing\",state=\"closed\"} 1
evenkeel_breaker_state{service=\"s\",dependency=\"recommendations\",state=\"closed\"} 0
evenkeel_breaker_state{service=\"s\",dependency=\"recommendations\",state=\"open\"} 0
evenkeel_breaker_state{service=\"s\",dependency=\"recommendations\",state=\"half_open\"} 1
";
        assert_eq!(
            breaker_state(metrics, "recommendations"),
            Some(Breaker::HalfOpen)
        );
        assert_eq!(breaker_state(metrics, "pricing"), Some(Breaker::Closed));
        assert_eq!(breaker_state(metrics, "inventory"), None);
    }
}
