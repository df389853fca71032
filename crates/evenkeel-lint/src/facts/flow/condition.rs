//! Conditions and patterns: which states go one way and which the other.

use super::Walk;
use super::operation::{is_operation, is_success_name};
use super::state::{Fate, State, States, as_status, classified, merge, told};
use crate::facts::words::{STOP, has_any, has_word, is_error_name};
use crate::syntax::{Kind, NodeId, Op, Role};

impl Walk<'_, '_> {
    /// A Go `case` of a value switch: an error's or a status' value.
    pub(super) fn matches_value(
        &mut self,
        value: &str,
        pattern: &str,
        states: &[State],
    ) -> (States, States) {
        let is_status = has_any(value, &["statuscode", "status"]);
        if is_error_name(value) {
            return match pattern {
                "nil" => (told(states, Fate::Succeeded), told(states, Fate::Failed)),
                _ => (
                    classified(told(states, Fate::Failed)),
                    classified(states.to_vec()),
                ),
            };
        }
        if is_status {
            let good = has_any(
                pattern,
                &[
                    "ok",
                    "200",
                    "201",
                    "204",
                    "accepted",
                    "created",
                    "nocontent",
                ],
            );
            let fate = if good { Fate::Succeeded } else { Fate::Failed };
            return (
                classified(as_status(states, fate)),
                classified(states.to_vec()),
            );
        }
        if has_any(value, &["code(", "kind", "err"]) {
            return (
                classified(told(states, Fate::Failed)),
                classified(states.to_vec()),
            );
        }
        (states.to_vec(), states.to_vec())
    }

    /// A Rust pattern with its guard.
    pub(super) fn matches(&mut self, pattern: NodeId, states: &[State]) -> (States, States) {
        let tree = self.view.tree;
        let guard = tree.child(pattern, Role::Condition);
        let node = tree.get(pattern);
        let end = guard.map_or(node.end, |g| tree.get(g).start);
        let text = tree
            .text
            .get(node.start as usize..end as usize)
            .unwrap_or("")
            .trim();
        let head = text.trim_end_matches("if").trim();
        let fate = pattern_fate(head);
        let (mut yes, mut no) = match fate {
            Some(fate) => {
                let other = if fate == Fate::Succeeded {
                    Fate::Failed
                } else {
                    Fate::Succeeded
                };
                (told(states, fate), told(states, other))
            }
            None if head == "_" || !head.contains('(') => (
                states.to_vec(),
                if head == "_" {
                    Vec::new()
                } else {
                    states.to_vec()
                },
            ),
            None => (states.to_vec(), states.to_vec()),
        };
        if let Some(guard) = guard {
            let taken = yes.clone();
            let (in_yes, in_no) = self.decide(guard, &yes);
            let guard_text = tree.text_of(guard);
            yes = if fate == Some(Fate::Failed) && !has_any(guard_text, crate::facts::words::BOUND)
            {
                classified(in_yes)
            } else {
                in_yes
            };
            merge(&mut no, in_no);
            if no.is_empty() {
                no = taken;
            }
        }
        if matches!(fate, Some(Fate::Failed))
            && head.matches('(').count() > 1
            && !head.contains("Err(_)")
        {
            yes = classified(yes);
            merge(&mut no, told(states, Fate::Failed));
        }
        (yes, no)
    }

    /// Splits states by a condition into those for which it holds and those for which it does not.
    pub(super) fn decide(&mut self, id: NodeId, states: &[State]) -> (States, States) {
        let tree = self.view.tree;
        let node = tree.get(id);
        match node.kind {
            Kind::Binary if matches!(node.op, Op::And | Op::Or) => {
                let (Some(left), Some(right)) =
                    (tree.child(id, Role::Left), tree.child(id, Role::Right))
                else {
                    return (states.to_vec(), states.to_vec());
                };
                let (left_yes, left_no) = self.decide(left, states);
                if node.op == Op::And {
                    let (yes, mut no) = self.decide(right, &left_yes);
                    merge(&mut no, left_no);
                    (yes, no)
                } else {
                    let (mut yes, no) = self.decide(right, &left_no);
                    merge(&mut yes, left_yes);
                    (yes, no)
                }
            }
            Kind::Unary if node.op == Op::Not => {
                let Some(inner) = tree.children(id).next() else {
                    return (states.to_vec(), states.to_vec());
                };
                let (yes, no) = self.decide(inner, states);
                (no, yes)
            }
            Kind::Binary if matches!(node.op, Op::Equal | Op::NotEqual) => self.compare(id, states),
            Kind::Binary => {
                let states = self.each(id, states.to_vec());
                let text = tree.text_of(id);
                if has_any(text, &["status"]) && !states.is_empty() {
                    // `resp.StatusCode >= 500`, `< 300`.
                    let below = matches!(node.op, Op::Less | Op::LessEqual);
                    let (low, high) = (
                        as_status(&states, Fate::Succeeded),
                        classified(as_status(&states, Fate::Failed)),
                    );
                    return if below { (low, high) } else { (high, low) };
                }
                (states.clone(), states)
            }
            Kind::LetCondition => {
                let value = tree.child(id, Role::Value);
                let mut states = states.to_vec();
                if let Some(value) = value {
                    states = self.run(value, states);
                    states = self.try_operation(value, states);
                }
                match tree.child(id, Role::Pattern) {
                    Some(pattern) => self.matches(pattern, &states),
                    None => (states.clone(), states),
                }
            }
            Kind::Call => self.decide_call(id, states),
            Kind::Name | Kind::Field => {
                let text = tree.text_of(id);
                let held = states
                    .iter()
                    .any(|s| s.error != 0 && tree.text_of(s.error) == text);
                if held && is_success_name(text) {
                    return (told(states, Fate::Succeeded), told(states, Fate::Failed));
                }
                if has_any(text, STOP) {
                    let seen: States = states.iter().map(|s| State { stop: true, ..*s }).collect();
                    return (seen.clone(), seen);
                }
                (states.to_vec(), states.to_vec())
            }
            _ => {
                let states = self.run(id, states.to_vec());
                (states.clone(), states)
            }
        }
    }

    pub(super) fn compare(&mut self, id: NodeId, states: &[State]) -> (States, States) {
        let tree = self.view.tree;
        let (Some(left), Some(right)) = (tree.child(id, Role::Left), tree.child(id, Role::Right))
        else {
            return (states.to_vec(), states.to_vec());
        };
        let states = self.run(left, states.to_vec());
        let states = self.run(right, states);
        let equal = tree.get(id).op == Op::Equal;
        let (value, other) = if tree.kind(left) == Kind::Nil {
            (right, left)
        } else {
            (left, right)
        };
        let text = tree.text_of(value);
        let (yes, no) = if tree.kind(other) == Kind::Nil && is_error_name(text) {
            (told(&states, Fate::Succeeded), told(&states, Fate::Failed))
        } else if tree.kind(other) == Kind::Nil
            && tree.kind(value) == Kind::Call
            && is_operation(self.view, value)
            && !has_any(text, STOP)
        {
            let tried = self.try_operation(value, states);
            (told(&tried, Fate::Succeeded), told(&tried, Fate::Failed))
        } else if has_any(text, &["statuscode", "status()"]) {
            let good = tree.text_of(other) == "2"
                || has_any(
                    tree.text_of(other),
                    &[
                        "ok",
                        "200",
                        "201",
                        "202",
                        "204",
                        "created",
                        "accepted",
                        "nocontent",
                    ],
                );
            if good {
                (
                    as_status(&states, Fate::Succeeded),
                    as_status(&states, Fate::Failed),
                )
            } else {
                (
                    classified(as_status(&states, Fate::Failed)),
                    classified(states),
                )
            }
        } else if is_error_name(text) || has_any(text, &["code(", ".kind(", "errors.cause"]) {
            (classified(told(&states, Fate::Failed)), classified(states))
        } else {
            (states.clone(), states)
        };
        if equal { (yes, no) } else { (no, yes) }
    }

    pub(super) fn decide_call(&mut self, id: NodeId, states: &[State]) -> (States, States) {
        let tree = self.view.tree;
        let name = tree.callee_name(id);
        let states = self.run(id, states.to_vec());
        match name {
            "is_ok" | "is_some" => {
                let states = self.result_of_receiver(id, states);
                return (told(&states, Fate::Succeeded), told(&states, Fate::Failed));
            }
            "is_err" | "is_none" => {
                let states = self.result_of_receiver(id, states);
                return (told(&states, Fate::Failed), told(&states, Fate::Succeeded));
            }
            "is_success" if self.is_http_status(id) => {
                return (
                    as_status(&states, Fate::Succeeded),
                    as_status(&states, Fate::Failed),
                );
            }
            "is_client_error" | "is_server_error" if self.is_http_status(id) => {
                return (
                    classified(as_status(&states, Fate::Failed)),
                    classified(states),
                );
            }
            _ => {}
        }
        let takes_error = tree
            .arguments(id)
            .any(|a| is_error_name(tree.text_of(a).trim_start_matches('&')))
            || tree
                .receiver(id)
                .is_some_and(|r| matches!(tree.text_of(r), "e" | "err" | "error"));
        if takes_error && !has_any(name, STOP) {
            return (classified(told(&states, Fate::Failed)), classified(states));
        }
        if has_any(&crate::facts::compact(tree.text_of(id)), STOP) {
            let seen: States = states.iter().map(|s| State { stop: true, ..*s }).collect();
            return (seen.clone(), seen);
        }
        if has_word(
            name,
            &[
                "connect",
                "reconnect",
                "dial",
                "ping",
                "send",
                "try",
                "register",
                "join",
                "login",
            ],
        ) {
            let tried = self.try_operation(id, states);
            return (told(&tried, Fate::Succeeded), told(&tried, Fate::Failed));
        }
        (states.clone(), states)
    }

    /// `response.status().is_success()`, or a `status` in a file that knows HTTP.
    pub(super) fn is_http_status(&self, call: NodeId) -> bool {
        let view = self.view;
        view.tree.receiver(call).is_some_and(|r| {
            let text = view.tree.text_of(r);
            text.ends_with(".status()")
                || text == "status"
                    && ["reqwest", "hyper", "http"]
                        .iter()
                        .any(|i| view.imports_any(i))
        })
    }

    pub(super) fn result_of_receiver(&mut self, id: NodeId, states: States) -> States {
        match self.view.tree.receiver(id) {
            Some(receiver) => self.try_operation(receiver, states),
            None => states,
        }
    }
}

fn pattern_fate(pattern: &str) -> Option<Fate> {
    let head = pattern.trim_start_matches('&');
    if head.starts_with("Ok(Err") || head.starts_with("Err") || head == "None" {
        return Some(Fate::Failed);
    }
    if head.starts_with("Ok") || head.starts_with("Some") {
        return Some(Fate::Succeeded);
    }
    None
}
