//! A server of this process over any storage, and the storage that its clients see.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use omega::Omega;
use omega::config::{RemoteSettings, Secret, Url};
use omega::progress::{Meter, Progress, Silent, Unit};
use omega::server::auth::Access;
use omega::server::{App, AppOptions, Limits, Server};
use omega::storage::Storage;
use omega::storage::remote::RemoteStorage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub struct Served {
    pub url: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Until(Arc<AtomicBool>);

impl Progress for Until {
    fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Meter> {
        Silent.meter(label, total, unit)
    }

    fn note(&self, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Served {
    pub fn of(storage: Arc<dyn Storage>) -> Self {
        let om = Omega::new(storage, Arc::new(Silent));
        let options = AppOptions {
            filter: None,
            access: Access::Open,
            origins: Vec::new(),
            pages: false,
            log: ".omega/logs".to_owned(),
        };
        let app = App::new(om, None, options).unwrap();
        let limits = Limits {
            grace: Duration::from_secs(5),
            ..Limits::default()
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(address, None, limits, Vec::new()).unwrap();
        let url = server.url();
        let stop = Arc::new(AtomicBool::new(false));
        let until = Until(stop.clone());
        let thread = std::thread::spawn(move || server.serve(app, &until).unwrap());
        Served {
            url,
            stop,
            thread: Some(thread),
        }
    }

    pub fn storage(&self) -> RemoteStorage {
        storage_at(&self.url)
    }
}

/// The storage of the server at `url`.
pub fn storage_at(url: &str) -> RemoteStorage {
    let settings = RemoteSettings {
        url: Url::new(url),
        user: "eva".to_owned(),
        key: Secret::new("none"),
        qualifier: None,
        ca_file: None,
        timeout: Duration::from_secs(5),
        default_bucket: "omegaml".to_owned(),
    };
    let server = omega::remote::Server::open(settings, Arc::new(Silent)).unwrap();
    RemoteStorage::new(server)
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
