//! What a request says of itself.

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::problem::Problem;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// On 429 and 503: admission refused it, and nothing was done.
pub(super) const OVERLOAD: HeaderName = HeaderName::from_static("x-evenkeel-overload");

/// Characters of a key: what Stripe allows, and everybody after it.
const LONGEST_KEY: usize = 255;

/// The key of a request, without its quotes: bare, as the world sends it, and quoted, as the draft wants
/// it, are the same key. None if there is none.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Problem::Malformed)?.trim();
    let inner = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or(Problem::Malformed)?,
        None => text.to_owned(),
    };
    let visible = inner
        .bytes()
        .all(|byte| (0x21..=0x7e).contains(&byte) || byte == b' ');
    let long_enough = (1..=LONGEST_KEY).contains(&inner.len());
    // Two keys would be two operations.
    if values.next().is_some() || !visible || !long_enough {
        return Err(Problem::Malformed);
    }
    Ok(Some(inner))
}

/// The rest of a structured field's String (RFC 9651), after its first quote.
fn unquoted(quoted: &str) -> Option<String> {
    let mut inner = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(inner),
            '\\' => match rest.next()? {
                escaped @ ('"' | '\\') => inner.push(escaped),
                _ => return None,
            },
            plain => inner.push(plain),
        }
    }
}

/// Whose keys they are, where nobody says otherwise: those of whoever shows these credentials.
pub(super) fn by_credential(parts: &Parts) -> Vec<u8> {
    let shown = parts.headers.get_all(http::header::AUTHORIZATION);
    let mut scope = Vec::new();
    for value in shown {
        scope.extend_from_slice(value.as_bytes());
        scope.push(0);
    }
    scope
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(values: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        key(&headers)
    }

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        for written in ["8e03978e", "\"8e03978e\"", "  8e03978e "] {
            assert_eq!(of(&[written]), Ok(Some("8e03978e".to_owned())), "{written}");
        }
        assert_eq!(of(&[r#""a\"b\\c""#]), Ok(Some(r#"a"b\c"#.to_owned())));
        assert_eq!(of(&[]), Ok(None));
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        let long = "x".repeat(256);
        for values in [
            &["a", "b"][..],
            &[""],
            &["\"\""],
            &["\"open"],
            &["\"a\"b"],
            &[r#""a\b""#],
            &[long.as_str()],
            &["tab\tbed"],
        ] {
            assert_eq!(of(values), Err(Problem::Malformed), "{values:?}");
        }
    }
}
