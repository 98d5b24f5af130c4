//! temporary
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
pub struct Mongo {
    pub port: u16,
    _child: Child,
    _dir: tempfile::TempDir,
}
static N: AtomicU32 = AtomicU32::new(0);
impl Mongo {
    pub fn database(&self) -> String {
        format!(
            "mongodb://127.0.0.1:{}/t{}_{}",
            self.port,
            std::process::id(),
            N.fetch_add(1, Ordering::Relaxed)
        )
    }
}
pub fn mongo() -> &'static Mongo {
    static M: OnceLock<Mongo> = OnceLock::new();
    M.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bin = format!("{}/.cache/om-reference/secantus/bin/secantusd-rs", std::env::var("HOME").unwrap());
        let child = Command::new("sh").arg("-c").arg(format!("{bin} --host 127.0.0.1 --port {port} --storage-path {} --cache-size 256M >{}/log 2>&1 & p=$!; while kill -0 {} 2>/dev/null; do sleep 0.5; done; kill $p", dir.path().display(), dir.path().display(), std::process::id())).spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() { std::thread::sleep(std::time::Duration::from_millis(50)); }
        Mongo { port, _child: child, _dir: dir }
    })
}
