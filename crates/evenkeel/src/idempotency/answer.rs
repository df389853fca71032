//! An answer as it is kept.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// The version of the encoding. A record of another version is not read, and its key is in doubt.
const VERSION: u8 = 1;

/// What a handler answered, to be given again.
///
/// ```
/// use evenkeel::idempotency::Answer;
/// use http::StatusCode;
///
/// let answer = Answer::new(StatusCode::CREATED, r#"{"order":7}"#).header("content-type", "application/json");
/// assert_eq!(Answer::decode(&answer.encode()), Some(answer));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    /// None: it was too large to be kept.
    body: Option<Bytes>,
}

impl Answer {
    /// An answer with this status and body, and no fields.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Some(body.into()),
        }
    }

    /// An answer that was given and is too large to be given again.
    #[must_use]
    pub fn too_large(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same, with a field; one that cannot stand in an answer is left out when it is given.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn with_headers(mut self, all: &HeaderMap, kept: &[HeaderName]) -> Self {
        for name in kept {
            for value in all.get_all(name) {
                self.headers
                    .push((name.as_str().to_owned(), value.as_bytes().to_vec()));
            }
        }
        self
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer's body; none if it was too large to be kept.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The answer as a response; a body that was not kept is empty.
    #[must_use]
    pub fn to_response<B: From<Bytes>>(&self) -> Response<B> {
        let body = self.body.clone().unwrap_or_default();
        let mut response = Response::new(B::from(body));
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }

    /// The answer as bytes, for stores.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.status.as_u16().to_be_bytes());
        bytes.extend(length(self.headers.len()));
        for (name, value) in &self.headers {
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, value);
        }
        bytes.push(u8::from(self.body.is_some()));
        if let Some(body) = &self.body {
            put(&mut bytes, body);
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; none if it is something else.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let [version] = take(input, 1)?.try_into().ok()?;
        if version != VERSION {
            return None;
        }
        let status = u16::from_be_bytes(take(input, 2)?.try_into().ok()?);
        let count = read_length(input)?;
        let mut answer = Self::too_large(StatusCode::from_u16(status).ok()?);
        for _ in 0..count {
            let name = String::from_utf8(get(input)?.to_vec()).ok()?;
            answer = answer.header(name, get(input)?);
        }
        if take(input, 1)? == [1] {
            answer.body = Some(Bytes::copy_from_slice(get(input)?));
        }
        input.is_empty().then_some(answer)
    }
}

fn length(length: usize) -> [u8; 4] {
    // Bodies are bounded far below this.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(length(part.len()));
    bytes.extend(part);
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(taken)
}

fn read_length(input: &mut &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(take(input, 4)?.try_into().ok()?);
    usize::try_from(length).ok()
}

fn get<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read_length(input)?;
    take(input, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_answer_is_read_as_it_was_written(
            status in 100_u16..600, body in proptest::option::of(any::<Vec<u8>>()),
            headers in proptest::collection::vec(("[a-z-]{1,20}", any::<Vec<u8>>()), 0..4),
        ) {
            let mut answer = Answer::too_large(StatusCode::from_u16(status).unwrap());
            answer.body = body.map(Bytes::from);
            answer.headers = headers;
            let bytes = answer.encode();
            prop_assert_eq!(Answer::decode(&bytes), Some(answer));
            prop_assert_eq!(Answer::decode(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
            let _ = Answer::decode(&bytes);
        }
    }
}
