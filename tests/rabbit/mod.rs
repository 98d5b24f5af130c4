//! A RabbitMQ server for tests: one of this process's own on free ports, without systemd
//! and without touching one that is installed as a service; stopped with the process of
//! the tests, however that ends. It takes about 20 s to start, so there is one for all.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where Debian's package has the script that does not change the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The program; `OM_TEST_RABBITMQ` names that of another version.
fn program() -> PathBuf {
    std::env::var_os("OM_TEST_RABBITMQ").map_or_else(|| PROGRAM.into(), PathBuf::from)
}

/// The users; the password is looked for in messages, which must not show it.
pub const USER: &str = "om";
pub const PASSWORD: &str = "Sesame-0pen";
/// The hash of the password as RabbitMQ stores it: salt 0x01020304, SHA-256.
const HASH: &str = include_str!("password.sha256");

/// A server.
pub struct Rabbit {
    folder: PathBuf,
    pub port: u16,
    pub tls_port: u16,
    distribution: u16,
    mapper: u16,
}

/// The server of this process.
pub fn rabbit() -> &'static Rabbit {
    static SERVER: OnceLock<Rabbit> = OnceLock::new();
    SERVER.get_or_init(Rabbit::start)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Rabbit {
    /// A server of one's own, which may be killed.
    pub fn start() -> Self {
        Self::start_with("[].")
    }

    /// A server with settings that only Erlang terms can express.
    pub fn start_with(advanced: &str) -> Self {
        assert!(
            program().is_file(),
            "these tests need RabbitMQ, and there is no {}: run tests/servers.sh",
            program().display()
        );
        let folder = tempfile::tempdir().unwrap().keep();
        let rabbit = Rabbit {
            folder,
            port: free_port(),
            tls_port: free_port(),
            distribution: free_port(),
            mapper: free_port(),
        };
        rabbit.certify();
        rabbit.configure();
        std::fs::write(rabbit.folder.join("advanced.config"), advanced).unwrap();
        rabbit.launch();
        rabbit.wait();
        rabbit
    }

    /// `amqp://…` of a virtual host.
    pub fn url(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}//", self.port)
    }

    /// The same through another port, such as a proxy's, with a short heartbeat.
    pub fn url_by(&self, port: u16) -> String {
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{port}//?heartbeat=2")
    }

    /// A name that no other test uses.
    pub fn name(what: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("{what}-{}-{number}", std::process::id())
    }

    /// The certificate of the authority that vouches for the server.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn certify(&self) {
        let script = "set -e; new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'; \
            openssl req -x509 $new -keyout ca.key -out ca.pem -days 30 -subj '/CN=om test'; \
            openssl req $new -keyout key.pem -out cert.csr -subj /CN=localhost; \
            echo subjectAltName=DNS:localhost,IP:127.0.0.1 >ext; echo basicConstraints=CA:FALSE >>ext; \
            openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem \
                -days 30 -extfile ext";
        let made = Command::new("sh")
            .args(["-c", script])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    fn configure(&self) {
        let path = |name: &str| self.folder.join(name);
        let definitions = format!(
            r#"{{"users": [{{"name": "{USER}", "password_hash": "{}", "hashing_algorithm":
            "rabbit_password_hashing_sha256", "tags": "administrator", "limits": {{}}}}],
            "vhosts": [{{"name": "/"}}, {{"name": "om test"}}], "permissions": [
            {{"user": "{USER}", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}},
            {{"user": "{USER}", "vhost": "om test", "configure": ".*", "write": ".*", "read": ".*"}}]}}"#,
            HASH.trim()
        );
        std::fs::write(path("definitions.json"), definitions).unwrap();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nloopback_users = none\nlog.file.level = warning\n\
             load_definitions = {}\nlisteners.ssl.1 = 127.0.0.1:{}\nssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
            self.port,
            path("definitions.json").display(),
            self.tls_port,
            path("ca.pem").display(),
            path("cert.pem").display(),
            path("key.pem").display(),
        );
        std::fs::write(path("rabbitmq.conf"), settings).unwrap();
        std::fs::write(path("enabled_plugins"), "[].").unwrap();
    }

    #[allow(clippy::zombie_processes)] // It ends with this process, by itself.
    fn launch(&self) {
        // Nobody tells a killed test to tidy up: the server's parent watches it. The server
        // is started again when the file `restart` appears.
        let script = "parent=$1 folder=$2; shift 2; \
            while :; do \
              \"$@\" >>\"$folder/server.log\" 2>&1 & server=$!; echo $server >\"$folder/server.pid\"; \
              while kill -0 $parent 2>/dev/null && kill -0 $server 2>/dev/null; do sleep 0.2; done; \
              kill -9 $server $(cat \"$folder/beam.pid\" 2>/dev/null) 2>/dev/null; wait $server 2>/dev/null; \
              while kill -0 $parent 2>/dev/null && [ ! -e \"$folder/restart\" ]; do sleep 0.1; done; \
              kill -0 $parent 2>/dev/null || break; rm -f \"$folder/restart\" \"$folder/beam.pid\"; \
            done; \
            epmd -kill >/dev/null 2>&1; rm -rf \"$folder\"";
        let folder = &self.folder;
        let path = |name: &str| folder.join(name);
        let mut watcher = Command::new("setsid")
            .args(["sh", "-c", script, "sh"])
            .arg(std::process::id().to_string())
            .arg(folder)
            .arg(program())
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", format!("om{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
            .env("RABBITMQ_PID_FILE", path("beam.pid"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none +S 1:1",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start RabbitMQ");
        std::thread::spawn(move || watcher.wait());
    }

    /// Waits until it answers a client's greeting.
    pub fn wait(&self) {
        let started = Instant::now();
        while !self.answers() {
            let log = std::fs::read_to_string(self.folder.join("server.log"));
            assert!(
                started.elapsed() < Duration::from_secs(180),
                "RabbitMQ does not answer: {}",
                log.unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The listener of TLS comes last.
    fn answers(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.tls_port)).is_err() {
            return false;
        }
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let mut answer = [0; 7];
        stream.write_all(b"AMQP\0\0\x09\x01").is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    /// Ends the server, unasked.
    pub fn kill(&self) {
        let beam = std::fs::read_to_string(self.folder.join("beam.pid")).unwrap();
        let killed = Command::new("kill").args(["-9", beam.trim()]).status();
        assert!(killed.unwrap().success());
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a server again that was killed; does not wait for it.
    pub fn restart(&self) {
        std::fs::write(self.folder.join("restart"), "").unwrap();
    }
}
