//! The doctor against labelled captures of services that were sick, or only looked it.

use std::path::Path;

use evenkeel_doctor::score;

/// Of 73 verdicts at least 70, of a hundred lines at least 85, and no healthy service called sick.
#[test]
fn labelled_captures_are_judged_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/doctor-cases");
    if !folder.is_dir() {
        println!("skipped: no labelled captures at {}", folder.display());
        return;
    }
    let score = score(&folder, |_| true).unwrap();
    let report = score.report();
    println!("{report}");
    assert!(score.cases > 0, "{report}");
    assert!(score.verdicts_right * 73 >= score.cases * 70, "{report}");
    assert!(
        score.culprits_right * 100 >= score.culprits * 85,
        "{report}"
    );
    assert_eq!(score.healthy_called_sick, 0, "{report}");
}
