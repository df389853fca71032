//! One JSON object.

use serde::Serialize;

use crate::finding::Diagnosis;
use crate::scaling::Scaling;

/// Version of the object's shape; it rises when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// What `evenkeel doctor --format json` prints.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(title = "Diagnosis")]
struct Object<'a, T> {
    /// Version of this object's shape; it rises when a field changes its meaning or goes.
    schema_version: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// Renders the diagnosis as one line of JSON with a line end.
pub fn to_json(diagnosis: &Diagnosis) -> String {
    line(diagnosis)
}

/// Renders what an experiment says as one line of JSON with a line end.
pub fn scaling_to_json(scaling: &Scaling) -> String {
    line(scaling)
}

/// The JSON schema of a diagnosis, with a line end.
pub fn diagnosis_schema() -> String {
    let schema = schemars::schema_for!(Object<'static, Diagnosis>);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn line<T: Serialize>(content: &T) -> String {
    let object = Object {
        schema_version: SCHEMA_VERSION,
        content,
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

    #[test]
    fn what_is_printed_is_what_the_schema_says() {
        let schema: serde_json::Value = serde_json::from_str(&diagnosis_schema()).unwrap();
        let dump = "goroutine 7 [chan send, 49 minutes]:\nmain.f()\n\tf.go:1 +0x1\n";
        let capture = crate::source::read_stream("x", dump.as_bytes()).unwrap();
        for diagnosis in [
            crate::diagnose(&capture),
            crate::diagnose(&crate::Capture::default()),
        ] {
            let value = serde_json::from_str(&to_json(&diagnosis)).unwrap();
            if let Err(error) = jsonschema::validate(&schema, &value) {
                panic!("{error}");
            }
        }
        assert!(!jsonschema::is_valid(
            &schema,
            &serde_json::json!({"verdict": "unwell"})
        ));
    }
}
