//! Every value that holds, and why it does.

use std::fmt;

use crate::path::Path;

/// One value of a resolved policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Which.
    pub path: Path,
    /// Its value, as the file would have it.
    pub value: String,
    /// Who decided it.
    pub origin: Origin,
}

/// Who decided a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The file, at this line.
    Written {
        /// Counted from one.
        line: usize,
    },
    /// The preset of this name, which the file chose.
    Preset(&'static str),
    /// Nobody: it is the default, where needed with its reason.
    Default(Option<&'static str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { line } => write!(f, "written, line {line}"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::Default(None) => f.write_str("default"),
            Self::Default(Some(reason)) => write!(f, "default: {reason}"),
        }
    }
}

/// The settings as a table of three columns: setting, value, origin.
#[must_use]
pub fn table(settings: &[Setting]) -> String {
    let head = ["SETTING", "VALUE", "ORIGIN"].map(str::to_owned);
    let body = settings.iter().map(|setting| {
        [
            setting.path.to_string(),
            setting.value.clone(),
            setting.origin.to_string(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(body).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    rows.iter()
        .map(|[path, value, origin]| format!("{path:first$}  {value:second$}  {origin}\n"))
        .collect()
}
