//! Places that are used again.

/// Values by number; a number that was given back is given out again, the last one first, so that what is
/// hot in the cache stays so.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts `value` into a free place and answers its number.
    #[inline]
    pub(crate) fn put(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = value;
                place
            }
            None => {
                self.places.push(value);
                #[expect(clippy::cast_possible_truncation, reason = "memory ends before")]
                let place = (self.places.len() - 1) as u32;
                place
            }
        }
    }

    /// Puts a value into a free place; `make` is shown what was in it before.
    #[inline]
    pub(crate) fn put_with(&mut self, make: impl FnOnce(Option<&mut T>) -> T) -> u32 {
        match self.free.pop() {
            Some(place) => {
                let used = &mut self.places[place as usize];
                *used = make(Some(used));
                place
            }
            None => self.put(make(None)),
        }
    }

    /// How many places there are, in use or free.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Gives the place back. What is in it stays until the place is used again.
    #[inline]
    pub(crate) fn give_back(&mut self, place: u32) {
        self.free.push(place);
    }
}

impl<T> core::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: u32) -> &T {
        &self.places[place as usize]
    }
}

impl<T> core::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.places[place as usize]
    }
}
