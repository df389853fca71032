//! The scenario file as written.
//!
//! These types are the file's shape: names are not looked up and numbers are not judged. Their
//! documentation becomes the descriptions of the JSON schema, which editors show.

// tidy: long because it is one file's written form, a type for each of its sections

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use evenkeel_policy::spec::{Count, Duration, Policy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

/// A simulated story: a fleet, what breaks in it, and what is expected to come of it.
///
/// Either a fleet (`services` and `clients`), or one of the models that are no fleet: `contention`, `usl`,
/// `tail`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a scenario: `version: 1`, `title`, `ends`, `services`, `clients`"
)]
#[schemars(title = "evenkeel scenario", rename = "Scenario")]
pub struct Scenario {
    /// The version of this format: 1.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<Count>,
    /// The story in one line.
    pub title: Option<String>,
    /// What it shows, and where its numbers come from.
    pub about: Option<String>,
    /// When the simulation ends.
    pub ends: Option<Duration>,
    /// Each seed is a run; what is reported is their mean. Default 1.
    pub seeds: Option<Vec<Count>>,
    /// The stretches of time that are measured, by when a request came. Default: `all` of it.
    pub windows: BTreeMap<String, Window>,
    /// What is called.
    pub services: BTreeMap<String, Service>,
    /// Who calls.
    pub clients: BTreeMap<String, Clients>,
    /// How others call: retry loops and breakers to compare with.
    pub callers: BTreeMap<String, Caller>,
    /// Shared pools of slots, by their size.
    pub pools: BTreeMap<String, Count>,
    /// How evenkeel calls: a policy file, whose dependencies are services of this fleet.
    pub policy: Option<Policy>,
    /// What breaks when.
    pub faults: Vec<Fault>,
    /// Writers that contend for one row.
    pub contention: Option<Contention>,
    /// A capacity that is predicted from points below it.
    pub usl: Option<Usl>,
    /// Hedges without queues: exact, from the law.
    pub tail: Option<Tail>,
    /// Ranges that the results are expected in, by metric: `{ at_least: 99 }`, `{ at_most: 1.2 }`,
    /// `{ about: 97.5, within: 2 }`, `{ about: 3.8, within_pct: 5 }`, `{ never: true }`.
    pub expect: Option<Anything>,
    /// Named changes to compare: `{ NAME: { set: { PATH: VALUE }, expect: { … } } }`.
    pub variants: Option<Anything>,
    /// What each variant is run at: `[ { name: 2x, set: { PATH: VALUE }, expect: { … } } ]`.
    pub sweep: Option<Anything>,
    /// What `--without NAME` takes away: `{ NAME: { set: { PATH: ~ } } }`.
    pub layers: Option<Anything>,
}

/// Whatever is written here; it is read elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

impl fmt::Display for Anything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a window, such as `{ from: 12s, to: 62s }`"
)]
pub struct Window {
    /// From when on.
    pub from: Option<Duration>,
    /// Until when. Default: the end.
    pub to: Option<Duration>,
}

/// A law of durations: one of its kinds, and what is made of it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a law, such as `{ exponential: 10ms }`"
)]
pub struct Law {
    /// Always the same.
    pub constant: Option<Duration>,
    /// Memoryless, with this mean.
    pub exponential: Option<Duration>,
    /// The exponential of a normal variable.
    pub lognormal: Option<LogNormal>,
    /// A heavy tail.
    pub pareto: Option<Pareto>,
    /// Every duration between two alike.
    pub uniform: Option<Uniform>,
    /// One of two laws.
    pub mixture: Option<Box<Mixture>>,
    /// What was measured, each value as likely as the others.
    pub empirical: Option<Vec<Duration>>,
    /// Some of the draws take a multiple of the time.
    pub stragglers: Option<Stragglers>,
    /// Stretches all of the above to this mean.
    pub mean: Option<Duration>,
}

/// A lognormal law.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ median: 10ms, sigma: 0.5 }`"
)]
pub struct LogNormal {
    /// Half of the draws are shorter.
    pub median: Option<Duration>,
    /// The standard deviation of the logarithm.
    pub sigma: Option<f64>,
}

/// A Pareto law.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ least: 5ms, alpha: 1.5 }`"
)]
pub struct Pareto {
    /// The shortest draw.
    pub least: Option<Duration>,
    /// The smaller, the heavier the tail.
    pub alpha: Option<f64>,
}

/// A uniform law.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "`{ low: 5ms, high: 15ms }`")]
pub struct Uniform {
    /// The shortest draw.
    pub low: Option<Duration>,
    /// The longest draw.
    pub high: Option<Duration>,
}

/// One of two laws.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ share: 0.9, first: LAW, second: LAW }`"
)]
pub struct Mixture {
    /// The share of the first.
    pub share: Option<f64>,
    /// What that share is drawn from.
    pub first: Option<Law>,
    /// What the rest is drawn from.
    pub second: Option<Law>,
}

/// Draws that take a multiple of the time.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ share: 0.01, factor: 20 }`"
)]
pub struct Stragglers {
    /// Their share.
    pub share: Option<f64>,
    /// How many times longer they take.
    pub factor: Option<f64>,
}

/// Something that is called.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a service, such as `{ workers: 8, work: LAW }`"
)]
pub struct Service {
    /// How many equal ones there are. Default 1.
    pub replicas: Option<Count>,
    /// How many requests one replica works on at once. Default: as many as come.
    pub workers: Option<Count>,
    /// How long a request keeps a worker busy. Default: no time at all.
    pub work: Option<Law>,
    /// How a replica decides whom to serve. Default: everybody, in the order in which they come.
    pub server: Option<Server>,
    /// What a rejection costs, as a share of the mean work. Default 0.
    pub reject_cost: Option<f64>,
    /// Which replica is asked. Default random.
    pub balancer: Option<Balancer>,
    /// Requests that fail although nothing is broken.
    pub failure: Option<Failure>,
    /// What a request calls in turn, once its own work is done.
    pub calls: Vec<Call>,
    /// How long a message travels, each way. Default: no time at all.
    pub latency: Option<Law>,
    /// The share of messages that are lost on the way there. Default 0.
    pub loss: Option<f64>,
    /// An attempt whose caller has left is taken out of the queue. Default false.
    pub notices_leaving: Option<bool>,
}

/// How a replica decides whom to serve: three questions, each with a choice.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ gate: …, order: …, rule: … }`"
)]
pub struct Server {
    /// Who is let in. Default open.
    pub gate: Option<Gate>,
    /// Who is served next. Default fifo.
    pub order: Option<Order>,
    /// Who is dropped when its turn comes. Default none.
    pub rule: Option<Rule>,
    /// None of these: by evenkeel's admission, with its defaults for as many workers as there are.
    pub admission: Option<Admission>,
}

/// evenkeel's admission. It is told the deadline that comes with an attempt, and nothing else.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "`{}` for the defaults")]
pub struct Admission {
    /// It is not told how many workers there are, and finds out. Default false.
    pub adaptive: Option<bool>,
}

/// Who is let in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Everybody.
    Open,
    /// Whoever finds fewer waiting than this.
    Queue(Count),
    /// Whoever finds fewer of its tenant waiting than this.
    TenantQueue(Count),
    /// Whoever finds fewer of its tenant waiting or served than this.
    TenantConcurrency(Count),
    /// Each tenant at a rate of its own.
    TenantRate(TenantRate),
    /// Whoever would wait, by Little's law, for no longer than this share of the time it has.
    LittlesLaw(f64),
    /// Netflix's AIMD.
    Aimd(Limit),
    /// Netflix's Vegas.
    Vegas(Limit),
    /// Netflix's Gradient2.
    Gradient2(Limit),
    /// A controller that rejects a share, so that jobs wait for this long.
    Pid(Duration),
}

/// A rate for each tenant.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ per_second: 80, burst: 10 }`"
)]
pub struct TenantRate {
    /// So many a second.
    pub per_second: Option<f64>,
    /// So many at once, after a pause.
    pub burst: Option<f64>,
}

/// An adaptive limit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "`{}`, or `{ window: 1s }`")]
pub struct Limit {
    /// It moves once in this time, by the mean of the samples. Default: on each sample.
    pub window: Option<Duration>,
    /// For AIMD: a sample that took longer counts as dropped. Default 5s.
    pub timeout: Option<Duration>,
}

/// Who is served next.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Who came first.
    Fifo,
    /// Who came last.
    Lifo,
    /// Who came last, if somebody waited at every moment of this long.
    AdaptiveLifo(Duration),
    /// Who came last, for this long after a drop.
    LifoAfterDrop(Duration),
    /// One of each tenant in turn.
    RoundRobin,
}

/// Who is dropped when its turn comes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nobody.
    None,
    /// Who waited for this long.
    Waited(Duration),
    /// Whose deadline is nearer than this.
    Margin(Duration),
    /// Whose deadline is nearer than this many mean service times.
    ServiceTimes(f64),
    /// Controlled delay.
    Codel(Codel),
    /// Who would not be done in time, which nobody can know.
    Clairvoyant,
}

/// Controlled delay.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ target: 5ms, interval: 100ms }`"
)]
pub struct Codel {
    /// How long a job may wait while somebody has been waiting for the whole interval.
    pub target: Option<Duration>,
    /// And otherwise.
    pub interval: Option<Duration>,
}

/// Which replica is asked.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// The one with less to do out of two.
    TwoChoices,
    /// Each tenant has two of its own; the one with less to do.
    ShuffleShard,
}

/// Requests that fail although nothing is broken.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ share: 0.5, after: 5ms }`"
)]
pub struct Failure {
    /// Their share.
    pub share: Option<f64>,
    /// After how long they fail. Default: they are never answered.
    pub after: Option<Duration>,
}

/// One call that a request makes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a call, such as `{ service: api }`"
)]
pub struct Call {
    /// Whom.
    #[schemars(required)]
    pub service: Option<String>,
    /// By the rules of which of the `callers`.
    pub by: Option<String>,
    /// By the rules of which dependency of the `policy`. Without `by` and `policy`: once, without a
    /// timeout.
    pub policy: Option<String>,
    /// At the same time as the call before it. Default false: once that is over.
    pub with_previous: Option<bool>,
    /// The request can do without it: degraded, but of use. Default false.
    pub optional: Option<bool>,
    /// The deadline goes on with it. Default true for calls by a policy, false otherwise.
    pub sends_deadline: Option<bool>,
    /// It may be done twice. Default true.
    pub idempotent: Option<bool>,
}

/// Clients that are alike.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "clients, such as `{ arrivals: …, calls: […] }`"
)]
pub struct Clients {
    /// How many. Default 1.
    pub count: Option<Count>,
    /// How many processes they run in; what a process has learned its clients share. Default: each in one
    /// of its own.
    pub processes: Option<Count>,
    /// When they ask.
    #[schemars(required)]
    pub arrivals: Option<Arrivals>,
    /// An answer is of use within this. Default: whenever it comes.
    pub deadline: Option<Duration>,
    /// They stop waiting then. Default false.
    pub gives_up: Option<bool>,
    /// Each client is a tenant of its own. Default: the group is one.
    pub tenants: Option<bool>,
    /// What a request calls.
    pub calls: Vec<Call>,
    /// Timers go off late by up to this. Default 0s.
    pub timer_slack: Option<Duration>,
}

/// When clients ask.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Memoryless: so many a second, over all clients of the group.
    Poisson(f64),
    /// Evenly spaced: so many a second, over all clients of the group.
    Regular(f64),
    /// In bursts.
    Bursty(Bursty),
    /// At these instants.
    Recorded(Vec<Duration>),
    /// After the answer, and a time for thought.
    Closed(Law),
    /// Once each, at the beginning.
    Once,
}

/// Arrivals in bursts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ per_second: 800, factor: 3, … }`"
)]
pub struct Bursty {
    /// On average.
    pub per_second: Option<f64>,
    /// How many times that a burst is.
    pub factor: Option<f64>,
    /// How long a burst lasts.
    pub burst: Option<Duration>,
    /// From one burst to the next.
    pub period: Option<Duration>,
}

/// How others call.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a caller, such as `{ timeout: 1s, retries: 3 }`"
)]
pub struct Caller {
    /// An attempt is given up after this. Default: never.
    pub timeout: Option<Duration>,
    /// How many times a failed call is tried again. Default 0.
    pub retries: Option<Count>,
    /// The wait before a retry. Default none.
    pub delay: Option<Delay>,
    /// What retries are paid from. Default: they are free.
    pub budget: Option<Budget>,
    /// When the service is left alone. Default: never.
    pub breaker: Option<Breaker>,
    /// Sending less when less is accepted. Default off.
    pub throttle: Option<Throttle>,
    /// A second attempt before the first has ended. Default off.
    pub hedge: Option<Hedge>,
    /// An attempt needs a slot of this pool.
    pub pool: Option<Pool>,
}

/// The wait before a retry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    /// At once.
    None,
    /// Doubled each time.
    Exponential(Growth),
    /// Evenly from zero to that.
    FullJitter(Growth),
}

/// A wait that is doubled each time.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ base: 100ms, cap: 10s }`"
)]
pub struct Growth {
    /// The first.
    pub base: Option<Duration>,
    /// The longest.
    pub cap: Option<Duration>,
}

/// A token bucket, full at first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "`{ ratio: 0.1, cap: 10 }`")]
pub struct Budget {
    /// Added by each success.
    pub ratio: Option<f64>,
    /// The most it holds. Default 10.
    pub cap: Option<f64>,
    /// Added by each call instead. Default false.
    pub by_call: Option<bool>,
}

/// A breaker with a counter.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ failures: 5, open: 5s }`"
)]
pub struct Breaker {
    /// Failures in a row that open it. Default: none do.
    pub failures: Option<Count>,
    /// The share of failures in a second that opens it. Default: none does.
    pub rate: Option<f64>,
    /// For how long, times a factor from 0.5 to 1.5.
    pub open: Option<Duration>,
    /// Doubled each time it opens again, up to this. Default: `open`.
    pub max_open: Option<Duration>,
    /// While half-open, a share of the calls. Default: one.
    pub trickle: Option<Trickle>,
    /// It looks at the wall clock. Default false.
    pub wall_clock: Option<bool>,
}

/// A share of the calls while half-open.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ share: 0.02, successes: 5 }`"
)]
pub struct Trickle {
    /// The share.
    pub share: Option<f64>,
    /// So many successes close it.
    pub successes: Option<Count>,
}

/// Sending less when less is accepted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "`{ k: 2, decay: 30s }`")]
pub struct Throttle {
    /// How many requests an accept is good for.
    pub k: Option<f64>,
    /// The time constant of forgetting.
    pub decay: Option<Duration>,
}

/// A second attempt before the first has ended.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ after: 50ms }`, or `{ quantile: 0.95 }`"
)]
pub struct Hedge {
    /// After this.
    pub after: Option<Duration>,
    /// After this quantile of the answers of the last second.
    pub quantile: Option<f64>,
    /// Hedges per call, saved up to 20. Default: each call may.
    pub budget: Option<f64>,
}

/// Slots of a pool.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ name: shared, waits: true }`"
)]
pub struct Pool {
    /// Which of the `pools`.
    pub name: Option<String>,
    /// A call that finds none free waits. Default false: it fails at once.
    pub waits: Option<bool>,
}

/// Something that breaks, and is mended.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a fault, such as `{ service: api, from: 60s, to: 90s, stall: true }`"
)]
pub struct Fault {
    /// When it breaks.
    pub from: Option<Duration>,
    /// When it is mended. Default: the end.
    pub to: Option<Duration>,
    /// What breaks; or `clients`.
    pub service: Option<String>,
    /// Whose load changes.
    pub clients: Option<String>,
    /// The first so many replicas. Default: all.
    pub replicas: Option<Count>,
    /// Work takes this many times as long.
    pub slow: Option<f64>,
    /// Work takes as long as this law says.
    pub law: Option<Law>,
    /// Nothing is begun.
    pub stall: Option<bool>,
    /// Everything fails after this long.
    pub error: Option<Duration>,
    /// This many workers are left.
    pub workers: Option<Count>,
    /// What was there is lost, who comes is turned away.
    pub crash: Option<bool>,
    /// Messages are lost.
    pub partition: Option<bool>,
    /// The wall clocks of its callers jump ahead by so many seconds, or back.
    pub clock_seconds: Option<f64>,
    /// The clients ask this many times as often.
    pub load: Option<f64>,
}

/// Writers that contend for one row: read, then write on condition that nobody else wrote.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ clients: 100, strategy: full_jitter }`"
)]
pub struct Contention {
    /// How many, all from the beginning, each to commit once.
    pub clients: Option<Count>,
    /// How often the story is run for each seed. Default 1.
    pub repetitions: Option<Count>,
    /// What a writer does that lost.
    pub strategy: Option<Strategy>,
}

/// What a writer does that lost; all in milliseconds with base 5 and cap 2000.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Tries again at once.
    None,
    /// Waits `min(cap, base * 2^n)`.
    Exponential,
    /// Half of that, and evenly up to the other half.
    EqualJitter,
    /// Evenly from zero to that.
    FullJitter,
    /// Evenly from the base to three times the wait before.
    Decorrelated,
    /// Evenly up to 100 ms.
    ConstantJitter,
    /// Evenly up to `40 * 1.5^(n-1)`, at most 4000.
    SlowFullJitter,
    /// Evenly up to the time that the rest of the writers need, times this; the server says how many.
    ServerHint(f64),
    /// In a slot of its own, which the server hands out.
    ServerTicket,
    /// evenkeel's default back-off.
    Evenkeel,
}

/// The universal scalability law, fitted to points below its peak.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ sigma: 0.03, kappa: 0.0005, … }`"
)]
pub struct Usl {
    /// The share of work that is done one after the other.
    pub sigma: Option<f64>,
    /// What each pair costs in coherence.
    pub kappa: Option<f64>,
    /// The noise of each point, as a share of it.
    pub noise: Option<f64>,
    /// The concurrencies that are measured.
    pub points: Option<Vec<Count>>,
    /// How many fits for each seed. Default 400.
    pub repetitions: Option<Count>,
}

/// Hedges without queues.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ law: LAW, after_quantile: 0.95 }`"
)]
pub struct Tail {
    /// How long an attempt takes.
    pub law: Option<Law>,
    /// Hedged after this.
    pub after: Option<Duration>,
    /// Hedged after this quantile of the law.
    pub after_quantile: Option<f64>,
    /// The share of the calls that are hedged then. Default 1.
    pub share: Option<f64>,
}
