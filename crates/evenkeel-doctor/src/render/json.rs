//! One JSON object.

use serde::Serialize;

use crate::finding::Diagnosis;

/// Version of the object's shape; it rises when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Object<'a> {
    schema_version: u32,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Renders the diagnosis as one line of JSON with a line end.
pub fn to_json(diagnosis: &Diagnosis) -> String {
    let object = Object {
        schema_version: SCHEMA_VERSION,
        diagnosis,
    };
    // Strings, numbers and lists only: there is nothing in it that could fail.
    let mut text = serde_json::to_string(&object).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_carries_its_version_and_the_verdict() {
        let diagnosis = crate::diagnose(&crate::Capture::default());
        let value: serde_json::Value = serde_json::from_str(&to_json(&diagnosis)).unwrap();
        assert_eq!(value["schema_version"], 1);
        assert_eq!(value["verdict"], "healthy");
    }
}
