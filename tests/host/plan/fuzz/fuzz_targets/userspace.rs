// SPDX-License-Identifier: GPL-2.0

//! The Rust crate: what it makes of any answer of a kernel, honest or not, and its slots.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

#[path = "../../../../../userspace/zcio/src/answer.rs"]
mod answer;
#[path = "../../../../../userspace/zcio/src/slots.rs"]
mod slots;

#[derive(Arbitrary, Debug)]
enum Input {
    /// A payload's place: the slot's start and length, and what the kernel says.
    Place(usize, usize, usize, usize),
    /// A sending call: the payloads' lengths, and what the kernel says it took.
    Took(Vec<u16>, usize, u64),
    /// The same, answered honestly.
    TookSome(Vec<u16>, u32),
    /// Slots: how many, and which one to give back, or to take one.
    Slots(u16, Vec<Option<u16>>),
}

fuzz_target!(|input: Input| {
    match input {
        Input::Place(start, len, base, bytes) => {
            let inside = base as u128 + bytes as u128 <= start as u128 + len as u128;
            match answer::place(start, len, base, bytes) {
                Some(range) => {
                    assert!(range.end <= len && inside && base >= start);
                    assert_eq!((range.start, range.len()), (base - start, bytes));
                }
                None => assert!(base < start || !inside),
            }
        }
        Input::Took(lens, whole, bytes) => {
            let lens: Vec<usize> = lens.into_iter().map(usize::from).collect();
            if let Some(part) = answer::part(&lens, whole, bytes) {
                let sum: usize = lens[..whole].iter().sum();
                assert_eq!((sum + part) as u64, bytes);
                assert!(part == 0 || part < lens[whole]);
            }
        }
        Input::TookSome(lens, share) => {
            let lens: Vec<usize> = lens.into_iter().map(usize::from).filter(|n| *n > 0).collect();
            let taken = share as usize % (lens.iter().sum::<usize>() + 1);
            let ends = lens.iter().scan(0, |sum, len| {
                *sum += len;
                Some(*sum)
            });
            let whole = ends.take_while(|end| *end <= taken).count();
            let part = taken - lens[..whole].iter().sum::<usize>();
            assert_eq!(answer::part(&lens, whole, taken as u64), Some(part));
        }
        Input::Slots(total, steps) => {
            let total = usize::from(total % 400);
            let mut slots = slots::Slots::new(total);
            let mut free: BTreeSet<usize> = (0..total).collect();
            let mut held = Vec::new();
            for step in steps {
                match step {
                    Some(pick) if !held.is_empty() => {
                        let slot = held.swap_remove(usize::from(pick) % held.len());
                        slots.put(slot);
                        free.insert(slot);
                    }
                    _ => {
                        let slot = slots.take();
                        assert_eq!(slot, free.pop_first());
                        held.extend(slot);
                    }
                }
                assert_eq!(slots.free(), free.len());
            }
        }
    }
});
