//! Looking into the macros that hold control flow.
//!
//! To every Rust parser a macro's body is a bag of tokens, and in asynchronous Rust the way out of a
//! loop (`_ = token.cancelled() => break`) usually stands in `tokio::select!`. So before parsing,
//! the text is rewritten in place, byte for byte the same length: the macro's name is blanked and
//! each arm `pattern = future, if guard => body,` becomes `future; guard; body;` inside a plain
//! block. The grammar then reads the arms as statements at their true positions, and the list of
//! [`Select`]s says which statement belongs to which arm. `join!` becomes a tuple, `stream!` a block.

use super::Role;

/// A rewritten `select!`: where its block starts, and its arms in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Select {
    pub(crate) start: u32,
    pub(crate) arms: Vec<SelectArm>,
}

/// Byte ranges of one arm.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SelectArm {
    pub(crate) start: u32,
    pub(crate) future_end: u32,
    pub(crate) body_start: u32,
}

impl SelectArm {
    pub(crate) fn role_at(&self, start: u32) -> Role {
        if start < self.future_end {
            Role::Pattern
        } else if start < self.body_start {
            Role::Guard
        } else {
            Role::Body
        }
    }
}

/// Rewrites the control-flow macros of `text`. `None` when there are none.
pub(crate) fn open(text: &str) -> Option<(String, Vec<Select>)> {
    let bytes = text.as_bytes();
    let mut out: Option<Vec<u8>> = None;
    let mut selects = Vec::new();
    for bang in memchr::memchr_iter(b'!', bytes) {
        let name_start = path_start(bytes, bang);
        let name = text.get(name_start..bang).unwrap_or("");
        let last = name.rsplit(':').next().unwrap_or("");
        if !matches!(
            last,
            "select" | "select_biased" | "join" | "try_join" | "stream" | "try_stream"
        ) {
            continue;
        }
        let line = bytes[..name_start]
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |n| n + 1);
        if text.get(line..name_start).is_some_and(|l| l.contains("//")) {
            continue;
        }
        let Some(open) = (bang + 1..bytes.len()).find(|&i| !bytes[i].is_ascii_whitespace()) else {
            continue;
        };
        let Some(close) = group_end(bytes, open) else {
            continue;
        };
        let inner = open + 1..close - 1;
        if bytes[inner.clone()].contains(&b'$') {
            continue;
        }
        let is_select = last.starts_with("select");
        let arms = if is_select {
            arms(bytes, inner.clone())
        } else {
            None
        };
        if is_select && arms.is_none() {
            continue;
        }
        let buffer = out.get_or_insert_with(|| bytes.to_vec());
        blank(buffer, name_start..bang + 1);
        if let Some(arms) = arms {
            if bytes[open] == b'(' {
                buffer[open] = b'{';
                buffer[close - 1] = b'}';
            }
            let select = Select {
                start: open as u32,
                arms: arms
                    .iter()
                    .map(|arm| SelectArm {
                        start: arm.start as u32,
                        future_end: arm.future.end as u32,
                        body_start: arm.body as u32,
                    })
                    .collect(),
            };
            for arm in arms {
                arm.rewrite(buffer);
            }
            selects.push(select);
        } else if last.ends_with("stream") && bytes[open] == b'(' {
            buffer[open] = b'{';
            buffer[close - 1] = b'}';
        }
    }
    let readable = String::from_utf8(out?).ok()?;
    Some((readable, selects))
}

struct Arm {
    start: usize,
    /// From the pattern's start to the future's start: blanked.
    before_future: std::ops::Range<usize>,
    future: std::ops::Range<usize>,
    /// The comma and `if` before a guard.
    guard: Option<usize>,
    arrow: Option<usize>,
    body: usize,
    /// The comma that ends the arm.
    comma: Option<usize>,
}

impl Arm {
    fn rewrite(&self, buffer: &mut [u8]) {
        blank(buffer, self.before_future.clone());
        if let Some(comma) = self.guard {
            buffer[comma] = b';';
            if let Some(word) = buffer[comma..].windows(3).position(|w| w == b"if ") {
                blank(buffer, comma + word..comma + word + 2);
            }
        }
        if let Some(arrow) = self.arrow {
            buffer[arrow] = if self.future.is_empty() { b' ' } else { b';' };
            buffer[arrow + 1] = b' ';
        }
        if let Some(comma) = self.comma {
            buffer[comma] = b';';
        }
    }
}

fn arms(bytes: &[u8], inner: std::ops::Range<usize>) -> Option<Vec<Arm>> {
    let mut arms = Vec::new();
    let mut at = skip_space(bytes, inner.start);
    if bytes[at..inner.end.max(at)].starts_with(b"biased") {
        let semicolon = at + memchr::memchr(b';', &bytes[at..inner.end])?;
        arms.push(Arm {
            start: at,
            before_future: at..semicolon + 1,
            future: semicolon + 1..semicolon + 1,
            guard: None,
            arrow: None,
            body: semicolon + 1,
            comma: None,
        });
        at = skip_space(bytes, semicolon + 1);
    }
    while at < inner.end {
        let start = at;
        let (mut equals, mut guard, mut arrow) = (None, None, None);
        while at < inner.end {
            match bytes[at] {
                b'=' if bytes.get(at + 1) == Some(&b'>') => {
                    arrow = Some(at);
                    break;
                }
                b'=' if bytes.get(at + 1) == Some(&b'=') => at += 2,
                b'=' if equals.is_none() && !matches!(bytes[at - 1], b'.' | b'<' | b'>' | b'!') => {
                    equals = Some(at);
                    at += 1;
                }
                b',' if equals.is_some() && guard.is_none() => {
                    guard = Some(at);
                    at += 1;
                }
                _ => at = skip_token(bytes, at)?,
            }
        }
        let arrow = arrow?;
        let future_end = guard.unwrap_or(arrow);
        let (before_future, future) = match equals {
            Some(equals) => (start..equals + 1, equals + 1..future_end),
            // `else =>`, `complete =>`, or crossbeam's `recv(r) -> message =>`.
            None => {
                let thin = bytes[start..arrow].windows(2).position(|w| w == b"->");
                match thin {
                    Some(n) => (start + n..arrow, start..start + n),
                    None => (start..arrow, arrow..arrow),
                }
            }
        };
        let body = skip_space(bytes, arrow + 2);
        at = body;
        let mut comma = None;
        if bytes.get(body) == Some(&b'{') {
            at = skip_space(bytes, group_end(bytes, body)?);
            if bytes.get(at) == Some(&b',') {
                comma = Some(at);
                at += 1;
            }
        } else {
            while at < inner.end {
                if bytes[at] == b',' {
                    comma = Some(at);
                    at += 1;
                    break;
                }
                at = skip_token(bytes, at)?;
            }
        }
        arms.push(Arm {
            start,
            before_future,
            future,
            guard,
            arrow: Some(arrow),
            body,
            comma,
        });
        at = skip_space(bytes, at);
    }
    Some(arms)
}

/// Blanks a range; line breaks stay, so that positions keep their lines.
fn blank(buffer: &mut [u8], range: std::ops::Range<usize>) {
    for byte in &mut buffer[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn path_start(bytes: &[u8], bang: usize) -> usize {
    let mut start = bang;
    while start > 0
        && (bytes[start - 1].is_ascii_alphanumeric() || matches!(bytes[start - 1], b'_' | b':'))
    {
        start -= 1;
    }
    start
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    loop {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        match comment_end(bytes, at) {
            Some(end) => at = end,
            None => return at,
        }
    }
}

fn comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if rest.starts_with(b"//") {
        return Some(memchr::memchr(b'\n', rest).map_or(bytes.len(), |n| at + n));
    }
    if rest.starts_with(b"/*") {
        return Some(memchr::memmem::find(rest, b"*/").map_or(bytes.len(), |n| at + n + 2));
    }
    None
}

/// End of the bracketed group that opens at `open`.
fn group_end(bytes: &[u8], open: usize) -> Option<usize> {
    let close = match bytes.get(open)? {
        b'{' => b'}',
        b'(' => b')',
        b'[' => b']',
        _ => return None,
    };
    let mut at = open + 1;
    while at < bytes.len() {
        if bytes[at] == close {
            return Some(at + 1);
        }
        at = skip_token(bytes, at)?;
    }
    None
}

/// Index behind the token (or bracketed group) at `at`; `None` on an unbalanced closing bracket.
fn skip_token(bytes: &[u8], at: usize) -> Option<usize> {
    if let Some(end) = comment_end(bytes, at) {
        return Some(end);
    }
    match bytes[at] {
        b'{' | b'(' | b'[' => group_end(bytes, at),
        b'}' | b')' | b']' => None,
        b'"' => Some(string_end(bytes, at + 1)),
        b'r' | b'b' if is_raw_string(bytes, at) => Some(raw_string_end(bytes, at)),
        b'\'' => Some(quote_end(bytes, at)),
        byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
            let mut end = at + 1;
            while bytes
                .get(end)
                .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
            {
                end += 1;
            }
            Some(end)
        }
        _ => Some(at + 1),
    }
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_raw_string(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    let rest = rest.strip_prefix(b"b").unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(b"r") else {
        return false;
    };
    let hashes = rest.iter().take_while(|&&b| b == b'#').count();
    rest.get(hashes) == Some(&b'"')
}

fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let quote = at + bytes[at..].iter().position(|&b| b == b'"').unwrap_or(0);
    let hashes = bytes[at..quote].iter().filter(|&&b| b == b'#').count();
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    memchr::memmem::find(&bytes[quote + 1..], &end)
        .map_or(bytes.len(), |n| quote + 1 + n + end.len())
}

/// A character literal, or only the quote of a lifetime.
fn quote_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return memchr::memchr(b'\'', &bytes[(at + 3).min(bytes.len())..])
            .map_or(bytes.len(), |n| at + 3 + n + 1);
    }
    let width = match bytes.get(at + 1) {
        Some(b) if *b >= 0xf0 => 4,
        Some(b) if *b >= 0xe0 => 3,
        Some(b) if *b >= 0xc0 => 2,
        _ => 1,
    };
    if bytes.get(at + 1 + width) == Some(&b'\'') {
        at + 2 + width
    } else {
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn select_arms_become_statements_at_the_same_positions() {
        let text = "fn f() { tokio::select! { biased; _ = t.cancelled() => break, r = rx.recv(), if on => { g(r)? } else => return, } }";
        let (readable, selects) = open(text).unwrap();
        assert_eq!(readable.len(), text.len());
        assert_eq!(selects.len(), 1);
        assert_eq!(selects[0].arms.len(), 4);
        let squeezed: String = readable.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            squeezed,
            "fn f() { { t.cancelled() ; break; rx.recv(); on ; { g(r)? } return; } }"
        );
    }

    #[test]
    fn a_select_in_a_string_or_a_comment_is_left_alone() {
        assert!(open("// tokio::select! { a = b => c }\n").is_none());
        assert!(open("fn f() { x!(\"select\") }").is_none());
    }

    #[test]
    fn joined_futures_become_a_tuple() {
        let (readable, _) = open("let r = tokio::try_join!(a(), b('}'))?;").unwrap();
        assert_eq!(readable, "let r =                 (a(), b('}'))?;");
    }

    #[test]
    fn an_unbalanced_body_is_not_touched() {
        assert!(open("tokio::select! { a = b => c ").is_none());
    }
}
