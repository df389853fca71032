//! Which route a request takes.
//!
//! Precedence is that of the Gateway API, so that a file means the same here and in a mesh: an
//! exact host before a wildcard before none, then the longest path prefix, then a route that
//! names methods before one that does not, then the order of the file. A prefix matches whole
//! segments: `/cart` takes `/cart` and `/cart/7`, never `/cartoon`.

use http::Method;

/// What a route asks of a request. All that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteMatch {
    /// A host name without port, compared without case; `*.example.com` for any host below
    /// `example.com`. None takes every host.
    pub host: Option<String>,
    /// A path prefix starting with `/`. None, and `/`, take every path.
    pub path_prefix: Option<String>,
    /// The methods taken. Empty takes every method.
    pub methods: Vec<Method>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// The suffix, with its leading dot.
    Below(String),
    Any,
}

impl Host {
    fn new(host: Option<&str>) -> Host {
        match host {
            None | Some("*") => Host::Any,
            Some(host) => match host.strip_prefix('*') {
                Some(suffix) => Host::Below(suffix.to_ascii_lowercase()),
                None => Host::Exact(host.to_ascii_lowercase()),
            },
        }
    }

    fn takes(&self, host: &str) -> bool {
        match self {
            Host::Any => true,
            Host::Exact(name) => host.eq_ignore_ascii_case(name),
            Host::Below(suffix) => {
                // Compared as bytes: the client chose where characters begin.
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len()
                    && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        }
    }

    /// Greater is more specific.
    fn rank(&self) -> (u8, usize) {
        match self {
            Host::Exact(name) => (2, name.len()),
            Host::Below(suffix) => (1, suffix.len()),
            Host::Any => (0, 0),
        }
    }
}

#[derive(Debug)]
struct Row {
    host: Host,
    /// Without its trailing slash, so that `/` is empty.
    prefix: String,
    methods: Vec<Method>,
    index: usize,
}

/// The routes in the order in which they are asked.
#[derive(Debug)]
pub(crate) struct RouteTable {
    rows: Vec<Row>,
}

impl RouteTable {
    /// Orders the routes by precedence; `find` answers with their positions in `matches`.
    pub(crate) fn new<'a>(matches: impl IntoIterator<Item = &'a RouteMatch>) -> RouteTable {
        let mut rows: Vec<Row> = matches
            .into_iter()
            .enumerate()
            .map(|(index, found)| Row {
                host: Host::new(found.host.as_deref()),
                prefix: found
                    .path_prefix
                    .as_deref()
                    .unwrap_or("/")
                    .trim_end_matches('/')
                    .to_owned(),
                methods: found.methods.clone(),
                index,
            })
            .collect();
        rows.sort_by(|a, b| {
            (b.host.rank(), b.prefix.len(), !b.methods.is_empty())
                .cmp(&(a.host.rank(), a.prefix.len(), !a.methods.is_empty()))
                .then(a.index.cmp(&b.index))
        });
        RouteTable { rows }
    }

    /// The position of the route that takes this request.
    pub(crate) fn find(&self, host: &str, path: &str, method: &Method) -> Option<usize> {
        self.rows
            .iter()
            .find(|row| {
                prefix_takes(&row.prefix, path)
                    && (row.methods.is_empty() || row.methods.contains(method))
                    && row.host.takes(host)
            })
            .map(|row| row.index)
    }
}

fn prefix_takes(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, prefix: &str, methods: &[Method]) -> RouteMatch {
        RouteMatch {
            host: (!host.is_empty()).then(|| host.to_owned()),
            path_prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            methods: methods.to_vec(),
        }
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order_of_the_file() {
        let routes = [
            route("", "/", &[]),
            route("", "/cart", &[]),
            route("", "/cart", &[Method::POST]),
            route("", "/cart/items", &[]),
            route("*.example.com", "/", &[]),
            route("api.example.com", "/", &[]),
        ];
        let table = RouteTable::new(&routes);
        for (host, path, method, expected) in [
            ("shop", "/", Method::GET, 0),
            ("shop", "/cart", Method::GET, 1),
            ("shop", "/cart/", Method::GET, 1),
            ("shop", "/cart", Method::POST, 2),
            ("shop", "/cart/items/7", Method::POST, 3),
            ("www.example.com", "/cart/items", Method::GET, 4),
            ("API.Example.com", "/cart/items", Method::GET, 5),
            ("example.com", "/", Method::GET, 0),
            ("badexample.com", "/", Method::GET, 0),
        ] {
            assert_eq!(
                table.find(host, path, &method),
                Some(expected),
                "{host} {path} {method}"
            );
        }
    }

    #[test]
    fn a_prefix_matches_whole_segments() {
        let routes = [route("", "/cart", &[])];
        let table = RouteTable::new(&routes);
        assert_eq!(table.find("", "/cartoon", &Method::GET), None);
        assert_eq!(table.find("", "/car", &Method::GET), None);
        assert_eq!(table.find("", "/cart/7", &Method::GET), Some(0));
    }

    #[test]
    fn a_trailing_slash_in_the_file_changes_nothing() {
        let routes = [route("", "/cart/", &[])];
        assert_eq!(
            RouteTable::new(&routes).find("", "/cart", &Method::GET),
            Some(0)
        );
    }
}
