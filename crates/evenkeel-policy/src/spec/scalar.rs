//! Single values: durations, ratios, counts and sizes.

use std::borrow::Cow;
use std::fmt;
use std::time;

use evenkeel_core::ratio;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::decode::problem;
use crate::finding::Problem;
use crate::quote::{decimal, ticked};

/// A length of time, always with its unit: `250ms`, `1m30s`.
///
/// The grammar is that of the Gateway API (GEP-2257), which Go, Istio and Envoy Gateway read too:
/// one to four groups of one to five digits and a unit out of `h`, `m`, `s` and `ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// What a duration looks like, for the schema.
const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

impl Duration {
    fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: String, help: String| {
            Problem::new(format!("{} is not a duration", ticked(text)), why, help)
        };
        let example = || "write it like `250ms`, `1s` or `1m30s`".to_owned();
        let (mut rest, mut total, mut groups) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = after.split_at(letters);
            let millis = match unit {
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1000,
                "ms" => 1,
                "" if after.is_empty() => {
                    let number = ticked(&format!("{text}ms"));
                    let seconds = ticked(&format!("{text}s"));
                    return Err(wrong(
                        "the unit is missing".to_owned(),
                        format!("write {number} or {seconds}"),
                    ));
                }
                "" if after.starts_with('.') => {
                    return Err(wrong(
                        "fractions are not part of the grammar".to_owned(),
                        "use a smaller unit: `1500ms` instead of `1.5s`".to_owned(),
                    ));
                }
                "" => {
                    return Err(wrong(
                        "a number and a unit belong here".to_owned(),
                        example(),
                    ));
                }
                unit => {
                    return Err(wrong(
                        format!("{} is not a unit here", ticked(unit)),
                        "the units are `h`, `m`, `s` and `ms`".to_owned(),
                    ));
                }
            };
            if !(1..=5).contains(&number.len()) {
                return Err(wrong(
                    "one to five digits stand before a unit".to_owned(),
                    example(),
                ));
            }
            groups += 1;
            if groups > 4 {
                return Err(wrong("more than four groups".to_owned(), example()));
            }
            // At most four times 99,999 hours: far from overflow.
            total += number.parse::<u64>().unwrap_or_default() * millis;
            rest = tail;
        }
        if groups == 0 {
            return Err(wrong("it is empty".to_owned(), example()));
        }
        Ok(Self(time::Duration::from_millis(total)))
    }
}

/// In the file's own grammar, largest unit first; what is finer than a millisecond is cut off.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            // `1500ms` reads better than `1s500ms`, and `90s` is `1m30s`.
            if unit == "s" && !millis.is_multiple_of(1000) {
                continue;
            }
            let (count, rest) = (millis / length, millis % length);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
            millis = rest;
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;

        fn bare<E: de::Error>(number: &str, help: String) -> E {
            problem(&Problem::new(
                format!("a duration needs a unit, and {number} has none"),
                "a bare number could be seconds or milliseconds",
                help,
            ))
        }

        impl Visitor<'_> for DurationVisitor {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as `250ms`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                Duration::parse(text).map_err(|wrong| problem(&wrong))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
                let help =
                    format!("write `{number}ms` for milliseconds or `{number}s` for seconds");
                Err(bare(&number.to_string(), help))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
                Err(problem(&Problem::new(
                    format!("a duration cannot be negative: {number}"),
                    "time runs forwards",
                    "write a duration such as `250ms`",
                )))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Duration, E> {
                let millis = number * 1000.0;
                let help = if millis.fract() == 0.0 && (1.0..1e8).contains(&millis) {
                    format!("write `{millis}ms` if it is meant in seconds")
                } else {
                    "write it in whole milliseconds, such as `250ms`".to_owned()
                };
                Err(bare(&decimal(number), help))
            }
        }

        deserializer.deserialize_any(DurationVisitor)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": DURATION_PATTERN,
            "description": "A length of time with its unit: `250ms`, `1m30s` (grammar of GEP-2257).",
            "examples": ["250ms", "10s", "1m30s"],
        })
    }
}

/// A share or a factor with at most three decimals: `0.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub ratio::Ratio);

impl Ratio {
    fn parse(number: f64) -> Result<Self, Problem> {
        let wrong = |why: &str, help: String| {
            Problem::new(format!("{} is not a ratio", decimal(number)), why, help)
        };
        if number < 0.0 {
            return Err(wrong(
                "it is negative",
                "write a number such as `0.2`".to_owned(),
            ));
        }
        // The shortest decimal that means this number is what was written, or shorter.
        let text = number.to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((text.as_str(), ""));
        if decimals.len() > 3 {
            return Err(wrong(
                "it has more than three decimals, and ratios are held in thousandths",
                format!("write `{number:.3}`"),
            ));
        }
        let permille = format!("{whole}{decimals:0<3}").parse().map_err(|_| {
            wrong(
                "it is out of range",
                "write a number such as `0.2`".to_owned(),
            )
        })?;
        Ok(Self(ratio::Ratio::from_permille(permille)))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0.permille()) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RatioVisitor;

        impl Visitor<'_> for RatioVisitor {
            type Value = Ratio;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number with at most three decimals, such as `0.2`")
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Ratio, E> {
                Ratio::parse(number).map_err(|wrong| problem(&wrong))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Ratio, E> {
                self.visit_f64(number as f64)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ratio, E> {
                self.visit_f64(number as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ratio, E> {
                let number = text
                    .strip_suffix('%')
                    .and_then(|p| p.trim().parse::<f64>().ok());
                let Some(percent) = number else {
                    return Err(E::invalid_type(de::Unexpected::Str(text), &self));
                };
                Err(problem(&Problem::new(
                    format!("{} is not a ratio", ticked(text)),
                    "shares are written as fractions of one",
                    format!("write `{}`", percent / 100.0),
                )))
            }
        }

        deserializer.deserialize_any(RatioVisitor)
    }
}

impl JsonSchema for Ratio {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

/// A whole number, zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u32);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0 to 4294967295")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                u32::try_from(number)
                    .map(Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
}

/// A number of bytes, with its unit: `64KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u32);

/// The units of a [`Size`], largest first.
const SIZE_UNITS: [(&str, u32); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

impl Size {
    fn parse(text: &str) -> Result<Self, Problem> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        factor
            .zip(number.parse::<u32>().ok())
            .and_then(|(factor, number)| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| {
                Problem::new(
                    format!("{} is not a size", ticked(text)),
                    "a whole number and one of the units `B`, `KiB` and `MiB`, less than 4096MiB in all",
                    "write it like `64KiB`",
                )
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u32)| self.0 > 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = SIZE_UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size with its unit, such as `64KiB`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).map_err(|wrong| problem(&wrong))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Size, E> {
                Err(problem(&Problem::new(
                    format!("a size needs a unit, and {number} has none"),
                    "a bare number could be bytes or kibibytes",
                    format!("write `{number}B`, `{number}KiB` or `{number}MiB`"),
                )))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(B|KiB|MiB)$",
            "description": "A number of bytes with its unit: `64KiB`.",
        })
    }
}
