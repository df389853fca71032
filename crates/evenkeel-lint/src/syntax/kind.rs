//! The vocabulary both grammars are copied into.

/// What a node is, whichever language it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    File,
    Function,
    Closure,
    /// Rust's `async { … }`.
    AsyncBlock,
    Parameter,
    Type,
    Struct,
    FieldDeclaration,
    Impl,
    Module,
    Attribute,
    Import,
    Block,
    If,
    Loop,
    Switch,
    /// Go's `select` and a rewritten `tokio::select!`.
    Select,
    Arm,
    Return,
    Break,
    Continue,
    Goto,
    Label,
    Let,
    Assign,
    Increment,
    Constant,
    Call,
    Field,
    Index,
    Unary,
    Binary,
    Name,
    Number,
    Text,
    Boolean,
    Nil,
    Composite,
    KeyValue,
    Spawn,
    Defer,
    Send,
    Await,
    Try,
    Macro,
    /// `let PATTERN = value` inside a condition.
    LetCondition,
    Cast,
    Range,
    Error,
    Other,
    /// Children belong to the parent, with this node's role.
    Flatten,
    /// Neither this node nor its children are kept.
    Skip,
}

/// What a node is to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    None,
    Name,
    Receiver,
    Parameter,
    Result,
    Type,
    Body,
    Init,
    Condition,
    Update,
    Then,
    Else,
    Value,
    Pattern,
    Guard,
    Left,
    Right,
    Callee,
    Argument,
    Base,
    Label,
    Path,
    Trait,
    Key,
    Operator,
}

/// The operator of a unary, binary or assignment node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    None,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Not,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    ShiftLeft,
    ShiftRight,
    Reference,
    Receive,
    /// Plain `=`.
    Assign,
    MultiplyAssign,
    AddAssign,
    ShiftLeftAssign,
    OtherAssign,
    Other,
    /// `async fn`, `async` closure.
    Async,
}
