//! Rust's grammar in our words.

use std::cell::RefCell;
use std::sync::OnceLock;

use super::{Kind, Role, Table, Tree};
use crate::source::Language;

thread_local! {
    static PARSER: RefCell<Option<tree_sitter::Parser>> = const { RefCell::new(None) };
}

/// Parses Rust source, its control-flow macros opened; `None` only when the grammar does not fit the
/// parser library. Nodes point into the original text.
pub(crate) fn parse(text: &str) -> Option<Tree<'_>> {
    let opened = super::macros::open(text);
    let (readable, selects) = opened
        .as_ref()
        .map_or((text, &[][..]), |(readable, selects)| {
            (readable.as_str(), selects)
        });
    static TABLE: OnceLock<Table> = OnceLock::new();
    let language: tree_sitter::Language = tree_sitter_rust::LANGUAGE.into();
    let table = TABLE.get_or_init(|| Table::new(&language, kind, role));
    PARSER.with_borrow_mut(|slot| {
        let parser = super::grammar::parser(slot, &language)?;
        let parsed = parser.parse(readable, None)?;
        Some(Tree::build(text, Language::Rust, &parsed, table, selects))
    })
}

fn kind(name: &str) -> Kind {
    match name {
        "source_file" => Kind::File,
        "function_item" | "function_signature_item" => Kind::Function,
        "closure_expression" => Kind::Closure,
        "async_block" => Kind::AsyncBlock,
        "parameter" | "self_parameter" => Kind::Parameter,
        "struct_item" | "enum_item" => Kind::Struct,
        "field_declaration" => Kind::FieldDeclaration,
        "impl_item" | "trait_item" => Kind::Impl,
        "mod_item" => Kind::Module,
        "attribute_item" | "inner_attribute_item" => Kind::Attribute,
        "use_declaration" => Kind::Import,
        "block" => Kind::Block,
        "if_expression" => Kind::If,
        "loop_expression" | "while_expression" | "for_expression" => Kind::Loop,
        "match_expression" => Kind::Switch,
        "match_arm" => Kind::Arm,
        "return_expression" => Kind::Return,
        "break_expression" => Kind::Break,
        "label" => Kind::Label,
        "continue_expression" => Kind::Continue,
        "let_declaration" => Kind::Let,
        "const_item" | "static_item" => Kind::Constant,
        "assignment_expression" | "compound_assignment_expr" => Kind::Assign,
        "call_expression" => Kind::Call,
        "field_expression" | "scoped_identifier" => Kind::Field,
        "index_expression" => Kind::Index,
        "unary_expression" | "reference_expression" => Kind::Unary,
        "binary_expression" => Kind::Binary,
        "identifier"
        | "field_identifier"
        | "self"
        | "super"
        | "crate"
        | "shorthand_field_identifier" => Kind::Name,
        "integer_literal" | "float_literal" => Kind::Number,
        "string_literal" | "raw_string_literal" | "char_literal" => Kind::Text,
        "boolean_literal" => Kind::Boolean,
        "struct_expression" => Kind::Composite,
        "field_initializer" => Kind::KeyValue,
        "await_expression" => Kind::Await,
        "try_expression" => Kind::Try,
        "macro_invocation" => Kind::Macro,
        "let_condition" => Kind::LetCondition,
        "type_cast_expression" => Kind::Cast,
        "range_expression" => Kind::Range,
        "type_identifier"
        | "generic_type"
        | "reference_type"
        | "primitive_type"
        | "scoped_type_identifier"
        | "tuple_type"
        | "array_type"
        | "dynamic_type"
        | "abstract_type"
        | "pointer_type"
        | "function_type"
        | "unit_type"
        | "never_type"
        | "bounded_type"
        | "type_arguments"
        | "qualified_type" => Kind::Type,
        "line_comment"
        | "block_comment"
        | "function_modifiers"
        | "type_parameters"
        | "where_clause"
        | "visibility_modifier"
        | "lifetime"
        | "macro_definition"
        | "token_tree"
        | "mutable_specifier" => Kind::Skip,
        "parenthesized_expression"
        | "expression_statement"
        | "parameters"
        | "arguments"
        | "match_block"
        | "else_clause"
        | "field_declaration_list"
        | "field_initializer_list"
        | "closure_parameters"
        | "declaration_list"
        | "generic_function"
        | "let_chain" => Kind::Flatten,
        // A pattern is read as text, except for the guard behind it.
        "tuple_struct_pattern"
        | "tuple_pattern"
        | "or_pattern"
        | "struct_pattern"
        | "ref_pattern"
        | "mut_pattern"
        | "slice_pattern"
        | "captured_pattern"
        | "reference_pattern"
        | "remaining_field_pattern" => Kind::Type,
        _ => Kind::Other,
    }
}

fn role(name: &str) -> Role {
    match name {
        "name" | "field" => Role::Name,
        "parameters" => Role::Parameter,
        "return_type" => Role::Result,
        "type" => Role::Type,
        "body" => Role::Body,
        "condition" => Role::Condition,
        "consequence" => Role::Then,
        "alternative" => Role::Else,
        "value" => Role::Value,
        "pattern" => Role::Pattern,
        "left" => Role::Left,
        "right" => Role::Right,
        "function" => Role::Callee,
        "arguments" => Role::Argument,
        "path" => Role::Base,
        "trait" => Role::Trait,
        "macro" => Role::Name,
        "operator" => Role::Operator,
        _ => Role::None,
    }
}
