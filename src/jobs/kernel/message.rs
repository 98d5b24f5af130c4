//! Jupyter's messages: four JSON parts behind a signature
//! (<https://jupyter-client.readthedocs.io/en/latest/messaging.html>).

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Signs what is sent and checks what comes.
#[derive(Clone)]
pub(super) struct Signer {
    key: Vec<u8>,
    session: String,
}

/// A message that came.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its type, e.g. `stream`.
    pub kind: String,
    /// The request that it belongs to.
    pub parent: String,
    /// What it says.
    pub content: Value,
}

impl Signer {
    pub fn new(key: &str, session: &str) -> Self {
        Signer {
            key: key.as_bytes().to_vec(),
            session: session.to_owned(),
        }
    }

    fn mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }

    /// The parts of a request.
    pub fn request(&self, kind: &str, id: &str, content: &Value) -> Vec<Vec<u8>> {
        let date = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let header = json!({
            "msg_id": id, "msg_type": kind, "session": self.session, "username": "om",
            "date": date, "version": "5.3",
        });
        let parts = [header, json!({}), json!({}), content.clone()]
            .map(|part| part.to_string().into_bytes());
        let signed: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let signature = self.mac(&signed).map(|mac| mac.finalize().into_bytes());
        let signature = signature.map(hex::encode).unwrap_or_default();
        let mut all = vec![DELIMITER.to_vec(), signature.into_bytes()];
        all.extend(parts);
        all
    }

    /// What a message says; none if it is malformed or not signed by the kernel.
    pub fn read(&self, parts: &[Vec<u8>]) -> Option<Message> {
        let start = parts.iter().position(|part| part == DELIMITER)?;
        let [_, signature, header, parent, metadata, content, ..] = parts.get(start..)? else {
            return None;
        };
        let signature: Option<Vec<u8>> = std::str::from_utf8(signature)
            .ok()?
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let mac = self.mac(&[header, parent, metadata, content])?;
        mac.verify_slice(&signature?).ok()?;
        let header: Map<String, Value> = serde_json::from_slice(header).ok()?;
        let parent: Map<String, Value> = serde_json::from_slice(parent).ok()?;
        let text = |map: &Map<String, Value>, field: &str| {
            map.get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Some(Message {
            kind: text(&header, "msg_type"),
            parent: text(&parent, "msg_id"),
            content: serde_json::from_slice(content).ok()?,
        })
    }
}

impl Message {
    /// Stands for one that was too large to be kept.
    pub fn too_large() -> Self {
        Message {
            kind: String::new(),
            parent: String::new(),
            content: Value::Null,
        }
    }

    /// Whether it stands for such a one.
    pub fn is_too_large(&self) -> bool {
        self.kind.is_empty() && self.content.is_null()
    }

    /// A text of the content.
    pub fn text(&self, field: &str) -> &str {
        self.content
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_messages_are_read() {
        let signer = Signer::new("secret", "s");
        let parts = signer.request("status", "1", &json!({"execution_state": "idle"}));
        let message = signer.read(&parts).unwrap();
        assert_eq!(
            (message.kind.as_str(), message.text("execution_state")),
            ("status", "idle")
        );
        assert!(Signer::new("other", "s").read(&parts).is_none());
        let mut forged = parts.clone();
        forged[5] = b"{}".to_vec();
        assert!(signer.read(&forged).is_none());
        assert!(signer.read(&parts[1..]).is_none());
        assert!(signer.read(&[]).is_none());
    }
}
