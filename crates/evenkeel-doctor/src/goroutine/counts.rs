//! The reader of `debug=1` (counts and symbolised stacks) and of `debug=0` (the same as a profile).
//!
//! Neither form says what a goroutine waits for. `debug=0` keeps the runtime's own frames, so the
//! wait can be inferred from them; `debug=1` hides them, and the wait stays unknown unless a
//! visible frame gives it away.

use std::collections::HashMap;

use super::{DumpForm, Goroutines, Group, WaitState};
use crate::note::{Note, Parsed};
use crate::profile::Profile;
use crate::stack::{Frame, Stack};

/// Reads `goroutine profile: total N` with its `COUNT @ pc pc ..` entries.
pub fn read_counts(bytes: &[u8]) -> Parsed<Goroutines> {
    let text = String::from_utf8_lossy(bytes);
    let mut notes = Vec::new();
    let mut dump = Goroutines {
        form: DumpForm::Counts,
        ..Goroutines::default()
    };
    let mut by_stack: HashMap<Stack, usize> = HashMap::new();
    let mut pending: Option<(u64, Vec<Frame>)> = None;
    let mut odd_lines = 0_u64;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('#') {
            match (parse_frame(rest), &mut pending) {
                (Some(frame), Some((_, frames))) => frames.push(frame),
                (Some(_), None) => odd_lines += 1,
                (None, _) => {}
            }
        } else if let Some((_, total)) = line.split_once("profile: total ") {
            dump.header_total = total.trim().parse().ok();
        } else if let Some((count, _)) = line.split_once(" @") {
            keep(&mut dump, &mut by_stack, pending.take());
            match count.trim().parse() {
                Ok(count) => pending = Some((count, Vec::new())),
                Err(_) => odd_lines += 1,
            }
        } else if !line.trim().is_empty() {
            odd_lines += 1;
        }
    }
    keep(&mut dump, &mut by_stack, pending);
    if dump.groups.is_empty() && dump.header_total != Some(0) {
        notes.push(Note::new("goroutine counts", "hold no stack"));
    } else if odd_lines > 0 {
        notes.push(Note::new(
            "goroutine counts",
            format!("{odd_lines} lines are of no known form"),
        ));
    }
    dump.sort();
    (dump, notes)
}

/// Turns a goroutine profile into groups, the wait inferred from the runtime's frames.
pub fn read_profile(profile: &Profile) -> Goroutines {
    let mut dump = Goroutines {
        form: DumpForm::Profile,
        ..Goroutines::default()
    };
    let mut by_stack = HashMap::new();
    for sample in &profile.samples {
        let count = sample.values.first().copied().unwrap_or(0);
        let frames = sample.stack.0.clone();
        keep(
            &mut dump,
            &mut by_stack,
            Some((u64::try_from(count).unwrap_or(0), frames)),
        );
    }
    dump.sort();
    dump
}

fn keep(
    dump: &mut Goroutines,
    by_stack: &mut HashMap<Stack, usize>,
    pending: Option<(u64, Vec<Frame>)>,
) {
    let Some((count, mut frames)) = pending else {
        return;
    };
    let state = WaitState::Unknown.settle(&Stack(frames.clone()));
    // The innermost runtime frames have told the wait; what is left reads like the other forms.
    let visible = frames
        .iter()
        .position(|frame| !frame.function.starts_with("runtime."))
        .unwrap_or(0);
    frames.drain(..visible);
    let stack = Stack(frames);
    let slot = *by_stack.entry(stack.clone()).or_insert_with(|| {
        dump.groups.push(Group {
            state,
            stack,
            ..Group::default()
        });
        dump.groups.len() - 1
    });
    dump.groups[slot].count = dump.groups[slot].count.saturating_add(count);
    dump.read = dump.read.saturating_add(count);
}

/// `\t0xpc\tfunc+0xoff\tfile:line`, columns widened with tabs or, in quotes, with spaces.
fn parse_frame(rest: &str) -> Option<Frame> {
    let mut words = rest.split_whitespace();
    words.next()?.strip_prefix("0x")?;
    let function = words.next()?;
    let function = function
        .rsplit_once("+0x")
        .map_or(function, |(name, _)| name);
    let (file, line) = super::text::parse_location(&words.collect::<Vec<_>>().join(" "));
    Some(Frame {
        function: function.to_owned(),
        file,
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str = "goroutine profile: total 555\n\
        100 @ 0x43c365 0x40892f\n\
        # labels: {\"name\":\"a\"}\n\
        #\t0x925da8\tshop/feed.(*Reader).Head+0x708\t\tshop/feed/feed.go:8\n\n\
        7 @ 0x43c365 0x40892f\n\
        # labels: {\"name\":\"b\"}\n\
        #       0x925da8        shop/feed.(*Reader).Head+0x708     shop/feed/feed.go:8\n\n";

    #[test]
    fn equal_stacks_under_other_labels_are_one_group() {
        let (dump, notes) = read_counts(COUNTS.as_bytes());
        assert_eq!((dump.total(), dump.read), (555, 107));
        assert_eq!((dump.groups.len(), dump.groups[0].count), (1, 107));
        assert_eq!(dump.groups[0].stack.0[0].location(), "shop/feed/feed.go:8");
        assert_eq!(notes, []);
    }

    #[test]
    fn an_empty_leak_profile_is_an_answer_not_a_fault() {
        let (dump, notes) = read_counts(b"goroutineleak profile: total 0\n");
        assert_eq!((dump.total(), notes.len()), (0, 0));
    }

    #[test]
    fn other_text_gives_a_note() {
        let (dump, notes) = read_counts(b"404 page not found\n");
        assert_eq!(dump.total(), 0);
        assert_eq!(notes[0].text, "hold no stack");
    }

    #[test]
    fn the_wait_is_inferred_from_runtime_frames() {
        let frame = |function: &str| Frame {
            function: function.into(),
            file: "f.go".into(),
            line: 1,
        };
        let profile = Profile {
            samples: vec![crate::profile::Sample {
                stack: Stack(vec![
                    frame("runtime.gopark"),
                    frame("runtime.chansend"),
                    frame("runtime.chansend1"),
                    frame("shop/search.(*Shard).Find.func1"),
                ]),
                values: vec![30],
            }],
            ..Profile::default()
        };
        let dump = read_profile(&profile);
        assert_eq!(dump.groups[0].state, WaitState::ChanSend);
        assert_eq!(dump.groups[0].stack.0.len(), 1);
    }
}
