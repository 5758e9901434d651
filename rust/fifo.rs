// SPDX-License-Identifier: GPL-2.0

//! A queue of pages that never has to allocate when a page comes.

use crate::ground::page::OwnedPage;
use kernel::prelude::*;

/// A queue of pages: two stacks, the one to take from in reverse.
pub(crate) struct Fifo {
    incoming: KVVec<OwnedPage>,
    outgoing: KVVec<OwnedPage>,
}

impl Fifo {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self {
            incoming: KVVec::new(),
            outgoing: KVVec::new(),
        }
    }

    /// All of them, the oldest not always first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &OwnedPage> {
        Iterator::chain(self.outgoing.iter().rev(), &self.incoming)
    }

    /// Pages in it.
    pub(crate) fn len(&self) -> usize {
        self.incoming.len() + self.outgoing.len()
    }

    /// Makes room for `n` more, so that `push` cannot fail.
    pub(crate) fn reserve(&mut self, n: usize) -> Result {
        let all = self.len();
        self.incoming
            .reserve(all + n - self.incoming.len(), GFP_KERNEL)?;
        let missing = (all + n).saturating_sub(self.outgoing.len());
        Ok(self.outgoing.reserve(missing, GFP_KERNEL)?)
    }

    /// Adds a page; gives it back where `reserve` had not made room.
    pub(crate) fn push(&mut self, page: OwnedPage) -> Option<OwnedPage> {
        self.incoming.push_within_capacity(page).err().map(|e| e.0)
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<OwnedPage> {
        if self.outgoing.is_empty() {
            while self.outgoing.len() < self.outgoing.capacity() {
                let Some(page) = self.incoming.pop() else {
                    break;
                };
                // There is room, as the loop's condition says.
                let _ = self.outgoing.push_within_capacity(page);
            }
        }
        self.outgoing.pop()
    }
}

#[kunit_tests(zcio_fifo)]
mod tests {
    use super::*;
    use crate::plan::dma::Zone;

    #[test]
    fn line_is_first_in_first_out() -> Result {
        let mut line = Fifo::new();
        let mut expected = KVVec::new();
        // Pushes and pops of many lengths, so that pages wait in both halves.
        for (pushes, pops) in [(5, 2), (1, 3), (7, 0), (3, 8), (2, 5)] {
            line.reserve(pushes)?;
            for _ in 0..pushes {
                let page = OwnedPage::to_send(Zone::All)?;
                expected.push(page.id(), GFP_KERNEL)?;
                assert!(line.push(page).is_none());
            }
            for _ in 0..pops.min(line.len()) {
                let oldest = expected.remove(0).map_err(|_| EINVAL)?;
                assert_eq!(line.pop().map(|page| page.id()), Some(oldest));
            }
            assert_eq!(line.len(), expected.len());
        }
        assert!(line.pop().is_none());
        Ok(())
    }

    #[test]
    fn line_without_room_gives_the_page_back() -> Result {
        let mut line = Fifo::new();
        assert!(line.push(OwnedPage::to_send(Zone::All)?).is_some());
        assert_eq!(line.len(), 0);
        Ok(())
    }
}
