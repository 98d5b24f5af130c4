//! The ground of the command line: formats, exit codes, errors, secrets, pipes, colour,
//! Ctrl-C.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod home;

use home::{Home, OM, Run};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Every leaf of the tree that works by itself on an empty machine.
const WORKING: &[&[&str]] = &[
    &["config", "show"],
    &["config", "list", "--origin"],
    &["config", "get", "OMEGA_LOGLEVEL"],
    &["config", "path"],
    &["config", "profiles"],
    &["completion", "bash"],
    &["completion", "zsh"],
    &["completion", "fish"],
    &["help"],
    &["help", "config", "set"],
    &["help", "environment"],
    &["help", "exit-codes"],
    &["help", "filters"],
    &["help", "formatting"],
    &["version"],
    &["--version"],
    &["--help"],
    &["config", "--help"],
    &["config", "set", "-h"],
];

const FAILING: &[(&[&str], i32, &str)] = &[
    (&["config", "get", "OMEGA_BROKER"], 3, "not_found"),
    (&["config", "get", "OMEGA_LOGLEVL"], 3, "not_found"),
    (&["config", "use", "nowhere"], 3, "not_found"),
    (&["config", "unset", "OMEGA_BUCKET"], 3, "not_found"),
    (&["config", "set", "OM_PROFILE", "x"], 3, "not_found"),
    (&["config", "show", "--config", "none.yml"], 3, "not_found"),
    (&["config", "show", "--profile", "none"], 3, "not_found"),
    (&["config", "show", "--store", "s3://bucket"], 2, "usage"),
    (&["config", "show", "--loglevel", "loud"], 2, "usage"),
    (&["config", "show", "--timeout", "soon"], 2, "usage"),
    (&["config", "show", "--no-such"], 2, "usage"),
    (&["config", "set", "OMEGA_CONFIG_FILE", "x"], 2, "usage"),
    (&["config", "set", "OMEGA_BUCKET"], 2, "usage"),
    (&["help", "nothing"], 2, "usage"),
    (&["nothing"], 2, "usage"),
    (&["config", "shw"], 2, "usage"),
];

const FORMATS: [&str; 7] = ["table", "wide", "json", "jsonl", "yaml", "csv", "name"];

#[test]
fn what_works_works_in_every_format_and_says_nothing_on_stderr() {
    let home = Home::new();
    for args in WORKING {
        for format in [None, Some("json"), Some("csv"), Some("wide")] {
            let mut args = args.to_vec();
            if let Some(format) = format {
                if args.len() == 1 && args[0].starts_with("--") {
                    continue;
                }
                args.extend(["-o", format]);
            }
            let run = home.run(&args);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
            assert!(
                !run.stdout.is_empty() && run.stdout.ends_with('\n'),
                "{args:?}"
            );
            assert!(!run.stdout.contains('\u{1b}'), "{args:?}");
        }
    }
}

#[test]
fn failures_have_their_exit_code_in_every_format_and_an_empty_stdout() {
    let home = Home::new();
    for (args, code, kind) in FAILING {
        for format in FORMATS {
            let mut args = args.to_vec();
            args.extend(["-o", format]);
            let run = home.run(&args);
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (*code, ""),
                "{args:?} {}",
                run.stderr
            );
            if matches!(format, "json" | "jsonl") {
                let document: Value = serde_json::from_str(&run.stderr).expect(&run.stderr);
                assert_eq!(document["schema"], "om/1");
                let error = &document["error"];
                assert_eq!(
                    (&error["code"], &error["kind"]),
                    (&json!(code), &json!(kind)),
                    "{args:?}"
                );
                assert!(
                    error["message"]
                        .as_str()
                        .is_some_and(|message| !message.is_empty())
                );
                assert_eq!(error["retryable"], false);
                let keys: Vec<_> = error.as_object().unwrap().keys().collect();
                assert_eq!(
                    keys,
                    ["code", "kind", "message", "object", "hint", "retryable"]
                );
            } else {
                let lines: Vec<_> = run.stderr.lines().collect();
                assert_eq!(lines.len(), 2, "{args:?} {lines:?}");
                assert!(
                    lines[0].starts_with("error: ") && lines[1].starts_with("hint: "),
                    "{lines:?}"
                );
            }
        }
    }
}

#[test]
fn without_arguments_help_is_on_stderr() {
    let home = Home::new();
    let run = home.run(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert_eq!(run.stderr, home.run(&["--help"]).stdout);
    assert_eq!(run.stderr, home.run(&["help"]).stdout);
    assert_eq!(home.run(&["config"]).code, 2);
    assert_eq!(home.run(&["--version"]).stdout, "om 0.1.0\n");
}

#[test]
fn the_root_help_is_frozen() {
    insta::assert_snapshot!(Home::new().run(&["--help"]).stdout, @r"
    omega|ml in one binary: data sets, models, jobs and scripts under a name

    Usage: om [OPTIONS] <COMMAND>

    Objects:
      datasets    Tables, arrays, documents and files
      models      Make and look at models
      jobs        Notebooks that run as jobs
      scripts     Packages and programs
      streams     Streams of messages

    Work:
      runtime     Train models, predict, run tasks
      server      Serve the REST API and the dashboard, and say who may use them
      cloud       Which server to work on, as whom
      shell       Python with om connected
      backends    Programs that run models which om itself cannot

    Set-up:
      store       Look after the place where objects live
      doctor      Check the settings and everything that they name
      config      Show and change settings
      completion  Print a shell's completion script
      help        Explain a command or a topic
      version     Print the version

    Global options:
      -o, --output <FORMAT>   Format of results: table, wide, json, jsonl, yaml, csv or name
          --json              Same as -o json
      -q, --quiet             No notes, no progress, no questions: answer yes [alias: --noinput]
      -y, --yes               Answer yes to questions
      -v, --verbose...        Log more: -v what is done, -vv details, -vvv everything
          --loglevel <LEVEL>  Log level: ERROR, WARNING, INFO, DEBUG or TRACE
          --config <FILE>     Configuration file
          --profile <NAME>    Named profile (see: om config profiles)
          --bucket <NAME>     Bucket
          --store <DIR>       Directory (or file: URL) of the store
          --local-runtime     Run tasks in this process
          --color <WHEN>      Colour: auto, always or never
          --no-progress       No progress bars
          --timeout <TIME>    Give up after this time: 30s, 5m, 1h (exit code 124)
      -h, --help              Print help

    More: om help COMMAND; om help environment, exit-codes, filters, formatting
    ");
}

#[test]
fn near_names_are_suggested() {
    let home = Home::new();
    home.write(
        ".config/omegaml/profiles.yml",
        "profiles: {production: {OMEGA_BUCKET: p}}",
    );
    for (args, near) in [
        (&["confg", "show"][..], "`config`"),
        (&["config", "shwo"], "`show`"),
        (&["config", "show", "--orign"], "`--origin`"),
        (&["help", "formating"], "`formatting`"),
        (&["completion", "bsh"], "`bash`"),
        (&["config", "get", "OMEGA_BUKET"], "`OMEGA_BUCKET`"),
        (&["config", "use", "prodction"], "`production`"),
    ] {
        let run = home.run(args);
        assert!(
            run.stderr.contains(&format!("hint: did you mean {near}?")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn options_count_anywhere_and_omegaml_s_forms_work() {
    let home = Home::new();
    for args in [
        &["--bucket", "b", "config", "get", "OMEGA_BUCKET"][..],
        &["config", "--bucket=b", "get", "OMEGA_BUCKET"],
        &["config", "get", "OMEGA_BUCKET", "--bucket", "b"],
        &["config", "get", "--buck", "b", "OMEGA_BUCKET", "-q"],
        &[
            "config",
            "get",
            "OMEGA_BUCKET",
            "--bucket",
            "a",
            "--bucket",
            "b",
            "--noinput",
            "-E",
        ],
    ] {
        assert_eq!(
            home.run(args),
            Run {
                code: 0,
                stdout: "b\n".into(),
                stderr: String::new()
            },
            "{args:?}"
        );
    }
    let run = home.run(&["config", "get", "OMEGA_LOCAL_RUNTIME", "--local-runtime"]);
    assert_eq!(run.stdout, "true\n");
    assert_eq!(
        home.run(&["config", "show", "--json"]).stdout,
        home.run(&["-ojson", "config", "show"]).stdout
    );
}

/// Every command in every format, logging everything, with a secret in every place.
#[test]
fn secrets_show_nowhere() {
    let home = Home::new();
    home.write(
        "config.yml",
        "OMEGA_APIKEY: CANARY\nOMEGA_BROKER: amqp://u:CANARY@mq//\nOMEGA_MONGO_URL: mongodb://CANARY:CANARY@db/x\n\
         OMEGA_CELERY_CONFIG: {BROKER_URL: 'amqp://u:CAN/ARY@CANARY@mq', result: {token: CANARY}}\n",
    );
    home.write(
        ".config/omegaml/profiles.yml",
        "profiles: {lab: {OMEGA_APIKEY: CANARY, OMEGA_RESTAPI_URL: 'https://u:CANARY@hub/?apikey=CANARY', OMEGA_USERID: u}}",
    );
    let more: &[&[&str]] = &[
        &["config", "get", "OMEGA_APIKEY"],
        &["config", "get", "OMEGA_MONGO_URL"],
        &["config", "get", "OMEGA_CELERY_CONFIG"],
        &["config", "get", "OMEGA_SOME_PASSWORD"],
        &["config", "show", "--profile", "lab"],
        &["config", "show", "--store", "mongodb://u:CANARY@db/x"],
        &[
            "config",
            "set",
            "OMEGA_BROKER",
            "amqp://u:CANARY@mq//",
            "--profile",
            "lab",
        ],
        &[
            "config",
            "set",
            "OMEGA_RESULT_BACKEND",
            "mongodb://u:CANARY@db/x",
        ],
    ];
    for args in WORKING
        .iter()
        .chain(more)
        .chain(FAILING.iter().map(|(args, ..)| args))
    {
        for format in FORMATS {
            let output = home
                .om(args)
                .args(["-vvv", "-o", format])
                .env("OMEGA_SOME_PASSWORD", "CANARY")
                .env("OMEGA_CELERY_RESULT_BACKEND", "redis://:CANARY@host")
                .output()
                .unwrap();
            let run = Run::of(output);
            let text = run.stdout + &run.stderr;
            assert!(!text.contains("CANARY"), "{args:?} -o {format}: {text}");
        }
    }
}

#[test]
fn who_reads_no_further_is_no_failure() {
    let home = Home::new();
    for args in WORKING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = Run::of(home.om(args).stdout(writer).output().unwrap());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let home = Home::new();
    for args in WORKING {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let run = Run::of(home.om(args).stdout(full).output().unwrap());
        assert_eq!(run.code, 1, "{args:?}");
    }
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = home.om(&["nothing"]).stderr(full).status().unwrap();
    assert_eq!(
        status.code(),
        Some(2),
        "nobody hears the error, the exit code tells it"
    );
}

/// Runs a command line in a terminal of 80 columns.
#[cfg(target_os = "linux")]
fn in_terminal(home: &Home, line: &str, variables: &[(&str, &str)]) -> Run {
    let line = format!("stty cols 80; exec {OM} {line}");
    let mut command = home.isolated("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .envs(variables.iter().copied());
    Run::of(
        command
            .output()
            .expect("script, of util-linux, makes a terminal"),
    )
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_fitted_tables_and_colour() {
    let home = Home::new();
    let run = in_terminal(&home, "config show", &[]);
    assert!(run.stdout.starts_with("\u{1b}[1mNAME"), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("\nkind                        embedded\r\n"),
        "{}",
        run.stdout
    );
    assert!(
        in_terminal(&home, "config shw", &[])
            .stdout
            .contains("\u{1b}[31;1merror:\u{1b}[0m")
    );
    for (line, variables) in [
        ("config show", &[("NO_COLOR", "1")][..]),
        ("config show", &[("TERM", "dumb")]),
        ("config show --color never", &[("CLICOLOR_FORCE", "1")]),
        ("config shw --color never", &[]),
        ("help", &[("NO_COLOR", "1")]),
    ] {
        let run = in_terminal(&home, line, variables);
        assert!(!run.stdout.contains('\u{1b}'), "{line}: {}", run.stdout);
    }
    let run = in_terminal(&home, "config show -o json", &[]);
    assert_eq!(run.json()[0]["name"], "kind");
    let forced = home
        .om(&["config", "show", "-o", "table"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(
        !Run::of(forced).stdout.contains('\u{1b}'),
        "rows for programs have no colour"
    );
}

#[cfg(unix)]
fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The first Ctrl-C is a request, the second an order.
#[cfg(unix)]
#[test]
fn the_second_interrupt_ends_at_once() {
    let home = Home::new();
    let mut child = home
        .om(&["config", "set", "OMEGA_APIKEY", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Only a process that has come so far as to wait for its input listens.
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "-INT");
    let mut stderr = child.stderr.take().unwrap();
    let mut said = [0; 8];
    stderr.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"stopping");
    // Waiting for a child closes its input, whose end would be an answer.
    let _input = child.stdin.take().unwrap();
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!home.user_file().exists());
}

#[test]
fn the_time_limit_ends_even_what_does_not_notice() {
    let home = Home::new();
    let started = Instant::now();
    let child = home
        .om(&[
            "config",
            "set",
            "OMEGA_APIKEY",
            "-",
            "--timeout",
            "100ms",
            "--json",
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    assert!(started.elapsed() < Duration::from_secs(10));
    let document: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(
        (&document["error"]["kind"], &document["error"]["retryable"]),
        (&json!("timed_out"), &json!(true))
    );
}
