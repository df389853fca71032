//! Frames, stacks, and whose code a frame is.
//!
//! A goroutine blocked in `sync.(*Mutex).Lock` is not blocked *by* `sync`: the line worth showing is
//! the first one its owner wrote. Everything here serves that choice.

/// One call on a stack.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    schemars::JsonSchema,
)]
pub struct Frame {
    /// Function with its package path, without arguments: `shop/cart.(*Cart).Add`.
    pub function: String,
    /// Source file as recorded in the binary.
    pub file: String,
    /// Line, 0 where unknown.
    pub line: u32,
}

/// Whose code a frame is, from the least to the most worth naming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The language's runtime and the plumbing under its standard library.
    Runtime,
    /// The standard library.
    Standard,
    /// A third-party module, recognised by a versioned or vendored path.
    Dependency,
    /// The service's own code.
    Service,
}

/// First path elements of Go's standard library; anything else is somebody's module.
const GO_STANDARD: &[&str] = &[
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// Path prefixes of Rust's own crates and of the usual runtime ones, after demangling.
const RUST_STANDARD: &[&str] = &[
    "std::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "tokio::",
    "<tokio::",
    "mio::",
    "hyper::",
    "hyper_util::",
    "futures_util::",
    "futures_core::",
    "parking_lot",
    "crossbeam",
    "backtrace::",
    "pprof::",
    "rust_begin",
    "__rust",
    "_start",
    "__libc",
    "start_thread",
];

impl Frame {
    /// The package: the path up to the first dot after the last slash (`shop/cart`).
    pub fn package(&self) -> &str {
        let name = self.function.as_str();
        let after_slash = name.rfind('/').map_or(0, |slash| slash + 1);
        match name[after_slash..].find('.') {
            Some(dot) => &name[..after_slash + dot],
            None => name,
        }
    }

    /// Function name without its package: `(*Cart).Add.func1`.
    pub fn local_name(&self) -> &str {
        let package = self.package().len();
        self.function.get(package + 1..).unwrap_or(&self.function)
    }

    /// Whose code this is.
    pub fn owner(&self) -> Owner {
        if self.function.contains("::") {
            return self.rust_owner();
        }
        let package = self.package();
        let first = package.split('/').next().unwrap_or(package);
        if GO_STANDARD.contains(&first) && !first.is_empty() {
            return match first {
                "runtime" | "internal" | "syscall" | "reflect" | "unsafe" => {
                    if package.starts_with("runtime/pprof") {
                        Owner::Standard
                    } else {
                        Owner::Runtime
                    }
                }
                _ => Owner::Standard,
            };
        }
        if !package.contains(['/', '.']) && !self.function.contains('.') {
            // No package at all: assembly and C symbols (`main` in C, `epoll_wait`).
            return Owner::Runtime;
        }
        if self.file.contains("/pkg/mod/")
            || self.file.contains("/vendor/")
            || self.file.contains('@')
        {
            Owner::Dependency
        } else {
            Owner::Service
        }
    }

    fn rust_owner(&self) -> Owner {
        let name = self.function.as_str();
        if RUST_STANDARD.iter().any(|prefix| name.starts_with(prefix)) {
            Owner::Standard
        } else if self.file.contains("/.cargo/registry/") || self.file.contains("/rustc/") {
            Owner::Dependency
        } else {
            Owner::Service
        }
    }

    /// Whether this is an anonymous function or a compiler-made wrapper: an entry, not a name the
    /// author gave to a piece of work.
    pub fn is_closure(&self) -> bool {
        let last = self.function.rsplit('.').next().unwrap_or("");
        let numbered = |prefix: &str| {
            last.strip_prefix(prefix)
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        last.bytes().all(|byte| byte.is_ascii_digit())
            || numbered("func")
            || numbered("gowrap")
            || numbered("deferwrap")
            || last.contains("-range")
            || last.contains("{{closure}}")
            || last.contains("{closure")
    }

    /// `file:line`, or the file alone where the line is unknown.
    pub fn location(&self) -> String {
        if self.line == 0 {
            self.file.clone()
        } else {
            format!("{}:{}", self.file, self.line)
        }
    }

    /// Whether the function is `package.name`, ignoring type parameters.
    pub fn is(&self, name: &str) -> bool {
        self.function == name
    }
}

/// A call stack, the innermost call first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize)]
pub struct Stack(pub Vec<Frame>);

impl Stack {
    /// The frame to show a person: the innermost of the service's own, else of a dependency, else
    /// the innermost one that is not runtime plumbing.
    pub fn culprit(&self) -> Option<&Frame> {
        [Owner::Service, Owner::Dependency, Owner::Standard]
            .iter()
            .find_map(|owner| self.0.iter().find(|frame| frame.owner() == *owner))
            .or_else(|| self.0.first())
    }

    /// Whether any frame's function satisfies `test`.
    pub fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|frame| test(&frame.function))
    }

    /// Whether any frame's function contains `part`.
    pub fn mentions(&self, part: &str) -> bool {
        self.any(|function| function.contains(part))
    }

    /// The service's own frames, innermost first.
    pub fn service_frames(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.0
            .iter()
            .filter(|frame| frame.owner() == Owner::Service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str) -> Frame {
        Frame {
            function: function.into(),
            file: "x.go".into(),
            line: 1,
        }
    }

    #[test]
    fn a_module_named_like_a_word_is_the_services_own() {
        assert_eq!(frame("shop/cart.(*Cart).Add").owner(), Owner::Service);
        assert_eq!(frame("main.main").owner(), Owner::Service);
        assert_eq!(frame("net/http.(*conn).serve").owner(), Owner::Standard);
        assert_eq!(
            frame("internal/poll.runtime_pollWait").owner(),
            Owner::Runtime
        );
    }

    #[test]
    fn a_versioned_path_is_a_dependency() {
        let mut grpc = frame("google.golang.org/grpc.(*addrConn).resetTransport");
        grpc.file = "/go/pkg/mod/google.golang.org/grpc@v1.26.0/clientconn.go".into();
        assert_eq!(grpc.owner(), Owner::Dependency);
    }

    #[test]
    fn closures_and_wrappers_are_entries() {
        assert!(frame("shop/lease.Start.func1").is_closure());
        assert!(frame("shop/lease.Start.func1.2").is_closure());
        assert!(frame("shop/imports.ingest.gowrap1").is_closure());
        assert!(!frame("shop/lease.(*Shard).Claim").is_closure());
    }

    #[test]
    fn the_culprit_is_the_innermost_frame_of_the_service() {
        let stack = Stack(vec![
            frame("sync.(*Mutex).Lock"),
            frame("shop/cart.(*Cart).Add"),
            frame("shop/cart.Start.func1"),
            frame("net/http.HandlerFunc.ServeHTTP"),
        ]);
        assert_eq!(
            stack.culprit().map(|frame| frame.function.as_str()),
            Some("shop/cart.(*Cart).Add")
        );
    }
}
