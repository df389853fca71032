use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::Kind;

pub(super) const RULE: Rule = Rule {
    code: "EK402",
    name: "dial-without-timeout",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a connection is opened without a timeout or a context",
    page: r#"
A connection is opened by the variant that neither takes a context nor a timeout.

## Why it hurts
A peer behind a dead route or a silent firewall answers nothing. The kernel gives up after minutes;
until then the caller holds what it holds.

## Example
```go bad
package store

import "net"

func open(address string) (net.Conn, error) {
	return net.Dial("tcp", address)
}
```
```go good
package store

import ("net"; "time")

func open(address string) (net.Conn, error) {
	return net.DialTimeout("tcp", address, 3*time.Second)
}
```
```rust bad
async fn open(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}
```
```rust good
async fn open(address: &str) -> io::Result<TcpStream> {
    tokio::time::timeout(Duration::from_secs(3), TcpStream::connect(address)).await?
}
```

## How it is found
Go: `net.Dial`, `tls.Dial` and `rpc.Dial` other than on `unix` and `udp`; `grpc.Dial` with `WithBlock`.
Rust: an awaited `TcpStream::connect` in a function in which no `timeout` and no `select!` is seen.

## Known false alarms
Connections to the own machine.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if view.setting != Setting::Service || view.is_program {
        return;
    }
    for call in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call && !view.is_test(id)) {
        let path = view.called(call);
        let first = tree.arguments(call).next().map_or("", |a| tree.text_of(a));
        let unbounded = match tree.language {
            Language::Go => match path.as_str() {
                "net.Dial" | "crypto/tls.Dial" | "net/rpc.Dial" => {
                    !has_any(first, &["unix", "udp"])
                }
                "google.golang.org/grpc.Dial" => tree.text_of(call).contains("WithBlock"),
                _ => false,
            },
            Language::Rust => {
                (path == "TcpStream::connect" || path.ends_with("net::TcpStream::connect"))
                    && tree.kind(tree.parent(call)) == Kind::Await
                    && !has_any(
                        tree.text_of(view.scope(call)),
                        &["timeout", "select!", "deadline"],
                    )
            }
        };
        if unbounded && !has_any(tree.text_of(call), &["127.0.0.1", "localhost"]) {
            let written = tree.callee(call).map_or("", |c| tree.text_of(c));
            sink.report(
                Finding::at(
                    view,
                    call,
                    format!("`{written}` waits as long as the kernel does"),
                )
                .label("neither timeout nor context")
                .help(match tree.language {
                    Language::Go => "use a `net.Dialer` with `DialContext`",
                    Language::Rust => "put `tokio::time::timeout` around it",
                }),
            );
        }
    }
}
