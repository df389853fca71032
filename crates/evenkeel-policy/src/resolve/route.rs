//! Which request goes where.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_core::policy;

use super::scope::{Read, Scope};
use super::{address, fallback};
use crate::explain::Origin;
use crate::finding::Problem;
use crate::name::Name;
use crate::proxy::{Route, Upstream};
use crate::quote::{list, nearest, suggestion, ticked};
use crate::spec::{self, Duration, OneOrMany};

/// The methods of the IANA registry that a proxy passes on.
const METHODS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

pub(super) fn resolve_all(
    scope: &Scope<'_>,
    spec: &spec::Proxy,
    known: &[&str],
    upstreams: &BTreeMap<Name, Upstream>,
    dependencies: &BTreeMap<Name, policy::Config>,
) -> Vec<Route> {
    if spec.routes.is_empty() && scope.is_empty() {
        scope.error(Problem::new(
            "the proxy has no route",
            "no request would go anywhere",
            "write `routes: ` with at least `- upstream: ` and the name of an upstream",
        ));
    }
    let mut routes: Vec<(Scope<'_>, Route)> = Vec::new();
    for (index, spec) in spec.routes.iter().enumerate() {
        let scope = scope.index(index);
        let Some(route) = resolve(&scope, spec, known, upstreams, dependencies) else {
            continue;
        };
        judge_among(&scope, &route, &routes);
        routes.push((scope, route));
    }
    let led_to = spec.routes.iter().map(|route| {
        let to = route.upstream.as_deref()?;
        known.contains(&to).then_some(to)
    });
    let used: Option<BTreeSet<&str>> = led_to.collect();
    // Where a route leads nowhere, that was reported, and one of the others may have been meant.
    let used = used.filter(|used| !used.is_empty());
    let unused = used
        .iter()
        .flat_map(|used| known.iter().filter(|name| !used.contains(**name)));
    for name in unused {
        scope
            .root()
            .at("proxy")
            .at("upstreams")
            .at(name)
            .warning(Problem::new(
                format!("no route leads to the upstream {}", ticked(name)),
                "it is never called",
                "add a route, or remove the upstream",
            ));
    }
    routes.into_iter().map(|(_, route)| route).collect()
}

fn resolve(
    scope: &Scope<'_>,
    spec: &spec::Route,
    known: &[&str],
    upstreams: &BTreeMap<Name, Upstream>,
    dependencies: &BTreeMap<Name, policy::Config>,
) -> Option<Route> {
    let why = "a route leads to an upstream";
    let help = list(known).map_or_else(
        || "define one under `upstreams` first".to_owned(),
        |known| format!("write `upstream: ` and one of {known}"),
    );
    let to = scope.required("upstream", spec.upstream.clone(), why, &help);
    let to = to.and_then(|to| upstream(&scope.at("upstream"), &to, known));

    let absent = spec::Match::default();
    let matcher = scope.at("match");
    let spec_match = spec.matches.as_ref().unwrap_or(&absent);
    let host = host(&matcher, spec_match.host.as_deref());
    let path_prefix = path_prefix(&matcher, spec_match.path_prefix.as_deref());
    let (methods, methods_sound) = methods(&matcher, spec_match.methods.as_deref());

    let usual = Origin::Default(Some("the name of the upstream"));
    let name = to.as_ref().and_then(|to| {
        let read = scope.read_or("name", spec.name.as_deref(), to.as_str(), usual);
        Name::parse(read.value)
            .map_err(|wrong| read.scope.error(wrong))
            .ok()
    });
    let bounds = to
        .as_ref()
        .and_then(|to| upstreams.get(to))
        .and_then(|upstream| {
            Some((
                &upstream.dependency,
                dependencies.get(&upstream.dependency)?,
            ))
        });
    let deadline = deadline(scope, spec.deadline, bounds);

    let covers = scope
        .read("deadline_covers_body", spec.deadline_covers_body, true)
        .value;
    let idempotent = scope.read("idempotent", spec.idempotent, false);
    let always = |method: &String| {
        matches!(
            method.as_str(),
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PUT" | "DELETE"
        )
    };
    if idempotent.value && !methods.is_empty() && methods.iter().all(always) {
        idempotent.scope.warning(Problem::new(
            "`idempotent` has no effect",
            "HTTP already calls every method of this route idempotent",
            "remove it",
        ));
    }
    let written: &[spec::Fallback] = spec.fallback.as_ref().map_or(&[], |OneOrMany(list)| list);
    let fallbacks = fallback::resolve_all(
        &scope.at("fallback"),
        written,
        methods_sound.then_some(&methods),
    );
    Some(Route {
        name: name?,
        host: host?,
        path_prefix: path_prefix?,
        methods,
        upstream: to?,
        deadline,
        deadline_covers_body: covers,
        idempotent: idempotent.value,
        fallbacks,
    })
}

fn upstream(scope: &Scope<'_>, name: &str, known: &[&str]) -> Option<Name> {
    if known.contains(&name) {
        return Name::parse(name).ok();
    }
    let defined = scope.root().at("proxy").at("upstreams");
    if !defined.is_struck() && !defined.at(name).is_written() {
        scope.error(Problem::new(
            format!("no upstream is called {}", ticked(name)),
            "not defined under `proxy.upstreams`",
            suggestion(name, known, "define it under `upstreams`"),
        ));
    }
    None
}

fn deadline(
    scope: &Scope<'_>,
    written: Option<Duration>,
    dependency: Option<(&Name, &policy::Config)>,
) -> Option<std::time::Duration> {
    let written = written?;
    let read: Read<'_, Duration> = scope
        .read("deadline", Some(written), written)
        .positive("a request that must end at once cannot begin");
    let Some((name, config)) = dependency else {
        return Some(read.get());
    };
    let whole = Duration(config.deadline);
    let theirs = scope
        .root()
        .at("dependencies")
        .at(name.as_str())
        .at("deadline");
    let read = read.check(
        |deadline| *deadline <= whole || theirs.is_struck(),
        |deadline| {
            Problem::new(
                "the route's deadline is longer than its dependency's",
                format!("{deadline} > {whole}: the dependency's deadline ends the call first"),
                format!("write at most `{whole}`, or a longer `dependencies.{name}.deadline`"),
            )
        },
    );
    if let Some(timeout) = config.attempt_timeout.map(Duration)
        && timeout > read.value
        && read.sound
    {
        read.scope.warning(Problem::new(
            "one attempt may use up this deadline",
            format!(
                "the dependency's `attempt_timeout` of {timeout} > {}",
                read.value
            ),
            "raise the deadline, or lower the `attempt_timeout` so that a retry fits",
        ));
    }
    Some(read.get())
}

fn host(scope: &Scope<'_>, written: Option<&str>) -> Option<Option<String>> {
    let Some(written) = written else {
        let scope = scope.at("host");
        if !scope.is_written() {
            scope.note("any", Origin::Default(None));
        }
        return Some(None);
    };
    let read = scope.read("host", Some(written), written);
    let help = match written.rsplit_once(':') {
        _ if written.contains("://") => "write the host alone, without `http://`".to_owned(),
        Some((host, _)) if !host.contains(':') => {
            format!(
                "write {}: the port of a request is not compared",
                ticked(host)
            )
        }
        _ if written == "*" => "leave `host` out: a route without it is for every host".to_owned(),
        _ if written.contains('*') => "`*.` may stand at the beginning, once".to_owned(),
        _ => "write a host name such as `shop.example`".to_owned(),
    };
    let (below, name) = match written.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", written),
    };
    match address::host(name) {
        Ok(host) => Some(Some(format!("{below}{host}"))),
        Err(why) => {
            let what = format!("{} is not a host", ticked(written));
            read.scope.error(Problem::new(what, why, help));
            None
        }
    }
}

fn path_prefix(scope: &Scope<'_>, written: Option<&str>) -> Option<String> {
    let read = scope.read("path_prefix", written, "/");
    let text = read.value;
    let wrong = |why: &str, help: String| {
        let what = format!("{} is not the beginning of a path", ticked(text));
        read.scope.error(Problem::new(what, why, help));
        None
    };
    if !text.starts_with('/') {
        return wrong(
            "a path begins with `/`",
            format!("write {}", ticked(&format!("/{text}"))),
        );
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let odd = ticked(&odd.to_string());
        return wrong(
            &format!("{odd} does not occur in a path on the wire"),
            "write it percent-encoded, as requests have it".to_owned(),
        );
    }
    if text.contains(['?', '#']) {
        return wrong(
            "queries and fragments are not compared",
            "end before `?` or `#`".to_owned(),
        );
    }
    if text.contains('*') {
        return wrong(
            "patterns are not known here: a prefix already matches all that is below it",
            "write the part before `*`".to_owned(),
        );
    }
    let segments = || text.split('/').skip(1);
    let inner_empty = text.contains("//");
    if inner_empty || segments().any(|segment| matches!(segment, "." | "..")) {
        return wrong(
            "no request has empty or dot segments by the time it is compared",
            "write the path as requests name it".to_owned(),
        );
    }
    match text.trim_end_matches('/') {
        "" => Some("/".to_owned()),
        prefix => Some(prefix.to_owned()),
    }
}

/// The methods, and whether all of them are.
fn methods(scope: &Scope<'_>, written: Option<&[String]>) -> (Vec<String>, bool) {
    let scope = scope.at("methods");
    let Some(written) = written else {
        let sound = !scope.is_written();
        if sound {
            scope.note("any", Origin::Default(None));
        }
        return (Vec::new(), sound);
    };
    let mut sound = !written.is_empty();
    scope.note(written.join(", "), Origin::Written { line: scope.line() });
    if written.is_empty() {
        scope.error(Problem::new(
            "this route matches no request",
            "its list of methods is empty",
            "name the methods, or remove `methods` for any",
        ));
    }
    for (index, method) in written.iter().enumerate() {
        let scope = scope.index(index);
        if let Some(problem) = bad_method(method) {
            scope.error(problem);
            sound = false;
        } else if written.iter().take(index).any(|earlier| earlier == method) {
            scope.warning(Problem::new(
                format!("{} is named twice", ticked(method)),
                "once is enough",
                "remove one of them",
            ));
        } else if !METHODS.contains(&method.as_str()) {
            let near = nearest(method, METHODS.iter().copied());
            scope.warning(Problem::new(
                format!("{} is not a registered HTTP method", ticked(method)),
                "this route matches only requests that say exactly this",
                near.map_or_else(
                    || "check that clients send it".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                ),
            ));
        }
    }
    (written.to_vec(), sound)
}

fn bad_method(method: &str) -> Option<Problem> {
    let what = format!("{} is not a method", ticked(method));
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method.is_empty() || !method.bytes().all(token) {
        return Some(Problem::new(
            what,
            "a method is one word of letters",
            "write it like `GET`",
        ));
    }
    let upper = method.to_ascii_uppercase();
    if upper == "CONNECT" {
        return Some(Problem::new(
            "`CONNECT` cannot be routed",
            "it asks for a tunnel, not for an answer",
            "remove it",
        ));
    }
    if method != upper && METHODS.contains(&upper.as_str()) {
        let why = "methods are compared letter by letter, and this one is written in capitals";
        return Some(Problem::new(what, why, format!("write `{upper}`")));
    }
    None
}

/// Compares a route with those before it.
fn judge_among(scope: &Scope<'_>, route: &Route, earlier: &[(Scope<'_>, Route)]) {
    if let Some((other, _)) = earlier.iter().find(|(_, other)| other.name == route.name) {
        let place = if scope.at("name").is_written() {
            scope.at("name")
        } else {
            scope.at("upstream")
        };
        place.error(Problem::new(
            format!("two routes are called {}", ticked(route.name.as_str())),
            format!(
                "the other begins on line {}; metrics could not tell them apart",
                other.line()
            ),
            "give this one a `name` of its own",
        ));
    }
    if let Some((other, _)) = earlier.iter().find(|(_, other)| outranks(other, route)) {
        scope.error(Problem::new(
            "no request ever reaches this route",
            format!(
                "the route on line {} is as specific, matches all of it, and comes first",
                other.line()
            ),
            "remove one of them, or tell them apart by host, path or method",
        ));
    }
}

/// Whether `earlier` takes every request that `later` matches. It must be exactly as specific: a more
/// specific one matches less, and a less specific one is asked after.
fn outranks(earlier: &Route, later: &Route) -> bool {
    let place = earlier.host == later.host && earlier.path_prefix == later.path_prefix;
    let methods = earlier.methods.is_empty() == later.methods.is_empty()
        && later
            .methods
            .iter()
            .all(|method| earlier.methods.contains(method));
    place && methods
}
