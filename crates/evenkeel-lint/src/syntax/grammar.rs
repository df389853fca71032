//! How a grammar's kinds, fields and operators map to ours.

use super::macros;
use super::{Kind, Op, Role};

#[derive(Clone, Copy)]
pub(super) struct Grammar<'g> {
    pub(super) table: &'g Table,
    pub(super) selects: &'g [macros::Select],
}

/// The thread's parser for `language`, made on first use: it keeps its memory between files.
pub(super) fn parser<'p>(
    slot: &'p mut Option<tree_sitter::Parser>,
    language: &tree_sitter::Language,
) -> Option<&'p mut tree_sitter::Parser> {
    if slot.is_none() {
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(language).ok()?;
        *slot = Some(parser);
    }
    slot.as_mut()
}

/// How a grammar's kinds and fields map to ours.
pub(crate) struct Table {
    kinds: Vec<Kind>,
    roles: Vec<Role>,
}

pub(super) fn unary_operator(text: &str) -> Op {
    match text.as_bytes().first() {
        Some(b'!') => Op::Not,
        Some(b'&') => Op::Reference,
        Some(b'-') => Op::Subtract,
        Some(b'<') => Op::Receive,
        _ => Op::Other,
    }
}

pub(super) fn operator(text: &str) -> Op {
    match text {
        "==" => Op::Equal,
        "!=" => Op::NotEqual,
        "<" => Op::Less,
        "<=" => Op::LessEqual,
        ">" => Op::Greater,
        ">=" => Op::GreaterEqual,
        "&&" => Op::And,
        "||" => Op::Or,
        "!" => Op::Not,
        "+" => Op::Add,
        "-" => Op::Subtract,
        "*" => Op::Multiply,
        "/" => Op::Divide,
        "%" => Op::Remainder,
        "<<" => Op::ShiftLeft,
        ">>" => Op::ShiftRight,
        "&" => Op::Reference,
        "<-" => Op::Receive,
        "=" => Op::Assign,
        "*=" => Op::MultiplyAssign,
        "+=" => Op::AddAssign,
        "<<=" => Op::ShiftLeftAssign,
        "-=" | "/=" | "%=" | "&=" | "|=" | "^=" | ">>=" => Op::OtherAssign,
        _ => Op::Other,
    }
}

impl Table {
    /// Looks every name of the grammar up once.
    pub(crate) fn new(
        language: &tree_sitter::Language,
        kind: impl Fn(&str) -> Kind,
        role: impl Fn(&str) -> Role,
    ) -> Self {
        let kinds = (0..language.node_kind_count())
            .map(|id| {
                language
                    .node_kind_for_id(id as u16)
                    .map_or(Kind::Other, &kind)
            })
            .collect();
        let roles = (0..=language.field_count())
            .map(|id| {
                language
                    .field_name_for_id(id as u16)
                    .map_or(Role::None, &role)
            })
            .collect();
        Table { kinds, roles }
    }

    pub(super) fn kind(&self, id: u16) -> Kind {
        self.kinds
            .get(usize::from(id))
            .copied()
            .unwrap_or(Kind::Other)
    }

    pub(super) fn role(&self, id: u16) -> Role {
        self.roles
            .get(usize::from(id))
            .copied()
            .unwrap_or(Role::None)
    }
}
