//! The client's side: one name for one operation.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

/// Makes the idempotency key of an operation from what the operation is.
///
/// The key is SHA-256 over the operation's name and its fields, sorted by name: whoever computes it again,
/// after a crash or on another machine, gets the same, without having stored anything. Leave out what
/// differs between attempts, such as the time; put in what makes two operations two, such as the number of
/// the order.
///
/// ```
/// use evenkeel::idempotency::Key;
///
/// let key = Key::of("charge").field("order", "o-1").field("cents", 1250);
/// let again = Key::of("charge").field("cents", 1250).field("order", "o-1");
/// assert_eq!(key.to_string(), again.to_string());
/// assert_eq!(key.to_string().len(), 64);
/// assert_ne!(key.to_string(), Key::of("refund").field("order", "o-1").field("cents", 1250).to_string());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a key does nothing until it is sent, in the field `Idempotency-Key`"]
pub struct Key {
    operation: String,
    fields: BTreeMap<String, String>,
}

impl Key {
    /// Begins the key of an operation called `operation`.
    pub fn of(operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            fields: BTreeMap::new(),
        }
    }

    /// Adds a field of the operation; the last one with a name counts.
    pub fn field(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.fields.insert(name.into(), value.to_string());
        self
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = Sha256::new();
        add(&mut hash, self.operation.as_bytes());
        for (name, value) in &self.fields {
            add(&mut hash, name.as_bytes());
            add(&mut hash, value.as_bytes());
        }
        hash.finalize()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Adds one part to a hash, after its length, so that no two lists of parts look alike.
pub(super) fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_changes_between_versions() {
        // Computed by another program over the length-prefixed parts; a client that crashed
        // yesterday retries with yesterday's key.
        let key = Key::of("charge").field("cents", 1250).field("order", "o-1");
        assert_eq!(
            key.to_string(),
            "b4d506fed815fd0d2799c13752d3672ca22ec49b959fad5c4ac61071a1a57304"
        );
    }

    #[test]
    fn what_moves_from_one_field_to_the_next_makes_another_key() {
        let one = Key::of("charge").field("a", "bc").to_string();
        let two = Key::of("charge").field("ab", "c").to_string();
        assert_ne!(one, two);
    }
}
