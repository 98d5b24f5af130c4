//! Records: taken by one of many, changed field by field, listed, expired.

use bson::doc;
use omega::storage::Storage;
use omega::storage::records::{Alteration, Change, Record, When, now};

fn made(id: &str, state: &str, created: i64) -> Record {
    Record {
        created,
        body: doc! { "name": id, "tries": 1_i64 },
        ..Record::new(id, state)
    }
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

pub fn come_back_as_they_were(storage: &dyn Storage) {
    let records = storage.records("things");
    assert_eq!(records.get("a").unwrap(), None);
    assert!(records.list(&[], 10).unwrap().is_empty());
    assert!(
        records
            .change(&Alteration::all(&["a"], &[], &Change::default()))
            .unwrap()
            .is_empty()
    );
    assert_eq!(records.remove(&["a"]).unwrap(), 0);
    let record = Record {
        owner: "wörker 1".to_owned(),
        due: Some(1_700_000_000_123),
        expires: Some(now() + 100_000),
        body: doc! { "b": { "c": [1, 2.5, "x"] }, "a": bson::Bson::Null },
        ..Record::new("id/with.odd$ chars", "STARTED")
    };
    assert!(records.insert(&[]).unwrap().is_empty());
    assert!(records.insert(std::slice::from_ref(&record)).unwrap().is_empty());
    assert_eq!(records.get(&record.id).unwrap(), Some(record.clone()));
    // Spaces have nothing to do with one another, and objects none with records.
    assert_eq!(storage.records("others").get(&record.id).unwrap(), None);
    assert_eq!(records.remove(&[&record.id, "other"]).unwrap(), 1);
    assert_eq!(records.get(&record.id).unwrap(), None);
}

pub fn an_id_is_taken_once(storage: &dyn Storage) {
    let records = storage.records("things");
    let first = [made("a", "NEW", 1), made("b", "NEW", 2)];
    assert!(records.insert(&first).unwrap().is_empty());
    let second = [
        made("b", "OTHER", 3),
        made("c", "OTHER", 4),
        made("a", "OTHER", 5),
    ];
    let mut there = records.insert(&second).unwrap();
    there.sort();
    assert_eq!(there, ["a", "b"]);
    assert_eq!(records.insert(&second[..1]).unwrap(), ["b"]);
    assert_eq!(records.get("a").unwrap().unwrap(), first[0]);
    assert_eq!(records.get("c").unwrap().unwrap(), second[1]);
}

pub fn change_on_condition(storage: &dyn Storage) {
    let records = storage.records("things");
    let leased = Record {
        due: Some(1_000),
        ..made("leased", "STARTED", 3)
    };
    let all = [made("new", "NEW", 1), made("done", "DONE", 2), leased];
    records.insert(&all).unwrap();
    let expired = When {
        due_by: Some(2_000),
        ..When::states(&["STARTED"])
    };
    let take = Change {
        state: Some("STARTED".to_owned()),
        owner: Some("me".to_owned()),
        due: Some(Some(9_000)),
        expires: Some(Some(now() + 100_000)),
        set: vec![
            ("by".to_owned(), "me".into()),
            ("name".to_owned(), doc! { "x": 1 }.into()),
        ],
        add: vec![("tries".to_owned(), 1), ("more".to_owned(), 2)],
    };
    let conditions = [When::states(&["NEW", "RETRY"]), expired.clone()];
    let everybody = ["new", "done", "leased", "nobody"];
    let mut taken = records
        .change(&Alteration::all(&everybody, &conditions, &take))
        .unwrap();
    taken.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ids(&taken), ["leased", "new"]);
    for record in &taken {
        assert_eq!(records.get(&record.id).unwrap().as_ref(), Some(record));
        assert_eq!((record.owner.as_str(), record.due), ("me", Some(9_000)));
        assert_eq!(
            record.body,
            doc! { "name": { "x": 1 }, "tries": 2_i64, "by": "me", "more": 2_i64 }
        );
    }
    assert!(
        records
            .change(&Alteration::all(&everybody, &conditions, &take))
            .unwrap()
            .is_empty()
    );
    assert_eq!(records.get("done").unwrap().unwrap(), all[1]);
    let done = Change {
        state: Some("DONE".to_owned()),
        due: Some(None),
        expires: Some(None),
        ..Change::default()
    };
    let mine = |owner: &str| When {
        owner: Some(owner.to_owned()),
        ..When::default()
    };
    assert!(
        records
            .change(&Alteration::all(&["new"], &[mine("you")], &done))
            .unwrap()
            .is_empty()
    );
    let after = records
        .change(&Alteration::all(&["new"], &[mine("me")], &done))
        .unwrap();
    assert_eq!((after[0].due, after[0].expires), (None, None));
    assert_eq!(after[0].owner, "me");
    assert!(
        records
            .change(&Alteration::all(&["new"], &[expired], &done))
            .unwrap()
            .is_empty()
    );
}

pub fn are_listed_newest_first(storage: &dyn Storage) {
    let records = storage.records("things");
    let many: Vec<Record> = (0..20)
        .map(|n| Record {
            due: (n % 2 == 0).then_some(n),
            ..made(&format!("r{n:02}"), ["A", "B", "C"][n as usize % 3], n)
        })
        .collect();
    records.insert(&many).unwrap();
    let list = |conditions: &[When], limit| {
        let found = records.list(conditions, limit).unwrap();
        ids(&found)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&[], 3), ["r19", "r18", "r17"]);
    assert_eq!(list(&[], 0), Vec::<String>::new());
    assert_eq!(list(&[], u64::MAX).len(), 20);
    assert_eq!(list(&[When::states(&["A"])], 2), ["r18", "r15"]);
    let due = When {
        due_by: Some(5),
        ..When::default()
    };
    assert_eq!(list(std::slice::from_ref(&due), 9), ["r04", "r02", "r00"]);
    assert_eq!(list(&[due, When::states(&["C"])], 2), ["r17", "r14"]);
}

pub fn one_of_many_takes_it(storage: &dyn Storage) {
    let all: Vec<Record> = (0..40).map(|n| made(&n.to_string(), "NEW", n)).collect();
    storage.records("things").insert(&all).unwrap();
    let taken: Vec<String> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..8)
            .map(|taker: usize| {
                let all = &all;
                scope.spawn(move || {
                    let records = storage.records("things");
                    let take = Change {
                        state: Some("TAKEN".to_owned()),
                        owner: Some(taker.to_string()),
                        ..Change::default()
                    };
                    let mut mine = Vec::new();
                    for batch in all.chunks(taker % 3 + 1) {
                        let wanted: Vec<&str> = ids(batch);
                        let new = [When::states(&["NEW"])];
                        mine.extend(
                            records
                                .change(&Alteration::all(&wanted, &new, &take))
                                .unwrap(),
                        );
                    }
                    assert!(mine.iter().all(|record| record.owner == taker.to_string()));
                    mine
                })
            })
            .collect();
        takers
            .into_iter()
            .flat_map(|taker| taker.join().unwrap())
            .map(|record| record.id)
            .collect()
    });
    assert_eq!(taken.len(), all.len());
    let distinct: std::collections::BTreeSet<_> = taken.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

pub fn expire(storage: &dyn Storage) {
    let records = storage.records("things");
    let old = Record {
        expires: Some(now() - 5_000),
        ..made("old", "DONE", 1)
    };
    let young = Record {
        expires: Some(now() + 100_000),
        ..made("young", "DONE", 2)
    };
    records
        .insert(&[old, young, made("forever", "DONE", 3)])
        .unwrap();
    // The server may have been faster.
    assert!(records.sweep().unwrap() <= 1);
    assert_eq!(ids(&records.list(&[], 10).unwrap()), ["forever", "young"]);
}
