// SPDX-License-Identifier: MIT
//! Which slots of a window or pool are free.

/// A set of free slots, one bit each. Slots are handed out lowest first: the ones
/// used together lie together, which keeps the kernel's page-table work small.
#[derive(Debug)]
pub(crate) struct Slots {
    /// A set bit is a free slot.
    words: Vec<u64>,
    free: usize,
    /// No word before this one has a free slot.
    first: usize,
}

impl Slots {
    /// `total` slots, all free.
    pub fn new(total: usize) -> Slots {
        let mut words = vec![u64::MAX; total / 64];
        if total % 64 != 0 {
            words.push((1 << (total % 64)) - 1);
        }
        Slots { words, free: total, first: 0 }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// Takes the lowest free slot.
    pub fn take(&mut self) -> Option<usize> {
        let ahead = self.words[self.first..].iter().position(|word| *word != 0)?;
        self.first += ahead;
        let word = &mut self.words[self.first];
        let bit = word.trailing_zeros() as usize;
        *word &= *word - 1;
        self.free -= 1;
        Some(self.first * 64 + bit)
    }

    /// Gives a slot back. Panics if it is free already.
    pub fn put(&mut self, slot: usize) {
        let (index, bit) = (slot / 64, 1 << (slot % 64));
        assert_eq!(self.words[index] & bit, 0, "slot {slot} was given back twice");
        self.words[index] |= bit;
        self.free += 1;
        self.first = self.first.min(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        // Miri is a thousand times slower.
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

        /// Against a model: a set of free slots, of which the lowest is taken.
        #[test]
        fn like_the_model(
            total in 0usize..300,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..if cfg!(miri) { 40 } else { 600 }),
        ) {
            let mut slots = Slots::new(total);
            let mut free: BTreeSet<usize> = (0..total).collect();
            let mut taken = Vec::new();
            for (take, pick) in steps {
                if take {
                    let got = slots.take();
                    prop_assert_eq!(got, free.pop_first());
                    taken.extend(got);
                } else if !taken.is_empty() {
                    let slot = taken.swap_remove(pick.index(taken.len()));
                    slots.put(slot);
                    free.insert(slot);
                }
                prop_assert_eq!(slots.free(), free.len());
            }
        }
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn twice() {
        let mut slots = Slots::new(3);
        let slot = slots.take().unwrap();
        slots.put(slot);
        slots.put(slot);
    }
}
