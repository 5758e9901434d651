// SPDX-License-Identifier: GPL-2.0

//! The splices that were asked for on one context, by their source: those that run, and how
//! many of the last ones ended.

use super::Shared;
use crate::ground::errno;
use crate::plan::splice::End;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::Mutex;

/// The most splices that run on one context.
const MOST: usize = 65_536;

/// How many may be remembered beside those that run: from here on the oldest are looked at.
const REMEMBERED: usize = 16_384;

/// How many of the oldest are looked at for each new one.
const LOOKED_AT: usize = 4;

/// A socket, as `identity` tells it.
type Key = (u64, u64);

struct Entry {
    age: u64,
    splice: Shared,
}

struct Inner {
    splices: RBTree<Key, Entry>,
    /// The same, the oldest first.
    ages: RBTree<u64, Key>,
    count: usize,
    next_age: u64,
}

/// See above. Dropped, it ends all of them.
pub(crate) struct Table(Pin<KBox<Mutex<Inner>>>);

/// Memory for one more.
pub(crate) struct Place {
    splice: RBTreeNodeReservation<Key, Entry>,
    age: RBTreeNodeReservation<u64, Key>,
}

impl Inner {
    fn remove(&mut self, key: &Key) -> Option<Shared> {
        let entry = self.splices.remove(key)?;
        self.ages.remove(&entry.age);
        self.count -= 1;
        Some(entry.splice)
    }

    fn insert(&mut self, place: Place, key: Key, splice: Shared) {
        let age = self.next_age;
        self.next_age += 1;
        self.count += 1;
        self.splices
            .insert(place.splice.into_node(key, Entry { age, splice }));
        self.ages.insert(place.age.into_node(age, key));
    }

    /// The oldest one: forgotten if it has ended, else made the youngest.
    fn look_at_oldest(&mut self) -> Option<Shared> {
        let (&age, &key) = self.ages.iter().next()?;
        let over = self.splices.get(&key).is_none_or(|e| e.splice.is_over());
        if over {
            return self.remove(&key);
        }
        let node = self.ages.remove_node(&age)?.into_reservation();
        let age = self.next_age;
        self.next_age += 1;
        self.ages.insert(node.into_node(age, key));
        if let Some(entry) = self.splices.get_mut(&key) {
            entry.age = age;
        }
        None
    }
}

impl Table {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        let inner = Inner {
            splices: RBTree::new(),
            ages: RBTree::new(),
            count: 0,
            next_age: 0,
        };
        let mutex = KBox::pin_init(new_mutex!(inner, "zcio_splices"), GFP_KERNEL_ACCOUNT)?;
        Ok(Self(mutex))
    }

    /// Makes room for one more. ENOBUFS if there are too many.
    pub(crate) fn reserve(&self) -> Result<Place> {
        for _ in 0..LOOKED_AT {
            let mut inner = self.0.lock();
            if inner.count < REMEMBERED {
                break;
            }
            let forgotten = inner.look_at_oldest();
            drop(inner);
            drop(forgotten);
        }
        if self.0.lock().count >= MOST {
            return Err(errno::no_buffers());
        }
        Ok(Place {
            splice: RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?,
            age: RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?,
        })
    }

    /// A splice was started; what was known of its source before is forgotten.
    pub(crate) fn insert(&self, place: Place, key: Key, splice: Shared) {
        let mut inner = self.0.lock();
        let before = inner.remove(&key);
        inner.insert(place, key, splice);
        drop(inner);
        drop(before);
    }

    /// The last splice of that source.
    pub(crate) fn get(&self, key: Key) -> Option<Shared> {
        self.0.lock().splices.get(&key).map(|e| e.splice.clone())
    }

    fn take_any(&self) -> Option<Shared> {
        let mut inner = self.0.lock();
        let key = *inner.splices.keys().next()?;
        inner.remove(&key)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        while let Some(splice) = self.take_any() {
            splice.end(End::Stopped);
        }
    }
}

#[kunit_tests(zcio_splice_table)]
mod tests {
    use super::super::Splice;
    use super::*;

    #[test]
    fn last_splice_of_a_source_is_known() -> Result {
        let table = Table::new()?;
        let (first, second) = (Splice::new(false, None)?, Splice::new(false, None)?);
        assert!(table.get((1, 2)).is_none());
        table.insert(table.reserve()?, (1, 2), first.clone());
        table.insert(table.reserve()?, (1, 3), first);
        table.insert(table.reserve()?, (1, 2), second.clone());
        let known = table.get((1, 2)).ok_or(EINVAL)?;
        assert!(Shared::ptr_eq(&known, &second));
        assert!(!Shared::ptr_eq(&table.get((1, 3)).ok_or(EINVAL)?, &second));
        assert!(table.get((2, 1)).is_none());
        Ok(())
    }

    #[test]
    fn table_that_goes_ends_its_splices() -> Result {
        let table = Table::new()?;
        let (one, other) = (Splice::new(false, None)?, Splice::new(true, None)?);
        table.insert(table.reserve()?, (1, 1), one.clone());
        table.insert(table.reserve()?, (2, 2), other.clone());
        assert!(!one.is_over() && !other.is_over());
        drop(table);
        assert!(one.is_over() && other.is_over());
        Ok(())
    }

    #[test]
    fn oldest_one_is_forgotten_if_it_has_ended() -> Result {
        let table = Table::new()?;
        let (runs, ended) = (Splice::new(false, None)?, Splice::new(false, None)?);
        table.insert(table.reserve()?, (1, 1), runs);
        table.insert(table.reserve()?, (2, 2), ended.clone());
        ended.end(End::Stopped);
        // The first one runs, and becomes the youngest; the second one goes.
        assert!(table.0.lock().look_at_oldest().is_none());
        assert!(table.0.lock().look_at_oldest().is_some());
        assert!(table.get((1, 1)).is_some() && table.get((2, 2)).is_none());
        assert_eq!(table.0.lock().count, 1);
        Ok(())
    }
}
