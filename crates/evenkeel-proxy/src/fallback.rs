//! What to answer when the upstream cannot: something fixed, or what it said last.
//!
//! An old recommendation beats an error page, as long as nobody takes it for a new one: every
//! substitute says `x-evenkeel-degraded`, and a kept answer says its `Age`. A kept answer is
//! served to whoever asks next, so what is kept obeys the rules of shared caches (RFC 9111, 3):
//! the answer to a GET, 200, asked for without credentials, that does not set cookies, is not
//! `private` and may be served without asking again; and it is found again only by a request that agrees in
//! every field the answer says it varies by. A request with an `Authorization` or `Cookie` field
//! is never answered from memory.
//!
//! Substitutes are for questions alone: to an order, a 200 would say that it was carried out.
//!
//! Memory is bounded in all and per answer; the answer that was least recently kept goes first.

use crate::config::Fallback;
use crate::problem::DEGRADED;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which question an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    route: usize,
    host: Option<HeaderValue>,
    path: PathAndQueryText,
}

type PathAndQueryText = Bytes;

impl Key {
    /// The key of a request, if a kept answer may serve it: a GET, and a HEAD, which is answered with
    /// the head of what was kept for the GET. Only the GET's own answer is ever kept.
    pub(crate) fn of(
        route: usize,
        method: &Method,
        host: Option<&HeaderValue>,
        path: &PathAndQuery,
        headers: &HeaderMap,
    ) -> Option<Key> {
        let private =
            headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE);
        let asks = method == Method::GET || method == Method::HEAD;
        (asks && !private && !headers.contains_key(header::RANGE)).then(|| Key {
            route,
            host: host.cloned(),
            path: Bytes::copy_from_slice(path.as_str().as_bytes()),
        })
    }
}

#[derive(Debug)]
struct Kept {
    headers: HeaderMap,
    /// The request's fields that the answer varies by, as they were.
    varies: Vec<(HeaderName, Option<HeaderValue>)>,
    body: Bytes,
    at: Instant,
    /// How old it already was when it came.
    age: Duration,
    /// Tells a later answer to the same question from this one, in the order of keeping.
    generation: u64,
    size: usize,
}

/// The last good answers of all routes.
#[derive(Debug)]
pub(crate) struct LastGood {
    per_answer: usize,
    total: usize,
    kept: Mutex<Store>,
}

#[derive(Debug, Default)]
struct Store {
    answers: HashMap<Key, Kept>,
    order: VecDeque<(u64, Key)>,
    generation: u64,
    size: usize,
}

impl LastGood {
    pub(crate) fn new(per_answer: usize, total: usize) -> LastGood {
        LastGood {
            per_answer,
            total,
            kept: Mutex::default(),
        }
    }

    /// Begins to keep an answer whose head is here, if it may be kept.
    pub(crate) fn capture(
        &self,
        key: Key,
        request: &HeaderMap,
        status: StatusCode,
        answer: &HeaderMap,
        length: Option<u64>,
    ) -> Option<Capture> {
        if status != StatusCode::OK
            || answer.contains_key(header::SET_COOKIE)
            || answer.contains_key(header::CONTENT_RANGE)
            || forbids_sharing(answer)
            || length.is_some_and(|length| length > self.per_answer as u64)
        {
            return None;
        }
        let mut varies = Vec::new();
        for value in answer.get_all(header::VARY) {
            for name in value
                .to_str()
                .ok()?
                .split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
            {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                varies.push((name.clone(), request.get(&name).cloned()));
            }
        }
        let mut headers = answer.clone();
        headers.remove(header::AGE);
        headers.remove(header::CONNECTION);
        Some(Capture {
            key,
            headers,
            varies,
            age: age_of(answer),
            body: Vec::with_capacity(length.unwrap_or(0).try_into().unwrap_or(0)),
            limit: self.per_answer,
        })
    }

    /// Keeps a captured answer, in place of an older one to the same question.
    pub(crate) fn keep(&self, capture: Capture, now: Instant) {
        let Capture {
            key,
            headers,
            varies,
            age,
            body,
            limit: _,
        } = capture;
        let size = body.len() + head_size(&headers) + key.path.len();
        if size > self.total {
            return;
        }
        let mut store = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        store.generation += 1;
        let generation = store.generation;
        let kept = Kept {
            headers,
            varies,
            body: body.into(),
            at: now,
            age,
            generation,
            size,
        };
        if let Some(old) = store.answers.insert(key.clone(), kept) {
            store.size -= old.size;
        }
        store.size += size;
        store.order.push_back((generation, key));
        store.shrink(self.total);
    }

    /// The kept answer to a question, if there is one that is young enough and was given to the
    /// like of this request.
    pub(crate) fn answer(
        &self,
        key: &Key,
        request: &HeaderMap,
        max_age: Duration,
        now: Instant,
    ) -> Option<Response<Bytes>> {
        let store = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = store.answers.get(key)?;
        let age = kept.age + now.saturating_duration_since(kept.at);
        let alike = kept
            .varies
            .iter()
            .all(|(name, value)| request.get(name) == value.as_ref());
        if age > max_age || !alike {
            return None;
        }
        let mut response = Response::new(kept.body.clone());
        *response.headers_mut() = kept.headers.clone();
        response
            .headers_mut()
            .insert(header::AGE, HeaderValue::from(age.as_secs()));
        response
            .headers_mut()
            .insert(DEGRADED, HeaderValue::from_static("stale"));
        Some(response)
    }
}

impl Store {
    fn shrink(&mut self, total: usize) {
        // Places of answers that were replaced since are passed over; they are dropped here too,
        // so the order is never longer than twice the answers.
        while self.size > total || self.order.len() > 2 * self.answers.len() + 16 {
            let Some((generation, key)) = self.order.pop_front() else {
                return;
            };
            match self.answers.get(&key) {
                Some(kept) if kept.generation == generation && self.size > total => {
                    self.size -= kept.size;
                    self.answers.remove(&key);
                }
                Some(kept) if kept.generation == generation => {
                    self.order.push_back((generation, key));
                }
                _ => {}
            }
        }
    }
}

/// An answer on its way to the client, and into memory.
#[derive(Debug)]
pub(crate) struct Capture {
    key: Key,
    headers: HeaderMap,
    varies: Vec<(HeaderName, Option<HeaderValue>)>,
    age: Duration,
    body: Vec<u8>,
    limit: usize,
}

impl Capture {
    /// Takes the next bytes; false when the answer has become too large to keep.
    #[must_use]
    pub(crate) fn push(&mut self, data: &[u8]) -> bool {
        let fits = self.body.len() + data.len() <= self.limit;
        if fits {
            self.body.extend_from_slice(data);
        }
        fits
    }
}

/// Whether a substitute may answer a request with this method: one that asks, and changes nothing.
pub(crate) fn may_stand_in(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "QUERY")
}

/// A fixed answer.
pub(crate) fn fixed(fallback: &Fallback) -> Option<Response<Bytes>> {
    let Fallback::Static {
        status,
        content_type,
        body,
    } = fallback
    else {
        return None;
    };
    let mut response = Response::new(body.clone());
    *response.status_mut() = *status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    headers.insert(DEGRADED, HeaderValue::from_static("static"));
    Some(response)
}

/// What forbids a shared cache to keep an answer, or to serve it without asking first, which is what
/// standing in is. `s-maxage` is among them since it means `proxy-revalidate` too (RFC 9111, 4.2.4
/// and 5.2.2.10).
const NOT_FOR_STALE: &[&str] = &[
    "private",
    "no-store",
    "no-cache",
    "must-revalidate",
    "proxy-revalidate",
    "s-maxage",
];

fn forbids_sharing(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, words: &[&str]| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().map_or(true, |text| {
                text.split(',').any(|directive| {
                    let word = directive.split('=').next().unwrap_or("").trim();
                    words.iter().any(|known| word.eq_ignore_ascii_case(known))
                })
            })
        })
    };
    says(&header::CACHE_CONTROL, NOT_FOR_STALE) || says(&header::VARY, &["*"])
}

fn age_of(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u32>().ok());
    Duration::from_secs(seconds.map_or(0, u64::from))
}

fn head_size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 64)
        .sum()
}

#[cfg(test)]
mod tests;
