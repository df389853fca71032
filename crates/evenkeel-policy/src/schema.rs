//! The JSON schema of the policy file: what editors complete and check while it is written.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;

use crate::spec::Policy;

/// The schema (JSON Schema, draft 2020-12) as text, with a line break at its end.
#[must_use]
pub fn policy() -> String {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let schema = generator.into_root_schema_for::<Policy>();
    format!("{:#}\n", schema.to_value())
}
