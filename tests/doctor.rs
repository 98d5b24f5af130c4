//! `om doctor`: what is there, what is not, and never a secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;

use om::Om;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_sound_set_up_is_told_so() {
    let om = Om::here();
    let found = om.json(&["doctor"]);
    let status = |name: &str| {
        let checks = found.as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("{name}: {found}"))["status"].clone()
    };
    for name in ["settings", "storage", "disk", "clock", "broker", "workers"] {
        assert_eq!(status(name), "ok", "{name}: {found}");
    }
}

#[test]
fn what_cannot_be_reached_is_named_without_its_password() {
    let om = Om::here();
    let mut command = om.command(&["doctor", "-o", "json"]);
    command
        .env_remove("OMEGA_STORE_URL")
        .env("OMEGA_MONGO_URL", "mongodb://user:hush@127.0.0.1:1/db")
        .env("OMEGA_MONGO_TIMEOUT", "300")
        .env("OMEGA_BROKER", "amqp://user:hush@127.0.0.1:2//");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let failed = found.as_array().unwrap().iter();
    let failed: Vec<&str> = failed
        .filter(|check| check["status"] == "failed")
        .filter_map(|check| check["check"].as_str())
        .collect();
    assert_eq!(failed, ["storage", "broker", "workers"]);
    assert!(
        !text.contains("hush") && !errors.contains("hush"),
        "{text}{errors}"
    );
}

#[test]
fn secrets_that_others_can_read_are_warned_of() {
    let om = Om::here();
    let path = om.file("config.yml", "OMEGA_APIKEY: hush\n");
    let status = |mode: u32| {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let found = om.json(&["doctor"]);
        assert!(!found.to_string().contains("hush"));
        found[0]["status"].clone()
    };
    assert_eq!(status(0o644), "warning");
    assert_eq!(status(0o600), "ok");
}

#[test]
fn a_store_that_cannot_be_written_fails() {
    let om = Om::here();
    std::fs::write(om.store(), "a file where a directory should be").unwrap();
    let run = om.run(&["doctor"]);
    assert_ne!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.contains("failed"), "{}", run.stdout);
}
