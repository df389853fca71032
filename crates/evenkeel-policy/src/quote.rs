//! Words from the file inside our own sentences: escaped, cut short, and matched with what was meant.

/// Longer excerpts say no more about what is wrong.
const LONGEST: usize = 60;

/// How many letters may differ before a suggestion would be a guess.
fn tolerance(word: &str) -> usize {
    (word.chars().count() / 3).max(1)
}

/// `text` between two `mark`s, control characters escaped, cut after 60 characters.
pub(crate) fn quoted(text: &str, mark: char) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("{mark}{shown}{mark}")
}

/// `text` in backticks.
pub(crate) fn ticked(text: &str) -> String {
    quoted(text, '`')
}

/// `number` in digits, or with an exponent where the digits would run on.
pub(crate) fn decimal(number: f64) -> String {
    if number == 0.0 || (1e-6..1e15).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// The candidate that `word` most likely meant, if one is near.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Among more than this, the nearest is no longer likely the one that was meant.
    const MOST: usize = 200;
    if word.chars().count() > LONGEST {
        return None;
    }
    let meant = word.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .take(MOST)
        .map(|candidate| {
            let against = candidate.to_lowercase().replace('-', "_");
            (strsim::osa_distance(&meant, &against), candidate)
        })
        .filter(|(distance, _)| *distance <= tolerance(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The way out for a `word` that is none of `candidates`: "did you mean `x`?" or, where nothing is near,
/// what there is to choose from. Without candidates, `none`.
///
/// ```
/// use evenkeel_policy::suggestion;
///
/// let known = ["payments", "ledger"];
/// assert_eq!(suggestion("paymnets", &known, ""), "did you mean `payments`?");
/// assert_eq!(suggestion("search", &known, ""), "choose from `payments`, `ledger`");
/// assert_eq!(suggestion("search", &[], "define it first"), "define it first");
/// ```
#[must_use]
pub fn suggestion(word: &str, candidates: &[&str], none: &str) -> String {
    if let Some(near) = nearest(word, candidates.iter().copied()) {
        return format!("did you mean {}?", ticked(near));
    }
    list(candidates).map_or_else(|| none.to_owned(), |list| format!("choose from {list}"))
}

/// The candidates, ticked and joined by commas, at most 25 of them; none if there are none.
pub(crate) fn list(candidates: &[&str]) -> Option<String> {
    const MOST: usize = 25;
    if candidates.is_empty() {
        return None;
    }
    let shown: Vec<_> = candidates.iter().take(MOST).map(|c| ticked(c)).collect();
    let more = candidates.len().saturating_sub(MOST);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(format!("{}{tail}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_a_stranger_is_not() {
        let keys = ["deadline", "attempt_timeout", "retry"];
        assert_eq!(nearest("deadlin", keys), Some("deadline"));
        assert_eq!(nearest("attempt-timeout", keys), Some("attempt_timeout"));
        assert_eq!(nearest("Retry", keys), Some("retry"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_control_characters() {
        let shown = ticked(&"\u{1b}[31mred\n".repeat(100));
        assert!(
            shown.chars().count() < 6 * LONGEST && !shown.contains('\u{1b}') && shown.contains('…')
        );
    }
}
