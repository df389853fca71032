use std::time;

use proptest::prelude::*;

use super::{Count, Duration, Fallback, OneOrMany, OrNone, Policy, Ratio, Size};

fn duration(text: &str) -> Result<u128, String> {
    let parsed: Result<Duration, _> = serde_json::from_value(text.into());
    parsed
        .map(|Duration(time)| time.as_millis())
        .map_err(|error| error.to_string())
}

/// The grammar of GEP-2257, `^([0-9]{1,5}(h|m|s|ms)){1,4}$`, read letter by letter.
fn in_grammar(text: &str) -> bool {
    let (mut groups, mut rest) = (0, text);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let unit = ["ms", "h", "m", "s"]
            .into_iter()
            .find(|unit| after.starts_with(unit));
        let Some(unit) = unit else { return false };
        if !(1..=5).contains(&digits) {
            return false;
        }
        groups += 1;
        rest = &after[unit.len()..];
    }
    (1..=4).contains(&groups)
}

#[test]
fn durations_are_those_of_the_gateway_api() {
    // The examples of GEP-2257.
    for (text, millis) in [
        ("1h", 3_600_000),
        ("1m", 60_000),
        ("1s", 1000),
        ("1ms", 1),
        ("0h", 0),
        ("1h1m1s1ms", 3_661_001),
        ("10s30m1h", 5_410_000),
        ("1h30m", 5_400_000),
        ("20ms1s", 1020),
        ("99999h99999h99999h99999h", 4 * 99_999 * 3_600_000),
    ] {
        assert_eq!(duration(text), Ok(millis), "{text}");
    }
    for text in [
        "",
        "1",
        "1d",
        "100000h",
        "1.5s",
        "-1s",
        "1s1",
        "s",
        "1 s",
        "1S",
        "1us",
        "１s",
        "1h1h1h1h1h",
    ] {
        assert!(duration(text).is_err(), "{text} was taken");
    }
}

proptest! {
    #[test]
    fn a_text_is_a_duration_exactly_if_the_grammar_has_it(text in "([0-9]{0,6}(h|m|s|ms|d|)){0,5}") {
        prop_assert_eq!(duration(&text).is_ok(), in_grammar(&text), "{}", text);
    }

    #[test]
    fn a_duration_reads_back_as_it_is_shown(millis in 0..99_999 * 3_600_000_u64) {
        let shown = Duration(time::Duration::from_millis(millis)).to_string();
        // Milliseconds beyond five digits have no spelling in one group.
        prop_assume!(in_grammar(&shown));
        prop_assert_eq!(duration(&shown), Ok(u128::from(millis)));
    }

    #[test]
    fn a_ratio_of_three_decimals_is_held_exactly(permille in 0..5_000_000_u32) {
        let text = format!("{}.{:03}", permille / 1000, permille % 1000);
        let ratio: Ratio = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(ratio.0.permille(), permille);
    }

    #[test]
    fn a_ratio_of_more_decimals_is_refused(permille in 0..5_000_000_u32, fourth in 1..10_u8) {
        let text = format!("{}.{:03}{fourth}", permille / 1000, permille % 1000);
        prop_assert!(serde_json::from_str::<Ratio>(&text).is_err());
    }

    #[test]
    fn a_size_reads_back_as_it_is_shown(bytes in any::<u32>()) {
        let shown = serde_json::to_string(&Size(bytes)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Size>(&shown).unwrap(), Size(bytes));
    }
}

#[test]
fn every_duration_that_the_grammar_can_say_is_shown_within_it() {
    for millis in [
        0, 1, 999, 1000, 1500, 60_000, 61_500, 3_600_000, 5_400_001, 86_400_000,
    ] {
        let shown = Duration(time::Duration::from_millis(millis)).to_string();
        assert!(in_grammar(&shown), "{shown}");
    }
    assert_eq!(
        Duration(time::Duration::from_millis(90_000)).to_string(),
        "1m30s"
    );
    assert_eq!(
        Duration(time::Duration::from_millis(1500)).to_string(),
        "1500ms"
    );
}

#[test]
fn none_is_a_word_and_one_is_a_list_of_one() {
    let none: OrNone<Count> = serde_json::from_str("\"none\"").unwrap();
    let some: OrNone<Count> = serde_json::from_str("5").unwrap();
    assert_eq!((none, some), (OrNone::None, OrNone::Some(Count(5))));
    let one: OneOrMany<Fallback> = serde_json::from_str("{\"last_good\":{}}").unwrap();
    let many: OneOrMany<Fallback> = serde_json::from_str("[{\"last_good\":{}}]").unwrap();
    assert_eq!(one, many);
}

#[test]
fn what_is_written_out_reads_back_equal() {
    let text = include_str!("../../../../policies/all-settings.yaml");
    let loaded: Policy = crate::load::spec("all-settings.yaml", text).unwrap();
    let json = serde_json::to_string(&loaded).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), loaded);
    // JSON is YAML: the file could have been written so.
    assert_eq!(
        crate::load::spec("all-settings.json", &json).unwrap(),
        loaded
    );
}
