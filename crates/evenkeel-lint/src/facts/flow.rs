//! Which way through a loop's body leads where.
//!
//! A loop retries when the failure of one operation leads to its next turn and success leads out.
//! Words in names do not say so; the paths do. This module runs a loop's body over a small set of
//! states — which operation was last tried, did it fail, has the loop waited since — and records at
//! every end of a path whether it leaves the loop or goes round again.

use super::View;
use super::delay::{self, DelaySite};
use super::words::{STOP, has_any, has_word, is_error_name};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

/// What is known of the last operation's result on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    NotTried,
    Either,
    Succeeded,
    Failed,
}

/// One path's knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The operation whose result is held; 0 when there is none.
    pub(crate) operation: NodeId,
    /// Node of the name its error is bound to; 0 when there is none.
    error: NodeId,
    pub(crate) fate: Fate,
    /// The last wait on this path; 0 when there is none.
    pub(crate) delay: NodeId,
    /// The error or status was told from others.
    pub(crate) classified: bool,
    /// A stop signal was looked at.
    pub(crate) stop: bool,
    /// The failure is a status, not an error of the call.
    pub(crate) by_status: bool,
}

const START: State = State {
    operation: 0,
    error: 0,
    fate: Fate::NotTried,
    delay: 0,
    classified: false,
    stop: false,
    by_status: false,
};

/// Where a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Leaves,
    NextTurn,
}

/// All path ends of one loop.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    pub(crate) ends: Vec<(End, State)>,
    pub(crate) delays: Vec<DelaySite>,
}

/// Runs the body of `loop_node`.
pub(crate) fn paths(view: &View<'_>, loop_node: NodeId) -> Paths {
    let mut walk = Walk {
        view,
        loop_node,
        paths: Paths::default(),
        inner: Vec::new(),
    };
    let Some(body) = view.tree.child(loop_node, Role::Body) else {
        return walk.paths;
    };
    let mut entry = vec![START];
    let condition = condition(view, loop_node);
    // `while let Err(e) = op()` and `for !op()` try before the body runs.
    if let Some(condition) = condition {
        let (goes_on, leaves) = walk.decide(condition, &entry);
        if goes_on.iter().any(|s| s.operation != 0) {
            walk.end(End::Leaves, &leaves);
            entry = goes_on;
        }
    }
    let through = walk.run(body, entry);
    let through = match view.tree.child(loop_node, Role::Update) {
        Some(update) => walk.run(update, through),
        None => through,
    };
    walk.turn(&through);
    walk.paths
}

/// The condition of a loop, if it has one.
pub(crate) fn condition(view: &View<'_>, loop_node: NodeId) -> Option<NodeId> {
    let tree = view.tree;
    tree.child(loop_node, Role::Condition).or_else(|| {
        tree.children(loop_node).find(|&c| {
            tree.get(c).role == Role::None
                && matches!(
                    tree.kind(c),
                    Kind::Binary
                        | Kind::Unary
                        | Kind::Call
                        | Kind::Name
                        | Kind::Field
                        | Kind::Boolean
                        | Kind::Index
                )
        })
    })
}

/// A statement inside the loop that `break` or `continue` may mean.
struct Inner {
    node: NodeId,
    /// Whether an unlabelled `continue` means it.
    is_loop: bool,
    broken: Vec<State>,
}

struct Walk<'v, 't> {
    view: &'v View<'t>,
    loop_node: NodeId,
    paths: Paths,
    inner: Vec<Inner>,
}

type States = Vec<State>;

impl Walk<'_, '_> {
    fn end(&mut self, end: End, states: &[State]) {
        for &state in states {
            if !self.paths.ends.contains(&(end, state)) && self.paths.ends.len() < 128 {
                self.paths.ends.push((end, state));
            }
        }
    }

    /// The turn is over: the loop's condition decides whether there is another.
    fn turn(&mut self, states: &[State]) {
        let tree = self.view.tree;
        match condition(self.view, self.loop_node) {
            Some(condition)
                if !tree.subtree(condition).any(|n| {
                    tree.kind(n) == Kind::Call && tree.kind(condition) == Kind::LetCondition
                }) =>
            {
                let (again, leaves) = self.decide(condition, states);
                let told: States = leaves
                    .into_iter()
                    .filter(|s| s.fate == Fate::Succeeded)
                    .collect();
                self.end(End::Leaves, &told);
                let again: States = again
                    .into_iter()
                    .filter(|s| {
                        !(s.fate == Fate::Succeeded && !told.is_empty() && told.contains(s))
                    })
                    .collect();
                self.end(End::NextTurn, &again);
            }
            _ => self.end(End::NextTurn, states),
        }
    }

    fn each(&mut self, id: NodeId, mut states: States) -> States {
        let children: Vec<NodeId> = self.view.tree.children(id).collect();
        for child in children {
            states = self.run(child, states);
        }
        states
    }

    fn run(&mut self, id: NodeId, mut states: States) -> States {
        if states.is_empty() {
            return states;
        }
        states.truncate(48);
        let tree = self.view.tree;
        match tree.kind(id) {
            Kind::Closure
            | Kind::Function
            | Kind::AsyncBlock
            | Kind::Spawn
            | Kind::Defer
            | Kind::Type => states,
            Kind::If => self.branch(id, states),
            Kind::Switch => self.switch(id, states),
            Kind::Select => self.select(id, &states),
            Kind::Loop => self.inner_loop(id, states),
            Kind::Return => {
                let states = self.each(id, states);
                self.end(End::Leaves, &states);
                Vec::new()
            }
            Kind::Goto => {
                self.end(End::Leaves, &states);
                Vec::new()
            }
            Kind::Break => {
                let states = self.each(id, states);
                match self.target(id, false) {
                    Some(at) => {
                        if let Some(inner) = self.inner.get_mut(at) {
                            inner.broken.extend(states);
                        }
                    }
                    None => self.end(End::Leaves, &states),
                }
                Vec::new()
            }
            Kind::Continue => {
                match self.target(id, true) {
                    Some(at) => {
                        if let Some(inner) = self.inner.get_mut(at) {
                            inner.broken.extend(states);
                        }
                    }
                    None => self.turn(&states),
                }
                Vec::new()
            }
            Kind::Let | Kind::Assign => self.bind(id, states),
            Kind::Call => self.call(id, states),
            Kind::Unary if tree.get(id).op == Op::Receive => {
                let states = self.each(id, states);
                match delay::timer_receive(self.view, id) {
                    Some(site) => self.waited(site, states),
                    None => states,
                }
            }
            Kind::Try => self.propagate(id, states),
            Kind::Macro => {
                let text = tree.text_of(id);
                if [
                    "bail!",
                    "anyhow::bail!",
                    "panic!",
                    "unreachable!",
                    "unimplemented!",
                    "todo!",
                ]
                .iter()
                .any(|m| text.starts_with(m))
                {
                    self.end(End::Leaves, &states);
                    return Vec::new();
                }
                states
            }
            _ => self.each(id, states),
        }
    }

    /// Index of the inner statement that a `break` or `continue` means; `None`: our loop.
    fn target(&self, id: NodeId, is_continue: bool) -> Option<usize> {
        let tree = self.view.tree;
        let label = tree
            .children(id)
            .next()
            .filter(|&c| matches!(tree.kind(c), Kind::Label | Kind::Name))
            .map(|c| tree.text_of(c).trim_start_matches('\'').to_owned());
        if let Some(label) = label {
            let is_label = tree.language == Language::Go || tree.text_of(id).contains('\'');
            if is_label {
                return self
                    .inner
                    .iter()
                    .rposition(|inner| label_of(self.view, inner.node) == Some(label.as_str()));
            }
        }
        if is_continue || tree.language == Language::Rust {
            return self.inner.iter().rposition(|inner| inner.is_loop);
        }
        self.inner.len().checked_sub(1)
    }

    fn inside(
        &mut self,
        node: NodeId,
        is_loop: bool,
        body: impl FnOnce(&mut Self) -> States,
    ) -> States {
        self.inner.push(Inner {
            node,
            is_loop,
            broken: Vec::new(),
        });
        let mut states = body(self);
        if let Some(inner) = self.inner.pop() {
            merge(&mut states, inner.broken);
        }
        states
    }

    fn inner_loop(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let body = tree.child(id, Role::Body);
        let before: Vec<NodeId> = tree
            .children(id)
            .filter(|&c| Some(c) != body && tree.kind(c) != Kind::Label)
            .collect();
        let mut states = states;
        for part in before {
            states = self.run(part, states);
        }
        self.inside(id, true, |walk| {
            let mut after = states.clone();
            if let Some(body) = body {
                let turned = walk.run(body, states);
                merge(&mut after, turned);
            }
            after
        })
    }

    fn branch(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let states = match tree.child(id, Role::Init) {
            Some(init) => self.run(init, states),
            None => states,
        };
        let Some(condition) = tree.child(id, Role::Condition) else {
            return states;
        };
        let (yes, no) = self.decide(condition, &states);
        let then: Vec<NodeId> = tree.roles(id, Role::Then).collect();
        let mut after = yes;
        for part in then {
            after = self.run(part, after);
        }
        let otherwise: Vec<NodeId> = tree.roles(id, Role::Else).collect();
        let mut no = no;
        for part in otherwise {
            no = self.run(part, no);
        }
        merge(&mut after, no);
        after
    }

    fn switch(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let mut states = states;
        if let Some(init) = tree.child(id, Role::Init) {
            states = self.run(init, states);
        }
        let value = tree.child(id, Role::Value);
        if let Some(value) = value {
            states = self.run(value, states);
            states = self.try_operation(value, states);
        }
        let value_text = value.map_or("", |v| tree.text_of(v));
        let arms: Vec<NodeId> = tree
            .children(id)
            .filter(|&c| tree.kind(c) == Kind::Arm)
            .collect();
        self.inside(id, false, |walk| {
            let mut after = Vec::new();
            let mut rest = states;
            let mut has_default = false;
            for arm in arms {
                let patterns: Vec<NodeId> = tree
                    .children(arm)
                    .filter(|&c| {
                        matches!(tree.get(c).role, Role::Pattern | Role::Value)
                            && !(tree.language == Language::Rust && tree.get(c).role == Role::Value)
                    })
                    .collect();
                let bodies: Vec<NodeId> = tree
                    .children(arm)
                    .filter(|&c| !patterns.contains(&c))
                    .collect();
                let (mut into, next) = if patterns.is_empty() && tree.language == Language::Go {
                    has_default = true;
                    (rest.clone(), rest.clone())
                } else if tree.language == Language::Go && value.is_none() {
                    let mut into = Vec::new();
                    let mut remaining = rest.clone();
                    for &pattern in &patterns {
                        let (yes, no) = walk.decide(pattern, &remaining);
                        merge(&mut into, yes);
                        remaining = no;
                    }
                    (into, remaining)
                } else if tree.language == Language::Rust {
                    let pattern = patterns.first().copied().unwrap_or(arm);
                    walk.matches(pattern, &rest)
                } else {
                    let text: String = patterns.iter().map(|&p| tree.text_of(p)).collect();
                    walk.matches_value(value_text, &text, &rest)
                };
                for body in bodies {
                    into = walk.run(body, into);
                }
                merge(&mut after, into);
                rest = next;
            }
            if !has_default && tree.language == Language::Go {
                merge(&mut after, rest);
            }
            after
        })
    }

    /// A Go `case` of a value switch: an error's or a status' value.
    fn matches_value(&mut self, value: &str, pattern: &str, states: &[State]) -> (States, States) {
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
    fn matches(&mut self, pattern: NodeId, states: &[State]) -> (States, States) {
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
            yes = if fate == Some(Fate::Failed) && !has_any(guard_text, super::words::BOUND) {
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

    fn select(&mut self, id: NodeId, states: &[State]) -> States {
        let tree = self.view.tree;
        let arms: Vec<NodeId> = tree
            .children(id)
            .filter(|&c| tree.kind(c) == Kind::Arm)
            .collect();
        self.inside(id, false, |walk| {
            let mut after = Vec::new();
            for arm in arms {
                let mut into = states.to_vec();
                let parts: Vec<NodeId> = tree.children(arm).collect();
                for &part in &parts {
                    let is_pattern = tree.get(part).role == Role::Pattern;
                    if is_pattern && has_any(&super::compact(tree.text_of(part)), STOP) {
                        for state in &mut into {
                            state.stop = true;
                        }
                    }
                    into = walk.run(part, into);
                }
                merge(&mut after, into);
            }
            after
        })
    }

    /// `x, err := op()`, `let r = op().await`, `let Ok(x) = op().await else { … }`.
    fn bind(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let values: Vec<NodeId> = super::values_of(tree, id).collect();
        let mut states = states;
        for &value in &values {
            states = self.run(value, states);
        }
        let Some(&value) = values.last() else {
            return states;
        };
        let inner = tree.strip(value);
        let goes_through_try = tree.kind(value) == Kind::Try;
        if tree.kind(inner) == Kind::Call && !goes_through_try {
            let targets: Vec<NodeId> = super::targets(tree, id).collect();
            let holder = match tree.language {
                Language::Go => targets.last().copied().filter(|&t| {
                    is_error_name(tree.text_of(t)) || is_success_name(tree.text_of(t))
                }),
                Language::Rust => targets
                    .first()
                    .copied()
                    .filter(|&t| self.is_scrutinised(tree.text_of(t))),
            };
            if let Some(holder) = holder
                && is_operation(self.view, inner)
            {
                for state in &mut states {
                    state.operation = inner;
                    state.error = holder;
                    state.fate = Fate::Either;
                    state.classified = false;
                }
            }
        }
        if let Some(otherwise) = tree.child(id, Role::Else) {
            let failed = self.run(otherwise, told(&states, Fate::Failed));
            states = told(&states, Fate::Succeeded);
            merge(&mut states, failed);
        }
        states
    }

    /// Whether a name is matched on or asked for its result inside the loop.
    fn is_scrutinised(&self, name: &str) -> bool {
        let tree = self.view.tree;
        let is_name = |id: NodeId| tree.text_of(tree.strip(id)) == name;
        tree.subtree(self.loop_node).any(|id| match tree.kind(id) {
            Kind::Switch | Kind::LetCondition => tree.child(id, Role::Value).is_some_and(is_name),
            Kind::Try => tree.children(id).next().is_some_and(is_name),
            Kind::Call => {
                matches!(
                    tree.callee_name(id),
                    "is_ok" | "is_err" | "is_some" | "is_none"
                ) && tree.receiver(id).is_some_and(is_name)
            }
            _ => false,
        })
    }

    /// The value of a condition or a match, tried for its result.
    fn try_operation(&mut self, value: NodeId, mut states: States) -> States {
        let tree = self.view.tree;
        let inner = tree.strip(value);
        if tree.kind(value) == Kind::Try
            || tree.kind(inner) != Kind::Call
            || !is_operation(self.view, inner)
        {
            return states;
        }
        for state in &mut states {
            state.operation = inner;
            state.error = 0;
            state.fate = Fate::Either;
            state.classified = false;
        }
        states
    }

    /// `op()?`: failure leaves.
    fn propagate(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let mut states = self.each(id, states);
        let inner = tree.strip(id);
        if tree.kind(inner) == Kind::Call && is_operation(self.view, inner) {
            for state in &mut states {
                state.operation = inner;
                state.error = 0;
            }
            let failed: States = states
                .iter()
                .map(|s| State {
                    fate: Fate::Failed,
                    ..*s
                })
                .collect();
            self.end(End::Leaves, &failed);
            for state in &mut states {
                state.fate = Fate::Succeeded;
            }
        }
        states
    }

    fn call(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let mut states = self.each(id, states);
        if let Some(site) = delay::site(self.view, id) {
            return self.waited(site, states);
        }
        let path = tree.callee(id).map_or("", |c| tree.text_of(c));
        if path == "panic"
            || path == "os.Exit"
            || has_word(path, &["fatal", "fatalf", "fatalln"])
                && has_any(path, &["log", "t.", "glog"])
        {
            self.end(End::Leaves, &states);
            return Vec::new();
        }
        if tree.language == Language::Rust && matches!(tree.callee_name(id), "unwrap" | "expect") {
            for state in &mut states {
                if state.fate == Fate::Either {
                    state.fate = Fate::Succeeded;
                }
            }
        }
        states
    }

    fn waited(&mut self, site: DelaySite, mut states: States) -> States {
        if !self.paths.delays.iter().any(|d| d.call == site.call) {
            self.paths.delays.push(site);
        }
        for state in &mut states {
            state.delay = site.call;
        }
        states
    }

    /// Splits states by a condition into those for which it holds and those for which it does not.
    fn decide(&mut self, id: NodeId, states: &[State]) -> (States, States) {
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

    fn compare(&mut self, id: NodeId, states: &[State]) -> (States, States) {
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

    fn decide_call(&mut self, id: NodeId, states: &[State]) -> (States, States) {
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
        if has_any(&super::compact(tree.text_of(id)), STOP) {
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
    fn is_http_status(&self, call: NodeId) -> bool {
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

    fn result_of_receiver(&mut self, id: NodeId, states: States) -> States {
        match self.view.tree.receiver(id) {
            Some(receiver) => self.try_operation(receiver, states),
            None => states,
        }
    }
}

fn label_of<'t>(view: &View<'t>, node: NodeId) -> Option<&'t str> {
    let tree = view.tree;
    let label = match tree.language {
        Language::Rust => tree.children(node).find(|&c| tree.kind(c) == Kind::Label)?,
        Language::Go => {
            let parent = tree.parent(node);
            if tree.kind(parent) != Kind::Label {
                return None;
            }
            tree.child(parent, Role::Label)?
        }
    };
    Some(tree.text_of(label).trim_start_matches('\''))
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

fn is_success_name(name: &str) -> bool {
    matches!(
        name,
        "ok" | "success" | "succeeded" | "connected" | "sent" | "acquired"
    )
}

/// Whether a call may be what a loop retries: not a conversion, a constructor of errors, a log line.
fn is_operation(view: &View<'_>, call: NodeId) -> bool {
    let tree = view.tree;
    let name = tree.callee_name(call);
    // An atomic or a map answers at once; what is awaited or given a context does not.
    if matches!(name, "load" | "Load" | "get")
        && tree.kind(tree.parent(call)) != Kind::Await
        && !tree
            .arguments(call)
            .any(|a| has_word(tree.text_of(a), &["ctx", "context"]))
    {
        return false;
    }
    let asks = super::words::split_words(name).next().is_some_and(|w| {
        ["can", "is", "has", "should", "may", "needs"]
            .iter()
            .any(|q| w.eq_ignore_ascii_case(q))
    });
    if name.is_empty() || asks || delay::site(view, call).is_some() {
        return false;
    }
    if matches!(
        name,
        "Errorf"
            | "New"
            | "Wrap"
            | "Wrapf"
            | "Sprintf"
            | "Atoi"
            | "ParseInt"
            | "Unmarshal"
            | "Marshal"
            | "ReadAll"
            | "Done"
            | "Err"
            | "len"
            | "append"
            | "make"
            | "Itoa"
            | "Now"
            | "now"
            | "clone"
            | "unwrap"
            | "status"
            | "json"
            | "text"
            | "bytes"
            | "recv"
            | "next"
            | "Recv"
            | "Next"
            | "Read"
            | "read"
            | "pop"
            | "Pop"
            | "pop_front"
            | "read_line"
            | "changed"
            | "borrow"
            | "iter"
            | "take"
            | "Close"
            | "Accept"
            | "accept"
            | "poll_next"
            | "try_next"
            | "ReadMessage"
            | "Receive"
            | "receive"
            | "unwrap_or_default"
            | "next_message"
            | "Scan"
            | "ReadString"
            | "ReadByte"
            | "TryLock"
            | "try_lock"
            | "try_recv"
            | "compare_exchange"
            | "compare_exchange_weak"
            | "CompareAndSwap"
            | "is_empty"
            | "to_string"
            | "format"
            | "Cause"
            | "Unwrap"
            | "parse"
    ) {
        return false;
    }
    !matches!(
        view.called(call).split('.').next(),
        Some("fmt" | "errors" | "strconv" | "strings" | "encoding/json" | "log" | "path/filepath")
    )
}

fn told(states: &[State], fate: Fate) -> States {
    states
        .iter()
        .filter(|s| matches!(s.fate, Fate::Either | Fate::NotTried) || s.fate == fate)
        .map(|s| {
            if s.fate == Fate::NotTried {
                *s
            } else {
                State { fate, ..*s }
            }
        })
        .collect()
}

/// A status speaks after the call itself went well: it decides anew.
fn as_status(states: &[State], fate: Fate) -> States {
    states
        .iter()
        .filter(|s| s.fate != Fate::Failed || fate == Fate::Failed)
        .map(|s| {
            if s.fate == Fate::NotTried {
                *s
            } else {
                State {
                    fate,
                    by_status: fate == Fate::Failed,
                    ..*s
                }
            }
        })
        .collect()
}

fn classified(states: States) -> States {
    states
        .into_iter()
        .map(|s| State {
            classified: true,
            ..s
        })
        .collect()
}

fn merge(into: &mut States, from: States) {
    for state in from {
        if !into.contains(&state) {
            into.push(state);
        }
    }
}
