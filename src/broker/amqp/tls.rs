//! TLS to the broker: rustls with ring; whom to trust is the system's business, or that of
//! one file.

use crate::config::AmqpSettings;
use crate::error::Error;
use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::path::PathBuf;

/// Whom to trust. Nothing is read before a connection is made.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    ca_file: Option<PathBuf>,
}

impl Tls {
    pub fn new(settings: &AmqpSettings) -> Self {
        Tls {
            ca_file: settings.ca_file.clone(),
        }
    }

    /// What makes streams secure.
    pub fn connector(&self) -> io::Result<RustlsConnector> {
        // The first use of TLS in this process decides for all; a second call is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = match &self.ca_file {
            None => RustlsConnectorConfig::new_with_platform_verifier(),
            Some(file) => {
                let invalid = |why: String| {
                    let error = Error::usage(why).on(format!("CA_CERTS_PATH {}", file.display()));
                    io::Error::new(io::ErrorKind::InvalidInput, error)
                };
                let certificates = CertificateDer::pem_file_iter(file)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| {
                        invalid(format!("the file of certificates cannot be read: {error}"))
                    })?;
                if certificates.is_empty() {
                    return Err(invalid("there is no certificate in the file".to_owned()));
                }
                let mut config = RustlsConnectorConfig::default();
                config.add_parsable_certificates(certificates);
                config
            }
        };
        config.connector_with_no_client_auth()
    }

    /// Errors of ours that had to pass through the client.
    pub fn explain(&self, error: &lapin::Error) -> Option<Error> {
        match error.kind() {
            lapin::ErrorKind::IOError(error) => {
                error.get_ref()?.downcast_ref::<Error>().map(Error::again)
            }
            _ => None,
        }
    }
}
