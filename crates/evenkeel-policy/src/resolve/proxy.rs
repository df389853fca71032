//! The proxy: where it listens, what stands behind it, and what it may spend.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evenkeel_core::policy;

use super::scope::Scope;
use super::{address, named, route};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::name::Name;
use crate::proxy::{Bounds, Config, Drain, Route, Upstream};
use crate::quote::{suggestion, ticked};
use crate::spec::{self, Count, Duration, OrNone, Size};

/// Where requests are accepted by default: on this machine alone.
const LISTEN: &str = "127.0.0.1:9000";

/// Where the proxy answers about itself by default: on this machine alone.
const ADMIN: &str = "127.0.0.1:9901";

/// What a drain waits beyond the longest deadline, for the last answers to be written and read.
const BEYOND_DEADLINE: std::time::Duration = std::time::Duration::from_secs(1);

/// The least buffer that an HTTP/1 connection works with.
const LEAST_BUFFER: Size = Size(8 * 1024);

pub(super) fn resolve(
    scope: &Scope<'_>,
    spec: &spec::Proxy,
    dependencies: &BTreeMap<Name, policy::Config>,
) -> Option<Config> {
    let listen = listener(scope, "listen", Some(LISTEN), spec.listen.as_deref());
    let admin = match &spec.admin {
        Some(OrNone::None) => {
            let admin = scope.at("admin");
            admin.note("none", Origin::Written { line: admin.line() });
            None
        }
        Some(OrNone::Some(text)) => listener(scope, "admin", None, Some(text)),
        None => listener(scope, "admin", Some(ADMIN), None),
    };
    if let (Some(listen), Some(admin)) = (listen, admin)
        && listen == admin
        && listen.port() != 0
    {
        scope.at("admin").error(Problem::new(
            "`admin` and `listen` are the same address",
            format!(
                "{listen} can be taken only once, and what `admin` tells is not for every client"
            ),
            "choose another port for `admin`",
        ));
    }
    let bounds = bounds(&scope.at("bounds"), spec.bounds.as_ref());

    let upstreams_scope = scope.at("upstreams");
    if spec.upstreams.is_empty() && upstreams_scope.is_empty() {
        upstreams_scope.error(Problem::new(
            "the proxy has no upstream",
            "there is nothing behind it to send requests to",
            "write `upstreams: ` with a name and a `url` for each server",
        ));
    }
    let upstreams: BTreeMap<Name, Upstream> =
        named(&upstreams_scope, &spec.upstreams, |scope, name, spec| {
            upstream(scope, name, spec, dependencies)
        })
        .into_iter()
        .filter_map(|(name, upstream)| Some((name, upstream?)))
        .collect();

    let known: Vec<&str> = spec.upstreams.keys().map(String::as_str).collect();
    let routes = route::resolve_all(&scope.at("routes"), spec, &known, &upstreams, dependencies);
    let longest = longest_deadline(&routes, &upstreams, dependencies);
    let drain = drain(&scope.at("drain"), spec.drain.as_ref(), longest);
    Some(Config {
        listen: listen?,
        admin,
        drain,
        upstreams,
        routes,
        bounds,
    })
}

fn listener(
    scope: &Scope<'_>,
    key: &str,
    default: Option<&str>,
    written: Option<&str>,
) -> Option<SocketAddr> {
    let read = scope.read(key, written, default.unwrap_or_default());
    address::listener(read.value)
        .map_err(|wrong| read.scope.error(wrong))
        .ok()
}

/// The route whose requests may take longest, and how long.
fn longest_deadline<'r>(
    routes: &'r [Route],
    upstreams: &BTreeMap<Name, Upstream>,
    dependencies: &BTreeMap<Name, policy::Config>,
) -> Option<(&'r Name, Duration)> {
    let bounded = routes.iter().filter_map(|route| {
        let dependency = dependencies.get(&upstreams.get(&route.upstream)?.dependency)?;
        let own = route.deadline.unwrap_or(dependency.deadline);
        Some((&route.name, Duration(own.min(dependency.deadline))))
    });
    bounded.max_by_key(|(_, deadline)| deadline.0)
}

fn drain(
    scope: &Scope<'_>,
    spec: Option<&spec::Drain>,
    longest: Option<(&Name, Duration)>,
) -> Drain {
    let absent = spec::Drain::default();
    let spec = spec.unwrap_or(&absent);
    let mut drain = Drain::default();
    drain.delay = scope.read("delay", spec.delay, Duration(drain.delay)).get();
    let (usual, origin) = match longest {
        Some((_, deadline)) => (
            Duration(deadline.0.saturating_add(BEYOND_DEADLINE)),
            Origin::Default(Some("the longest deadline of a route and 1s")),
        ),
        None => (Duration(drain.timeout), Origin::Default(None)),
    };
    let timeout = scope
        .read_or("timeout", spec.timeout, usual, origin)
        .positive("requests under way would be cut at once");
    if let Some((route, deadline)) = longest
        && timeout.written
        && timeout.sound
        && timeout.value < deadline
    {
        timeout.scope.warning(Problem::new(
            "the drain cuts requests that are inside their deadline",
            format!(
                "{} < {deadline}, the deadline of the route {}",
                timeout.value,
                ticked(route.as_str())
            ),
            format!("write at least `{usual}`, leave it out, or tighten the deadline"),
        ));
    }
    let idle = scope.read("idle", spec.idle, Duration(drain.idle));
    if idle.written && timeout.sound && idle.value > timeout.value {
        idle.scope.error(Problem::new(
            "`idle` is longer than `timeout`",
            format!(
                "{} > {}: by then every connection is closed",
                idle.value, timeout.value
            ),
            "write a fraction of `timeout`",
        ));
    }
    drain.timeout = timeout.get();
    drain.idle = idle.get();
    drain
}

fn upstream(
    scope: &Scope<'_>,
    name: &Name,
    spec: &spec::Upstream,
    dependencies: &BTreeMap<Name, policy::Config>,
) -> Option<Upstream> {
    let why = "it says where the upstream listens";
    let help = "write it like `url: http://127.0.0.1:8081`";
    let url = scope.required("url", spec.url.clone(), why, help);
    let address = url.and_then(|url| {
        address::http_url(&url)
            .map_err(|wrong| scope.at("url").error(wrong))
            .ok()
    });

    let same = Origin::Default(Some("the name of the upstream"));
    let read = scope.read_or(
        "dependency",
        spec.dependency.as_deref(),
        name.as_str(),
        same,
    );
    let wanted = read.value;
    if !read.sound {
        return None;
    }
    let defined = scope.root().at("dependencies");
    let Some((dependency, _)) = dependencies.get_key_value(wanted) else {
        // A definition that is wrong was reported where it stands.
        if !defined.is_struck() && !defined.at(wanted).is_written() {
            let known: Vec<_> = dependencies.keys().map(Name::as_str).collect();
            let add = format!(
                "add {} to `dependencies`",
                ticked(&format!("{wanted}: {{}}"))
            );
            let why = format!("no dependency is called {}", ticked(wanted));
            let help = if known.is_empty() || !read.written {
                add
            } else {
                suggestion(wanted, &known, &add)
            };
            read.scope.error(Problem::new(
                format!("the upstream {} has no dependency", ticked(name.as_str())),
                why,
                help,
            ));
        }
        return None;
    };
    let (host, port) = address?;
    Some(Upstream {
        host,
        port,
        dependency: dependency.clone(),
    })
}

fn bounds(scope: &Scope<'_>, spec: Option<&spec::Bounds>) -> Bounds {
    let absent = spec::Bounds::default();
    let spec = spec.unwrap_or(&absent);
    let mut bounds = Bounds::default();

    let time = |key, written, default| {
        let why = "with no time nothing gets done";
        scope
            .read(key, written, Duration(default))
            .positive(why)
            .get()
    };
    bounds.head_timeout = time("head_timeout", spec.head_timeout, bounds.head_timeout);
    bounds.idle_timeout = time("idle_timeout", spec.idle_timeout, bounds.idle_timeout);
    bounds.stall_timeout = time("stall_timeout", spec.stall_timeout, bounds.stall_timeout);
    bounds.linger_timeout = time("linger_timeout", spec.linger_timeout, bounds.linger_timeout);
    bounds.connect_timeout = time(
        "connect_timeout",
        spec.connect_timeout,
        bounds.connect_timeout,
    );
    bounds.upstream_idle_timeout = time(
        "upstream_idle_timeout",
        spec.upstream_idle_timeout,
        bounds.upstream_idle_timeout,
    );

    let connections = scope
        .read(
            "max_connections",
            spec.max_connections,
            Count(narrow(bounds.max_connections)),
        )
        .at_least_one("with no connection no request is ever answered");
    bounds.max_connections = wide(connections.get());
    let idle = Count(narrow(bounds.upstream_idle_connections));
    bounds.upstream_idle_connections = wide(
        scope
            .read(
                "upstream_idle_connections",
                spec.upstream_idle_connections,
                idle,
            )
            .get(),
    );

    // The two sizes of each pair: the first must fit into the second.
    let pair = |(small, written, usual): (&str, Option<Size>, usize),
                (large, written_large, usual_large): (&str, Option<Size>, usize)| {
        let first = scope.read(small, written, Size(narrow(usual)));
        let usual_large = Size(narrow(usual_large));
        let raised = usual_large.max(first.value);
        let origin =
            Origin::Default((raised != usual_large).then_some("raised to what must fit in"));
        let second = scope.read_or(large, written_large, raised, origin);
        if first.sound && second.sound && first.value > second.value {
            first.scope.error(Problem::new(
                format!("`{small}` is more than `{large}`"),
                format!(
                    "{} > {}: it could never be reached",
                    first.value, second.value
                ),
                format!("write at most `{}`, or a larger `{large}`", second.value),
            ));
        }
        (wide(first.value.0), second)
    };
    let (head, buffer) = pair(
        ("max_head_bytes", spec.max_head_bytes, bounds.max_head_bytes),
        (
            "max_buffer_bytes",
            spec.max_buffer_bytes,
            bounds.max_buffer_bytes,
        ),
    );
    let buffer = buffer.check(
        |size| *size >= LEAST_BUFFER,
        |size| {
            Problem::new(
                "`max_buffer_bytes` is too small",
                format!("{size} < {LEAST_BUFFER}, which a connection needs to work"),
                format!("write at least `{LEAST_BUFFER}`"),
            )
        },
    );
    (bounds.max_head_bytes, bounds.max_buffer_bytes) = (head, wide(buffer.value.0));
    let (one, all) = pair(
        ("replay_bytes", spec.replay_bytes, bounds.replay_bytes),
        (
            "replay_bytes_total",
            spec.replay_bytes_total,
            bounds.replay_bytes_total,
        ),
    );
    (bounds.replay_bytes, bounds.replay_bytes_total) = (one, wide(all.value.0));
    let (one, all) = pair(
        (
            "last_good_bytes",
            spec.last_good_bytes,
            bounds.last_good_bytes,
        ),
        (
            "last_good_bytes_total",
            spec.last_good_bytes_total,
            bounds.last_good_bytes_total,
        ),
    );
    (bounds.last_good_bytes, bounds.last_good_bytes_total) = (one, wide(all.value.0));

    if scope.at("max_head_bytes").is_written() && bounds.max_head_bytes == 0 {
        scope.at("max_head_bytes").error(Problem::new(
            "`max_head_bytes` must be more than zero",
            "no request would fit",
            "write at least `1KiB`; 32KiB is usual",
        ));
    }
    bounds
}

/// A default as the file would hold it; they are all far below the bound.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
