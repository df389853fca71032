//! The reader of `debug=2` dumps, `SIGQUIT` output and panic text.
//!
//! The text is scanned once, line by line, without copying: each goroutine is reduced to a hash
//! over its state and its argument-stripped lines, and only a hash not seen before is parsed into
//! a stack. Two different stacks share a hash with probability 2^-64 per pair; the scan accepts
//! that. Memory is one block of input plus the distinct stacks.

use std::collections::HashMap;
use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::{DumpForm, Goroutines, Group, WaitState};
use crate::note::{Note, Parsed};
use crate::stack::{Frame, Stack};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// A single goroutine longer than this is cut: the runtime elides frames after a hundred.
const LONGEST_BLOCK: usize = 1 << 22;
/// Where the runtime's HTTP handler stops writing, in bytes.
const HANDLER_LIMIT: u64 = 64 << 20;
/// Distinct lock addresses kept per group.
const LOCKS_KEPT: usize = 64;

/// Reads a dump that is in memory.
pub fn read_text(bytes: &[u8]) -> Parsed<Goroutines> {
    let mut reader = DumpReader::default();
    reader.feed(bytes);
    reader.finish()
}

/// Reads a dump of any length in bounded memory.
#[derive(Debug, Default)]
pub struct DumpReader {
    index: HashMap<u64, usize, std::hash::BuildHasherDefault<Already>>,
    groups: Vec<Group>,
    read: u64,
    bytes: u64,
    odd_lines: u64,
    ended_clean: bool,
}

impl DumpReader {
    /// Reads `source` to its end.
    ///
    /// # Errors
    /// The source's own read error; what was read before it is kept.
    pub fn read_from(&mut self, mut source: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                buffer.resize(buffer.len() + CHUNK, 0);
            }
            let got = source.read(&mut buffer[filled..])?;
            filled += got;
            if got == 0 {
                self.feed(&buffer[..filled]);
                return Ok(());
            }
            let whole = match memmem::rfind(&buffer[..filled], b"\n\n") {
                Some(gap) => gap + 2,
                None if filled >= LONGEST_BLOCK => filled,
                None => continue,
            };
            self.feed(&buffer[..whole]);
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
    }

    /// Takes in whole goroutines; a partial one at the end counts as it stands.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let mut block: Option<Block> = None;
        let mut start = 0;
        let ends = memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
        for end in ends {
            let line_start = start;
            start = end + 1;
            let Some(mut line) = bytes.get(line_start..end) else {
                continue;
            };
            if let [head @ .., b'\r'] = line {
                line = head;
            }
            if line.is_empty() {
                if let Some(done) = block.take() {
                    self.close(&done, bytes, line_start);
                }
            } else if let Some(header) = Header::read(line) {
                if let Some(done) = block.take() {
                    self.close(&done, bytes, line_start);
                }
                block = Some(Block::open(header, end + 1));
            } else if let Some(open) = &mut block {
                open.take(line);
            } else if line[0] != b'#' {
                self.odd_lines += 1;
            }
        }
        if let Some(done) = block {
            self.close(&done, bytes, bytes.len());
        }
        if !bytes.is_empty() {
            self.ended_clean = bytes.ends_with(b"\n");
        }
    }

    /// The dump as read so far.
    pub fn finish(self) -> Parsed<Goroutines> {
        let mut notes = Vec::new();
        let handler_cut = self.bytes == HANDLER_LIMIT;
        if handler_cut {
            notes.push(Note::new(
                "dump",
                "stops at exactly 64 MiB, where the HTTP handler gives up: the total is larger; \
                 take debug=1 for counts",
            ));
        } else if self.read > 0 && !self.ended_clean {
            notes.push(Note::new("dump", "ends in the middle of a line"));
        }
        if self.read == 0 {
            notes.push(Note::new("dump", "holds no goroutine"));
        } else if self.odd_lines > 0 {
            notes.push(Note::new(
                "dump",
                format!("{} lines belong to no goroutine", self.odd_lines),
            ));
        }
        let mut dump = Goroutines {
            form: DumpForm::Text,
            read: self.read,
            header_total: None,
            groups: self.groups,
            cut: handler_cut,
        };
        dump.sort();
        (dump, notes)
    }

    fn close(&mut self, block: &Block, bytes: &[u8], end: usize) {
        let header = &block.header;
        let slot = *self.index.entry(block.key).or_insert_with(|| {
            let body = bytes.get(block.body..end).unwrap_or_default();
            self.groups.push(parse_group(header, body));
            self.groups.len() - 1
        });
        let group = &mut self.groups[slot];
        self.read += header.count;
        group.count += header.count;
        if header.minutes > 0 {
            group.long_waits += header.count;
            group.longest_minutes = group.longest_minutes.max(header.minutes);
        }
        if header.leaked {
            group.leaked += header.count;
        }
        if let Some(id) = header.id {
            group.ids.insert(id);
        }
        if let Some(address) = block.lock {
            let known = group.locks.iter().position(|(known, _)| *known == address);
            match known {
                Some(slot) => group.locks[slot].1 += header.count,
                None if group.locks.len() < LOCKS_KEPT => group.locks.push((address, header.count)),
                None => {}
            }
        }
    }
}

/// The first line of a goroutine.
struct Header {
    id: Option<u64>,
    count: u64,
    state: WaitState,
    state_hash: u64,
    minutes: u32,
    leaked: bool,
}

impl Header {
    /// `goroutine ID [..] [STATE, N minutes, ..] [{labels}]:` or `N goroutines [STATE, ..]:`.
    fn read(line: &[u8]) -> Option<Self> {
        let (id, count, rest) = if let Some(rest) = line.strip_prefix(b"goroutine ") {
            let (id, rest) = number(rest)?;
            (Some(id), 1, rest)
        } else if line[0].is_ascii_digit() {
            let (count, rest) = number(line)?;
            (None, count, rest.strip_prefix(b" goroutines ")?)
        } else {
            return None;
        };
        let open = memchr(b'[', rest)?;
        let close = open + memchr(b']', &rest[open..])?;
        let inside = &rest[open + 1..close];
        let comma = memchr(b',', inside).unwrap_or(inside.len());
        let words = &inside[..comma];
        let mut minutes = 0;
        if comma < inside.len() {
            for part in inside[comma + 1..].split(|byte| *byte == b',') {
                let part = part.trim_ascii_start();
                if part.ends_with(b" minutes") || part.ends_with(b" minute") {
                    minutes = number(part).map_or(0, |(n, _)| u32::try_from(n).unwrap_or(u32::MAX));
                }
            }
        }
        let words_text = std::str::from_utf8(words).unwrap_or("");
        Some(Self {
            id,
            count: count.min(1 << 40),
            state: WaitState::from_header(words_text),
            state_hash: hash(0, words),
            minutes,
            leaked: memmem::find(words, b"(leaked)").is_some(),
        })
    }
}

/// A goroutine being scanned.
struct Block {
    header: Header,
    body: usize,
    key: u64,
    lock: Option<u64>,
}

impl Block {
    fn open(header: Header, body: usize) -> Self {
        Self {
            key: header.state_hash,
            header,
            body,
            lock: None,
        }
    }

    fn take(&mut self, line: &[u8]) {
        let kept = match line[0] {
            b'\t' | b' ' => location_part(line),
            b'c' if line.starts_with(b"created by ") => creator_part(line),
            _ => {
                if self.lock.is_none() && (line[0] == b's' || line[0] == b'i') {
                    self.lock = lock_address(line);
                }
                function_part(line)
            }
        };
        self.key = hash(self.key, kept);
    }
}

/// `func(args)` without its arguments: up to the last opening parenthesis, since receivers have
/// parentheses of their own and arguments have none.
fn function_part(line: &[u8]) -> &[u8] {
    match memrchr(b'(', line) {
        Some(paren) if line.ends_with(b")") => &line[..paren],
        _ => line,
    }
}

/// `\tfile:line +0xoff` without the offset.
fn location_part(line: &[u8]) -> &[u8] {
    match memrchr(b' ', line) {
        Some(gap) if line[gap + 1..].starts_with(b"+0x") => &line[..gap],
        _ => line,
    }
}

/// `created by f in goroutine 7` without the goroutine, which would make equal stacks differ.
fn creator_part(line: &[u8]) -> &[u8] {
    match memmem::rfind(line, b" in goroutine ") {
        Some(gap) => &line[..gap],
        None => line,
    }
}

/// The address of the lock in `sync.(*Mutex).lockSlow(0xc000..)`; none where it is unreliable.
fn lock_address(line: &[u8]) -> Option<u64> {
    let inner = line
        .strip_prefix(b"internal/sync.(*")
        .or_else(|| line.strip_prefix(b"sync.(*"))?;
    let paren = memrchr(b'(', inner)?;
    let digits = inner[paren + 1..].strip_prefix(b"0x")?;
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    if digits.get(end) == Some(&b'?') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(&digits[..end]).ok()?, 16).ok()
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    let value = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    Some((value, &bytes[end..]))
}

/// Parses the lines under a header, once per distinct stack.
fn parse_group(header: &Header, body: &[u8]) -> Group {
    let text = String::from_utf8_lossy(body);
    let mut frames = Vec::new();
    let mut created_by = None;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(['\t', ' ', '#']) || line.trim().is_empty() || line.starts_with("...") {
            continue;
        }
        let (function, is_creator) = match line.strip_prefix("created by ") {
            Some(creator) => (
                creator.split(" in goroutine ").next().unwrap_or(creator),
                true,
            ),
            None => (function_text(line), false),
        };
        let (file, number) = match lines.peek() {
            Some(next) if next.starts_with(['\t', ' ']) => parse_location(next),
            _ => (String::new(), 0),
        };
        let frame = Frame {
            function: function.trim().to_owned(),
            file,
            line: number,
        };
        if is_creator {
            created_by = Some(frame);
        } else {
            frames.push(frame);
        }
    }
    let stack = Stack(frames);
    Group {
        state: header.state.clone().settle(&stack),
        stack,
        created_by,
        ..Group::default()
    }
}

fn function_text(line: &str) -> &str {
    match line.rfind('(') {
        Some(paren) if line.ends_with(')') => &line[..paren],
        _ => line,
    }
}

/// `\tfile:line +0xoff`, tabs or spaces, offset or none.
pub(super) fn parse_location(line: &str) -> (String, u32) {
    let line = line.trim();
    let line = match line.rfind(' ') {
        Some(gap) if line[gap + 1..].starts_with("+0x") => line[..gap].trim_end(),
        _ => line,
    };
    match line.rsplit_once(':') {
        Some((file, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (file.to_owned(), number.parse().unwrap_or(0))
        }
        _ => (line.to_owned(), 0),
    }
}

/// Folds `bytes` into `seed`, eight at a time: a multiply-and-fold hash in the manner of wyhash.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(0xa076_1d64_78bd_642f);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    fold(state ^ u64::from_le_bytes(last))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "both halves of the product are wanted"
)]
fn fold(value: u64) -> u64 {
    let product = u128::from(value) * 0x9e37_79b9_7f4a_7c15;
    (product as u64) ^ ((product >> 64) as u64)
}

/// The keys are hashes already; hashing them again would be waste.
#[derive(Default, Debug)]
struct Already(u64);

impl std::hash::Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(self.0, bytes);
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
