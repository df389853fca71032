//! From a file to a policy, or to everything that is wrong with it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Policy;
use crate::decode::decode;
use crate::explain::Setting;
use crate::finding::{Error, Finding, Invalid, LoadError, Problem, Warning};
use crate::render::{self, Look};
use crate::resolve;
use crate::resolve::scope::Notes;
use crate::source::Source;
use crate::spec;
use crate::yaml;

/// A policy that can be used, and what is worth knowing about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What works, but is probably not meant; in the order of the file's lines.
    pub warnings: Vec<Warning>,
    /// Every value with its origin.
    pub settings: Vec<Setting>,
    source: Source,
}

impl Loaded {
    /// The warnings, each with its line; empty if there are none.
    #[must_use]
    pub fn render_warnings(&self, look: Look) -> String {
        render::warnings(look, &self.source, &self.warnings)
    }
}

/// Reads a policy file.
///
/// # Errors
/// The file cannot be read, or says something that cannot hold: then all of what cannot, at once.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(&name, file),
        Err(cause) => Err(LoadError::Unreadable { name, cause }),
    }
}

/// Reads a policy from wherever it comes; `name` stands for it in messages. No more is read than a policy
/// may have.
///
/// # Errors
/// As [`load`].
pub fn read(name: &str, from: impl Read) -> Result<Loaded, LoadError> {
    // One byte more than allowed tells a file that is too large from one that just fits.
    let most = u64::try_from(yaml::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    if let Err(cause) = from.take(most).read_to_end(&mut bytes) {
        return Err(LoadError::Unreadable {
            name: name.to_owned(),
            cause,
        });
    }
    if bytes.len() > yaml::MAX_BYTES {
        return Err(too_large(name));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(name, &text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let problem = Problem::new(
                "the file is not UTF-8",
                "this byte belongs to no character",
                "save the file as UTF-8",
            );
            let source = Source::new(name, &text);
            let finding = problem.at(&source, valid..valid, crate::Path::root());
            Err(refused(finding, source))
        }
    }
}

/// Reads a policy from a text; `name` stands for it in messages.
///
/// # Errors
/// The text says something that cannot hold: then all of what cannot, at once. Where the text is not YAML
/// at all, that is the only error.
pub fn parse(name: &str, text: &str) -> Result<Loaded, LoadError> {
    if text.len() > yaml::MAX_BYTES {
        return Err(too_large(name));
    }
    let source = Source::new(name, text);
    let (mut tree, repeated) = match yaml::read(&source) {
        Ok(read) => read,
        Err(refusal) => return Err(refused(refusal.at(&source), source)),
    };
    let (spec, wrong) = decode::<spec::Policy>(&mut tree, &source);
    let misread = tree.struck;

    let mut errors: Vec<Error> = repeated
        .into_iter()
        .map(|refusal| Error::new(refusal.at(&source)))
        .chain(wrong.into_iter().map(Error::new))
        .collect();
    let notes = Notes::new(&source, &tree);
    // Where the whole document is something else, every further word would be noise.
    let policy = if misread {
        None
    } else {
        resolve::policy(&notes.root(), &spec)
    };
    let (noted, mut warnings, settings) = notes.into_parts();
    if !misread {
        errors.extend(noted);
    }
    // What an alias repeats is wrong once, where it is written.
    errors.sort_by(|a, b| a.finding().order().cmp(&b.finding().order()));
    errors.dedup_by(|a, b| a.finding().order() == b.finding().order());
    warnings.sort_by(|a, b| a.finding().order().cmp(&b.finding().order()));
    warnings.dedup_by(|a, b| a.finding().order() == b.finding().order());
    match policy {
        Some(policy) if errors.is_empty() => Ok(Loaded {
            policy,
            warnings,
            settings,
            source,
        }),
        _ => Err(LoadError::Invalid(Invalid {
            source,
            errors,
            warnings,
        })),
    }
}

fn refused(finding: Finding, source: Source) -> LoadError {
    LoadError::Invalid(Invalid {
        source,
        errors: vec![Error::new(finding)],
        warnings: Vec::new(),
    })
}

fn too_large(name: &str) -> LoadError {
    let most = yaml::MAX_BYTES;
    let problem = Problem::new(
        "too large for a policy file",
        format!("at most {most} bytes are read"),
        "name the policy file; if this is one, split it by service",
    );
    let source = Source::new(name, "");
    refused(problem.at(&source, 0..0, crate::Path::root()), source)
}

/// The written form alone; none if it is not YAML or does not have its shape.
#[cfg(test)]
pub(crate) fn spec(name: &str, text: &str) -> Option<spec::Policy> {
    let source = Source::new(name, text);
    let (mut tree, repeated) = yaml::read(&source).ok()?;
    let (spec, wrong) = decode::<spec::Policy>(&mut tree, &source);
    (repeated.is_empty() && wrong.is_empty()).then_some(spec)
}
