//! Logs: entries come back in order, the oldest go, and they are data sets like any other.

use bson::{DateTime, Document, doc};
use omega::storage::log::LOG_BYTES;
use omega::storage::{Key, Metadata, Selection, Storage};

fn log(storage: &dyn Storage) -> Box<dyn omega::storage::log::Log> {
    let key = Key::new("omegaml", "data/", ".omega/logs");
    storage.log(Metadata::new(key, "pandas.rawdict"))
}

fn entry(number: i32, size: usize) -> Document {
    let created = DateTime::from_millis(1_700_000_000_000 + i64::from(number));
    doc! { "number": number, "msg": "x".repeat(size), "created": created }
}

fn numbers(entries: &[Document]) -> Vec<i32> {
    entries
        .iter()
        .map(|entry| entry.get_i32("number").unwrap())
        .collect()
}

pub fn entries_come_back_in_order(storage: &dyn Storage) {
    let log = log(storage);
    assert!(log.since(None).unwrap().is_empty());
    log.append(vec![entry(0, 3), entry(1, 3)]).unwrap();
    log.append(vec![entry(2, 0)]).unwrap();
    assert_eq!(numbers(&log.since(None).unwrap()), [0, 1, 2]);
    let later = DateTime::from_millis(1_700_000_000_001);
    assert_eq!(numbers(&log.since(Some(later)).unwrap()), [1, 2]);
}

pub fn are_objects(storage: &dyn Storage) {
    log(storage).append(vec![entry(0, 3)]).unwrap();
    let selection = Selection {
        hidden: true,
        ..Selection::new("omegaml", "data/")
    };
    let listed = storage.list(&selection).unwrap();
    let [found] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!(found.kind, "pandas.rawdict");
    assert_eq!(storage.documents(found).unwrap().count(), 1);
    assert_eq!(storage.stats(found).unwrap().count, Some(1));
    assert!(storage.delete(&found.key).unwrap());
    assert!(log(storage).since(None).unwrap().is_empty());
    log(storage).append(vec![entry(7, 3)]).unwrap();
    assert_eq!(numbers(&log(storage).since(None).unwrap()), [7]);
}

pub fn the_oldest_entries_go(storage: &dyn Storage) {
    let log = log(storage);
    let (size, batches) = (1_000, 60);
    for batch in 0..batches {
        let entries = (0..50).map(|place| entry(batch * 50 + place, size));
        log.append(entries.collect()).unwrap();
    }
    let left = numbers(&log.since(None).unwrap());
    assert_eq!(left.last(), Some(&(batches * 50 - 1)));
    assert!(left.is_sorted(), "{left:?}");
    let most = usize::try_from(LOG_BYTES).unwrap() / size;
    assert!((most / 2..=most).contains(&left.len()), "{}", left.len());
}

pub fn many_write_at_once(storage: &dyn Storage) {
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for place in 0..20 {
                    log(storage)
                        .append(vec![entry(writer * 20 + place, 10)])
                        .unwrap();
                }
            });
        }
    });
    let mut found = numbers(&log(storage).since(None).unwrap());
    found.sort_unstable();
    assert_eq!(found, (0..160).collect::<Vec<i32>>());
}
