//! The written form to the resolved one: names looked up, defaults filled in, contradictions found.
//!
//! Every value is read through a [`scope::Scope`], which knows where it stands, notes who decided it,
//! and collects what is wrong with it. Nothing here stops at the first error: a wrong value is reported,
//! and the reading goes on with what is known not to be wrong.

mod address;
mod backoff;
mod breaker;
mod dependency;
mod fallback;
mod load;
mod proxy;
mod retry;
mod route;
pub(crate) mod scope;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use crate::Policy;
use crate::finding::Problem;
use crate::name::Name;
use crate::spec;
use scope::Scope;

/// The version of the format that this module reads.
const VERSION: u32 = 1;

/// The service of a file that does not name one.
const UNNAMED: &str = "unnamed";

/// What the file means, as far as it means anything; what is wrong with it is noted in `root`.
pub(crate) fn policy(root: &Scope<'_>, spec: &spec::Policy) -> Option<Policy> {
    version(root, spec.version);
    let service = service(root, spec.service.as_deref());

    let behind_proxy: BTreeSet<&str> = spec
        .proxy
        .iter()
        .flat_map(|proxy| &proxy.upstreams)
        .map(|(name, upstream)| upstream.dependency.as_deref().unwrap_or(name))
        .collect();
    let dependencies = named(
        &root.at("dependencies"),
        &spec.dependencies,
        |scope, name, spec| {
            let caller = if behind_proxy.contains(name.as_str()) {
                dependency::Caller::Proxy
            } else {
                dependency::Caller::Service
            };
            dependency::resolve(scope, spec, caller)
        },
    );
    let proxy = spec
        .proxy
        .as_ref()
        .and_then(|proxy| proxy::resolve(&root.at("proxy"), proxy, &dependencies));
    Some(Policy {
        service: service?,
        dependencies,
        proxy,
    })
}

fn version(root: &Scope<'_>, written: Option<spec::Count>) {
    let help = "write `version: 1` at the top of the file";
    let why = "it says which format the file is written in";
    match root.required("version", written, why, help) {
        Some(spec::Count(VERSION)) | None => {}
        Some(other) => root.at("version").error(Problem::new(
            format!("version {other} of the policy format is not known"),
            "this evenkeel reads version 1",
            help,
        )),
    }
}

fn service(root: &Scope<'_>, written: Option<&str>) -> Option<Name> {
    let read = root.read("service", written, UNNAMED);
    if !read.written {
        read.scope.warning(Problem::new(
            "the service has no name",
            "the name is mixed into every random choice and labels every metric: two services \
             without one look alike, and their retries keep in step",
            "write `service: ` and the name of the calling service",
        ));
    }
    Name::parse(read.value)
        .map_err(|wrong| read.scope.error(wrong))
        .ok()
}

/// Every entry of a mapping by name, with the names held to their rule.
fn named<S, T>(
    scope: &Scope<'_>,
    specs: &BTreeMap<String, S>,
    mut resolve: impl FnMut(&Scope<'_>, &Name, &S) -> T,
) -> BTreeMap<Name, T> {
    let mut resolved = BTreeMap::new();
    for (key, spec) in specs {
        let scope = scope.at(key);
        match Name::parse(key) {
            Ok(name) => {
                let value = resolve(&scope, &name, spec);
                resolved.insert(name, value);
            }
            Err(wrong) => scope.key_error(wrong),
        }
    }
    resolved
}
