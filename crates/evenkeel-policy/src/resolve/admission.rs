//! What a server admits.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use evenkeel_core::admission::{self, Concurrency};
use evenkeel_core::entropy::hash;
use evenkeel_core::tenant::{self, GROUPS_MAX, Group, Rate, Tenant};
use evenkeel_core::{ratio, shed};

use super::load;
use super::scope::Scope;
use crate::admission::Config;
use crate::explain::Origin;
use crate::finding::Problem;
use crate::quote::ticked;
use crate::spec::{self, Count, OrNone, Ratio};

/// The group of all tenants that no group names.
const OTHERS: &str = "others";

/// Fewer arrivals to choose from than this, for each that is begun, cost goodput.
const LEAST_HEADROOM: ratio::Ratio = ratio::Ratio::from_permille(2_000);

const MOST_PER_SECOND: u32 = 1_000_000;
const MOST_TENANTS: u32 = 10_000_000;

pub(super) fn resolve(scope: &Scope<'_>, spec: &spec::Admission) -> Config {
    let mut bounds = admission::Config::new(concurrency(scope, spec));
    bounds.shed = shed(&scope.at("shed"), spec.shed.as_ref());
    let section = scope.at("tenants");
    section.note_off();
    let mut config = Config {
        bounds,
        groups: Vec::new(),
        tenants: BTreeMap::new(),
    };
    if let Some(spec) = &spec.tenants {
        tenants(&section, spec, &mut config);
    }
    config
}

fn concurrency(scope: &Scope<'_>, spec: &spec::Admission) -> Concurrency {
    let workers = scope.at("workers");
    if let Some(written) = spec.workers {
        let origin = Origin::Written {
            line: workers.line(),
        };
        workers.note(written, origin);
        if spec.limiter.is_some() {
            scope.at("limiter").error(Problem::new(
                "`limiter` and `workers` are both written",
                format!(
                    "{written} are served at once, and a limiter would look for another number"
                ),
                "keep `workers` where their number is known, and `limiter` where it is not",
            ));
        }
        if let Some(workers) = NonZeroU32::new(written.0) {
            return Concurrency::Fixed(workers);
        }
        workers.error(Problem::new(
            "`workers` must be at least 1",
            "with no worker, no request is ever served",
            "write how many requests are served at once",
        ));
    } else if !workers.is_written() {
        workers.note("found by watching", Origin::Default(None));
    }
    let absent = spec::Limiter::default();
    let limiter = spec.limiter.as_ref().unwrap_or(&absent);
    Concurrency::Adaptive(load::limiter(&scope.at("limiter"), limiter))
}

fn shed(scope: &Scope<'_>, spec: Option<&OrNone<spec::Shed>>) -> Option<shed::Config> {
    let absent = spec::Shed::default();
    let spec = match spec {
        Some(OrNone::None) => {
            scope.note("none", Origin::Written { line: scope.line() });
            return None;
        }
        Some(OrNone::Some(written)) => written,
        None => &absent,
    };
    let mut config = shed::Config::default();
    config.headroom = scope
        .read("headroom", spec.headroom, Ratio(config.headroom))
        .check(
            |headroom| headroom.0 >= LEAST_HEADROOM,
            |headroom| {
                Problem::new(
                    format!("`headroom` is {headroom}, and must be at least 2"),
                    "a queue with next to nothing to choose from serves what has waited",
                    "write 2 or more; 16 is the default",
                )
            },
        )
        .get();
    Some(config)
}

fn tenants(scope: &Scope<'_>, spec: &spec::Tenants, config: &mut Config) {
    let mut bounds = tenant::Config::default();
    let section = scope.at("rate");
    section.note_off();
    bounds.rate = spec.rate.as_ref().and_then(|spec| rate(&section, spec));

    let shares = scope.at("shares");
    for (name, written) in &spec.shares {
        let place = shares.at(name);
        place.note(written, Origin::Written { line: place.line() });
        match NonZeroU32::new(written.0) {
            Some(weight) => {
                let tenant = Tenant::new(hash(name)).weight(weight);
                config.tenants.insert(name.clone(), tenant);
            }
            None => place.error(Problem::new(
                format!("{} has no share", ticked(name)),
                "a tenant without a share would never be served",
                "write 1 or more, or leave it out: one share is the default",
            )),
        }
    }
    if !spec.groups.is_empty() {
        groups(&scope.at("groups"), &spec.groups, config, &mut bounds);
    }
    config.bounds.tenants = bounds;
}

fn rate(scope: &Scope<'_>, spec: &spec::TenantRate) -> Option<Rate> {
    let why = "a rate is a number of requests";
    let help = "write `per_second: ` and how many requests a tenant may make";
    scope.required("per_second", spec.per_second, why, help)?;
    let per_second = scope.read("per_second", spec.per_second, Count(1)).within(
        1,
        MOST_PER_SECOND,
        "buckets are filled by the microsecond",
    );
    let burst = scope
        .read_or(
            "burst",
            spec.burst,
            per_second.value,
            Origin::Default(Some("as many as in a second")),
        )
        .at_least_one("no request would ever pass");
    let mut rate = Rate::per_second(NonZeroU32::new(per_second.get())?);
    rate.burst = NonZeroU32::new(burst.get())?;
    let most = scope
        .read("max_tenants", spec.max_tenants, Count(rate.tenants.get()))
        .within(1, MOST_TENANTS, "each takes eight bytes");
    rate.tenants = NonZeroU32::new(most.get())?;
    Some(rate)
}

fn groups(
    scope: &Scope<'_>,
    spec: &BTreeMap<String, spec::Group>,
    config: &mut Config,
    bounds: &mut tenant::Config,
) {
    if spec.len() >= GROUPS_MAX {
        scope.error(Problem::new(
            format!("{} groups are too many", spec.len()),
            format!(
                "workers are spread over {} at most, `others` among them",
                GROUPS_MAX - 1
            ),
            "give tenants that are alike one group",
        ));
        return;
    }
    let absent = spec::Group::default();
    let others = spec.get(OTHERS).unwrap_or(&absent);
    let named = spec.iter().filter(|(name, _)| *name != OTHERS);
    let all =
        core::iter::once((OTHERS, others)).chain(named.map(|(name, spec)| (name.as_str(), spec)));
    let mut seen = BTreeSet::new();
    for (number, (name, spec)) in (0_u8..).zip(all) {
        let scope = scope.at(name);
        bounds.groups.push(group(&scope, spec));
        config.groups.push(name.to_owned());
        let members = scope.at("tenants");
        if name == OTHERS && !spec.tenants.is_empty() {
            members.error(Problem::new(
                "`others` has tenants of its own",
                "it is the group of all tenants that no group names",
                "remove the list, or give the group another name",
            ));
        }
        for (index, tenant) in spec.tenants.iter().enumerate() {
            if !seen.insert(tenant.clone()) {
                members.index(index).error(Problem::new(
                    format!("{} is in two groups", ticked(tenant)),
                    "its requests can be counted in one of them only",
                    "keep it in one",
                ));
            }
            let known = config.tenants.entry(tenant.clone());
            let known = known.or_insert_with(|| Tenant::new(hash(tenant)));
            *known = known.group(number);
        }
    }
}

fn group(scope: &Scope<'_>, spec: &spec::Group) -> Group {
    let shares = scope
        .read("shares", spec.shares, Count(1))
        .at_least_one("a group without a share would never be served");
    let mut group = Group::new(NonZeroU32::new(shares.get()).unwrap_or(NonZeroU32::MIN));
    group.lendable = scope
        .read("lendable", spec.lendable, Ratio(group.lendable))
        .share()
        .get();
    let borrowing = scope.read("borrowing", spec.borrowing, OrNone::None);
    group.borrowing = match borrowing.value {
        OrNone::Some(share) => Some(share.0),
        OrNone::None => None,
    };
    group
}
