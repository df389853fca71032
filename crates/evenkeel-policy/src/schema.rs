//! The JSON schema of the policy file: what editors complete and check while it is written.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::spec::Policy;

/// The schema (JSON Schema, draft 2020-12) as text, with a line break at its end.
#[must_use]
pub fn policy() -> String {
    of::<Policy>()
}

/// The schema of another file that is read as this one is, as text with a line break at its end.
#[must_use]
pub fn of<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(AsWritten);
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    format!("{:#}\n", schema.to_value())
}

/// What the loader takes, rather than what serde would: a setting is absent or has a value, never null.
/// And descriptions without the line breaks of our source.
#[derive(Debug, Clone)]
struct AsWritten;

impl Transform for AsWritten {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(one)] = choices.as_slice() {
                let one = one.clone();
                schema.remove("anyOf");
                for (key, value) in one {
                    // What is said about the setting outranks what is said about its type.
                    if schema.get(&key).is_none() {
                        schema.insert(key, value);
                    }
                }
            }
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let paragraphs: Vec<_> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
            *text = paragraphs.join("\n\n");
        }
    }
}
