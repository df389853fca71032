//! What the proxy counts and what reports know are the same closed list of fates.

use std::collections::BTreeSet;

#[test]
fn the_proxy_and_the_reports_know_the_same_fates() {
    let counted: BTreeSet<_> = evenkeel_proxy::fate::Fate::ALL
        .map(evenkeel_proxy::fate::Fate::label)
        .into();
    let reported: BTreeSet<_> = evenkeel_report::Fate::ALL
        .map(evenkeel_report::Fate::as_str)
        .into();
    assert_eq!(counted, reported);
}
