//! YAML text to a [tree](crate::tree): the one module that knows the YAML library.
//!
//! YAML can make a kilobyte expand to gigabytes (aliases of aliases) and nest until the stack is gone.
//! The limits below are far above what a policy needs and far below what hurts.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach as Breach;
use serde_saphyr::granit_parser::{Event, Parser};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

use crate::finding::{Finding, Problem};
use crate::path::Path;
use crate::quote::ticked;
use crate::source::Source;
use crate::tree::{Entry, Map, Node, Value};

/// Bytes of one policy file at most.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Mappings and lists within one another at most.
const MAX_DEPTH: usize = 32;

/// Keys, values and brackets of the file at most, aliases expanded.
const MAX_EVENTS: usize = 100_000;

/// Events that all aliases together may repeat at most.
const MAX_REPLAYED: usize = 50_000;

/// What is wrong with the text as YAML, and where.
pub(crate) struct Refusal {
    pub(crate) span: Range<usize>,
    /// The root, where the text could not be read so far as to know better.
    pub(crate) path: Path,
    pub(crate) problem: Problem,
}

impl Refusal {
    pub(crate) fn at(self, source: &Source) -> Finding {
        self.problem.at(source, self.span, self.path)
    }
}

/// Reads `source` into a tree. With it come the keys that are written twice, of which the tree holds the
/// first.
///
/// # Errors
/// The text is not YAML, or is larger or deeper than the limits of this module.
pub(crate) fn read(source: &Source) -> Result<(Node, Vec<Refusal>), Refusal> {
    match parse(source, DuplicateKeyPolicy::Error) {
        Ok(tree) => Ok((tree, Vec::new())),
        Err(error)
            if matches!(
                error.without_snippet(),
                serde_saphyr::Error::DuplicateMappingKey { .. }
            ) =>
        {
            let tree = parse(source, DuplicateKeyPolicy::FirstWins)
                .map_err(|error| refusal(source, &error))?;
            let mut repeated = repeated_keys(source);
            if repeated.is_empty() {
                repeated.push(refusal(source, &error));
            }
            Ok((tree, repeated))
        }
        Err(error) => Err(refusal(source, &error)),
    }
}

fn parse(source: &Source, duplicate_keys: DuplicateKeyPolicy) -> Result<Node, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_events: MAX_EVENTS,
            max_nodes: MAX_EVENTS,
            max_documents: 2,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_recorded_anchor_bytes: MAX_BYTES,
            flow_nesting_limit: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let Spanned { value, defined, .. } =
        serde_saphyr::from_str_with_options::<Spanned<Raw>>(source.text(), options)?;
    Ok(node(source, value, &defined))
}

fn node(source: &Source, raw: Raw, location: &Location) -> Node {
    let value = match raw {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| node(source, item.value, &item.defined))
                .collect(),
        ),
        Raw::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Entry {
                key: key.value,
                key_span: span(source, &key.defined),
                node: node(source, value.value, &value.defined),
            });
            Value::Map(Map::new(entries.collect()))
        }
    };
    Node {
        value,
        span: span(source, location),
        struck: false,
    }
}

/// The bytes of a location; where the library knows only line and column, an empty range there.
fn span(source: &Source, location: &Location) -> Range<usize> {
    let bytes = location.span();
    let known = bytes
        .byte_offset()
        .zip(bytes.byte_len())
        .and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            source.text().get(start..end).map(|_| start..end)
        });
    known.unwrap_or_else(|| {
        let at = source.offset(location.line(), location.column());
        at..at
    })
}

fn refusal(source: &Source, error: &serde_saphyr::Error) -> Refusal {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    let location = error.location();
    let at = location.map_or(0..0, |location| span(source, &location));
    let mut said = error.to_string().replace(char::is_control, " ");
    if let Some(place) = location {
        let suffix = format!(" at line {}, column {}", place.line(), place.column());
        if let Some(stripped) = said.strip_suffix(&suffix) {
            said = stripped.to_owned();
        }
    }
    let cause = match error {
        Yaml::AliasError { error, .. } => error.without_snippet(),
        error => error,
    };
    let problem = match cause {
        Yaml::DuplicateMappingKey { key, .. } => repeated(key.as_deref().unwrap_or("this key")),
        Yaml::MultipleDocuments { .. } => Problem::new(
            "a second YAML document begins here",
            "a policy is one document",
            "remove the `---` line, or put the second document into a file of its own",
        ),
        Yaml::Budget { breach, .. } => oversized(match breach {
            Breach::Depth { .. } => format!("more than {MAX_DEPTH} sections within one another"),
            Breach::Events { .. } | Breach::Nodes { .. } => {
                format!("more than {MAX_EVENTS} values")
            }
            _ => "too much is repeated by aliases".to_owned(),
        }),
        Yaml::AliasReplayLimitExceeded { .. }
        | Yaml::AliasReplayStackDepthExceeded { .. }
        | Yaml::AliasExpansionLimitExceeded { .. } => {
            oversized("too much is repeated by aliases".to_owned())
        }
        Yaml::NonFiniteFloat { .. } => Problem::new(
            "not a finite number",
            "no setting can be infinite",
            "write a number, or leave the setting out for its default",
        ),
        _ if said.starts_with("unsupported tag") => Problem::new(
            said,
            "a policy is plain values: nothing is included or substituted",
            "write the value itself, without a tag",
        ),
        _ => Problem::new(
            format!("not valid YAML: {said}"),
            "reading stopped here",
            "check the indentation and the quotes on this line and the one before; quote a text that \
             contains `: ` or ` #`",
        ),
    };
    Refusal {
        span: at,
        path: Path::root(),
        problem,
    }
}

fn oversized(why: String) -> Problem {
    Problem::new(
        "too large for a policy",
        why,
        "write fewer or flatter sections, and repeat fewer of them by aliases",
    )
}

fn repeated(key: &str) -> Problem {
    Problem::new(
        format!("{} is written twice", ticked(key)),
        "only one of the two could hold, and readers of YAML disagree which",
        "keep one of them",
    )
}

/// Every key that a mapping of the text has twice. Aliases are not followed: what they repeat is
/// reported where it is written.
fn repeated_keys(source: &Source) -> Vec<Refusal> {
    let mut open: Vec<Open> = Vec::new();
    let mut found = Vec::new();
    for event in Parser::new_from_str(source.text()) {
        let Ok((event, span)) = event else { break };
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Open::Map {
                    keys,
                    key: key @ None,
                }) = open.last_mut()
                {
                    *key = Some(text.to_string());
                    if text != "<<" && !keys.insert(text.to_string()) {
                        let start = span.start.byte_offset().unwrap_or_default();
                        let end = span.end.byte_offset().unwrap_or(start);
                        let (path, problem) = (path_of(&open), repeated(&text));
                        found.push(Refusal {
                            span: start..end,
                            path,
                            problem,
                        });
                    }
                } else {
                    value_ended(&mut open);
                }
            }
            Event::Alias(..) => value_ended(&mut open),
            Event::MappingStart(..) => open.push(Open::Map {
                keys: BTreeSet::new(),
                key: None,
            }),
            Event::SequenceStart(..) => open.push(Open::List { items: 0 }),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                value_ended(&mut open);
            }
            _ => {}
        }
    }
    found
}

/// What is open around the place that the events have come to.
enum Open {
    /// The keys so far, and the one whose value comes next.
    Map {
        keys: BTreeSet<String>,
        key: Option<String>,
    },
    /// The items that have ended.
    List { items: usize },
}

fn value_ended(open: &mut [Open]) {
    match open.last_mut() {
        Some(Open::Map { key, .. }) => *key = None,
        Some(Open::List { items }) => *items += 1,
        None => {}
    }
}

fn path_of(open: &[Open]) -> Path {
    open.iter().fold(Path::root(), |path, open| match open {
        Open::Map { key, .. } => path.key(key.as_deref().unwrap_or_default()),
        Open::List { items } => path.index(*items),
    })
}

/// A value as the library hands it out.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Unsigned(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Signed(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
