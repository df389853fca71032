//! Which files a run reads.

use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use crate::config::Config;
use crate::engine::LintError;
use crate::source::{Language, is_foreign_directory};

/// Files under `paths`, sorted. Files given by name are always read; directories are walked with
/// `.gitignore` respected.
pub(crate) fn files(paths: &[PathBuf], config: &Config) -> Result<Vec<PathBuf>, LintError> {
    let mut found = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path).map_err(|source| LintError::Path {
            path: path.clone(),
            source,
        })?;
        if kind.is_file() {
            found.push(path.clone());
            continue;
        }
        let walk = WalkBuilder::new(path)
            .require_git(false)
            .filter_entry(|entry| {
                let is_root = entry.depth() == 0;
                let is_directory = entry.file_type().is_some_and(|t| t.is_dir());
                is_root
                    || !is_directory
                    || !entry.file_name().to_str().is_some_and(is_foreign_directory)
            })
            .build();
        for entry in walk.flatten() {
            let path = entry.path();
            if entry.file_type().is_some_and(|t| t.is_file())
                && Language::of(path).is_some()
                && !config.excludes(&display(path))
            {
                found.push(path.to_path_buf());
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// A path as the report writes it.
pub(crate) fn display(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./")
        .map_or(text.clone(), ToOwned::to_owned)
}
