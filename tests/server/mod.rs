//! A MongoDB server for tests: the one that `OM_TEST_MONGO_URL` names, else `mongod` or a
//! MongoDB-compatible server, started with authentication on a free port of its own, and
//! stopped with the process of the tests, however that ends.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::{Document, doc};
use mongodb::{Client, Database};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const USER: &str = "admin";
/// What is looked for in messages, which must not show it.
pub const PASSWORD: &str = "Sesame-0pen";

/// A server.
pub struct Mongo {
    /// `mongodb://user:password@host:port`.
    base: String,
    /// The options after the database's name.
    options: String,
    /// The process, when it is ours.
    process: Option<u32>,
}

/// The server of this process.
pub fn mongo() -> &'static Mongo {
    static SERVER: OnceLock<Mongo> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("OM_TEST_MONGO_URL") {
        Ok(url) => Mongo::there(&url),
        Err(_) => Mongo::start(&[]),
    })
}

impl Mongo {
    /// A server that somebody else runs.
    fn there(url: &str) -> Self {
        let (address, options) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = address.split_once("://").expect("a mongodb:// URL");
        let host = rest.split('/').next().unwrap_or(rest);
        Mongo {
            base: format!("{scheme}://{host}"),
            options: options.to_owned(),
            process: None,
        }
    }

    /// A server of one's own, with more flags of the program.
    #[allow(clippy::zombie_processes)] // It ends with this process, by itself.
    pub fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (program, own) = mongo_program();
        let mut command = vec![
            program.display().to_string(),
            "--port".to_owned(),
            port.to_string(),
            "--auth".to_owned(),
        ];
        let folder_flag = if own { "--storage-path" } else { "--dbpath" };
        command.extend([folder_flag.to_owned(), folder.display().to_string()]);
        if own {
            let small = ["--cache-size", "1G", "--log-file-max", "32MB"];
            command.extend(small.map(str::to_owned));
        } else {
            command.extend(["--bind_ip".to_owned(), "127.0.0.1".to_owned()]);
        }
        command.extend(flags.iter().map(|flag| flag.to_string()));
        // Nobody tells a killed test to tidy up: the server's parent watches it.
        let script = "parent=$1 folder=$2; shift 2; \"$@\" >\"$folder/server.log\" 2>&1 & server=$!; \
             echo $server >\"$folder/server.pid\"; \
             while kill -0 $parent 2>/dev/null && kill -0 $server 2>/dev/null; do sleep 0.3; done; \
             kill -9 $server 2>/dev/null; wait $server 2>/dev/null; rm -rf \"$folder\"";
        Command::new("setsid")
            .args(["sh", "-c", script, "sh"])
            .arg(std::process::id().to_string())
            .arg(&folder)
            .args(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start a server");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(folder.join("server.log"));
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{} does not listen: {}",
                program.display(),
                log.unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let process = std::fs::read_to_string(folder.join("server.pid")).unwrap();
        let server = Mongo {
            base: format!("mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}"),
            options: String::new(),
            process: process.trim().parse().ok(),
        };
        // The first user may be made from here without being one.
        let mut first = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        if flags.iter().any(|flag| flag.starts_with("--tls")) {
            first.push_str("&tls=true&tlsInsecure=true");
        }
        let user = doc! { "createUser": USER, "pwd": PASSWORD, "roles": ["root"] };
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::with_uri_str(&first).await.unwrap();
            client.database("admin").run_command(user).await.unwrap();
        });
        server
    }

    /// The address of a database of its own; nobody else uses it.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.named(&format!("om_test_{}_{number}", std::process::id()))
    }

    /// The address of a database.
    pub fn named(&self, name: &str) -> String {
        match self.options.as_str() {
            "" => format!("{}/{name}", self.base),
            options => format!("{}/{name}?{options}", self.base),
        }
    }

    /// `host:port`.
    pub fn host(&self) -> &str {
        self.base.rsplit(['@', '/']).next().unwrap_or_default()
    }

    /// Ends the server, unasked.
    pub fn kill(&self) {
        let process = self.process.expect("a server of ours").to_string();
        let killed = Command::new("kill").args(["-9", &process]).status();
        assert!(killed.unwrap().success());
    }
}

/// The program, and whether it is the compatible one.
fn mongo_program() -> (PathBuf, bool) {
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("mongod"))
            .find(|file| file.is_file())
    });
    if let Some(mongod) = on_path {
        return (mongod, false);
    }
    let installed = servers().join("secantus/bin/secantusd-rs");
    assert!(
        installed.is_file(),
        "these tests need a MongoDB server, and there is neither `mongod` on PATH nor {}: run \
         tests/servers.sh, or set OM_TEST_MONGO_URL",
        installed.display()
    );
    (installed, true)
}

/// Where tests/servers.sh has installed what the tests need.
pub fn servers() -> PathBuf {
    match std::env::var_os("OM_TEST_SERVERS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/om-test-servers")
        }
    }
}

/// A program of an environment that tests/servers.sh has made, such as `om-venv/bin/python`.
#[track_caller]
pub fn program(path: &str) -> PathBuf {
    let program = servers().join(path);
    assert!(
        program.is_file(),
        "this test needs {}, which is not there: run tests/servers.sh",
        program.display()
    );
    program
}

/// Direct access to a database, as omega|ml or an administrator has it.
pub struct Raw {
    runtime: Runtime,
    database: Database,
}

/// Direct access to the database at `url`.
pub fn raw(url: &str) -> Raw {
    let runtime = Runtime::new().unwrap();
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (_, name) = address.rsplit_once('/').unwrap();
    let database = runtime.block_on(async {
        let mut with_admin = format!("{address}?authSource=admin");
        if !options.is_empty() {
            with_admin.push_str(&format!("&{options}"));
        }
        let client = Client::with_uri_str(&with_admin).await.unwrap();
        client.database(name)
    });
    Raw { runtime, database }
}

impl Raw {
    /// All collections, sorted.
    pub fn collections(&self) -> Vec<String> {
        let work = async { self.database.list_collection_names().await };
        let mut names = self.runtime.block_on(work).unwrap();
        names.sort();
        names
    }

    /// The documents of a collection that match, in natural order.
    pub fn find(&self, collection: &str, filter: Document) -> Vec<Document> {
        self.runtime.block_on(async {
            let collection = self.database.collection::<Document>(collection);
            let mut cursor = collection.find(filter).await.unwrap();
            let mut found = Vec::new();
            while cursor.advance().await.unwrap() {
                found.push(cursor.deserialize_current().unwrap());
            }
            found
        })
    }

    /// One field of all documents of a collection that have it.
    pub fn ids(&self, collection: &str, field: &str) -> Vec<bson::Bson> {
        self.runtime.block_on(async {
            let collection = self.database.collection::<Document>(collection);
            let find = collection.find(doc! {}).projection(doc! { field: 1 });
            let mut cursor = find.await.unwrap();
            let mut found = Vec::new();
            while cursor.advance().await.unwrap() {
                found.extend(cursor.deserialize_current().unwrap().remove(field));
            }
            found
        })
    }

    /// How many documents of a collection match.
    pub fn count(&self, collection: &str, filter: Document) -> usize {
        let collection = self.database.collection::<Document>(collection);
        let work = async { collection.count_documents(filter).await };
        self.runtime.block_on(work).unwrap() as usize
    }

    /// Runs a command, which must succeed.
    pub fn command(&self, command: Document) -> Document {
        let work = async { self.database.run_command(command).await };
        self.runtime.block_on(work).unwrap()
    }

    /// Inserts documents.
    pub fn insert(&self, collection: &str, documents: Vec<Document>) {
        let collection = self.database.collection::<Document>(collection);
        let work = async { collection.insert_many(documents).await };
        self.runtime.block_on(work).unwrap();
    }

    /// Changes all documents that match.
    pub fn update(&self, collection: &str, filter: Document, update: Document) {
        let collection = self.database.collection::<Document>(collection);
        let work = async { collection.update_many(filter, update).await };
        self.runtime.block_on(work).unwrap();
    }

    /// Deletes all documents that match.
    pub fn delete(&self, collection: &str, filter: Document) {
        let collection = self.database.collection::<Document>(collection);
        let work = async { collection.delete_many(filter).await };
        self.runtime.block_on(work).unwrap();
    }
}
