//! Records in Redis or Valkey: one store for many instances of a service.
//!
//! Each step is one script, so that it is atomic, in one round trip; time is the server's, so that clocks
//! of instances do not matter. What Redis forgets, because it was not told to write to disk or because a
//! replica took over that had not heard of it yet, may be done again: for work that must not, keep the
//! records where the work is.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Script, Value};

use super::answer::Answer;
use super::record::{Recovery, millis};
use super::store::{Begun, Claim, Fingerprint, Place, Store, StoreError, Terms};

/// A server that has not answered by then is not going to in time for a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// `f` fingerprint, `t` token, `s` state, `l` end of the lease, `a` answer.
const BEGIN: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HMGET', KEYS[1], 'f', 's', 'l', 'a')
if record[1] then
  if record[1] ~= ARGV[1] then return {'mismatch'} end
  if record[2] == 'done' then return {'replay', record[4]} end
  if record[2] == 'running' and now < tonumber(record[3]) then
    return {'in_flight', tonumber(record[3]) - now}
  end
  if ARGV[5] == '0' then return {'in_doubt'} end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'f', ARGV[1], 't', ARGV[2], 's', 'running', 'l', now + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'new'}
";

const IS_IN_FLIGHT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HMGET', KEYS[1], 's', 'l')
if record[1] == 'running' and now < tonumber(record[2]) then return 1 end
return 0
";

/// Whether the claim holds; what is done then stands in the second argument.
const CHANGE: &str = r"
local record = redis.call('HMGET', KEYS[1], 't', 's')
if record[1] ~= ARGV[1] then return 0 end
if record[2] == 'done' then return 1 end
if record[2] ~= 'running' then return 0 end
if ARGV[2] == 'finish' then
  redis.call('HSET', KEYS[1], 's', 'done', 'a', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'abandon' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == 'doubt' then
  redis.call('HSET', KEYS[1], 's', 'in_doubt')
else
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'l', now + ARGV[3])
end
return 1
";

/// Keeps records in a Redis or Valkey server, over one connection that is made anew when it breaks. Cheap to
/// clone; clones share it.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
    prefix: String,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects to the server at `url` (`redis://host:port/database`). All keys begin with `prefix`.
    ///
    /// # Errors
    /// The URL cannot be read, or the server does not answer within a second.
    pub async fn connect(url: &str, prefix: impl Into<String>) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(StoreError::new)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(StoreError::new)?;
        Ok(Self {
            connection,
            prefix: prefix.into(),
        })
    }

    fn key(&self, place: Place) -> Vec<u8> {
        [self.prefix.as_bytes(), &place.0].concat()
    }

    async fn change(
        &self,
        claim: &Claim,
        what: &str,
        time: Duration,
        answer: &[u8],
    ) -> Result<bool, StoreError> {
        let script = Script::new(CHANGE);
        let mut call = script.key(self.key(claim.place));
        call.arg(claim.token)
            .arg(what)
            .arg(millis(time))
            .arg(answer);
        let held: i64 = call
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(StoreError::new)?;
        Ok(held == 1)
    }
}

impl Store for RedisStore {
    async fn begin(
        &self,
        place: Place,
        request: Fingerprint,
        terms: &Terms,
    ) -> Result<Begun, StoreError> {
        let claim = Claim::new(place, terms);
        let script = Script::new(BEGIN);
        let mut call = script.key(self.key(place));
        call.arg(&request.0)
            .arg(claim.token)
            .arg(millis(terms.lease))
            .arg(millis(terms.ttl))
            .arg(u8::from(terms.recovery == Recovery::RunAgain));
        let said: Vec<Value> = call
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(StoreError::new)?;
        let word = match said.first() {
            Some(Value::BulkString(word)) => word.as_slice(),
            _ => &[],
        };
        match (word, said.get(1)) {
            (b"new", _) => Ok(Begun::New(claim)),
            (b"mismatch", _) => Ok(Begun::Mismatch),
            (b"in_doubt", _) => Ok(Begun::InDoubt),
            (b"in_flight", Some(Value::Int(left))) => Ok(Begun::InFlight {
                lease_left: Duration::from_millis(u64::try_from(*left).unwrap_or_default()),
            }),
            // One that cannot be read was written by another version: it was done.
            (b"replay", Some(Value::BulkString(answer))) => {
                Ok(Answer::decode(answer).map_or(Begun::InDoubt, Begun::Replay))
            }
            _ => Err(StoreError::new(format!(
                "an answer that no script gives: {said:?}"
            ))),
        }
    }

    async fn is_in_flight(&self, place: Place) -> Result<bool, StoreError> {
        let script = Script::new(IS_IN_FLIGHT);
        let running: i64 = script
            .key(self.key(place))
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(StoreError::new)?;
        Ok(running == 1)
    }

    async fn finish(&self, claim: &Claim, answer: &Answer) -> Result<bool, StoreError> {
        self.change(claim, "finish", claim.terms.ttl, &answer.encode())
            .await
    }

    async fn abandon(&self, claim: &Claim) -> Result<(), StoreError> {
        self.change(claim, "abandon", Duration::ZERO, &[])
            .await
            .map(drop)
    }

    async fn doubt(&self, claim: &Claim) -> Result<(), StoreError> {
        self.change(claim, "doubt", Duration::ZERO, &[])
            .await
            .map(drop)
    }

    async fn renew(&self, claim: &Claim) -> Result<bool, StoreError> {
        self.change(claim, "renew", claim.terms.lease, &[]).await
    }
}

#[cfg(test)]
mod tests;
