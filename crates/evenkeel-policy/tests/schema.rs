//! The committed schema is the one the code makes.

use std::fs;
use std::path::Path;

#[test]
fn the_committed_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/policy.schema.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == evenkeel_policy::schema::policy(),
        "schemas/policy.schema.json is not what the code makes; write it again with\n\n    \
         cargo run -p evenkeel-cli -- schema policy > schemas/policy.schema.json\n"
    );
}
