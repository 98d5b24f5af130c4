//! Completion, by asking the real binary as a shell does, and in a real bash.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod home;

use home::{Home, OM, Run};
use std::path::Path;

fn complete(home: &Home, words: &[&str]) -> Vec<String> {
    let run = Run::of(
        home.om(&[&["--", "om"], words].concat())
            .env("OM_COMPLETE", "bash")
            .output()
            .unwrap(),
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    run.stdout
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

#[test]
fn shells_are_answered() {
    let home = Home::new();
    home.run(&["config", "set", "OMEGA_BUCKET", "b", "--profile", "my lab"]);
    assert_eq!(complete(&home, &["conf"]), ["config"]);
    assert_eq!(complete(&home, &["config", "use", ""]), ["my lab"]);
    assert_eq!(complete(&home, &["--profile", "m"]), ["my lab"]);
    assert_eq!(
        complete(&home, &["config", "get", "OMEGA_TASK_T"]),
        ["OMEGA_TASK_TIMEOUT"]
    );
    assert_eq!(complete(&home, &["-o", "js"]), ["json", "jsonl"]);
    assert_eq!(complete(&home, &["--color=n"]), ["--color=never"]);
    assert_eq!(complete(&home, &["config", "show", "--or"]), ["--origin"]);
    assert_eq!(complete(&home, &["help", "exit"]), ["exit-codes"]);
    // Options are offered to who types a dash, or where there is nothing else.
    assert!(
        complete(&home, &["config", ""])
            .iter()
            .all(|word| !word.starts_with('-'))
    );
    assert!(complete(&home, &["config", "show", ""]).contains(&"--origin".to_owned()));
}

/// Broken settings must not break the shell.
#[test]
fn completion_survives_broken_settings() {
    let home = Home::new();
    home.write(".config/omegaml/profiles.yml", "[");
    home.write("config.yml", "[");
    assert_eq!(complete(&home, &["conf"]), ["config"]);
    assert_eq!(complete(&home, &["--profile", ""]), Vec::<String>::new());
    assert_eq!(complete(&home, &[]), Vec::<String>::new());
    let run = Run::of(home.om(&[]).env("OM_COMPLETE", "tcsh").output().unwrap());
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (0, "", "")
    );
}

/// A server that never answers must not hold up who presses Tab. This test does not end
/// if it does: the server is silent until completion is through.
#[test]
fn completion_does_not_wait_for_servers() {
    let home = Home::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    home.write(
        "config.yml",
        &format!(
            "OMEGA_MONGO_URL: mongodb://127.0.0.1:{port}/omega\nOMEGA_MONGO_TIMEOUT: 86400000\n"
        ),
    );
    for words in [
        &["datasets", "get", ""][..],
        &["datasets", "get", "sales["],
        &["datasets", "query", "sales", "other", "--columns", "a"],
        &["models", "show", ""],
    ] {
        let offered = complete(&home, words);
        assert!(
            offered.iter().all(|word| word.starts_with('-')),
            "{offered:?}"
        );
    }
    drop(silent);
    // Nor for one that is not there.
    assert!(complete(&home, &["datasets", "get", "s"]).is_empty());
}

/// The script in the repository, in a real bash: what it leaves in COMPREPLY.
#[test]
fn bash_completes() {
    let home = Home::new();
    home.run(&["config", "set", "OMEGA_BUCKET", "b", "--profile", "my $lab"]);
    let folder = Path::new(OM).parent().unwrap().display().to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/om.bash");
    for (words, current, reply) in [
        ("om conf", "conf", "config"),
        ("om config use my", "my", "my\\ \\$lab"),
        ("om config use 'my\\ '", "my\\ ", "my\\ \\$lab"),
        ("om config use '\"my'", "my", "my $lab"),
        ("om --color = al", "al", "always"),
        ("om help exi", "exi", "exit-codes"),
    ] {
        let line = format!(
            "PATH={folder}:$PATH; source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _om om '{current}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let run = Run::of(
            home.isolated("bash")
                .args(["--norc", "-c", &line])
                .output()
                .unwrap(),
        );
        assert_eq!(
            (run.stdout.trim_end(), run.stderr.as_str()),
            (reply, ""),
            "{words}"
        );
    }
}
