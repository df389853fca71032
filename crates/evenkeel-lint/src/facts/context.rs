//! Who may ask this code to stop: contexts, requests, tokens; and which functions run per request.

use super::View;
use super::words::has_any;
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

/// The expression by which a live context is reached from inside `function`.
pub(crate) fn live(view: &View<'_>, function: NodeId) -> Option<String> {
    let tree = view.tree;
    for parameter in tree.roles(function, Role::Parameter) {
        if tree.kind(parameter) != Kind::Parameter {
            continue;
        }
        let Some(kind) = tree.child(parameter, Role::Type) else {
            continue;
        };
        let kind = tree.text_of(kind);
        let name = tree
            .child(parameter, Role::Name)
            .or_else(|| tree.child(parameter, Role::Pattern))
            .map_or("", |n| tree.text_of(n));
        if name.is_empty() || name.starts_with('_') {
            continue;
        }
        match tree.language {
            Language::Go => {
                if kind == "context.Context" {
                    return Some(name.to_owned());
                }
                if kind == "*http.Request" {
                    return Some(format!("{name}.Context()"));
                }
                if matches!(kind, "*gin.Context" | "echo.Context" | "*fiber.Ctx") {
                    return Some(format!("{name}.Request.Context()"));
                }
                if is_stream(kind) || kind == "grpc.ServerStream" {
                    return Some(format!("{name}.Context()"));
                }
            }
            Language::Rust => {
                if kind.contains("CancellationToken") {
                    return Some(name.to_owned());
                }
            }
        }
    }
    None
}

/// Why `function` runs once per request.
pub(crate) fn handler(view: &View<'_>, function: NodeId) -> Option<&'static str> {
    let tree = view.tree;
    match tree.language {
        Language::Go => {
            let types: Vec<&str> = tree
                .roles(function, Role::Parameter)
                .filter_map(|p| tree.child(p, Role::Type))
                .map(|t| tree.text_of(t))
                .collect();
            if types.contains(&"http.ResponseWriter") && types.contains(&"*http.Request") {
                return Some("an HTTP handler");
            }
            if types
                .iter()
                .any(|t| matches!(*t, "*gin.Context" | "echo.Context" | "*fiber.Ctx"))
            {
                return Some("an HTTP handler");
            }
            if types.iter().any(|t| is_stream(t)) {
                return Some("a gRPC stream handler");
            }
            let results: Vec<&str> = tree
                .roles(function, Role::Result)
                .map(|r| {
                    tree.child(r, Role::Type)
                        .map_or(tree.text_of(r), |t| tree.text_of(t))
                })
                .collect();
            let grpc = types.len() == 2
                && types[0] == "context.Context"
                && types[1].starts_with('*')
                && types[1].ends_with("Request")
                && types[1].contains('.')
                && results.len() == 2
                && results[0].starts_with('*')
                && (results[0].ends_with("Response") || results[0].ends_with("Reply"))
                && tree.child(function, Role::Receiver).is_some_and(|r| {
                    has_any(
                        tree.text_of(r),
                        &["server", "service", "handler", "svc", "api", "endpoint"],
                    )
                });
            grpc.then_some("a gRPC handler")
        }
        Language::Rust => rust_handler(view, function),
    }
}

/// A generated gRPC stream: `pb.Store_WatchServer`.
fn is_stream(kind: &str) -> bool {
    let name = kind.rsplit('.').next().unwrap_or(kind);
    kind.contains('.') && name.contains('_') && name.ends_with("Server")
}

fn rust_handler(view: &View<'_>, function: NodeId) -> Option<&'static str> {
    let tree = view.tree;
    let at = function;
    // Attributes stand before the item, as its earlier siblings.
    let parent = tree.parent(at);
    let mut previous = None;
    for sibling in tree.children(parent) {
        if sibling == at {
            break;
        }
        if tree.kind(sibling) == Kind::Attribute {
            let text = tree.text_of(sibling);
            if ["#[get(", "#[post(", "#[put(", "#[delete(", "#[patch("]
                .iter()
                .any(|p| text.starts_with(p))
            {
                previous = Some("an actix handler");
            }
        } else {
            previous = None;
        }
    }
    if previous.is_some() {
        return previous;
    }
    let mut axum = false;
    for parameter in tree.roles(function, Role::Parameter) {
        let Some(kind) = tree.child(parameter, Role::Type) else {
            continue;
        };
        let kind = tree.text_of(kind);
        let pattern = tree
            .child(parameter, Role::Pattern)
            .map_or("", |p| tree.text_of(p));
        if kind.starts_with("Request<") && view.imports_any("tonic")
            || kind.starts_with("tonic::Request<")
        {
            return Some("a gRPC handler");
        }
        if kind.starts_with("Request<") && view.imports_any("hyper") {
            return Some("an HTTP handler");
        }
        let extractor = [
            "State<",
            "Path<",
            "Query<",
            "Json<",
            "Extension<",
            "HeaderMap",
        ]
        .iter()
        .any(|p| kind.starts_with(p));
        axum |= extractor && (pattern.contains('(') || view.imports_any("axum"));
        if kind.starts_with("web::") && view.imports_any("actix_web") || kind == "HttpRequest" {
            return Some("an actix handler");
        }
    }
    (axum && (view.imports_any("axum") || tree.text.contains("axum::")))
        .then_some("an axum handler")
}
