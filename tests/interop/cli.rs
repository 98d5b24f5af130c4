//! The command lines of both, on one database.

use super::python;
use super::server;
use std::process::Command;

/// Runs a command in a time zone far away and gives what it prints.
fn run(mut command: Command, args: &[&str]) -> String {
    let output = command.args(args).env("TZ", "Asia/Tokyo").output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{args:?}: {out} {err}");
    out.into_owned()
}

#[test]
fn python_shows_and_gets_what_om_has_put() {
    let url = server::mongo().database();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sales.csv");
    std::fs::write(&file, "qty,region\n1,north\n2,söuth\n").unwrap();
    let om = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_om"));
        command
            .env_clear()
            .env("HOME", home.path())
            .env("OMEGA_MONGO_URL", &url);
        command.current_dir(home.path());
        command
    };
    let python = || python::command("om", &url, home.path());
    run(
        om(),
        &[
            "datasets",
            "put",
            file.to_str().unwrap(),
            "sales",
            "--attributes",
            "owner=me",
        ],
    );

    let listed = run(python(), &["datasets", "list"]);
    assert!(listed.contains("sales"), "{listed}");
    let shown: serde_json::Value =
        serde_json::from_str(&run(python(), &["datasets", "metadata", "sales"])).unwrap();
    let ours: serde_json::Value =
        serde_json::from_str(&run(om(), &["datasets", "metadata", "sales"])).unwrap();
    assert_eq!(shown, ours);
    assert_eq!(shown["attributes"]["owner"], "me");
    // Times are the writer's wall clock: nine hours ahead of UTC.
    let created = shown["created"]["$date"].as_i64().unwrap();
    let ahead = created - chrono::Utc::now().timestamp_millis();
    assert!(
        (8 * 3600 * 1000..=9 * 3600 * 1000).contains(&ahead),
        "{ahead}"
    );

    let got = home.path().join("got.csv");
    run(
        python(),
        &["datasets", "get", "sales", got.to_str().unwrap()],
    );
    let got = std::fs::read_to_string(&got).unwrap();
    assert!(
        got.contains("qty,region") && got.contains("1,north") && got.contains("2,söuth"),
        "{got}"
    );
    run(
        python(),
        &["datasets", "put", file.to_str().unwrap(), "theirs"],
    );
    let theirs = run(om(), &["datasets", "get", "theirs", "-"]);
    assert_eq!(theirs, "qty,region\n1,north\n2,söuth\n");
}
