//! The vocabulary that stands in for types.
//!
//! Neither grammar knows types, so what a call *is* must be read off its name, its receiver and the
//! file's imports. The lists are words from code that was read, not guesses; where they are silent
//! the answer is "unknown", and unknown never makes a finding.

/// Whether `text` holds one of `words`, ignoring ASCII case. `words` are lower case.
pub(crate) fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| contains_ignore_case(text, word))
}

fn contains_ignore_case(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.len() >= word.len()
        && text
            .windows(word.len())
            .any(|w| w.eq_ignore_ascii_case(word))
}

/// Whether one of the words of an identifier (`retryDelay` has retry and delay) is in `words`.
pub(crate) fn has_word(identifier: &str, words: &[&str]) -> bool {
    split_words(identifier).any(|part| words.iter().any(|w| part.eq_ignore_ascii_case(w)))
}

/// Splits camel case, snake case and paths into words.
pub(crate) fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !bytes[at].is_ascii_alphanumeric() {
            at += 1;
        }
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        at += 1;
        while at < bytes.len() && bytes[at].is_ascii_alphanumeric() {
            let lower_to_upper =
                bytes[at - 1].is_ascii_lowercase() && bytes[at].is_ascii_uppercase();
            let acronym_end = bytes[at - 1].is_ascii_uppercase()
                && bytes[at].is_ascii_uppercase()
                && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            if lower_to_upper || acronym_end {
                break;
            }
            at += 1;
        }
        text.get(start..at)
    })
}

/// Randomness in a delay, under any of its names.
pub(crate) const RANDOM: &[&str] = &[
    "rand",
    "jitter",
    "fastrand",
    "thread_rng",
    "stagger",
    "spread",
    "splay",
    "fuzz",
    "retryafter",
    "retry_after",
    "retry-after",
    "smear",
    "entropy",
    "decorrelated",
    ".float64()",
    "int63n",
    "int31n",
    ".intn(",
    "int64n",
    "random_range",
    "gen_range",
];

/// A growth that is held down.
pub(crate) const CLAMP: &[&str] = &[
    "min(",
    ".min",
    "clamp",
    "max_delay",
    "maxdelay",
    "maxbackoff",
    "max_backoff",
    "maxinterval",
    "max_interval",
    "maxretry",
    "max_wait",
    "maxwait",
    "maxsleep",
    "max_sleep",
    "maxduration",
    "max_duration",
    "ceiling",
    "upperbound",
    "limit",
];

/// Signals that something is asked to end.
pub(crate) const STOP: &[&str] = &[
    "done()",
    ".done",
    "ctx.err",
    "context().err",
    "cancel",
    "shutdown",
    "shut_down",
    "shutting",
    "stop",
    "quit",
    "exit",
    "closed",
    "closing",
    "isclosed",
    "is_closed",
    "close",
    "kill",
    "terminat",
    "dying",
    "alive",
    "running",
    "draining",
    "ongoing",
    "aborted",
    "abort",
    "disposed",
    "finished",
    "offline",
];

/// Counters and clocks that bound a loop.
pub(crate) const BOUND: &[&str] = &[
    "attempt",
    "retr",
    "tries",
    "try",
    "count",
    "max",
    "limit",
    "remaining",
    "budget",
    "elapsed",
    "deadline",
    "timeout",
    "since",
    "expire",
    "giveup",
    "give_up",
    "after(",
    "before(",
    "left",
    "times",
    "until",
    "num",
];

/// Method and function names that cross the network.
const REMOTE_NAMES: &[&str] = &[
    "do",
    "rpc",
    "dial",
    "dialcontext",
    "dialtimeout",
    "connect",
    "reconnect",
    "query",
    "queryrow",
    "querycontext",
    "publish",
    "send",
    "request",
    "execute",
    "exec",
    "execcontext",
    "call",
    "invoke",
    "ping",
    "pingcontext",
    "subscribe",
    "register",
    "login",
    "roundtrip",
    "round_trip",
    "fetch",
    "download",
    "upload",
    "push",
    "pull",
    "replicate",
    "forward",
    "heartbeat",
    "authenticate",
    "handshake",
    "bootstrap",
    "join",
];

/// First words of names that cross the network when more words follow.
const REMOTE_FIRST: &[&str] = &[
    "dial",
    "connect",
    "reconnect",
    "query",
    "publish",
    "send",
    "request",
    "call",
    "invoke",
    "ping",
    "subscribe",
    "register",
    "fetch",
    "download",
    "upload",
    "push",
    "pull",
    "replicate",
    "forward",
    "authenticate",
];

/// Words of a receiver that is a network client.
const REMOTE_RECEIVER: &[&str] = &[
    "client",
    "conn",
    "connection",
    "http",
    "grpc",
    "rpc",
    "api",
    "svc",
    "service",
    "stub",
    "db",
    "redis",
    "kafka",
    "producer",
    "broker",
    "session",
    "remote",
    "etcd",
    "consul",
    "vault",
    "s3",
    "gcs",
    "bucket",
    "kube",
    "clientset",
    "transport",
    "endpoint",
    "peer",
    "cluster",
    "registry",
    "postgres",
    "pg",
    "nats",
    "mongo",
    "cli",
    "provider",
    "cloud",
    "sdk",
    "dialer",
];

/// Words of an operation that stays on this machine, whatever else its name says.
const LOCAL_WORDS: &[&str] = &[
    "file",
    "mount",
    "unmount",
    "umount",
    "netlink",
    "lock",
    "flock",
    "mutex",
    "dir",
    "path",
    "cgroup",
    "iptables",
    "tempfile",
    "process",
    "cmd",
    "command",
    "pid",
    "channel",
    "chan",
    "queue",
    "cache",
    "memory",
    "buffer",
    "disk",
    "device",
    "unmarshal",
    "marshal",
    "parse",
    "decode",
    "encode",
    "rename",
    "remove",
    "unlink",
    "stat",
    "readdir",
    "tty",
    "pty",
    "terminal",
    "interface",
    "link",
    "sock",
    "socket",
    "listen",
    "listener",
    "bind",
    "spawn",
    "fork",
    "kill",
    "wal",
    "leveldb",
    "badger",
    "bolt",
    "sqlite",
    "rocksdb",
    "snapshot",
    "tx",
    "txn",
    "transaction",
    "iter",
    "iterator",
    "scanner",
    "reader",
    "os",
    "fs",
    "filepath",
    "ioutil",
    "syscall",
    "unix",
    "exec",
    "fmt",
    "strconv",
    "json",
    "pipe",
    "winio",
    "shim",
    "mapping",
    "snapshotter",
    "loopback",
    "ipc",
    "clipboard",
    "display",
    "audio",
    "namespace",
    "ns",
    "veth",
    "bridge",
];

/// Whether an operation leaves the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    Yes,
    No,
    Unknown,
}

/// Judges an operation by the path it is called by (`s.client.Do`).
pub(crate) fn remote(path: &str) -> Remote {
    let (receiver, name) = match path.rfind(['.', ':']) {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => ("", path),
    };
    let lower = name.to_ascii_lowercase();
    let remote_receiver = has_word(receiver, REMOTE_RECEIVER);
    if has_word(receiver, LOCAL_WORDS) && !remote_receiver {
        return Remote::No;
    }
    if remote_receiver {
        return Remote::Yes;
    }
    if has_word(name, LOCAL_WORDS) {
        return Remote::No;
    }
    if REMOTE_NAMES.contains(&lower.as_str()) {
        return Remote::Yes;
    }
    if split_words(name)
        .next()
        .is_some_and(|first| REMOTE_FIRST.iter().any(|w| first.eq_ignore_ascii_case(w)))
        || has_word(
            name,
            &[
                "request",
                "rpc",
                "http",
                "grpc",
                "api",
                "remote",
                "server",
                "connection",
                "client",
            ],
        )
    {
        return Remote::Yes;
    }
    Remote::Unknown
}

/// Receivers that are network clients whatever is called on them.
const CLEARLY_REMOTE: &[&str] = &[
    "client",
    "http",
    "grpc",
    "rpc",
    "redis",
    "kafka",
    "etcd",
    "consul",
    "vault",
    "s3",
    "gcs",
    "clientset",
    "nats",
    "mongo",
    "postgres",
    "stub",
    "broker",
];

/// Judges a call inside a helper, where nothing else speaks for it.
pub(crate) fn clearly_remote(path: &str) -> bool {
    let Some(at) = path.rfind(['.', ':']) else {
        return false;
    };
    has_word(&path[..at], CLEARLY_REMOTE) && !has_word(path, LOCAL_WORDS)
}

/// Names under which errors are bound in Go.
pub(crate) fn is_error_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last == "err"
        || last == "e"
        || last.ends_with("Err")
        || last.ends_with("err")
        || last.ends_with("Error")
        || last.strip_prefix("err").is_some_and(|rest| {
            rest.bytes()
                .next()
                .is_some_and(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_fall_into_words() {
        let words: Vec<_> = split_words("s.HTTPClient.retryDelay_ms").collect();
        assert_eq!(words, ["s", "HTTP", "Client", "retry", "Delay", "ms"]);
    }

    #[test]
    fn a_receiver_says_whether_a_call_leaves_the_machine() {
        assert_eq!(remote("s.client.Do"), Remote::Yes);
        assert_eq!(remote("os.Remove"), Remote::No);
        assert_eq!(remote("unix.Mount"), Remote::No);
        assert_eq!(remote("dialServer"), Remote::Yes);
        assert_eq!(remote("computeDigest"), Remote::Unknown);
    }

    #[test]
    fn error_names_are_told_from_other_names() {
        assert!(is_error_name("err") && is_error_name("lastErr") && is_error_name("err2"));
        assert!(!is_error_name("resp") && !is_error_name("errand"));
    }
}
