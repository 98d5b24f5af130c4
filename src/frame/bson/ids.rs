//! Runs of object ids: the ids of one writer's documents, next to each other.

use rand::Rng;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many ids there are in a second of the run.
const A_SECOND: u32 = 1 << 24;

/// Object ids (bsonspec.org: 4 bytes of time, 5 of chance, 3 that count) that share their
/// chance bytes and count up from zero. As long as fewer than 16.7 million are taken, all
/// lie in a range that no other writer's ids are in; beyond that the time moves on.
#[derive(Debug, Clone)]
pub struct ObjectIds {
    seconds: u32,
    chance: [u8; 5],
    count: u32,
}

impl ObjectIds {
    /// A new run, from now on.
    pub fn new() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        ObjectIds {
            seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            chance: rand::thread_rng().r#gen(),
            count: 0,
        }
    }

    /// The next id.
    #[inline]
    #[allow(clippy::should_implement_trait)] // It has no end.
    pub fn next(&mut self) -> [u8; 12] {
        if self.count == A_SECOND {
            self.count = 0;
            self.seconds = self.seconds.wrapping_add(1);
        }
        let id = self.at(self.count);
        self.count += 1;
        id
    }

    /// The id that was given last, or would be first.
    pub fn last(&self) -> [u8; 12] {
        self.at(self.count.saturating_sub(1))
    }

    fn at(&self, count: u32) -> [u8; 12] {
        let mut id = [0; 12];
        let [_, counter @ ..] = count.to_be_bytes();
        for (to, from) in id.iter_mut().zip(
            self.seconds
                .to_be_bytes()
                .into_iter()
                .chain(self.chance)
                .chain(counter),
        ) {
            *to = from;
        }
        id
    }
}

impl Default for ObjectIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_and_stay_together() {
        let mut ids = ObjectIds::new();
        let first = ids.next();
        let mut before = first;
        for _ in 0..1000 {
            let id = ids.next();
            assert!(id > before);
            before = id;
        }
        assert_eq!(ids.last(), before);
        assert_eq!(first.first_chunk::<9>(), before.first_chunk::<9>());
        ids.count = A_SECOND - 1;
        let last = ids.next();
        assert!(ids.next() > last);
    }
}
