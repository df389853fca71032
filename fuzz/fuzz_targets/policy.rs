//! Whatever bytes come in, the policy loader answers, and its report can be shown.

#![no_main]

use evenkeel_policy::Look;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match evenkeel_policy::read("policy.yaml", bytes) {
        Ok(loaded) => {
            let _ = loaded.render_warnings(Look::Plain);
        }
        Err(error) => {
            assert!(!error.errors().is_empty(), "refused without a reason");
            let _ = error.render(Look::Plain);
        }
    }
});
