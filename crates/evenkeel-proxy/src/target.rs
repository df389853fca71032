//! Whom a request is for: the host and path it names, once, without doubt.
//!
//! Two parsers that read one message differently are how requests are smuggled past a proxy, and
//! the host is where they differ most easily: sent twice, sent empty, sent with a user part,
//! or contradicted by the request line. So: every HTTP/1.1 request carries exactly one valid
//! `Host` (RFC 9112, 3.2), an absolute request target replaces it (3.2.2), and a path that says
//! `..` is refused instead of resolved, because routes are chosen by path prefix and what stands
//! behind the route would resolve it to somewhere else.

use crate::problem::Problem;
use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, StatusCode, Version};

/// A valid target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The value for `Host`; absent only for HTTP/1.0 clients that sent none.
    pub(crate) host: Option<HeaderValue>,
    /// Path and query in origin form.
    pub(crate) path: PathAndQuery,
}

impl Target {
    /// The host without its port, for routing; empty when there is none. Compared without case.
    pub(crate) fn host_name(&self) -> &str {
        let text = self
            .host
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        if text.starts_with('[') {
            return text.split_inclusive(']').next().unwrap_or(text);
        }
        text.split(':').next().unwrap_or(text)
    }
}

/// Reads the target of a request.
///
/// # Errors
/// The problem to answer with, when the target is missing, doubtful or not ours to serve.
pub(crate) fn target(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<Target, Problem> {
    if method == Method::CONNECT {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "method_not_implemented",
            "this is a reverse proxy: it opens no tunnels",
        ));
    }
    let host = host(version, headers)?;
    let host = match uri.authority() {
        None => host,
        Some(authority) => {
            if uri.scheme().is_none() {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "bad_path",
                    "the request target is a host without a path",
                ));
            }
            if uri.scheme() != Some(&Scheme::HTTP) {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "misdirected",
                    "this listener serves http only",
                ));
            }
            valid_authority(authority.as_str()).ok_or_else(|| bad_host("is malformed"))?;
            let value = HeaderValue::from_str(authority.as_str());
            Some(value.map_err(|_| bad_host("is malformed"))?)
        }
    };
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    if has_dot_segment(path.path()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_path",
            "the path has a dot segment: resolve it before sending",
        ));
    }
    Ok(Target { host, path })
}

fn host(version: Version, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(bad_host("is given more than once")),
        (None, _) if version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(bad_host("is missing")),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| bad_host("is malformed"))?;
            valid_authority(text).ok_or_else(|| bad_host("is malformed"))?;
            Ok(Some(value.clone()))
        }
    }
}

fn bad_host(what: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad_host",
        format!("the Host field {what}"),
    )
}

/// `uri-host [ ":" port ]`: no user part, no empty host, a port of digits; and no comma, which the
/// grammar of names allows and only two joined fields have.
fn valid_authority(text: &str) -> Option<()> {
    if text.is_empty() || text.contains(['@', ',']) || text.starts_with(':') {
        return None;
    }
    let authority: Authority = text.parse().ok()?;
    if authority.host().is_empty() {
        return None;
    }
    let after = text.get(authority.host().len()..)?;
    match after.strip_prefix(':') {
        None => after.is_empty().then_some(()),
        Some(port) => {
            (port.is_empty() || port.parse::<u16>().is_ok_and(|_| port.len() <= 5)).then_some(())
        }
    }
}

/// Whether a segment of the path is `.` or `..`, percent-encoded or not, with the backslash that
/// some servers read as a slash counted as one.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains('.') && !path.contains('%') {
        return false;
    }
    path.split(['/', '\\']).any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        while !rest.is_empty() {
            let after = rest
                .strip_prefix('.')
                .or_else(|| rest.strip_prefix("%2e"))
                .or_else(|| rest.strip_prefix("%2E"));
            match after {
                Some(after) => {
                    dots += 1;
                    rest = after;
                }
                None => return false,
            }
        }
        dots == 1 || dots == 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        uri: &str,
        version: Version,
        hosts: &[&'static str],
    ) -> Result<(String, String), &'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        target(&Method::GET, &uri.parse().unwrap(), version, &headers)
            .map(|target| (target.host_name().to_owned(), target.path.to_string()))
            .map_err(|problem| problem.reason)
    }

    #[test]
    fn one_valid_host_is_required_of_http_1_1() {
        assert_eq!(
            read("/a?b", Version::HTTP_11, &["shop:80"]),
            Ok(("shop".into(), "/a?b".into()))
        );
        assert_eq!(
            read("/", Version::HTTP_11, &["[::1]:80"]),
            Ok(("[::1]".into(), "/".into()))
        );
        assert_eq!(
            read("/", Version::HTTP_10, &[]),
            Ok((String::new(), "/".into()))
        );
        assert_eq!(read("/", Version::HTTP_11, &[]), Err("bad_host"));
        assert_eq!(read("/", Version::HTTP_11, &["a", "a"]), Err("bad_host"));
        for bad in [
            "", "a b", "u@a", ":80", "a:b", "a:99999", "a/b", "a,b", "[::1", "a:80:80",
        ] {
            assert_eq!(
                read("/", Version::HTTP_11, &[bad]),
                Err("bad_host"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_absolute_target_overrides_the_host() {
        assert_eq!(
            read("http://real/x", Version::HTTP_11, &["other"]),
            Ok(("real".into(), "/x".into()))
        );
        assert_eq!(
            read("http://real", Version::HTTP_11, &["o"]),
            Ok(("real".into(), "/".into()))
        );
        assert_eq!(
            read("http://real/x", Version::HTTP_11, &[]),
            Err("bad_host"),
            "still required"
        );
        assert_eq!(
            read("http://u:p@real/x", Version::HTTP_11, &["o"]),
            Err("bad_host")
        );
        assert_eq!(
            read("https://real/x", Version::HTTP_11, &["o"]),
            Err("misdirected")
        );
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        for bad in ["/a/../b", "/..", "/a/.", "/a/%2e%2E/b", "/a/.%2e", "/./a"] {
            assert_eq!(
                read(bad, Version::HTTP_11, &["a"]),
                Err("bad_path"),
                "{bad}"
            );
        }
        for good in ["/a/...", "/a..b/.well-known/x", "/%2e%2e%2e", "/a?x=../.."] {
            assert!(read(good, Version::HTTP_11, &["a"]).is_ok(), "{good}");
        }
    }
}
