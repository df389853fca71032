//! A map that many threads share.
//!
//! One lock around a map is right until it is what everybody waits for. This one has a lock for each few
//! entries, which is held for as long as it takes to copy a value out. It wraps `scc`, which measured best
//! here of those that are kept up (the figures are in `docs/measurements/maps.md`), behind the few
//! operations that are hard to get wrong: no guard leaves this module, so none can be held across an
//! await or while another is taken.
//!
//! The functions that are handed in run under such a lock: they must be short, and must not use the same
//! map, which would wait for itself.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

/// A map for many threads. Values are cloned out: make them cheap to clone, such as an `Arc`.
///
/// ```
/// use evenkeel::map::Map;
/// use std::sync::Arc;
///
/// let sessions = Map::<String, Arc<str>>::new();
/// sessions.insert("s-1".to_owned(), Arc::from("alice"));
/// assert_eq!(sessions.get("s-1").as_deref(), Some("alice"));
/// assert_eq!(sessions.remove("s-1").as_deref(), Some("alice"));
/// assert_eq!(sessions.get("s-1"), None);
/// ```
pub struct Map<K, V, S = RandomState>(scc::HashMap<K, V, S>)
where
    S: BuildHasher;

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Map<K, V> {
    /// An empty map. Its hashes cannot be guessed from outside, so keys may be what strangers send.
    #[must_use]
    pub fn new() -> Self {
        Self::with_hasher(RandomState::new())
    }
}

impl<K, V, S: BuildHasher> Map<K, V, S> {
    /// An empty map that hashes with `hasher`: a quicker one where no stranger chooses the keys.
    #[must_use]
    pub fn with_hasher(hasher: S) -> Self {
        Self(scc::HashMap::with_hasher(hasher))
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// How many entries there are: as of some instant during the call.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.read_sync(key, |_, value| value.clone())
    }

    /// Sets the value of `key`; answers the one it had.
    pub fn insert(&self, key: K, value: V) -> Option<V> {
        self.0.upsert_sync(key, value)
    }

    /// The value of `key`, made by `make` if there is none. It is made once, however many ask at once.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        self.0.entry_sync(key).or_insert_with(make).get().clone()
    }

    /// Changes the value of `key` in one step; answers what it is now, or none if there is no such key.
    pub fn update<Q>(&self, key: &Q, change: impl FnOnce(&mut V)) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.update_sync(key, |_, value| {
            change(value);
            value.clone()
        })
    }

    /// Takes `key` out; answers its value.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove_sync(key).map(|(_, value)| value)
    }

    /// Keeps what `keep` says. Entries that come meanwhile may or may not be looked at.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain_sync(|key, value| keep(key, value));
    }

    /// Looks at every entry that is there during the whole call, and perhaps at some that are not.
    pub fn for_each(&self, mut look: impl FnMut(&K, &V)) {
        self.0.iter_sync(|key, value| {
            look(key, value);
            true
        });
    }
}

impl<K, V, S: BuildHasher> fmt::Debug for Map<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn updates_of_many_threads_are_all_counted() {
        let map = Map::new();
        map.insert("pages", 0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1000)
                        .for_each(|_| assert!(map.update("pages", |count| *count += 1).is_some()));
                });
            }
        });
        assert_eq!(map.get("pages"), Some(4000));
    }

    #[test]
    fn all_who_make_a_value_at_once_get_the_same() {
        let (map, made) = (Map::new(), AtomicU32::new(0));
        let values: Vec<u32> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        map.get_or_insert_with(7, || made.fetch_add(1, Ordering::Relaxed))
                    })
                })
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .collect()
        });
        assert_eq!(values, [0; 8]);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let map = Map::new();
        for key in 0..100 {
            map.insert(key, key);
        }
        map.retain(|key, _| key % 2 == 0);
        let mut sum = 0;
        map.for_each(|_, value| sum += value);
        assert_eq!((map.len(), sum), (50, 2450));
        assert!(!map.is_empty());
    }
}
