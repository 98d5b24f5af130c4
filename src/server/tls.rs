//! The server's certificate, read again when its files change.

use crate::error::{Context, Error, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::TlsAcceptor;

/// How long a certificate is believed to be the one in its file.
const LOOK: Duration = Duration::from_secs(1);

/// Where the certificate and its key are, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate with those above it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Makes TLS of connections.
pub struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    changed: Option<SystemTime>,
    looked: Instant,
}

impl Tls {
    /// With the certificate in `files`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for files that hold none, or a key of another one.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let current = Current {
            config: read(&files)?,
            changed: changed(&files),
            looked: Instant::now(),
        };
        Ok(Tls {
            files,
            current: Mutex::new(current),
        })
    }

    /// For the next connection. Files that have become unreadable change nothing.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let changed = changed(&self.files);
            if changed != current.changed {
                match read(&self.files) {
                    Ok(config) => {
                        current.config = config;
                        current.changed = changed;
                        tracing::info!("the certificate was read again");
                    }
                    Err(error) => tracing::warn!("the old certificate stays: {error}"),
                }
            }
        }
        TlsAcceptor::from(current.config.clone())
    }
}

fn changed(files: &TlsFiles) -> Option<SystemTime> {
    let time = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    };
    time(&files.certificate).max(time(&files.key))
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let shown = files.certificate.display().to_string();
    let bad = |what: &str| Error::invalid(what.to_owned()).on(shown.clone());
    let text =
        |path: &PathBuf| std::fs::read(path).context(|| format!("cannot read {}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&text(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad("the file is no certificate in PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?).map_err(|_| {
        Error::invalid("the file is no private key in PEM").on(files.key.display().to_string())
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS cannot be used").because(error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| bad("the certificate and the key do not fit").because(error))?;
    Ok(Arc::new(config))
}
