//! What is answered when there is no good answer.

use super::scope::Scope;
use crate::explain::Origin;
use crate::finding::Problem;
use crate::proxy::Fallback;
use crate::quote::ticked;
use crate::spec::{self, Count, Duration};

/// An older answer is more likely wrong than useful.
const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The methods that a fallback may stand in for: they ask, and change nothing.
const READS: &str = "`GET`, `HEAD` and `QUERY`";

fn only_asks(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "QUERY")
}

/// Every fallback of a route; `methods` are those that it matches, unless something is wrong with them.
pub(super) fn resolve_all(
    scope: &Scope<'_>,
    written: &[spec::Fallback],
    methods: Option<&Vec<String>>,
) -> Vec<Fallback> {
    if !scope.is_written() {
        scope.note("none", Origin::Default(None));
    }
    let mut resolved: Vec<Fallback> = Vec::new();
    for (index, spec) in written.iter().enumerate() {
        let scope = if scope.is_list() {
            scope.index(index)
        } else {
            scope.clone()
        };
        if let Some(Fallback::Static { .. }) = resolved.last() {
            scope.error(Problem::new(
                "this fallback is never reached",
                "the static answer before it always serves",
                "put the static answer last",
            ));
        }
        resolved.extend(resolve(&scope, spec, methods));
    }
    resolved
}

fn resolve(
    scope: &Scope<'_>,
    spec: &spec::Fallback,
    methods: Option<&Vec<String>>,
) -> Option<Fallback> {
    match (&spec.fixed, &spec.last_good) {
        (Some(fixed), None) => static_answer(&scope.at("static"), fixed, methods),
        (None, Some(last_good)) => self::last_good(&scope.at("last_good"), last_good, methods),
        (Some(_), Some(_)) => {
            scope.error(Problem::new(
                "two fallbacks in one",
                "which of them comes first is not said",
                "write a list: `- last_good: {}`, then `- static: …`",
            ));
            None
        }
        (None, None) => {
            if scope.is_empty() {
                scope.error(Problem::new(
                    "this fallback is empty",
                    "it does not say what to answer",
                    "write `static: { … }` or `last_good: {}`, or remove `fallback`",
                ));
            }
            None
        }
    }
}

fn static_answer(
    scope: &Scope<'_>,
    spec: &spec::StaticAnswer,
    methods: Option<&Vec<String>>,
) -> Option<Fallback> {
    let status = scope.read("status", spec.status, Count(200)).within(
        200,
        599,
        "it is the status code of a whole answer",
    );
    let usual = "text/plain; charset=utf-8";
    let content_type = scope
        .read("content_type", spec.content_type.as_deref(), usual)
        .check(
            |value| {
                let visible = |b: u8| (b.is_ascii_graphic() || b == b' ') && b.is_ascii();
                value.contains('/') && value.bytes().all(visible) && value.trim() == *value
            },
            |value| {
                Problem::new(
                    format!("{} is not a content type", ticked(value)),
                    "a type and a subtype belong here",
                    "write it like `application/json`",
                )
            },
        );
    let body = spec.body.clone().unwrap_or_default();
    let shown = format!("{} bytes", body.len());
    let read = scope.read(
        "body",
        spec.body.is_some().then_some(shown),
        "empty".to_owned(),
    );
    let status_code = u16::try_from(status.get()).unwrap_or(u16::MAX);
    if matches!(status_code, 204 | 304) && !body.is_empty() {
        read.scope.error(Problem::new(
            format!("an answer with status {status_code} has no body"),
            "HTTP forbids it, and clients would read it as the next answer",
            "remove the body, or write `status: 200`",
        ));
    }
    let methods = methods.map_or(&[][..], Vec::as_slice);
    let order = methods.iter().find(|method| !only_asks(method));
    if let Some(order) = order.filter(|_| (200..300).contains(&status_code)) {
        scope.error(Problem::new(
            format!("a static answer cannot stand in for {}", ticked(order)),
            format!("status {status_code} would say that what has failed was done"),
            format!("give {READS} a route of their own, with the fallback there"),
        ));
    } else if !methods.is_empty() && !methods.iter().any(|method| only_asks(method)) {
        scope.error(Problem::new(
            "this fallback is never reached",
            format!("it stands in for {READS}, and this route takes none of them"),
            "remove the fallback: the upstream's own failure is passed on",
        ));
    }
    let content_type = content_type.value.to_owned();
    Some(Fallback::Static {
        status: status_code,
        content_type,
        body,
    })
}

fn last_good(
    scope: &Scope<'_>,
    spec: &spec::LastGood,
    methods: Option<&Vec<String>>,
) -> Option<Fallback> {
    let max_age = scope
        .read("max_age", spec.max_age, Duration(MAX_AGE))
        .positive("no answer is that young");
    let keeps = |method: &String| method == "GET";
    if methods.is_some_and(|methods| !methods.is_empty() && !methods.iter().any(keeps)) {
        scope.error(Problem::new(
            "there is never a last good answer here",
            "answers to `GET` are kept, for `GET` and `HEAD`, and this route does not take it",
            "write a `static` answer, or remove the fallback",
        ));
    }
    Some(Fallback::LastGood {
        max_age: max_age.get(),
    })
}
