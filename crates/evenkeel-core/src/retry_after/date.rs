//! The three forms in which HTTP writes a date.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A date of HTTP in seconds since 1970, in any of its forms: `Sun, 06 Nov 1994 08:49:37 GMT`,
/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. None: it is no date, or one before 1970.
///
/// `now`, likewise in seconds, tells in which century two digits lie: not more than fifty years ahead. That
/// the day of the week is the date's own is not checked; that there is one is.
#[must_use]
pub fn parse_date(value: &str, now: u64) -> Option<u64> {
    let (day_name, rest) = match value.split_once(", ") {
        Some(parts) => parts,
        None => return asctime(value),
    };
    let (date, time) = match rest.as_bytes().get(2)? {
        b'-' => rest.split_at_checked(9)?,
        _ => rest.split_at_checked(11)?,
    };
    let time = time.strip_prefix(' ')?.strip_suffix(" GMT")?;
    let (year, month, day) = if let Some((day, month_year)) = date.split_once('-') {
        let (month, year) = month_year.split_once('-')?;
        DAYS.contains(&day_name).then_some(())?;
        (full_year(digits(year, 2)?, now), month, day)
    } else {
        is_short_day(day_name).then_some(())?;
        let mut words = date.split(' ');
        let (day, month, year) = (words.next()?, words.next()?, words.next()?);
        (digits(year, 4)?, month, day)
    };
    seconds(year, month, digits(day, 2)?, time)
}

/// `Sun Nov  6 08:49:37 1994`: the day is padded with a space.
fn asctime(value: &str) -> Option<u64> {
    let (day_name, rest) = value.split_at_checked(3)?;
    let (month, rest) = rest.strip_prefix(' ')?.split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(' ')?.split_at_checked(2)?;
    let (time, year) = rest.strip_prefix(' ')?.split_at_checked(8)?;
    is_short_day(day_name).then_some(())?;
    let day = match day.strip_prefix(' ') {
        Some(single) => digits(single, 1)?,
        None => digits(day, 2)?,
    };
    seconds(digits(year.strip_prefix(' ')?, 4)?, month, day, time)
}

fn seconds(year: u64, month: &str, day: u64, time: &str) -> Option<u64> {
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // A leap second is written as the sixtieth.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    if !is_time || day == 0 || day > days_of(year, month) || year < 1970 {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The year that ends in `two` digits and is not more than fifty years after `now`.
const fn full_year(two: u64, now: u64) -> u64 {
    // A year of 365.2425 days: off by a day at most, where fifty years are meant.
    let this = 1970 + now / 31_556_952;
    let year = this / 100 * 100 + two;
    if year > this.saturating_add(50) {
        year - 100
    } else if year + 50 < this {
        year + 100
    } else {
        year
    }
}

/// Days from 1970 to a date of the Gregorian calendar, by years that begin in March, so that a leap day is
/// the last of its year. After Hinnant, *chrono-Compatible Low-Level Date Algorithms*.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    /// From the first of March of the year 0 to 1970.
    const EPOCH: u64 = 719_468;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - EPOCH
}

const fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_short_day(name: &str) -> bool {
    DAYS.iter().any(|day| day.get(..3) == Some(name))
}

/// Exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In 2026.
    const NOW: u64 = 1_795_000_000;

    #[test]
    fn one_instant_in_three_forms() {
        for written in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(written, NOW), Some(784_111_777), "{written}");
        }
    }

    #[test]
    fn two_digits_are_a_year_of_the_last_or_the_next_fifty() {
        let year = |two| full_year(two, NOW);
        assert_eq!(
            [year(26), year(76), year(77), year(99), year(0)],
            [2026, 2076, 1977, 1999, 2000]
        );
        assert_eq!(full_year(10, 3_950_000_000), 2110, "in 2095");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for garbage in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Noe 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 06 08:49:37 1994 GMT",
            "Sun, 06 Növ 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(garbage, NOW), None, "{garbage}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..2405 {
            for month in 1..=12 {
                for day in 1..=days_of(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_that_is_almost_a_date_panics(at in 0..29_usize, with in any::<char>(), now in any::<u64>()) {
            let mut written: Vec<char> = "Sun, 06 Nov 1994 08:49:37 GMT".chars().collect();
            written[at] = with;
            let _either = parse_date(&written.into_iter().collect::<String>(), now);
        }
    }
}
