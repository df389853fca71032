//! Which way through a loop's body leads where.
//!
//! A loop retries when the failure of one operation leads to its next turn and success leads out.
//! Words in names do not say so; the paths do. This module runs a loop's body over a small set of
//! states — which operation was last tried, did it fail, has the loop waited since — and records at
//! every end of a path whether it leaves the loop or goes round again.

mod condition;
mod operation;
mod state;

pub(crate) use self::state::{Fate, State};
use self::state::{START, States, merge};
use super::View;
use super::delay::{self, DelaySite};
use super::words::{STOP, has_any, has_word};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

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
                // A condition that lets success go round again says nothing about the operation.
                let told: States = leaves
                    .into_iter()
                    .filter(|s| s.fate == Fate::Succeeded && !again.contains(s))
                    .collect();
                self.end(End::Leaves, &told);
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
