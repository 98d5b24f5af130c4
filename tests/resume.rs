//! Files that are put into a database and got from it go on where they were cut short:
//! what has arrived is not sent again, whatever ended the process, and nothing is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::doc;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod om;
mod server;
mod stores;

use om::Om;
use server::Raw;

const CHUNK: usize = 261_120;
/// Chunks that are sent at a time.
const BATCH: usize = 32;
/// 320 chunks and a piece of one.
const LENGTH: usize = 320 * CHUNK + 12_345;

/// A database, and the binary that works on it.
struct Place {
    om: Om,
    url: String,
    raw: Raw,
}

impl Place {
    fn new() -> Self {
        let url = server::mongo().database();
        Place {
            om: Om::here(),
            raw: server::raw(&url),
            url,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.om.command(args);
        command
            .env_remove("OMEGA_STORE_URL")
            .env("OMEGA_MONGO_URL", &self.url);
        command
    }

    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let done = self.command(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "om {args:?}: {stderr}");
        done.stdout
    }

    /// How many chunks of unfinished files there are.
    fn unfinished(&self) -> usize {
        let done = self.raw.find("omegaml.files", doc! {});
        let done: Vec<_> = done.iter().map(|file| file.get("_id").unwrap()).collect();
        let mut chunks = self.raw.ids("omegaml.chunks", "files_id");
        chunks.retain(|file| !done.contains(&file));
        chunks.len()
    }

    /// Puts from standard input, which stops after some bytes; returns when all of these
    /// that fill a batch have arrived.
    fn put_partly(&self, bytes: &[u8]) -> Child {
        let mut process = self
            .command(&["datasets", "put", "-", "big", "--as", "file", "--replace"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.as_mut().unwrap().write_all(bytes).unwrap();
        let batches = bytes.len() / (BATCH * CHUNK);
        let started = Instant::now();
        while self.unfinished() < batches * BATCH {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "nothing arrives"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// Puts the rest of it and checks that what is there was not sent again.
    fn put_again(&self, content: &[u8], resent: usize) {
        let there = self.unfinished();
        let mark = doc! { "$set": { "before": true } };
        self.raw.update("omegaml.chunks", doc! {}, mark);
        let file = self.om.file("big.bin", content);
        self.ok(&["datasets", "put", &file, "big", "--as", "file", "--replace"]);
        let new = doc! { "before": { "$exists": false } };
        let sent = self.raw.count("omegaml.chunks", new);
        let all = content.len().div_ceil(CHUNK);
        assert_eq!(
            sent,
            all - there.min(all) + resent,
            "{there} chunks were there"
        );
        assert!(
            self.ok(&["datasets", "get", "big", "-"]) == content,
            "not what was put"
        );
        stores::no_leftovers(&self.url, "after the second put");
    }
}

/// Bytes of which no two chunks are alike.
fn content() -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..LENGTH).map(|_| next()).collect()
}

fn interrupt(process: &Child) {
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_put_that_was_cut_short_goes_on() {
    let place = Place::new();
    let content = content();
    let old = place.om.file("old.bin", "the old one");
    for percent in [10, 50, 90] {
        place.ok(&["datasets", "put", &old, "big", "--as", "file", "--replace"]);
        let fed = content.len() * percent / 100;
        let mut process = place.put_partly(&content[..fed]);
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(place.unfinished() >= fed / (BATCH * CHUNK) * BATCH);
        assert_eq!(place.ok(&["datasets", "get", "big", "-"]), b"the old one");
        place.put_again(&content, 0);
    }
}

#[test]
fn an_interrupted_put_goes_on_and_says_so() {
    let place = Place::new();
    let content = content();
    let half = content.len() / 2;
    let mut process = place.put_partly(&content[..half]);
    interrupt(&process);
    // It waits for bytes, and looks whether it shall stop before it sends more.
    let mut stdin = process.stdin.take().unwrap();
    let _ = stdin.write_all(&content[half..half + BATCH * CHUNK]);
    let done = process.wait_with_output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.contains("it goes on where it has stopped"),
        "{stderr}"
    );
    let listed = place.raw.find("om_writes", doc! {});
    assert_eq!(listed.len(), 1, "{listed:?}");
    place.put_again(&content, 0);
}

/// What another content has in common with the one that was cut short is used.
#[test]
fn another_content_takes_what_is_the_same() {
    let place = Place::new();
    let mut content = content();
    let mut process = place.put_partly(&content[..content.len() / 2]);
    process.kill().unwrap();
    process.wait().unwrap();
    content[5 * CHUNK + 3] ^= 1;
    content[70 * CHUNK] ^= 1;
    // One chunk of it is beyond the new end.
    content.truncate(159 * CHUNK - 1);
    place.put_again(&content, 3);
}

#[test]
fn what_was_cut_short_goes_with_a_repair() {
    let place = Place::new();
    let content = content();
    let mut process = place.put_partly(&content[..content.len() / 2]);
    process.kill().unwrap();
    process.wait().unwrap();
    let report = place.ok(&["store", "check", "--repair", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["leftovers"], 1, "{report}");
    stores::no_leftovers(&place.url, "after the repair");
    place.put_again(&content, 0);
}

#[test]
fn a_get_that_was_cut_short_goes_on() {
    let place = Place::new();
    let content = content();
    let file = place.om.file("big.bin", &content);
    place.ok(&["datasets", "put", &file, "big", "--as", "file"]);
    let stored = place.raw.find("omegaml.files", doc! {});
    let id = stored[0].get_object_id("_id").unwrap().to_hex();
    let partial = format!(".out.bin.{id}.om-part");
    let get = || {
        place.ok(&["datasets", "get", "big", "out.bin"]);
        assert!(
            !place.om.path(&partial).exists(),
            "the partial file is left"
        );
        std::fs::read(place.om.path("out.bin")).unwrap()
    };

    // What is there is gone on with: its first byte, which is wrong, stays.
    let mut half = content[..LENGTH / 2].to_vec();
    half[0] ^= 1;
    place.om.file(&partial, &half);
    let mut expected = content.clone();
    expected[0] ^= 1;
    assert!(get() == expected, "begun anew");

    // What does not end as the object does there is begun anew; so is what is too long.
    half[LENGTH / 2 - 1] ^= 1;
    place.om.file(&partial, &half);
    assert!(get() == content, "a spoilt end is gone on with");
    place.om.file(&partial, vec![0; LENGTH + 1]);
    assert!(
        get() == content,
        "what is longer than the object is gone on with"
    );

    // What an earlier content has left goes.
    place.om.file(".out.bin.0123.om-part", "x");
    assert!(get() == content);
    assert!(!place.om.path(".out.bin.0123.om-part").exists());

    // A process that is killed on the way.
    std::fs::remove_file(place.om.path("out.bin")).unwrap();
    let mut process = place
        .command(&["datasets", "get", "big", "out.bin"])
        .spawn()
        .unwrap();
    let begun = || std::fs::metadata(place.om.path(&partial)).is_ok_and(|file| file.len() > 0);
    while !begun() && process.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = process.kill();
    process.wait().unwrap();
    assert!(get() == content);
}
