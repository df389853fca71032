//! One tree for two languages.
//!
//! A retry loop is the same mistake in Go and in Rust, so the rules must not care which grammar it
//! was written in. tree-sitter gives two grammars with some three hundred node kinds; this module
//! copies what the rules need into a flat, pre-ordered array of [`Node`]s with one vocabulary
//! ([`Kind`], [`Role`]) and lets the grammar's tree go. The copy is what makes two phases
//! affordable: a file's nodes are a fifth of the size of its grammar tree and live only until its
//! facts are taken.
//!
//! Pre-order means that the subtree of node `n` is the slice `n .. tree.end(n)`: looking through a
//! whole function is a walk over an array.

pub(crate) mod go;
mod grammar;
mod kind;
pub(crate) mod macros;
pub(crate) mod rust;

pub(crate) use self::grammar::Table;
use self::grammar::{Grammar, operator, unary_operator};
pub(crate) use self::kind::{Kind, Op, Role};
use crate::source::Language;

/// Index of a node in its [`Tree`].
pub(crate) type NodeId = u32;

/// One node: 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) role: Role,
    pub(crate) op: Op,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) parent: NodeId,
    /// First index after this node's subtree.
    pub(crate) subtree_end: NodeId,
}

/// A comment: not part of the tree, kept for suppressions and for what people explain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comment {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The nodes of one file, in pre-order, and the text they point into.
pub(crate) struct Tree<'s> {
    pub(crate) text: &'s str,
    pub(crate) language: Language,
    nodes: Vec<Node>,
    pub(crate) comments: Vec<Comment>,
    /// Byte offsets of the places the grammar could not read.
    pub(crate) errors: Vec<u32>,
}

impl<'s> Tree<'s> {
    /// Copies `parsed` through the grammar's `table`.
    pub(crate) fn build(
        text: &'s str,
        language: Language,
        parsed: &tree_sitter::Tree,
        table: &Table,
        selects: &[macros::Select],
    ) -> Self {
        let mut tree = Tree {
            text,
            language,
            nodes: Vec::with_capacity(text.len() / 8),
            comments: Vec::new(),
            errors: Vec::new(),
        };
        let mut cursor = parsed.walk();
        tree.copy(&mut cursor, &Grammar { table, selects }, 0, Role::None);
        tree
    }

    fn copy(
        &mut self,
        cursor: &mut tree_sitter::TreeCursor<'_>,
        grammar: &Grammar<'_>,
        parent: NodeId,
        inherited: Role,
    ) {
        let Grammar { table, selects } = *grammar;
        let node = cursor.node();
        let own_role = cursor
            .field_id()
            .map_or(Role::None, |id| table.role(id.get()));
        let mut role = if own_role == Role::None {
            inherited
        } else {
            own_role
        };
        if role == Role::Value && self.is(parent, Kind::Field) {
            role = Role::Base;
        }
        let (start, end) = (node.start_byte() as u32, node.end_byte() as u32);
        if !node.is_named() {
            if role == Role::Operator
                || (start == self.get(parent).start && self.is(parent, Kind::Unary))
            {
                let op = operator(&self.text[start as usize..end as usize]);
                if let Some(parent) = self.nodes.get_mut(parent as usize) {
                    parent.op = op;
                }
            }
            return;
        }
        let kind = if node.is_error() {
            Kind::Error
        } else {
            table.kind(node.kind_id())
        };
        match kind {
            Kind::Skip => {
                let text = &self.text[start as usize..end as usize];
                if text.starts_with("//") || text.starts_with("/*") {
                    self.comments.push(Comment { start, end });
                } else if text.contains("async")
                    && let Some(parent) = self.nodes.get_mut(parent as usize)
                {
                    parent.op = Op::Async;
                }
            }
            Kind::Flatten => self.copy_children(cursor, grammar, parent, role),
            _ => {
                if kind == Kind::Error || node.is_missing() {
                    self.errors.push(start);
                }
                let id = self.nodes.len() as NodeId;
                let op = if kind == Kind::Unary {
                    unary_operator(&self.text[start as usize..])
                } else {
                    Op::None
                };
                self.nodes.push(Node {
                    kind,
                    role,
                    op,
                    start,
                    end,
                    parent,
                    subtree_end: id + 1,
                });
                match kind {
                    // Read as text; their insides would only cost time.
                    Kind::Type | Kind::Text | Kind::Import | Kind::Attribute => {}
                    Kind::Block => match selects.binary_search_by_key(&start, |s| s.start) {
                        Ok(found) => self.copy_select(cursor, grammar, id, &selects[found]),
                        Err(_) => self.copy_children(cursor, grammar, id, Role::None),
                    },
                    _ => self.copy_children(cursor, grammar, id, Role::None),
                }
                let subtree_end = self.nodes.len() as NodeId;
                self.nodes[id as usize].subtree_end = subtree_end;
            }
        }
    }

    /// Groups the statements of a rewritten `select!` into its arms.
    fn copy_select(
        &mut self,
        cursor: &mut tree_sitter::TreeCursor<'_>,
        grammar: &Grammar<'_>,
        select: NodeId,
        found: &macros::Select,
    ) {
        self.nodes[select as usize].kind = Kind::Select;
        let mut open: Option<(usize, NodeId)> = None;
        if !cursor.goto_first_child() {
            return;
        }
        loop {
            let node = cursor.node();
            if node.is_named() {
                let start = node.start_byte() as u32;
                let index = found
                    .arms
                    .partition_point(|arm| arm.start <= start)
                    .saturating_sub(1);
                let arm = match open {
                    Some((current, id)) if current == index => id,
                    _ => {
                        let id = self.nodes.len() as NodeId;
                        self.nodes.push(Node {
                            kind: Kind::Arm,
                            role: Role::None,
                            op: Op::None,
                            start: found.arms.get(index).map_or(start, |arm| arm.start),
                            end: start,
                            parent: select,
                            subtree_end: id + 1,
                        });
                        open = Some((index, id));
                        id
                    }
                };
                let role = found
                    .arms
                    .get(index)
                    .map_or(Role::Body, |arm| arm.role_at(start));
                self.copy(cursor, grammar, arm, role);
                let subtree_end = self.nodes.len() as NodeId;
                let arm = &mut self.nodes[arm as usize];
                arm.subtree_end = subtree_end;
                arm.end = node.end_byte() as u32;
            }
            if !cursor.goto_next_sibling() {
                break;
            }
        }
        cursor.goto_parent();
    }

    fn copy_children(
        &mut self,
        cursor: &mut tree_sitter::TreeCursor<'_>,
        grammar: &Grammar<'_>,
        parent: NodeId,
        inherited: Role,
    ) {
        if cursor.goto_first_child() {
            loop {
                self.copy(cursor, grammar, parent, inherited);
                if !cursor.goto_next_sibling() {
                    break;
                }
            }
            cursor.goto_parent();
        }
    }

    pub(crate) fn len(&self) -> NodeId {
        self.nodes.len() as NodeId
    }

    /// The node, or the file's first one when `id` does not exist.
    pub(crate) fn get(&self, id: NodeId) -> Node {
        self.nodes.get(id as usize).copied().unwrap_or(Node {
            kind: Kind::File,
            role: Role::None,
            op: Op::None,
            start: 0,
            end: 0,
            parent: 0,
            subtree_end: 0,
        })
    }

    pub(crate) fn kind(&self, id: NodeId) -> Kind {
        self.get(id).kind
    }

    pub(crate) fn is(&self, id: NodeId, kind: Kind) -> bool {
        (id as usize) < self.nodes.len() && self.kind(id) == kind
    }

    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        self.get(id).parent
    }

    /// First index after the subtree of `id`.
    pub(crate) fn end(&self, id: NodeId) -> NodeId {
        self.get(id).subtree_end
    }

    pub(crate) fn text_of(&self, id: NodeId) -> &'s str {
        let node = self.get(id);
        self.text
            .get(node.start as usize..node.end as usize)
            .unwrap_or("")
    }

    /// The subtree of `id`, itself first.
    pub(crate) fn subtree(&self, id: NodeId) -> std::ops::Range<NodeId> {
        id..self.end(id)
    }

    pub(crate) fn children(&self, id: NodeId) -> Children<'_, 's> {
        Children {
            tree: self,
            next: id + 1,
            end: self.end(id),
        }
    }

    /// First child in this role.
    pub(crate) fn child(&self, id: NodeId, role: Role) -> Option<NodeId> {
        self.children(id)
            .find(|&child| self.get(child).role == role)
    }

    /// Children in this role.
    pub(crate) fn roles(&self, id: NodeId, role: Role) -> impl Iterator<Item = NodeId> + '_ {
        self.children(id)
            .filter(move |&child| self.get(child).role == role)
    }

    /// Parents of `id`, the nearest first, up to the file.
    pub(crate) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut at = id;
        std::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            at = self.parent(at);
            Some(at)
        })
    }

    /// Whether `inner` lies within the subtree of `outer`.
    pub(crate) fn within(&self, inner: NodeId, outer: NodeId) -> bool {
        inner >= outer && inner < self.end(outer)
    }

    /// The function, closure or async block whose body `id` is part of.
    pub(crate) fn enclosing_body(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id).find(|&a| {
            matches!(
                self.kind(a),
                Kind::Function | Kind::Closure | Kind::AsyncBlock
            )
        })
    }

    /// The named function `id` is part of.
    pub(crate) fn enclosing_function(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id).find(|&a| self.kind(a) == Kind::Function)
    }

    /// The nearest loop around `id` within the same function body.
    pub(crate) fn enclosing_loop(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id)
            .take_while(|&a| !matches!(self.kind(a), Kind::Function | Kind::Closure))
            .find(|&a| self.kind(a) == Kind::Loop)
    }

    /// The text a call calls, with white space taken out: `client.Do`, `tokio::time::sleep`.
    pub(crate) fn callee(&self, call: NodeId) -> Option<NodeId> {
        self.child(call, Role::Callee)
    }

    /// Last segment of what is called: `Do` of `s.client.Do(…)`.
    pub(crate) fn callee_name(&self, call: NodeId) -> &'s str {
        self.callee(call)
            .map_or("", |callee| self.last_segment(callee))
    }

    /// Last segment of a path or field expression.
    pub(crate) fn last_segment(&self, id: NodeId) -> &'s str {
        match self.kind(id) {
            Kind::Field => self
                .child(id, Role::Name)
                .map_or("", |name| self.text_of(name)),
            Kind::Name | Kind::Type => {
                let text = self.text_of(id);
                text.rsplit(['.', ':']).next().unwrap_or(text)
            }
            _ => "",
        }
    }

    /// What a method is called on.
    pub(crate) fn receiver(&self, call: NodeId) -> Option<NodeId> {
        let callee = self.callee(call)?;
        (self.kind(callee) == Kind::Field)
            .then(|| self.child(callee, Role::Base))
            .flatten()
    }

    pub(crate) fn arguments(&self, call: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.roles(call, Role::Argument)
    }

    /// Strips `.await`, `?`, `&`, casts and the like from around the value that matters.
    pub(crate) fn strip(&self, mut id: NodeId) -> NodeId {
        loop {
            let inner = match self.kind(id) {
                Kind::Await | Kind::Try | Kind::Cast => self.children(id).next(),
                Kind::Unary if self.get(id).op != Op::Not => self.children(id).next(),
                _ => None,
            };
            match inner {
                Some(next) => id = next,
                None => return id,
            }
        }
    }

    /// Whether the comment text right above `id`, on its lines or behind it holds one of `words`.
    pub(crate) fn commented(&self, id: NodeId, words: &[&str]) -> bool {
        let node = self.get(id);
        let from = line_start(
            self.text,
            line_start(self.text, node.start as usize).saturating_sub(1),
        );
        let from = line_start(self.text, from.saturating_sub(1));
        let to = self.text[node.start as usize..]
            .find('\n')
            .map_or(self.text.len(), |n| node.start as usize + n);
        let first = self.comments.partition_point(|c| (c.end as usize) < from);
        self.comments[first..]
            .iter()
            .take_while(|c| (c.start as usize) < to)
            .any(|c| {
                let text = self.text[c.start as usize..c.end as usize].to_ascii_lowercase();
                words.iter().any(|w| text.contains(w))
            })
    }

    /// Whether the block of comments right above an item, attributes between, holds one of `words`.
    pub(crate) fn commented_above(&self, id: NodeId, words: &[&str]) -> bool {
        let mut at = line_start(self.text, self.get(id).start as usize);
        while at > 0 {
            let line_at = line_start(self.text, at - 1);
            let line = self.text[line_at..at].trim();
            let is_comment =
                line.starts_with("//") || line.starts_with('*') || line.starts_with("/*");
            if !is_comment && !line.starts_with("#[") {
                return false;
            }
            if is_comment {
                let line = line.to_ascii_lowercase();
                if words.iter().any(|w| line.contains(w)) {
                    return true;
                }
            }
            at = line_at;
        }
        false
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

/// Iterates over the direct children of a node.
pub(crate) struct Children<'t, 's> {
    tree: &'t Tree<'s>,
    next: NodeId,
    end: NodeId,
}

impl Iterator for Children<'_, '_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.next >= self.end {
            return None;
        }
        let id = self.next;
        self.next = self.tree.end(id).max(id + 1);
        Some(id)
    }
}
