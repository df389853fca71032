//! Names of services, dependencies, upstreams and routes.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::finding::Problem;
use crate::quote::ticked;

/// A name that may stand in a metric label: lower-case letters, digits, and between them hyphens,
/// underscores and dots; at most 63 characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, as DNS has it.
    const LONGEST: usize = 63;

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str, help: String| {
            Problem::new(format!("{} cannot be a name", ticked(text)), why, help)
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if text.is_empty() || text.len() > Self::LONGEST {
            return Err(wrong(
                "a name has 1 to 63 characters",
                "choose another".to_owned(),
            ));
        }
        if let Some(odd) = text
            .chars()
            .find(|c| !plain(*c) && !matches!(c, '-' | '_' | '.'))
        {
            let better: String = text
                .to_lowercase()
                .chars()
                .map(|c| {
                    if plain(c) || matches!(c, '-' | '_' | '.') {
                        c
                    } else {
                        '-'
                    }
                })
                .collect();
            return Err(wrong(
                &format!(
                    "{} is not one of `a`–`z`, `0`–`9`, `-`, `_` and `.`",
                    ticked(&odd.to_string())
                ),
                format!("write {}", ticked(better.trim_matches(['-', '_', '.']))),
            ));
        }
        if !text.starts_with(plain) || !text.ends_with(plain) {
            return Err(wrong(
                "a name begins and ends with a letter or a digit",
                format!("write {}", ticked(text.trim_matches(['-', '_', '.']))),
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be asked with a text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}
