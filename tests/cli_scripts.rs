//! `om scripts` on the real binary, with a real Python and pip: packages, programs, and what
//! goes wrong with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "home/mod.rs"]
mod home;
mod server;

use home::{Home, Run, Runs};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

struct Machine(Home);

impl Runs for Machine {
    fn command(&self, args: &[&str]) -> Command {
        let python = server::program("om-venv/bin/python");
        let mut command = self.0.om(&[&["--timeout", "100s"], args].concat());
        command.env("OMEGA_PYTHON", python);
        command
    }
}

impl Machine {
    fn new() -> Self {
        let machine = Machine(Home::new());
        machine.0.write(
            "work/hello/setup.py",
            "from setuptools import setup\nsetup(name='hello', version='1.2', packages=['hello'])\n",
        );
        machine.0.write(
            "work/hello/hello/__init__.py",
            "def run(om, *args, **kwargs):\n    print('saying hello')\n    \
             if kwargs.get('fail'): raise ValueError('asked to')\n    \
             return {'hello': args, 'kwargs': kwargs, 'datasets': om.datasets.list()}\n",
        );
        machine
    }

    #[track_caller]
    fn envelope(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, what: &str) {
        let run = self.run(args);
        assert!(
            run.code == code && run.stderr.contains(what),
            "om {args:?}: {} {}",
            run.code,
            run.stderr
        );
    }
}

#[test]
fn a_package_is_stored_and_run() {
    let machine = Machine::new();
    let put = machine.ok(&["scripts", "put", "hello", "hello"]);
    assert!(put.contains("prefix=scripts/,kind=python.package"), "{put}");
    machine.0.write("work/a.csv", "x\n1\n");
    machine.ok(&["datasets", "put", "a.csv", "numbers"]);
    let first = machine.run(&["scripts", "run", "hello", "a", "2", "foo=bar"]);
    assert!(
        first.stderr.contains("installing") && first.stderr.contains("saying hello"),
        "{}",
        first.stderr
    );
    let envelope: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!(
        (&envelope["script"], &envelope["args"], &envelope["kwargs"]),
        (&json!("hello"), &json!(["a", 2]), &json!({"foo": "bar"}))
    );
    assert_eq!(
        envelope["result"],
        json!({"hello": ["a", 2], "kwargs": {"foo": "bar"}, "datasets": ["numbers"]})
    );
    assert!(
        envelope["runtimes"].is_number()
            && envelope["started"].is_string()
            && envelope["ended"].is_string()
    );
    // Installed once for each content.
    let second = machine.run(&["scripts", "run", "hello"]);
    assert!(!second.stderr.contains("installing"), "{}", second.stderr);
    machine.fails(
        &["scripts", "run", "hello", "fail=true"],
        6,
        "ValueError('asked to')",
    );
    let envelope =
        machine.envelope(&["runtime", "script", "hello", "run", "foo=bar", "-o", "json"]);
    assert_eq!(
        envelope["kwargs"],
        json!({"foo": "bar", "pure_python": true})
    );
    machine.ok(&["scripts", "get", "hello", "out.tar.gz"]);
    machine.ok(&["scripts", "put", "out.tar.gz", "again/hello"]);
    assert_eq!(
        machine.envelope(&["scripts", "run", "again/hello", "x"])["result"]["hello"],
        json!(["x"])
    );
    machine.ok(&["-q", "scripts", "drop", "hello"]);
    machine.fails(&["scripts", "run", "hello"], 3, "does not exist");
}

#[test]
fn packages_are_installed_by_uv_where_it_is() {
    let machine = Machine::new();
    let uv = server::program("om-venv/bin/uv");
    let folder = machine.0.write("work/bin/none", "");
    let folder = folder.parent().unwrap();
    // The log tells that it was uv, and not pip.
    let wrapper = format!(
        "#!/bin/sh\necho \"$*\" >> {}/asked\nexec {} \"$@\"\n",
        folder.display(),
        uv.display()
    );
    std::fs::write(folder.join("uv"), wrapper).unwrap();
    std::fs::set_permissions(folder.join("uv"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    // The certificates of this machine, as pip has them.
    let run = |args: &[&str]| {
        let mut command = machine.command(args);
        command.env("PATH", &path).env("UV_SYSTEM_CERTS", "1");
        Run::of(command.output().unwrap())
    };
    machine.ok(&["scripts", "put", "hello", "hello"]);
    let done = run(&["scripts", "run", "hello", "a"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let envelope: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(envelope["result"]["hello"], json!(["a"]));
    let asked = std::fs::read_to_string(folder.join("asked")).unwrap();
    assert!(asked.starts_with("pip install"), "{asked}");
    machine.ok(&["scripts", "put", "pypi://no-such-package-of-om", "missing"]);
    let done = run(&["scripts", "run", "missing"]);
    assert!(
        done.code == 1 && done.stderr.contains("no-such-package-of-om was not found"),
        "{}",
        done.stderr
    );
}

#[test]
fn programs_are_scripts() {
    let machine = Machine::new();
    let path = machine.0.write("work/up.sh", "#!/bin/sh\necho working >&2\nread -r input\nprintf '{\"args\": \"%s\", \"kwargs\": %s}' \"$*\" \"$input\"\n");
    machine.fails(
        &["scripts", "put", "up.sh", "up"],
        1,
        "neither a package nor executable",
    );
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.ok(&["scripts", "put", "up.sh", "up"]);
    let run = machine.run(&["scripts", "run", "up", "a", "b c", "n=3"]);
    assert!(
        run.code == 0 && run.stderr.contains("working"),
        "{}",
        run.stderr
    );
    let envelope: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        envelope["result"],
        json!({"args": "a b c", "kwargs": {"n": 3}})
    );
    // Options after the arguments are options, unless they are said to be arguments.
    let envelope = machine.envelope(&["scripts", "run", "up", "a", "-o", "json"]);
    assert_eq!(envelope["result"]["args"], "a");
    let envelope = machine.envelope(&["scripts", "run", "up", "-1", "--", "-o"]);
    assert_eq!(envelope["result"]["args"], "-1 -o");
    // One that closes its stderr is watched all the same.
    let path = machine
        .0
        .write("work/quiet.sh", "#!/bin/sh\nexec 2>&-\nsleep 100\n");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.ok(&["scripts", "put", "quiet.sh", "quiet"]);
    machine.fails(
        &["scripts", "run", "quiet", "--time-limit", "1s"],
        124,
        "took longer",
    );
    // What it leaves behind does not hold its answer.
    let path = machine
        .0
        .write("work/leaves.sh", "#!/bin/sh\nsleep 90 &\necho 5\n");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.ok(&["scripts", "put", "leaves.sh", "leaves"]);
    let envelope = machine.envelope(&["scripts", "run", "leaves"]);
    assert_eq!(envelope["result"], 5);
    let path = machine
        .0
        .write("work/bad.sh", "#!/bin/sh\necho no luck >&2\nexit 3\n");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.ok(&["scripts", "put", "bad.sh", "bad"]);
    machine.fails(&["scripts", "run", "bad"], 6, "no luck");
    let path = machine.0.write("work/slow.sh", "#!/bin/sh\nsleep 100\n");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.ok(&["scripts", "put", "slow.sh", "slow"]);
    machine.fails(
        &["scripts", "run", "slow", "--time-limit", "1s"],
        124,
        "took longer",
    );
}

#[test]
fn what_cannot_be_a_script_is_refused() {
    let machine = Machine::new();
    machine.fails(&["scripts", "put", "helo", "hello"], 3, "pypi://NAME");
    machine.fails(
        &["scripts", "put", "hello/hello", "x"],
        1,
        "neither a setup.py",
    );
    machine.0.write("work/x.tar.gz", "no archive");
    machine.fails(&["scripts", "put", "x.tar.gz", "x"], 1, "refused");
    let python = server::program("om-venv/bin/python");
    let evil = "import tarfile, io\nwith tarfile.open('evil.tar.gz', 'w:gz') as t:\n    for n in ('e-1/setup.py', '../../evil.py'):\n        t.addfile(tarfile.TarInfo(n), io.BytesIO())";
    let made = machine.0.isolated(python).args(["-c", evil]).status();
    assert!(made.unwrap().success());
    machine.fails(
        &["scripts", "put", "evil.tar.gz", "evil"],
        1,
        "leads out of it",
    );
    assert_eq!(machine.ok(&["scripts", "list"]), "");
    machine.ok(&["scripts", "put", "pypi://no-such-package-of-om", "missing"]);
    assert_eq!(
        machine.ok(&["scripts", "get", "missing"]),
        "pypi://no-such-package-of-om\n"
    );
    machine.fails(&["scripts", "run", "missing"], 1, "cannot be installed");
    // A package that needs what there is not.
    machine.0.write("work/needy/setup.py", "from setuptools import setup\nsetup(name='needy', version='1', packages=['needy'], install_requires=['no-such-package-of-om'])\n");
    machine
        .0
        .write("work/needy/needy/__init__.py", "def run(om): return 1\n");
    machine.ok(&["scripts", "put", "needy", "needy"]);
    machine.fails(&["scripts", "run", "needy"], 1, "no-such-package-of-om");
}

#[test]
fn a_shell_has_the_objects() {
    let machine = Machine::new();
    machine.0.write("work/a.csv", "x\n1\n2\n");
    machine.ok(&["datasets", "put", "a.csv", "numbers"]);
    assert_eq!(
        machine.ok(&["shell", "om.datasets.list()"]),
        "['numbers']\n"
    );
    assert_eq!(
        machine.ok(&[
            "shell",
            "import sys; print(len(om.datasets.get('numbers')))"
        ]),
        "2\n"
    );
    machine.ok(&["shell", "om.datasets.put([{'x': 3}], 'more')"]);
    assert_eq!(
        machine.ok(&["shell", "om.datasets.list('m*')"]),
        "['more']\n"
    );
    assert_eq!(
        machine.ok(&["shell", "import sys; print(sys.argv[1:])", "--", "-a", "b"]),
        "['-a', 'b']\n"
    );
    assert_eq!(machine.run(&["shell", "raise SystemExit(5)"]).code, 5);
    let none = machine
        .0
        .om(&["shell", "1"])
        .env("OMEGA_PYTHON", "/nonexistent")
        .output()
        .unwrap();
    let none = Run::of(none);
    assert!(
        none.code == 3 && none.stderr.contains("OMEGA_PYTHON"),
        "{}",
        none.stderr
    );
    // What is typed goes the same way.
    let mut typed = machine.command(&["shell"]);
    let mut typed = typed
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut typed.stdin.take().unwrap(),
        b"print('typed', om.datasets.list())\n",
    )
    .unwrap();
    let typed = Run::of(typed.wait_with_output().unwrap());
    assert!(
        typed.stdout.contains("typed ['more', 'numbers']"),
        "{} {}",
        typed.stdout,
        typed.stderr
    );
}

/// In a Python of its own, so that nobody else's packages change.
#[test]
fn packages_of_a_worker_are_looked_after() {
    let machine = Machine::new();
    let home = machine.0.path("venv");
    let made = Command::new(server::program("om-venv/bin/python"))
        .args(["-m", "venv"])
        .arg(&home)
        .status()
        .unwrap();
    assert!(made.success());
    let om = |args: &[&str]| {
        let mut command = machine.command(&[&["runtime", "env"], args].concat());
        command.env("OMEGA_PYTHON", home.join("bin/python"));
        Run::of(command.output().unwrap())
    };
    let listed = || -> Vec<Value> {
        let run = om(&["list", "-o", "json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let has = |name: &str| listed().iter().any(|package| package["package"] == name);
    assert!(has("pip") && !has("hello"));
    let source = machine.0.path("work/hello").display().to_string();
    let run = om(&["install", &source]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(has("hello"));
    let frozen = om(&["freeze"]);
    assert!(frozen.stdout.contains("hello @ file"), "{}", frozen.stdout);
    let run = om(&["uninstall", "hello"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!has("hello"));
    // A requirements file is kept for the next time.
    let file = machine.0.write("work/needs.txt", &format!("{source}\n"));
    let run = om(&["install", "--file", &file.display().to_string(), "--local"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(has("hello"));
    om(&["uninstall", "hello"]);
    assert_eq!(om(&["install"]).code, 0);
    assert!(has("hello"));
    let run = om(&["install", "./nowhere"]);
    assert!(
        run.code == 6 && run.stderr.contains("nowhere"),
        "{} {}",
        run.code,
        run.stderr
    );
    // By a worker of a label.
    let mut worker = machine
        .command(&["runtime", "worker", "--queues", "gpu", "-q"])
        .env("OMEGA_PYTHON", home.join("bin/python"))
        .spawn()
        .unwrap();
    let run = om(&["freeze", "--require", "gpu,local"]);
    let _ = Command::new("kill").arg(worker.id().to_string()).status();
    worker.wait().unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines.contains(&"# gpu") && lines.contains(&"# local"),
        "{lines:?}"
    );
}

#[test]
fn what_scripts_say_on_workers_is_logged() {
    let machine = Machine::new();
    machine.ok(&["scripts", "put", "hello", "hello"]);
    for (fail, code) in [("false", 0), ("true", 6)] {
        let id = machine.ok(&[
            "runtime",
            "script",
            "hello",
            "run",
            &format!("fail={fail}"),
            "--async",
        ]);
        let run = machine.run(&["runtime", "result", id.trim()]);
        assert_eq!(run.code, code, "{}", run.stderr);
    }
    let said = || -> Vec<Value> {
        serde_json::from_str(&machine.ok(&["scripts", "logs", "hello", "-o", "json"])).unwrap()
    };
    // Entries are written a moment later.
    let mut entries = Vec::new();
    for _ in 0..100 {
        entries = said();
        if entries.iter().any(|entry| entry["level"] == "ERROR") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let messages: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["message"].as_str())
        .collect();
    assert_eq!(
        messages
            .iter()
            .filter(|text| text.contains("saying hello"))
            .count(),
        2,
        "{messages:#?}"
    );
    assert!(
        messages
            .iter()
            .any(|text| text.contains("failed") && text.contains("asked to")),
        "{messages:#?}"
    );
    machine.fails(&["scripts", "logs", "none"], 3, "does not exist");
}

/// A wheel that pip makes.
#[test]
fn a_wheel_is_a_package() {
    let machine = Machine::new();
    let made = Command::new(server::program("om-venv/bin/python"))
        .args([
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "-w",
            "dist",
            "./hello",
        ])
        .current_dir(machine.0.path("work"))
        .status()
        .unwrap();
    assert!(made.success());
    machine.ok(&["scripts", "put", "dist/hello-1.2-py3-none-any.whl", "hello"]);
    let envelope = machine.envelope(&["scripts", "run", "hello", "1"]);
    assert_eq!(envelope["result"]["hello"], json!([1]));
    machine.fails(
        &["scripts", "put", "dist/hello-1.2-py3-none-any.whl", "other"],
        1,
        "no module `other`",
    );
}

/// A package that pip or uv gets from a repository, when it is run.
#[test]
fn a_repository_is_a_package() {
    let machine = Machine::new();
    let folder = machine.0.path("work/hello");
    for args in [
        &["init", "-q"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "commit",
            "-q",
            "-m",
            "one",
        ],
    ] {
        let done = Command::new("git").args(args).current_dir(&folder).status();
        assert!(done.unwrap().success(), "git {args:?}");
    }
    let source = format!("git+file://{}", folder.display());
    let put = machine.ok(&["scripts", "put", &source, "hello"]);
    assert!(put.contains("kind=pipsrc.package"), "{put}");
    let envelope = machine.envelope(&["scripts", "run", "hello", "x"]);
    assert_eq!(envelope["result"]["hello"], json!(["x"]));
}
