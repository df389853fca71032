//! A [tree](crate::tree) to the [written form](crate::spec), with every error at once.
//!
//! Serde stops at the first error. Here that error is noted with its place, the value it is about is
//! struck from the tree, and the tree is read again, until nothing is left to complain about. Every
//! field of the written form is optional, so a struck value only looks as if it was not written.

mod error;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::finding::{Finding, Problem};
use crate::path::Path;
use crate::quote::ticked;
use crate::source::Source;
use crate::tree::{Entry, Node, Value};
use error::DecodeError;
pub(crate) use error::problem;

/// After this many errors the file is read no further: it is some other kind of file.
const MOST_ERRORS: usize = 50;

/// Reads the tree as a `T`. What could not be read is struck from the tree and comes back as a finding.
pub(crate) fn decode<T>(tree: &mut Node, source: &Source) -> (T, Vec<Finding>)
where
    T: de::DeserializeOwned + Default,
{
    let mut findings = Vec::new();
    while findings.len() < MOST_ERRORS {
        let error = match T::deserialize(Cursor {
            node: tree,
            path: &Path::root(),
        }) {
            Ok(decoded) => return (decoded, findings),
            Err(error) => error,
        };
        let path = error.path.unwrap_or_default();
        let span = match error.at_key {
            true => tree.key_span_of(&path),
            false => None,
        };
        let span = span.unwrap_or_else(|| tree.span_of(&path));
        findings.push(error.problem.at(source, span, path.clone()));
        tree.strike(error.strike.as_ref().unwrap_or(&path));
        if tree.struck {
            break;
        }
    }
    if findings.len() >= MOST_ERRORS {
        let enough = Problem::new(
            "there is more, but reading stopped here",
            format!("{MOST_ERRORS} errors are enough"),
            "mend these first; if this is no policy file, name the one that is",
        );
        let end = findings.last().map_or(0..0, |last| last.place.span.clone());
        findings.push(enough.at(source, end, Path::root()));
    }
    (T::default(), findings)
}

/// A place in the tree, to serde a deserializer.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    node: &'t Node,
    path: &'t Path,
}

impl Cursor<'_> {
    fn empty(self) -> DecodeError {
        let name = self.path.name();
        DecodeError::new(match name {
            None => Problem::new(
                "the policy is empty",
                "nothing is written here",
                "begin with `version: 1`",
            ),
            Some(name) => Problem::new(
                format!("{} has no value", ticked(name)),
                "it could mean \"off\" or \"with the defaults\"",
                "remove it, or write its value; a section with all its defaults is `{}`",
            ),
        })
    }
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Null => Err(self.empty()),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                path: self.path,
            }),
            Value::Map(map) => visitor.visit_map(Entries {
                entries: map.entries().iter(),
                value: None,
                path: self.path,
            }),
        }
        .map_err(|error| error.or_at(self.path.clone()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // Serde would take a list too, its items for the fields in order. No reader would.
        match self.node.value {
            Value::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
        .map_err(|error: DecodeError| error.or_at(self.path.clone()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let choice = match &self.node.value {
            Value::Text(text) => Choice {
                name: text,
                key: false,
                value: None,
                path: self.path,
            },
            Value::Map(map) => {
                let mut shown = map.entries().iter().filter(|entry| !entry.node.struck);
                match (shown.next(), shown.next()) {
                    (Some(Entry { key, node, .. }), None) => Choice {
                        name: key,
                        key: true,
                        value: Some(node),
                        path: self.path,
                    },
                    (first, _) => {
                        let many = first.is_some();
                        return Err(one_of(choices, many).or_at(self.path.clone()));
                    }
                }
            }
            Value::Null => return Err(self.empty().or_at(self.path.clone())),
            _ => return Err(one_of(choices, false).or_at(self.path.clone())),
        };
        visitor
            .visit_enum(choice)
            .map_err(|error| error.or_at(self.path.clone()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn one_of(choices: &[&str], many: bool) -> DecodeError {
    let what = if many {
        "more than one choice is made here"
    } else {
        "a choice is missing here"
    };
    let choices = crate::quote::list(choices).unwrap_or_default();
    DecodeError::new(Problem::new(
        what,
        "exactly one holds",
        format!("choose one of {choices}"),
    ))
}

struct Items<'t, I> {
    items: I,
    path: &'t Path,
}

impl<'de, 't, I: Iterator<Item = (usize, &'t Node)>> SeqAccess<'de> for Items<'t, I> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, node)) = self.items.find(|(_, node)| !node.struck) else {
            return Ok(None);
        };
        let path = self.path.index(index);
        seed.deserialize(Cursor { node, path: &path })
            .map(Some)
            .map_err(|error| error.or_at(path))
    }
}

struct Entries<'t, I> {
    entries: I,
    value: Option<&'t Entry>,
    path: &'t Path,
}

impl<'de, 't, I: Iterator<Item = &'t Entry>> MapAccess<'de> for Entries<'t, I> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some(entry) = self.entries.find(|entry| !entry.node.struck) else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key: de::value::StrDeserializer<'_, DecodeError> =
            entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| DecodeError {
                at_key: true,
                ..error.or_at(self.path.key(&entry.key))
            })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = self.path.key(&entry.key);
        seed.deserialize(Cursor {
            node: &entry.node,
            path: &path,
        })
        .map_err(|error| error.or_at(path))
    }
}

/// `name`, or `name: value`.
struct Choice<'t> {
    name: &'t str,
    /// The name is a key of the mapping at `path`.
    key: bool,
    value: Option<&'t Node>,
    path: &'t Path,
}

impl<'t> Choice<'t> {
    fn inner_path(&self) -> Path {
        if self.key {
            self.path.key(self.name)
        } else {
            self.path.clone()
        }
    }
}

impl<'de, 't> EnumAccess<'de> for Choice<'t> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name: de::value::StrDeserializer<'_, DecodeError> = self.name.into_deserializer();
        match seed.deserialize(name) {
            Ok(value) => Ok((value, self)),
            // The whole choice is struck, not its key alone: without the key nothing would be chosen.
            Err(error) => Err(error.or_at(self.path.clone())),
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        if self.value.is_none() {
            return Ok(());
        }
        let name = ticked(self.name);
        Err(DecodeError::new(Problem::new(
            format!("{name} takes no value"),
            "this choice is made by its name alone",
            format!("write {name} in place of the whole mapping"),
        ))
        .or_at(self.path.clone()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        let path = self.inner_path();
        let Some(node) = self.value else {
            let name = self.name;
            return Err(DecodeError::new(Problem::new(
                format!("{} needs a value", ticked(name)),
                "the name alone does not say how much",
                format!("write {}", ticked(&format!("{{ {name}: … }}"))),
            ))
            .or_at(path));
        };
        seed.deserialize(Cursor { node, path: &path })
            .map_err(|error| error.or_at(path.clone()))
            .map_err(|error| match &error.path {
                // Without its value nothing would be chosen.
                Some(at) if *at == path => DecodeError {
                    strike: Some(self.path.clone()),
                    ..error
                },
                _ => error,
            })
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Err(de::Error::invalid_type(Unexpected::StructVariant, &visitor))
    }
}
