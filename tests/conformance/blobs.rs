//! Blobs.

use super::given::*;
use omega::ErrorKind;
use omega::storage::{Mode, Storage};
use std::io::{Read, Seek, SeekFrom};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

pub fn come_back(storage: &dyn Storage) {
    for length in [1, 1000, 128 * 1024, 128 * 1024 + 1, 3_000_000] {
        let stored = put_blob(storage, &key("a"), &pattern(length)).unwrap();
        assert_eq!(bytes(storage, &key("a")), pattern(length));
        assert_eq!(storage.blob(&stored).unwrap().length(), length as u64);
        let stats = storage.stats(&stored).unwrap();
        assert_eq!((stats.count, stats.bytes), (None, length as u64));
    }
}

pub fn can_be_empty(storage: &dyn Storage) {
    let stored = put_blob(storage, &key("a"), b"").unwrap();
    assert!(stored.gridfile.is_some());
    assert_eq!(bytes(storage, &key("a")), b"");
    assert_eq!(storage.blob(&stored).unwrap().length(), 0);
}

pub fn can_be_read_from_anywhere(storage: &dyn Storage) {
    let all = pattern(700_000);
    let stored = put_blob(storage, &key("a"), &all).unwrap();
    let mut blob = storage.blob(&stored).unwrap();
    for (to, position) in [
        (SeekFrom::Start(500_000), 500_000),
        (SeekFrom::Current(-400_000), 100_000 + 10 - 10),
        (SeekFrom::End(-5), 699_995),
        (SeekFrom::Start(131_071), 131_071),
        (SeekFrom::Start(0), 0),
    ] {
        assert_eq!(blob.seek(to).unwrap(), position);
        let mut some = vec![0; 10.min(all.len() - position as usize)];
        blob.read_exact(&mut some).unwrap();
        assert_eq!(some, all[position as usize..][..some.len()]);
        blob.seek(SeekFrom::Start(position)).unwrap();
    }
    assert_eq!(blob.seek(SeekFrom::End(100)).unwrap(), 700_100);
    assert_eq!(blob.read(&mut [0; 4]).unwrap(), 0);
    assert!(blob.seek(SeekFrom::Current(-800_000)).is_err());
    blob.seek(SeekFrom::Start(699_999)).unwrap();
    let mut rest = Vec::new();
    assert_eq!(blob.read_to_end(&mut rest).unwrap(), 1);
}

pub fn stay_readable_when_replaced(storage: &dyn Storage) {
    let stored = put_blob(storage, &key("a"), &pattern(500_000)).unwrap();
    let mut blob = storage.blob(&stored).unwrap();
    put_blob(storage, &key("a"), b"new").unwrap();
    storage.delete(&key("a")).unwrap();
    let mut all = Vec::new();
    blob.read_to_end(&mut all).unwrap();
    assert_eq!(all, pattern(500_000));
}

pub fn cannot_be_appended_to(storage: &dyn Storage) {
    put_blob(storage, &key("a"), b"x").unwrap();
    let mut writer = storage.write(&key("a"), Mode::Append).unwrap();
    assert_eq!(writer.bytes(b"y").unwrap_err().kind(), ErrorKind::Conflict);
}
