//! What a pickle remembers under a number to mention again.

use super::arena::Slot;
use std::collections::HashMap;

/// Remembered values. Writers count up from nought; other numbers are kept apart, so that a
/// large one costs no more than a small one.
#[derive(Default)]
pub(super) struct Memo {
    counted: Vec<Slot>,
    others: HashMap<u64, Slot>,
}

impl Memo {
    pub(super) fn put(&mut self, index: u64, slot: Slot) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(known) = self.counted.get_mut(place) {
            *known = slot;
        } else if place == self.counted.len() {
            self.counted.push(slot);
        } else {
            self.others.insert(index, slot);
        }
    }

    pub(super) fn get(&self, index: u64) -> Option<&Slot> {
        let counted = usize::try_from(index).ok();
        counted
            .and_then(|place| self.counted.get(place))
            .or_else(|| self.others.get(&index))
    }

    pub(super) fn len(&self) -> u64 {
        (self.counted.len() + self.others.len()) as u64
    }
}
