//! `om config`: precedence of settings, profiles, changes in place, secrets from stdin.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod home;

use home::{Home, Run};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::process::Stdio;

/// Site < user < profile in use < project < named file < OM_PROFILE < environment <
/// --profile < option, each seen with its origin.
#[test]
fn settings_come_from_the_strongest_layer() {
    let home = Home::new();
    let seen = |variables: &[(&str, &str)], args: &[&str]| {
        let mut all = vec!["config", "show", "--origin", "--json"];
        all.extend(args);
        let output = home
            .om(&all)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let settings = Run::of(output).json();
        let bucket = settings
            .as_array()
            .unwrap()
            .iter()
            .find(|setting| setting["name"] == "OMEGA_BUCKET");
        bucket.map_or(String::new(), |bucket| {
            format!(
                "{} < {}",
                bucket["value"].as_str().unwrap(),
                bucket["origin"].as_str().unwrap()
            )
        })
    };
    assert_eq!(seen(&[], &[]), "");
    let site = home.write("etc/omegaml/config.yml", "OMEGA_BUCKET: site");
    assert_eq!(seen(&[], &[]), format!("site < {}", site.display()));
    assert_eq!(home.run(&["config", "set", "OMEGA_BUCKET", "user"]).code, 0);
    assert_eq!(
        seen(&[], &[]),
        format!("user < {}", home.user_file().display())
    );
    for name in ["used", "named", "asked"] {
        assert_eq!(
            home.run(&["config", "set", "OMEGA_BUCKET", name, "--profile", name])
                .code,
            0
        );
    }
    let profiles = home.path(".config/omegaml/profiles.yml");
    let profile = |name: &str| format!("{name} < profile {name} in {}", profiles.display());
    assert_eq!(home.run(&["config", "use", "used"]).code, 0);
    assert_eq!(seen(&[], &[]), profile("used"));
    let project = home.write("config.yml", "OMEGA_BUCKET: project");
    assert_eq!(seen(&[], &[]), format!("project < {}", project.display()));
    let file = home.write("file.yml", "OMEGA_BUCKET: file");
    let file = file.to_str().unwrap();
    assert_eq!(
        seen(&[("OMEGA_CONFIG_FILE", file)], &[]),
        format!("file < {file}")
    );
    assert_eq!(
        seen(&[("OMEGA_CONFIG_FILE", "none.yml")], &["--config", file]),
        format!("file < {file}")
    );
    let named = ("OM_PROFILE", "named");
    assert_eq!(seen(&[named], &["--config", file]), profile("named"));
    let variable = ("OMEGA_BUCKET", "variable");
    assert_eq!(
        seen(&[named, variable], &[]),
        "variable < environment OMEGA_BUCKET"
    );
    assert_eq!(
        seen(&[named, ("OMEGA_ALLOW_ENV_CONFIG", "0"), variable], &[]),
        profile("named")
    );
    assert_eq!(
        seen(&[named, variable], &["--profile", "asked"]),
        profile("asked")
    );
    let option = seen(
        &[named, variable],
        &["--profile", "asked", "--bucket", "option"],
    );
    assert_eq!(option, "option < option --bucket");
    assert_eq!(home.run(&["config", "use", "default"]).code, 0);
    assert_eq!(
        seen(&[], &["--profile", "default"]),
        format!("project < {}", project.display())
    );
}

#[test]
fn profiles_are_listed_with_the_current_one() {
    let home = Home::new();
    assert_eq!(home.run(&["config", "profiles"]).stdout, "default\n");
    home.run(&["config", "set", "OMEGA_BUCKET", "b", "--profile", "lab"]);
    home.run(&["config", "use", "lab"]);
    let run = home.run(&["config", "profiles", "--json"]);
    assert_eq!(
        run.json(),
        json!([
            {"name": "default", "current": false, "settings": {}},
            {"name": "lab", "current": true, "settings": {"OMEGA_BUCKET": "b"}},
        ])
    );
    let other = home
        .om(&["config", "use", "lab"])
        .env("OM_PROFILE", "default")
        .output()
        .unwrap();
    assert!(
        Run::of(other)
            .stderr
            .contains("warning: OM_PROFILE=default is stronger")
    );
    home.run(&["config", "unset", "OMEGA_BUCKET", "--profile", "lab"]);
    assert_eq!(home.run(&["config", "profiles"]).stdout, "default\n");
}

/// However a cluster is chosen, its settings can be shown without it, and a command that
/// needs it says that it is not there, without the password.
#[test]
fn a_cluster_that_is_not_there_is_told_without_secrets() {
    let home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("mongodb://jane:CANARY@127.0.0.1:{port}/omega");
    let shown = format!("mongodb://***@127.0.0.1:{port}/omega");
    home.run(&[
        "config",
        "set",
        "OMEGA_MONGO_URL",
        &url,
        "--profile",
        "prod",
    ]);
    home.run(&["config", "set", "OMEGA_USESSL", "True", "--profile", "prod"]);
    home.run(&[
        "config",
        "set",
        "OMEGA_MONGO_TIMEOUT",
        "200",
        "--profile",
        "prod",
    ]);
    let by_profile = |args: &[&str]| home.om(&[args, &["--profile", "prod"]].concat()).output();
    let by_variable = |args: &[&str]| home.om(args).env("OM_PROFILE", "prod").output();
    let by_url = |args: &[&str]| {
        let variables = [("MONGO_URL", url.as_str()), ("OMEGA_MONGO_TIMEOUT", "200")];
        home.om(args).envs(variables).output()
    };
    #[allow(clippy::type_complexity)]
    let ways: [&dyn Fn(&[&str]) -> std::io::Result<std::process::Output>; 3] =
        [&by_profile, &by_variable, &by_url];
    for way in ways {
        let run = Run::of(way(&["config", "show", "--json"]).unwrap());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let settings = run.json();
        let value = |name: &str| {
            let settings = settings.as_array().unwrap();
            let setting = settings.iter().find(|setting| setting["name"] == name);
            setting.unwrap()["value"].clone()
        };
        assert_eq!(
            (value("kind"), value("OMEGA_MONGO_URL")),
            (json!("cluster"), json!(shown))
        );
        for args in [
            &["datasets", "list"][..],
            &["models", "metadata", "m"],
            &["store", "check"],
            &["datasets", "copy", "a", "b"],
        ] {
            let run = Run::of(way(args).unwrap());
            assert_eq!(run.code, 7, "{args:?}: {}", run.stderr);
            assert!(run.stderr.contains(&shown), "{args:?}: {}", run.stderr);
            assert!(!run.stderr.contains("CANARY"), "{args:?}: {}", run.stderr);
        }
    }
}

/// A cluster that is not there is told apart, whoever was to run the task; its secrets are
/// not shown.
#[test]
fn tasks_of_a_cluster_that_cannot_be_reached() {
    let home = Home::new();
    let run = |variables: &[(&str, &str)], args: &[&str]| {
        let task = ["runtime", "model", "m", "predict", "[[1]]"];
        let mut command = home.om(&[&task[..], args].concat());
        command.env("OMEGA_MONGO_URL", "mongodb://127.0.0.1:1/omega");
        command.env("OMEGA_MONGO_TIMEOUT", "200");
        Run::of(command.envs(variables.iter().copied()).output().unwrap())
    };
    let broker = ("OMEGA_BROKER", "amqp://u:CANARY@mq//");
    for (variables, args) in [
        (&[broker][..], &[][..]),
        (&[broker], &["--async"]),
        (&[broker], &["--local-runtime"]),
        (&[broker, ("OMEGA_LOCAL_RUNTIME", "True")], &[]),
        (&[], &[]),
    ] {
        let run = run(variables, args);
        assert_eq!(run.code, 7, "{}", run.stderr);
        assert!(!run.stderr.contains("CANARY"), "{}", run.stderr);
    }
}

#[test]
fn settings_are_changed_in_place() {
    let home = Home::new();
    let file = home.write("own.yml", "# ours\nOMEGA_TMP: /x # here\nother: [1]\n");
    let config = file.to_str().unwrap();
    assert_eq!(
        home.run(&["config", "set", "OMEGA_BUCKET", "b", "--config", config])
            .code,
        0
    );
    assert_eq!(
        home.run(&["config", "unset", "OMEGA_TMP", "--config", config])
            .code,
        0
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "# ours\nother: [1]\nOMEGA_BUCKET: b\n"
    );
    assert!(!home.user_file().exists());
    let run = home.run(&[
        "config",
        "set",
        "OMEGA_BUCKET",
        "b",
        "--config",
        config,
        "--profile",
        "x",
    ]);
    assert_eq!(run.code, 2);
    // A malformed file is reported by who reads it, with its line, and can be left aside.
    fs::write(&file, "OMEGA_TMP: [\nx").unwrap();
    let run = home.run(&["config", "show", "--config", config]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("own.yml") && run.stderr.contains("line 1 column 12"),
        "{}",
        run.stderr
    );
    for args in [
        &["version"][..],
        &["help"],
        &["completion", "bash"],
        &["config", "path"],
        &["config", "profiles"],
    ] {
        assert_eq!(
            home.run(&[args, &["--config", config]].concat()).code,
            0,
            "{args:?}"
        );
    }
}

#[test]
fn secrets_are_read_from_stdin_and_kept_from_others() {
    let home = Home::new();
    let mut child = home
        .om(&["config", "set", "OMEGA_APIKEY", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"CANARY\n").unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0);
    assert!(!run.stderr.contains("CANARY"));
    assert_eq!(
        fs::read_to_string(home.user_file()).unwrap(),
        "OMEGA_APIKEY: CANARY\n"
    );
    assert_eq!(home.run(&["config", "get", "OMEGA_APIKEY"]).stdout, "***\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = || fs::metadata(home.user_file()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert_eq!(home.run(&["config", "show"]).stderr, "");
        fs::set_permissions(home.user_file(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            home.run(&["config", "show"])
                .stderr
                .contains("others can read it")
        );
    }
}
