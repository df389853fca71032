//! What a goroutine is for.
//!
//! In most services the largest group of goroutines is idle plumbing: keep-alive connections and
//! transport loops. Naming it would send the reader to the wrong line, so plumbing is recognised
//! and set aside first.

use crate::goroutine::{Group, WaitState};
use crate::stack::{Owner, Stack};

/// What a group of goroutines does for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Runtime, profiler, listeners and the server's own loops: never the culprit.
    Plumbing,
    /// The read and write loops of an outbound HTTP connection.
    Transport,
    /// A server's request on its way through the service's code.
    Request,
    /// Reads from a connection that a peer opened.
    Inbound,
    /// Anything else the service started.
    Own,
}

impl Role {
    pub(crate) fn of(group: &Group, accepting: &[String]) -> Self {
        let stack = &group.stack;
        let owned = |owner: Owner| owner >= Owner::Dependency;
        let started_by_own_code = group
            .created_by
            .as_ref()
            .is_some_and(|creator| owned(creator.owner()));
        // `go wait.Wait()` and `go io.Copy(..)` run nothing of the service, and are its all the same.
        let has_own_code = started_by_own_code || stack.0.iter().any(|frame| owned(frame.owner()));
        if stack.any(|function| {
            function.starts_with("runtime/pprof.") || function.starts_with("runtime/trace.")
        }) {
            return Self::Plumbing;
        }
        if is_transport_loop(stack) {
            return Self::Transport;
        }
        if is_accepting(stack) || stack.any(|function| function == "main.main") {
            return Self::Plumbing;
        }
        if stack.any(|function| function.starts_with("net/http.(*connReader).backgroundRead")) {
            return Self::Plumbing;
        }
        if !has_own_code {
            // Only what waits on somebody outside is worth keeping without a frame of the service.
            return if is_outbound_call(stack) {
                Self::Own
            } else {
                Self::Plumbing
            };
        }
        if stack.any(is_server_entry) {
            return Self::Request;
        }
        if group.state == WaitState::IoWait
            && group
                .created_by
                .as_ref()
                .is_some_and(|creator| accepting.contains(&creator.function))
        {
            return Self::Inbound;
        }
        Self::Own
    }
}

/// Functions that call a server's handler.
fn is_server_entry(function: &str) -> bool {
    function == "net/http.(*conn).serve"
        || function.ends_with(".(*http2serverConn).runHandler")
        || function.ends_with("grpc.(*Server).handleStream")
        || function.ends_with("grpc.(*Server).processUnaryRPC")
        || function.ends_with("fasthttp.(*Server).serveConn")
}

/// Whether the goroutine is a loop of the HTTP client's connection.
pub(crate) fn is_transport_loop(stack: &Stack) -> bool {
    stack.any(|function| {
        matches!(
            function,
            "net/http.(*persistConn).readLoop" | "net/http.(*persistConn).writeLoop"
        ) || function.ends_with("(*http2ClientConn).readLoop")
    })
}

/// Whether the goroutine waits for new connections.
pub(crate) fn is_accepting(stack: &Stack) -> bool {
    stack.any(|function| {
        function.ends_with("Listener).Accept")
            || function.ends_with("Listener).AcceptTCP")
            || function.ends_with("Listener).AcceptUnix")
            || function == "internal/poll.(*FD).Accept"
    })
}

/// Whether the goroutine waits for somebody outside the process that it called.
pub(crate) fn is_outbound_call(stack: &Stack) -> bool {
    stack.any(|function| {
        function.starts_with("net/http.(*persistConn).roundTrip")
            || function.starts_with("net/http.(*Transport).roundTrip")
            || function.starts_with("net/http.(*Transport).getConn")
            || function.starts_with("net/http.(*Transport).dial")
            || function.starts_with("net/http.(*Client).do")
            || function.starts_with("net/http.(*bodyEOFSignal).Read")
            || function.starts_with("net/http.(*http2transportResponseBody).Read")
            || function.starts_with("net.(*Dialer)")
            || function.starts_with("net.(*sysDialer)")
            || function.starts_with("net.(*Resolver)")
            || function.starts_with("net.Dial")
            || function.starts_with("os/exec.(*Cmd)")
            || function.starts_with("crypto/tls.(*Conn).clientHandshake")
            || function.ends_with("grpc.(*clientStream).RecvMsg")
            || function.ends_with("grpc.(*ClientConn).Invoke")
            || function.ends_with("grpc.invoke")
    })
}

/// Whether the goroutine touches the network on its own account, waiting or not.
pub(crate) fn is_network(stack: &Stack) -> bool {
    is_outbound_call(stack)
        || stack.any(|function| {
            function.starts_with("net.(*conn)")
                || function.starts_with("net.(*netFD)")
                || function.starts_with("net.socket")
                || function.starts_with("net.internetSocket")
                || function.starts_with("net.dial")
                || function.contains("amqp")
                || function.contains("kafka")
                || function.contains("TcpStream")
                || function.contains("tokio::net::")
                || function.contains("std::net::")
                || function.contains("hyper_util::client")
        })
}
