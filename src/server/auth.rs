//! Who sends a request: reads credentials from its headers and asks the book of users.

use super::reply::Failure;
use super::request::Request;
use crate::access::{Book, Rights, refused};
use crate::error::{Error, ErrorKind, Result};
use crate::omega::Omega;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong credentials that one address may send within [`WINDOW`].
const TRIES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const MOST: usize = 10_000;

/// How clients prove who they are.
pub enum Access {
    /// Not at all: everybody may do everything.
    Open,
    /// By an API key, or by a token signed with a key of ours.
    Keys {
        /// What tokens are signed with, if they are taken.
        tokens: Option<Box<TokenKey>>,
        /// Failures by address.
        failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    },
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Open => "open",
            Access::Keys { .. } => "keys",
        })
    }
}

/// What bearer tokens (JWT) are checked with.
pub struct TokenKey {
    key: DecodingKey,
    validation: Validation,
}

impl TokenKey {
    /// A public key in PEM (RS256, ES256 or EdDSA), or else a secret of at least 32 bytes
    /// (HS256).
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what is neither.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let bad = || Error::usage("the key of tokens is neither a public key in PEM nor a secret");
        let (key, algorithm) = if text.contains("-----BEGIN") {
            let attempts = [
                (DecodingKey::from_rsa_pem(bytes), Algorithm::RS256),
                (DecodingKey::from_ec_pem(bytes), Algorithm::ES256),
                (DecodingKey::from_ed_pem(bytes), Algorithm::EdDSA),
            ];
            let mut keys = attempts.into_iter();
            let found = keys.find_map(|(key, algorithm)| Some((key.ok()?, algorithm)));
            found.ok_or_else(bad)?
        } else {
            let secret = text.trim();
            if secret.len() < 32 {
                return Err(bad().hint("a secret has at least 32 characters"));
            }
            (
                DecodingKey::from_secret(secret.as_bytes()),
                Algorithm::HS256,
            )
        };
        let mut validation = Validation::new(algorithm);
        validation.validate_aud = false;
        Ok(TokenKey { key, validation })
    }

    /// The user of a token that is signed and has not expired.
    fn user(&self, token: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Claims {
            sub: String,
        }
        let token = decode::<Claims>(token, &self.key, &self.validation).ok()?;
        Some(token.claims.sub)
    }
}

impl Access {
    /// API keys, and tokens where there is a key for them.
    pub fn keys(tokens: Option<TokenKey>) -> Self {
        Access::Keys {
            tokens: tokens.map(Box::new),
            failures: Mutex::default(),
        }
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        matches!(self, Access::Open)
    }

    /// What the sender of `request` may do.
    ///
    /// # Errors
    /// 401 without credentials or with wrong ones, 429 for whoever tries too many.
    pub fn of(&self, request: &Request, om: &Omega) -> Result<Rights, Failure> {
        let Access::Keys { tokens, failures } = self else {
            return Ok(Rights::all());
        };
        let lock = || failures.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = request.peer;
        if let Some((since, count)) = peer.and_then(|peer| lock().get(&peer).copied())
            && count >= TRIES
            && since.elapsed() < WINDOW
        {
            let left = WINDOW.saturating_sub(since.elapsed()).as_secs().max(1);
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            return Err(Failure::busy(429, "too many wrong credentials", left));
        }
        let Some(header) = request.header("authorization") else {
            return Err(Failure::unauthenticated("credentials are needed"));
        };
        let book = Book::of(om.storage().as_ref());
        match known(header, &book, tokens.as_deref()) {
            Ok(rights) => Ok(rights),
            Err(error) if error.kind() == ErrorKind::Unauthorized => {
                if let Some(peer) = peer {
                    let mut failures = lock();
                    if failures.len() >= MOST {
                        failures.retain(|_, (since, _)| since.elapsed() < WINDOW);
                    }
                    // A key cannot be guessed: memory is what is to be spared.
                    if failures.len() < MOST || failures.contains_key(&peer) {
                        let entry = failures.entry(peer).or_insert((Instant::now(), 0));
                        if entry.0.elapsed() >= WINDOW {
                            *entry = (Instant::now(), 0);
                        }
                        entry.1 += 1;
                    }
                }
                tracing::warn!(?peer, "wrong credentials");
                Err(Failure::unauthenticated(error.message()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// `ApiKey user:key`, `Basic` of the same, `Bearer key` or `Bearer token`.
fn known(header: &str, book: &Book, tokens: Option<&TokenKey>) -> Result<Rights> {
    let (scheme, given) = header.trim().split_once(' ').ok_or_else(refused)?;
    let given = given.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "apikey" => {
            let (user, key) = given.split_once(':').ok_or_else(refused)?;
            book.rights(Some(user), key)
        }
        // What browsers send.
        "basic" => {
            let decoded = BASE64_STANDARD.decode(given).map_err(|_| refused())?;
            let decoded = String::from_utf8(decoded).map_err(|_| refused())?;
            let (user, key) = decoded.split_once(':').ok_or_else(refused)?;
            book.rights(Some(user), key)
        }
        "bearer" if given.matches('.').count() == 2 => {
            let user = tokens.and_then(|tokens| tokens.user(given));
            book.granted(&user.ok_or_else(refused)?)
        }
        "bearer" => book.rights(None, given),
        _ => Err(refused()),
    }
}
