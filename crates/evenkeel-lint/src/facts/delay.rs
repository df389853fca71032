//! How long a loop waits between turns, and what decides it.
//!
//! A delay is jittered when randomness reaches the expression that is slept on: in its own text, in
//! a definition that reaches it within two steps, or inside a helper of the same package. It grows
//! when a definition multiplies or shifts it, and is capped when one clamps it.

pub(crate) use super::wait::{DelaySite, Wait, in_select_arm, site, timer_receive};
use super::words::{self, has_any, has_word};
use super::{View, compact, library};
use crate::syntax::{Kind, NodeId, Op, Role, Tree};

/// What decides the length of a delay.
#[derive(Clone, Debug, Default)]
pub(crate) struct DelayFacts {
    pub(crate) text: String,
    /// Milliseconds, when it is a literal or a constant of the file.
    pub(crate) constant_ms: Option<u64>,
    /// A literal or a constant, its length known or not.
    pub(crate) is_constant: bool,
    /// The expression that makes it grow.
    pub(crate) grows: Option<NodeId>,
    pub(crate) is_random: bool,
    pub(crate) is_capped: bool,
    /// Functions whose result reaches the delay: last path segments.
    pub(crate) callees: Vec<String>,
    /// A callee on a value or another package: what it does is not known.
    pub(crate) has_foreign_callee: bool,
}

/// Follows a duration to what decides it.
pub(crate) fn decide(view: &View<'_>, duration: NodeId, around: NodeId) -> DelayFacts {
    let tree = view.tree;
    let mut facts = DelayFacts {
        text: super::brief(tree.text_of(duration)),
        ..DelayFacts::default()
    };
    facts.constant_ms = milliseconds(view, duration, 0);
    facts.is_constant = facts.constant_ms.is_some() || is_constant(view, duration);
    let scope = view.scope(duration);
    let mut seen: Vec<NodeId> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut frontier = vec![duration];
    for step in 0..3 {
        let mut next = Vec::new();
        for &value in &frontier {
            if seen.contains(&value) {
                continue;
            }
            seen.push(value);
            examine(view, value, &mut facts);
            if step == 2 {
                continue;
            }
            for id in tree.subtree(value) {
                if tree.kind(id) == Kind::Call
                    && let Some(receiver) = tree.receiver(id)
                {
                    next.extend(view.definitions(scope, &compact(tree.text_of(receiver))));
                }
                let is_path = matches!(tree.kind(id), Kind::Name | Kind::Field)
                    && tree.get(id).role != Role::Callee
                    && !matches!(tree.kind(tree.parent(id)), Kind::Field);
                if !is_path {
                    continue;
                }
                let name = compact(tree.text_of(id));
                if name == "time" || names.contains(&name) {
                    continue;
                }
                next.extend(view.definitions(scope, &name));
                names.push(name);
            }
        }
        frontier = next;
    }
    examine_growth(view, scope, &names, around, &mut facts);
    facts
}

fn examine(view: &View<'_>, value: NodeId, facts: &mut DelayFacts) {
    let tree = view.tree;
    let text = tree.text_of(value);
    if has_any(text, words::RANDOM) {
        facts.is_random = true;
    }
    if has_any(&compact(text), words::CLAMP) {
        facts.is_capped = true;
    }
    for id in tree.subtree(value) {
        match tree.kind(id) {
            Kind::Call => {
                let name = tree.callee_name(id);
                let path = view.called(id);
                if is_growth_call(name) {
                    facts.grows = Some(id);
                }
                if let Some(library) = library::of(&path) {
                    facts.is_random |= library.jitter;
                    facts.is_capped |= library.cap;
                    continue;
                }
                if is_arithmetic(name, &path) || name.is_empty() {
                    continue;
                }
                if path.contains(['.', ':']) && view.local(name).next().is_none() {
                    facts.has_foreign_callee = true;
                }
                if !facts.callees.iter().any(|c| c == name) {
                    facts.callees.push(name.to_owned());
                }
            }
            Kind::Binary if tree.get(id).op == Op::ShiftLeft => facts.grows = Some(id),
            _ => {}
        }
    }
}

/// Multiplication of the delay by itself, and comparisons that hold it down.
fn examine_growth(
    view: &View<'_>,
    scope: NodeId,
    names: &[String],
    around: NodeId,
    facts: &mut DelayFacts,
) {
    let tree = view.tree;
    for id in tree.subtree(scope) {
        match tree.kind(id) {
            Kind::Assign => {
                let Some(target) = tree.child(id, Role::Left) else {
                    continue;
                };
                let target = compact(tree.text_of(target));
                let target = target.trim_start_matches('*');
                if !names.iter().any(|n| n == target) || !tree.within(id, around) {
                    continue;
                }
                let right = tree.child(id, Role::Right);
                let multiplies =
                    matches!(tree.get(id).op, Op::MultiplyAssign | Op::ShiftLeftAssign)
                        || right.is_some_and(|right| grows_from(tree, right, target));
                if multiplies {
                    facts.grows = Some(id);
                }
            }
            Kind::Binary
                if matches!(
                    tree.get(id).op,
                    Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual
                ) =>
            {
                let compares = [Role::Left, Role::Right].into_iter().any(|role| {
                    tree.child(id, role).is_some_and(|side| {
                        let text = compact(tree.text_of(side));
                        names.iter().any(|n| {
                            *n == text
                                && (!is_counter(n)
                                    || has_any(tree.text_of(id), &["time.", "duration"]))
                        })
                    })
                });
                if compares {
                    facts.is_capped = true;
                }
            }
            // `if i > 300 { i = 300 }` caps whatever the name is.
            Kind::If => {
                let holds_down = tree.roles(id, Role::Then).any(|then| {
                    tree.subtree(then).any(|n| {
                        tree.kind(n) == Kind::Assign
                            && tree.get(n).op == Op::None
                            && tree.child(n, Role::Left).is_some_and(|left| {
                                let left = compact(tree.text_of(left));
                                names.contains(&left)
                                    && tree.child(id, Role::Condition).is_some_and(|c| {
                                        tree.subtree(c).any(|n| compact(tree.text_of(n)) == left)
                                    })
                            })
                    })
                });
                if holds_down {
                    facts.is_capped = true;
                }
            }
            _ => {}
        }
    }
}

fn is_counter(name: &str) -> bool {
    !has_word(name, &["interval", "delay", "backoff", "wait", "sleep"])
        && has_word(
            name,
            &[
                "attempt", "attempts", "i", "n", "retry", "retries", "tries", "count", "try", "j",
                "k",
            ],
        )
}

fn grows_from(tree: &Tree<'_>, right: NodeId, target: &str) -> bool {
    tree.subtree(right).any(|id| match tree.kind(id) {
        Kind::Binary => {
            matches!(tree.get(id).op, Op::Multiply | Op::ShiftLeft)
                && has_any(&compact(tree.text_of(id)), &[&target.to_ascii_lowercase()])
        }
        Kind::Call => {
            is_growth_call(tree.callee_name(id))
                && has_any(&compact(tree.text_of(id)), &[&target.to_ascii_lowercase()])
        }
        _ => false,
    })
}

fn is_growth_call(name: &str) -> bool {
    matches!(
        name,
        "Pow"
            | "pow"
            | "powi"
            | "powf"
            | "Exp2"
            | "saturating_pow"
            | "saturating_mul"
            | "mul_f64"
            | "mul_f32"
            | "checked_mul"
            | "checked_pow"
            | "wrapping_mul"
            | "checked_shl"
    )
}

fn is_arithmetic(name: &str, path: &str) -> bool {
    is_growth_call(name)
        || matches!(
            name,
            "Duration"
                | "float64"
                | "int64"
                | "int"
                | "uint"
                | "uint64"
                | "from_secs"
                | "from_millis"
                | "from_secs_f64"
                | "from_secs_f32"
                | "from_micros"
                | "from_nanos"
                | "from_mins"
                | "as_millis"
                | "as_secs"
                | "min"
                | "Min"
                | "max"
                | "Max"
                | "Seconds"
                | "Milliseconds"
                | "clamp"
                | "into"
                | "clone"
                | "saturating_sub"
                | "saturating_add"
                | "unwrap_or"
                | "unwrap"
                | "unwrap_or_default"
                | "unwrap_or_else"
                | "Sub"
                | "Since"
                | "Until"
                | "Now"
                | "now"
                | "elapsed"
                | "mul"
                | "float32"
                | "uint32"
                | "int32"
                | "Load"
                | "load"
                | "checked_sub"
                | "try_from"
                | "get"
                | "Get"
                | "ParseDuration"
                | "copied"
        )
        || path.starts_with("math.")
        || path.starts_with("time.")
}

fn is_constant(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(id).all(|n| match tree.kind(n) {
        Kind::Name => {
            let text = tree.text_of(n);
            tree.get(n).role == Role::Name
                || text == "time"
                || view.constant(text).is_some()
                || text
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
                || view.import(text).is_some()
                || matches!(
                    text,
                    "Duration" | "tokio" | "std" | "from_secs" | "from_millis"
                )
        }
        Kind::Call => is_arithmetic(tree.callee_name(n), ""),
        Kind::Number | Kind::Binary | Kind::Cast | Kind::Type | Kind::Unary => true,
        Kind::Field => {
            let text = tree.text_of(n);
            let last = tree.last_segment(n);
            text.starts_with("time.")
                || text.contains("Duration::")
                || last.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        }
        _ => false,
    })
}

/// A duration in milliseconds, when it is written down.
pub(crate) fn milliseconds(view: &View<'_>, id: NodeId, depth: u8) -> Option<u64> {
    let tree = view.tree;
    if depth > 3 {
        return None;
    }
    let id = tree.strip(id);
    match tree.kind(id) {
        Kind::Name => milliseconds(view, view.constant(tree.text_of(id))?, depth + 1),
        Kind::Field => match tree.text_of(id) {
            "time.Nanosecond" | "time.Microsecond" => Some(0),
            "time.Millisecond" => Some(1),
            "time.Second" => Some(1000),
            "time.Minute" => Some(60_000),
            "time.Hour" => Some(3_600_000),
            _ => None,
        },
        Kind::Binary if tree.get(id).op == Op::Multiply => {
            let left = tree.child(id, Role::Left)?;
            let right = tree.child(id, Role::Right)?;
            let unit = milliseconds(view, right, depth + 1)
                .or_else(|| milliseconds(view, left, depth + 1))?;
            let factor = number(view, left, 0).or_else(|| number(view, right, 0))?;
            unit.checked_mul(factor)
        }
        Kind::Call => {
            let factor = match tree.callee_name(id) {
                "from_secs" => 1000,
                "from_millis" => 1,
                "from_mins" => 60_000,
                "from_micros" | "from_nanos" => 0,
                _ => return None,
            };
            number(view, tree.arguments(id).next()?, 0)?.checked_mul(factor)
        }
        _ => None,
    }
}

/// A whole number, when it is written down.
pub(crate) fn number(view: &View<'_>, id: NodeId, depth: u8) -> Option<u64> {
    let tree = view.tree;
    let id = tree.strip(id);
    match tree.kind(id) {
        Kind::Number => {
            let text = tree.text_of(id).replace('_', "");
            let digits =
                text.trim_end_matches(|c: char| c.is_ascii_alphabetic() && !text.starts_with("0x"));
            let digits = digits.split(['u', 'i']).next().unwrap_or(digits);
            digits.parse().ok()
        }
        Kind::Name if depth < 3 => {
            let name = tree.text_of(id);
            if let Some(value) = view.constant(name) {
                return number(view, value, depth + 1);
            }
            // A local that is bound once and never counted up.
            let scope = view.scope(id);
            let [only] = view.definitions(scope, name)[..] else {
                return None;
            };
            let counts = tree.subtree(scope).any(|n| {
                tree.kind(n) == Kind::Increment && tree.children(n).any(|c| tree.text_of(c) == name)
            });
            if counts
                || tree.kind(tree.parent(only)) == Kind::Range
                || tree.kind(tree.parent(only)) == Kind::Loop
            {
                return None;
            }
            number(view, only, depth + 1)
        }
        Kind::Call if tree.callee_name(id) == "Duration" => {
            number(view, tree.arguments(id).next()?, depth + 1)
        }
        _ => None,
    }
}
