//! The remote profile when things go wrong, and what else reads the same routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod om;
mod web;

use om::{KEY, Om, failed};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use web::Web;

/// A way to a server on which connections break.
struct Cut {
    url: String,
    broken: Arc<AtomicUsize>,
}

impl Cut {
    /// Each of the first `times` connections on which that many bytes have come back, or
    /// gone there, breaks.
    fn to(url: &str, times: usize, back: u64, there: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let target = url.trim_start_matches("http://").to_owned();
        let broken = Arc::new(AtomicUsize::new(0));
        let count = broken.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let Ok(server) = TcpStream::connect(&target) else {
                    return;
                };
                for (from, to, limit) in [
                    (
                        client.try_clone().unwrap(),
                        server.try_clone().unwrap(),
                        there,
                    ),
                    (server, client, back),
                ] {
                    let count = count.clone();
                    std::thread::spawn(move || pass(from, to, limit, &count, times));
                }
            }
        });
        Cut { url: own, broken }
    }

    fn breaks(&self) -> usize {
        self.broken.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: u64, broken: &AtomicUsize, times: usize) {
    let mut passed = 0;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        passed += count as u64;
        let take = |n: usize| (n < times).then_some(n.saturating_add(1));
        if passed > limit
            && broken
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return;
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}

/// A table of some megabytes.
fn table(om: &Om) -> String {
    let mut csv = String::from("n,text,x\n");
    for n in 0..300_000u64 {
        csv.push_str(&format!("{n},row {},{}.5\n", n * 7919 % 1000, n % 977));
    }
    om.file("big.csv", csv)
}

#[test]
fn connections_may_break_on_the_way_back() {
    let om = Om::behind_a_server(&[]);
    let big = table(&om);
    om.ok(&["datasets", "put", &big, "big"]);
    let noise: Vec<u8> = (0..6_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let file = om.file("noise.bin", &noise);
    om.ok(&["datasets", "put", &file, "noise"]);
    let get = |cut: &Cut, name: &str, to: &str, more: &[&str]| {
        let mut command = om.command(&[&["-vv", "datasets", "get", name, to], more].concat());
        command.env("OMEGA_RESTAPI_URL", &cut.url).output().unwrap()
    };
    // A whole table comes in the files that it is stored in, others as Arrow.
    let files = "the rows come in the files that they are stored in";
    for (more, in_files, limit) in [
        (&[][..], true, 100_000),
        (&["--where", "n >= 0"], false, 1_500_000),
    ] {
        let cut = Cut::to(om.url(), 4, limit, u64::MAX);
        let got = get(&cut, "big", "got.csv", more);
        let said = String::from_utf8_lossy(&got.stderr);
        assert!(got.status.success(), "{said}");
        assert!(cut.breaks() > 0, "nothing was cut: {said}");
        assert_eq!(said.contains(files), in_files, "{said}");
        assert_eq!(
            std::fs::read_to_string(om.path("got.csv")).unwrap(),
            std::fs::read_to_string(&big).unwrap()
        );
    }
    let cut = Cut::to(om.url(), 4, 1_500_000, u64::MAX);
    let got = get(&cut, "noise", "got.bin", &[]);
    assert!(
        got.status.success(),
        "{}",
        String::from_utf8_lossy(&got.stderr)
    );
    assert!(cut.breaks() > 0, "nothing was cut");
    assert_eq!(std::fs::read(om.path("got.bin")).unwrap(), noise);
}

#[test]
fn connections_may_break_on_the_way_there() {
    let om = Om::behind_a_server(&[]);
    let big = table(&om);
    let cut = Cut::to(om.url(), 3, u64::MAX, 1_000_000);
    let put = om
        .command(&["datasets", "put", &big, "big"])
        .env("OMEGA_RESTAPI_URL", &cut.url)
        .output()
        .unwrap();
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
    assert!(cut.breaks() > 0, "nothing was cut");
    assert_eq!(
        om.ok(&["datasets", "get", "big", "-"]),
        std::fs::read_to_string(&big).unwrap()
    );
}

#[test]
fn what_is_not_committed_is_not_there() {
    let om = Om::behind_a_server(&[]);
    let big = table(&om);
    // Breaks for ever: the put fails, and nothing is left of it.
    let cut = Cut::to(om.url(), usize::MAX, u64::MAX, 3_000_000);
    let put = om
        .command(&["datasets", "put", &big, "big"])
        .env("OMEGA_RESTAPI_URL", &cut.url)
        .output()
        .unwrap();
    if put.status.success() {
        panic!("nothing was cut");
    }
    failed(&om.run(&["datasets", "metadata", "big"]), 3, "data/big");
    // Killed in the middle.
    let mut child = om
        .command(&["datasets", "put", &big, "big"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let _ = child.kill();
    child.wait().unwrap();
    let run = om.run(&["datasets", "metadata", "big"]);
    assert!(run.code == 3 || run.code == 0, "{}", run.stderr);
    om.ok(&["datasets", "put", &big, "big", "--replace"]);
    assert_eq!(om.json(&["datasets", "show", "big", "-n", "1"])[0]["n"], 0);
    let report = om.json(&["store", "check"]);
    assert_eq!(report["damaged"], json!([]), "{report}");
}

#[test]
fn a_get_that_was_cut_short_goes_on() {
    let om = Om::behind_a_server(&[]);
    let noise: Vec<u8> = (0..20_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let file = om.file("noise.bin", &noise);
    om.ok(&["datasets", "put", &file, "noise"]);
    let cut = Cut::to(om.url(), usize::MAX, 3_000_000, u64::MAX);
    let mut runs = 0;
    loop {
        let got = om
            .command(&["datasets", "get", "noise", "got.bin"])
            .env("OMEGA_RESTAPI_URL", &cut.url)
            .output()
            .unwrap();
        runs += 1;
        if got.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&got.stderr).into_owned();
        assert_eq!(got.status.code(), Some(7), "{said}");
        assert!(runs < 20, "it does not get on: {said}");
    }
    assert_eq!(std::fs::read(om.path("got.bin")).unwrap(), noise);
}

#[test]
fn who_is_not_there_is_asked_once() {
    let om = Om::here();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let ask = |url: &str, args: &[&str]| {
        let mut command = om.command(args);
        command
            .env_remove("OMEGA_STORE_URL")
            .env("OMEGA_RESTAPI_URL", url)
            .env("OMEGA_USERID", "eva")
            .env("OMEGA_APIKEY", KEY);
        let began = Instant::now();
        let output = command.output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains(KEY), "{said}");
        assert_eq!(output.stdout, b"");
        (output.status.code().unwrap(), said)
    };
    for args in [
        vec!["datasets", "list"],
        vec!["datasets", "get", "x", "-"],
        vec!["runtime", "model", "m", "predict", "[[1]]"],
        vec!["runtime", "tasks"],
    ] {
        let (code, said) = ask(&format!("http://{address}"), &args);
        assert_eq!(code, 7, "{args:?}: {said}");
        assert!(said.contains("cannot reach http://127.0.0.1"), "{said}");
    }
    for url in ["nonsense", "ftp://x", "http://"] {
        let (code, said) = ask(url, &["datasets", "list"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("OMEGA_RESTAPI_URL"), "{said}");
    }
    // Somebody else listens there.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for client in other.incoming() {
            let mut client = client.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope",
            );
        }
    });
    let (code, said) = ask(&format!("http://{address}"), &["datasets", "list"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no server of om's"), "{said}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn users_do_what_they_may() {
    let local = Om::here();
    local.ok(&["datasets", "put", &local.file("a.csv", "x\n1\n2\n"), "a"]);
    let key = |name: &str, grant: &str| {
        local.ok(&["server", "users", "add", name, "--grant", grant]);
        local
            .ok(&["server", "keys", "create", name, "-q"])
            .trim()
            .to_owned()
    };
    let reader = key("rita", "read");
    let admin = key("adam", "admin");
    let web = Web::start(&local, &[]);
    let run = |user: &str, key: &str, args: &[&str]| {
        let mut command = local.command(args);
        command
            .env_remove("OMEGA_STORE_URL")
            .env("OMEGA_RESTAPI_URL", format!("http://{}", web.address))
            .env("OMEGA_USERID", user)
            .env("OMEGA_APIKEY", key);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains(key), "{said}");
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let (code, got, said) = run("rita", &reader, &["datasets", "get", "a", "-"]);
    assert_eq!((code, got.as_str()), (0, "x\n1\n2\n"), "{said}");
    let file = local.path("a.csv").to_str().unwrap().to_owned();
    for args in [
        vec!["datasets", "put", &file, "b"],
        vec!["datasets", "drop", "a", "--yes"],
        vec!["datasets", "rename", "a", "c"],
        vec!["server", "users", "list"],
        vec!["store", "check"],
    ] {
        let (code, got, said) = run("rita", &reader, &args);
        assert_eq!((code, got.as_str()), (4, ""), "{args:?}: {said}");
    }
    for (user, key) in [
        ("rita", "om_wrong_key"),
        ("adam", reader.as_str()),
        ("x", "om_no_key"),
    ] {
        let (code, _, said) = run(user, key, &["datasets", "list"]);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("OMEGA_APIKEY"), "{said}");
    }
    let (code, _, said) = run("adam", &admin, &["datasets", "put", &file, "b"]);
    assert_eq!(code, 0, "{said}");
    let (code, users, said) = run("adam", &admin, &["server", "users", "list", "-o", "json"]);
    assert_eq!(code, 0, "{said}");
    assert!(users.contains("rita"), "{users}");
    // An upload and a plan are whose they are.
    let auth = |user: &str, key: &str| format!("ApiKey {user}:{key}");
    let adams = auth("adam", &admin);
    let ritas = auth("rita", &reader);
    let path = "/api/v1/store/datasets/a";
    let send = |method: &str, target: &str, auth: &str, body: &Value| {
        let headers = [
            ("Authorization", auth),
            ("Content-Type", "application/json"),
        ];
        web.send(method, target, &headers, body.to_string().as_bytes())
    };
    let upload = send(
        "POST",
        &format!("{path}/upload?mode=replace"),
        &adams,
        &json!({}),
    );
    assert_eq!(upload.status, 200, "{}", upload.body);
    let id = upload.value()["upload"].as_str().unwrap().to_owned();
    let part = format!("/api/v1/upload/{id}/0");
    assert_eq!(send("PUT", &part, &ritas, &json!({})).status, 409);
    let plan = send("POST", &format!("{path}/plan"), &adams, &json!({})).value();
    let scan = json!({ "scan": plan["scan"] });
    assert_eq!(
        send("POST", &format!("{path}/rows"), &ritas, &scan).status,
        409
    );
    assert_eq!(
        send("POST", &format!("{path}/rows"), &adams, &scan).status,
        200
    );
}

#[test]
fn people_and_scripts_read_the_same() {
    let om = Om::behind_a_server(&[]);
    om.ok(&[
        "datasets",
        "put",
        &om.file("a.csv", "x,y\n1,a\n2,b\n3,a\n"),
        "a",
    ]);
    om.ok(&["datasets", "put", &om.file("b.bin", "0123456789"), "b"]);
    let web = Web::at(om.url());
    let rows = web.get("/api/v1/store/datasets/a/rows?where=x%20%3E%201&columns=y&sort=-x");
    assert_eq!((rows.status, rows.body.as_str()), (200, "y\na\nb\n"));
    let rows = web.get("/api/v1/store/datasets/a/rows?by=y&agg=x%3Dsum&sort=y&format=json");
    assert_eq!(
        rows.value(),
        json!([{"y": "a", "x_sum": 4}, {"y": "b", "x_sum": 2}])
    );
    let list = web.get("/api/v1/store/datasets?names=%5Ea").value();
    assert_eq!(list[0]["metadata"]["name"], "a");
    let part = web.send(
        "GET",
        "/api/v1/store/datasets/b/content",
        &[("Range", "bytes=2-4")],
        b"",
    );
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    let whole = web.get("/api/v1/store/datasets/b/content");
    assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
    for (target, status) in [
        ("/api/v1/store/datasets/nope/rows", 404),
        ("/api/v1/store/datasets/a/rows?where=x%20%3E", 400),
        ("/api/v1/store/datasets/a/rows?columns=nope", 404),
        ("/api/v1/store/datasets/a/rows?format=pdf", 400),
        ("/api/v1/store/datasets/a/content", 400),
        ("/api/v1/store/datasets/a/nothing", 404),
        ("/api/v1/store/nothing", 404),
    ] {
        let answer = web.get(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert!(answer.value()["message"].is_string(), "{}", answer.body);
    }
    // A body that was damaged on its way is not taken.
    let headers = [
        ("Content-Type", "application/octet-stream"),
        (
            "Content-Digest",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        ),
    ];
    let upload = web
        .send("POST", "/api/v1/store/datasets/c/upload", &[], b"")
        .value();
    let part = format!("/api/v1/upload/{}/0", upload["upload"].as_str().unwrap());
    assert_eq!(web.send("PUT", &part, &headers, b"damaged").status, 503);
}

#[test]
fn the_log_is_followed() {
    let om = Om::here();
    let web = Web::start(&om, &[]);
    let mut reader = web.connect();
    let ask = |stream: &mut TcpStream, headers: &str| {
        let head = format!(
            "GET /api/v1/log HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{headers}\r\n",
            web.address
        );
        stream.write_all(head.as_bytes()).unwrap();
    };
    let until = |stream: &mut TcpStream, what: &str| {
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains(what) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "no `{what}` in: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        seen
    };
    ask(&mut reader, "");
    let seen = until(&mut reader, "starts on default");
    assert!(seen.contains("event: log\n"), "{seen}");
    let id = seen
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    // What comes later comes, and only that where a reader comes again.
    let worker = [
        "runtime",
        "worker",
        "--name",
        "second",
        "--until-idle",
        "1s",
    ];
    om.ok(&worker);
    let mut again = web.connect();
    ask(&mut again, &format!("Last-Event-ID: {id}\r\n"));
    let seen = until(&mut again, "second");
    assert!(!seen.contains("server-"), "{seen}");
    until(&mut reader, "second");
    let told = web.get("/api/v1/log?level=info&tail=1").value();
    assert_eq!(told.as_array().unwrap().len(), 1);
    assert_eq!(web.get("/api/v1/log?level=loud").status, 400);
    // Too many are refused; readers that have gone give up their places.
    let join = || {
        let mut stream = web.connect();
        ask(&mut stream, "");
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        (stream, start == *b"HTTP/1.1 200")
    };
    let joined: Vec<_> = (0..20).map(|_| join()).collect();
    assert!(joined.iter().any(|(_, taken)| *taken) && joined.iter().any(|(_, taken)| !taken));
    drop(joined);
    let end = Instant::now() + Duration::from_secs(30);
    while !join().1 {
        assert!(
            Instant::now() < end,
            "the places of readers that have gone stay taken"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(web.get("/healthz").status, 200);
    // Nobody who follows keeps the server from stopping.
    let began = Instant::now();
    assert_eq!(web.stop(), 0);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn who_changes_what_is_logged() {
    let om = Om::here();
    om.ok(&["server", "users", "add", "wanda", "--grant", "write"]);
    let key = om
        .ok(&["server", "keys", "create", "wanda", "-q"])
        .trim()
        .to_owned();
    let log = om.path("server.log");
    let mut child = om
        .command(&["server", "--port", "0", "-v"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut url).unwrap();
    let web = Web::at(url.trim());
    let auth = format!("ApiKey wanda:{key}");
    let headers = [
        ("Authorization", auth.as_str()),
        ("Content-Type", "application/json"),
    ];
    let body = json!({ "data": { "x": [1] }, "dtypes": { "x": "int64" }, "append": false });
    let put = web.send(
        "PUT",
        "/api/v1/dataset/t",
        &headers,
        body.to_string().as_bytes(),
    );
    assert_eq!(put.status, 200, "{}", put.body);
    web.send("GET", "/api/v1/dataset/t", &headers, b"");
    web.send(
        "DELETE",
        "/api/v1/dataset/t",
        &[("Authorization", "ApiKey wanda:wrong")],
        b"",
    );
    let _ = child.kill();
    child.wait().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let audit: Vec<&str> = log.lines().filter(|line| line.contains("audit")).collect();
    assert_eq!(audit.len(), 2, "{log}");
    assert!(
        audit[0].contains("wanda") && audit[0].contains("PUT"),
        "{log}"
    );
    assert!(
        audit[1].contains("DELETE") && audit[1].contains("401"),
        "{log}"
    );
    assert!(!log.contains(&key), "{log}");
}

/// What Polars asks of rows behind a server is asked of the server, and nothing is missed.
#[test]
fn predicates_run_on_the_server() {
    let om = Om::behind_a_server(&[]);
    let rows: String = (0..2_000)
        .map(|row| match row % 7 {
            0 => format!("{row},,w{row}\n"),
            _ => format!("{row},{}.5,w{row}\n", row % 100),
        })
        .collect();
    let file = om.file("t.csv", format!("id,x,word\n{rows}"));
    om.ok(&["datasets", "put", &file, "t"]);
    let local = Om::here();
    local.ok(&["datasets", "put", &file, "t"]);
    for (condition, pushed) in [
        ("x > 98", true),
        ("not x < 98 or id = 7", true),
        ("word = 'w5' and length(word) = 2", true),
        ("word in ('w1', 'w1999', 'none')", true),
        ("x is null and id < 30", true),
        ("length(word) = 2", false),
    ] {
        let statement = format!("select id, word from t where {condition} order by id");
        let command = ["-vv", "datasets", "sql", &statement, "-o", "csv"];
        let (there, here) = (om.run(&command), local.run(&command));
        assert_eq!(
            (there.code, here.code),
            (0, 0),
            "{condition}: {}",
            there.stderr
        );
        assert!(
            here.stdout.lines().count() > 1,
            "{condition}: {}",
            here.stdout
        );
        assert_eq!(there.stdout, here.stdout, "{condition}");
        let told = there.stderr.contains("Polars: where");
        assert_eq!(told, pushed, "{condition}: {}", there.stderr);
    }
}
