//! What a reader could not make sense of, kept beside what it could.
//!
//! A dump taken from a dying process is cut, interleaved or old. A reader that fails on it helps
//! nobody at three in the morning, so every parser here returns its value together with notes.

use std::fmt;

/// A value read from foreign bytes, and what its reader has to say about those bytes.
pub type Parsed<T> = (T, Vec<Note>);

/// One remark about the input: where, and what is wrong or missing there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Note {
    /// File, line or section the remark is about.
    pub place: String,
    /// The remark, one clause without a full stop.
    pub text: String,
}

impl Note {
    /// Builds a note about `place`.
    pub fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
