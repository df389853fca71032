use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::Kind;

pub(super) const RULE: Rule = Rule {
    code: "EK502",
    name: "unbounded-queue",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a queue on a network path has no bound",
    page: r#"
An unbounded channel carries what the network brings.

## Why it hurts
When the consumer is slower than the network for long enough, the queue is all of memory. Before that,
everything in it is late: a queue without a bound turns overload into delay and delay into timeouts,
with nothing that tells the sender to slow down.

## Example
```rust bad
use tokio::net::TcpListener;
use tokio::sync::mpsc;
async fn serve(listener: TcpListener) {
    let (requests, inbox) = mpsc::unbounded_channel::<Request>();
    tokio::spawn(work(inbox));
    accept(listener, requests).await;
}
```
```rust good
use tokio::net::TcpListener;
use tokio::sync::mpsc;
async fn serve(listener: TcpListener) {
    let (requests, inbox) = mpsc::channel::<Request>(1024);
    tokio::spawn(work(inbox));
    accept(listener, requests).await;
}
```

## How it is found
`unbounded_channel`, `unbounded` and their relatives in a file that handles connections, requests,
packets or messages by its imports or its path. Channels of commands, events, signals and results are
passed over by the name of what they carry, as is a channel with a comment about why it is unbounded.

## Known false alarms
Queues whose senders are few and wait for an answer before they send again.
"#,
    check,
};

const NETWORK_PATHS: &[&str] = &[
    "server",
    "proxy",
    "conn",
    "connection",
    "http",
    "grpc",
    "websocket",
    "gateway",
    "listener",
    "tcp",
    "udp",
    "p2p",
];

const CONTROL: &[&str] = &[
    "command",
    "cmd",
    "shutdown",
    "signal",
    "control",
    "event",
    "notify",
    "notification",
    "error",
    "result",
    "<()>",
    "oneshot",
    "stop",
    "exit",
    "task",
    "ack",
    "status",
    "action",
    "drop",
    "cleanup",
    "log",
    "progress",
    "done",
    "close",
    "op>",
    "watch",
];

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Rust || view.setting != Setting::Service {
        return;
    }
    let on_network = [
        "tokio::net",
        "hyper",
        "axum",
        "tonic",
        "tokio_tungstenite",
        "quinn",
        "actix_web",
        "warp",
        "h2",
        "tokio_rustls",
        "grpcio",
    ]
    .iter()
    .any(|i| view.imports_any(i))
        || crate::facts::words::has_word(view.path, NETWORK_PATHS);
    if !on_network {
        return;
    }
    for call in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call && !view.is_test(id)) {
        let name = tree.callee_name(call);
        let path = view.called(call);
        let is_unbounded = name == "unbounded_channel"
            || name == "unbounded"
                && (has_any(&path, &["channel::", "mpsc::", "flume::"]) || path == "unbounded");
        if !is_unbounded {
            continue;
        }
        // One of two kinds of channel, by a setting: somebody chose.
        let chosen = tree.ancestors(call).take(6).any(|a| {
            matches!(tree.kind(a), Kind::Switch | Kind::If)
                && has_any(tree.text_of(a), &["bounded(", "channel("])
                && tree.text_of(a).matches("bounded").count() > 1
        });
        if chosen {
            continue;
        }
        // The statement names what the channel carries.
        let statement = tree.ancestors(call).find(|&a| {
            matches!(
                tree.kind(a),
                Kind::Let | Kind::Assign | Kind::KeyValue | Kind::Return
            )
        });
        let text = statement.map_or("", |s| tree.text_of(s));
        if has_any(text, CONTROL)
            || tree.commented(
                call,
                &[
                    "unbounded",
                    "bounded",
                    "backpressure",
                    "back-pressure",
                    "capacity",
                    "limit",
                    "never block",
                    "deadlock",
                    "at most",
                ],
            )
        {
            continue;
        }
        sink.report(
            Finding::at(view, call, "this queue has no bound, in a file that handles the network".to_owned())
                .label("grows as long as its consumer is slower than its senders")
                .help("use a bounded channel and decide what happens when it is full: wait, refuse or drop; or say in a comment what bounds it"),
        );
    }
}
