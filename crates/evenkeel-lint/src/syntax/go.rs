//! Go's grammar in our words.

use std::cell::RefCell;
use std::sync::OnceLock;

use super::{Kind, Role, Table, Tree};
use crate::source::Language;

thread_local! {
    static PARSER: RefCell<Option<tree_sitter::Parser>> = const { RefCell::new(None) };
}

/// Parses Go source; `None` only when the grammar does not fit the parser library.
pub(crate) fn parse(text: &str) -> Option<Tree<'_>> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let language: tree_sitter::Language = tree_sitter_go::LANGUAGE.into();
    let table = TABLE.get_or_init(|| Table::new(&language, kind, role));
    PARSER.with_borrow_mut(|slot| {
        let parser = super::grammar::parser(slot, &language)?;
        let parsed = parser.parse(text, None)?;
        Some(Tree::build(text, Language::Go, &parsed, table, &[]))
    })
}

fn kind(name: &str) -> Kind {
    match name {
        "source_file" => Kind::File,
        "function_declaration" | "method_declaration" => Kind::Function,
        "func_literal" => Kind::Closure,
        "parameter_declaration" | "variadic_parameter_declaration" => Kind::Parameter,
        "type_spec" | "type_alias" => Kind::Struct,
        "field_declaration" => Kind::FieldDeclaration,
        "import_spec" => Kind::Import,
        "block" => Kind::Block,
        "if_statement" => Kind::If,
        "for_statement" => Kind::Loop,
        "expression_switch_statement" | "type_switch_statement" => Kind::Switch,
        "select_statement" => Kind::Select,
        "expression_case" | "default_case" | "type_case" | "communication_case" => Kind::Arm,
        "return_statement" => Kind::Return,
        "break_statement" => Kind::Break,
        "continue_statement" => Kind::Continue,
        "goto_statement" => Kind::Goto,
        "labeled_statement" => Kind::Label,
        "short_var_declaration" | "var_spec" | "receive_statement" => Kind::Let,
        "const_spec" => Kind::Constant,
        "assignment_statement" => Kind::Assign,
        "inc_statement" | "dec_statement" => Kind::Increment,
        "call_expression" | "type_conversion_expression" => Kind::Call,
        "selector_expression" => Kind::Field,
        "index_expression" | "slice_expression" => Kind::Index,
        "unary_expression" => Kind::Unary,
        "binary_expression" => Kind::Binary,
        "identifier" | "field_identifier" | "package_identifier" | "label_name" | "dot"
        | "blank_identifier" => Kind::Name,
        "int_literal" | "float_literal" => Kind::Number,
        "interpreted_string_literal" | "raw_string_literal" | "rune_literal" => Kind::Text,
        "true" | "false" => Kind::Boolean,
        "nil" => Kind::Nil,
        "composite_literal" => Kind::Composite,
        "keyed_element" => Kind::KeyValue,
        "go_statement" => Kind::Spawn,
        "defer_statement" => Kind::Defer,
        "send_statement" => Kind::Send,
        "range_clause" => Kind::Range,
        "type_identifier"
        | "pointer_type"
        | "qualified_type"
        | "slice_type"
        | "map_type"
        | "channel_type"
        | "function_type"
        | "generic_type"
        | "array_type"
        | "interface_type"
        | "implicit_length_array_type"
        | "type_arguments"
        | "parenthesized_type" => Kind::Type,
        "comment" => Kind::Skip,
        "type_parameter_list" | "package_clause" => Kind::Skip,
        "parenthesized_expression"
        | "expression_statement"
        | "statement_list"
        | "expression_list"
        | "argument_list"
        | "literal_value"
        | "literal_element"
        | "parameter_list"
        | "field_declaration_list"
        | "struct_type"
        | "for_clause"
        | "import_spec_list"
        | "import_declaration"
        | "var_spec_list"
        | "var_declaration"
        | "const_declaration"
        | "type_declaration" => Kind::Flatten,
        _ => Kind::Other,
    }
}

fn role(name: &str) -> Role {
    match name {
        "name" | "field" => Role::Name,
        "receiver" => Role::Receiver,
        "parameters" => Role::Parameter,
        "result" => Role::Result,
        "type" => Role::Type,
        "body" => Role::Body,
        "initializer" => Role::Init,
        "condition" => Role::Condition,
        "update" => Role::Update,
        "consequence" => Role::Then,
        "alternative" => Role::Else,
        "value" => Role::Value,
        "communication" => Role::Pattern,
        "left" | "channel" => Role::Left,
        "right" => Role::Right,
        "function" => Role::Callee,
        "arguments" => Role::Argument,
        "operand" => Role::Base,
        "label" => Role::Label,
        "path" => Role::Path,
        "key" => Role::Key,
        "operator" => Role::Operator,
        _ => Role::None,
    }
}
