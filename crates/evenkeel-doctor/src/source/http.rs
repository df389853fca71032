//! Fetching from a service over plain HTTP.

use std::io::Read as _;
use std::time::Duration;

/// A service that starves its own handlers answers late; giving up at once would lose the evidence.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);
/// A dump of the runtime stops at 64 MiB; nothing else worth fetching is larger than this.
const LARGEST: u64 = 256 << 20;

/// Why something could not be fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// The service answered with another status than 200.
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// The URL asks for encryption, which the doctor does not speak.
    Encrypted {
        /// What was asked.
        url: String,
    },
    /// There was no answer.
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { url, status } => write!(f, "{url} answered {status}"),
            Self::Encrypted { url } => write!(
                f,
                "{url}: the doctor speaks plain HTTP only; forward the port (kubectl port-forward, ssh -L), run it \
                 beside the service, or fetch the dump and pass it on: \
                 curl -s '{url}/debug/pprof/goroutine?debug=2' | evenkeel doctor -"
            ),
            Self::Unreachable { url, source } => write!(f, "{url} did not answer: {source}"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Status { .. } | Self::Encrypted { .. } => None,
            Self::Unreachable { source, .. } => Some(source.as_ref()),
        }
    }
}

/// A client with patience and bounds.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: ureq::Agent,
}

impl Default for Client {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
        }
    }
}

impl Client {
    /// Fetches `url` whole.
    ///
    /// # Errors
    /// [`FetchError`] when there is no answer in a minute, or one with a status other than 200.
    pub(super) fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        if url
            .get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
        {
            return Err(FetchError::Encrypted {
                url: url.trim_end_matches("/debug/pprof/cmdline").to_owned(),
            });
        }
        let unreachable =
            |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Unreachable {
                url: url.to_owned(),
                source,
            };
        let response = self
            .agent
            .get(url)
            .call()
            .map_err(|error| unreachable(error.into()))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status,
            });
        }
        let mut body = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(LARGEST)
            .read_to_end(&mut body)
            .map_err(|error| unreachable(error.into()))?;
        Ok(body)
    }
}
