//! Values that must not be seen: secrets, and URLs that carry them. Nothing here shows
//! a secret by itself; whoever needs one asks for it by [`Secret::reveal`].

use serde_json::Value;
use std::fmt;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A password, key or token. It has no `Display` and no `Serialize`; `Debug` is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value` from being seen.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A URL as configured. `Display` and `Debug` mask what precedes the host and query
/// values that are known to be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Keeps the text as it is; whether it can be used is for its user to find out.
    pub fn new(text: impl Into<String>) -> Self {
        Url(text.into())
    }

    /// The text with its credentials, for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(&self.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(&self.0))
    }
}

/// Whether a setting, mapping key or query parameter of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 12] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "apikey",
        "api_key",
        "api-key",
        "credential",
        "signature",
        "private_key",
    ];
    const WHOLE: [&str; 4] = ["key", "sig", "auth", "authmechanismproperties"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part)) || WHOLE.contains(&name.as_str())
}

/// The value of the setting `name` as it may be shown: secrets masked at any depth.
pub fn masked(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), masked(key, value)))
                .collect(),
        ),
        _ if is_secret_name(name) => Value::String(MASK.to_owned()),
        Value::Array(items) => Value::Array(items.iter().map(|item| masked(name, item)).collect()),
        Value::String(text) => Value::String(mask_text(text)),
        other => other.clone(),
    }
}

/// Masks the credentials of every URL in a text, for instance in a driver's message.
pub fn mask_text(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';'))
        .map(mask_url)
        .collect()
}

/// Everything between the scheme and the last `@` ahead of the query is masked: a
/// password with an unescaped `/` or `@` in it must not show either. A URL that has an
/// `@` in its path only is masked too far, which harms nobody.
fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let first_at = rest.find('@').unwrap_or(0);
    let query = rest
        .char_indices()
        .find(|(position, c)| *position >= first_at && matches!(c, '?' | '#'))
        .map_or(rest.len(), |(position, _)| position);
    let (place, query) = rest.split_at(query);
    let place = match place.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => place.to_owned(),
    };
    format!("{scheme}://{place}{}", mask_query(query))
}

fn mask_query(query: &str) -> String {
    query
        .split_inclusive(['&', '?', '#'])
        .map(|part| {
            let (pair, end) = match part.char_indices().last() {
                Some((last, '&' | '?' | '#')) => part.split_at(last),
                _ => (part, ""),
            };
            match pair.split_once('=') {
                Some((key, _)) if is_secret_name(key) => format!("{key}={MASK}{end}"),
                _ => part.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn credentials_of_urls_are_masked() {
        for (url, shown) in [
            (
                "mongodb://user:pw@db:27017/omega",
                "mongodb://***@db:27017/omega",
            ),
            ("amqp://token@mq//", "amqp://***@mq//"),
            (
                "mongodb://u:p/a@ss@db/omega?authSource=admin",
                "mongodb://***@db/omega?authSource=admin",
            ),
            (
                "mongodb://u:p?q@db/omega?password=x&w=1",
                "mongodb://***@db/omega?password=***&w=1",
            ),
            (
                "https://hub/api?apikey=x#token=y",
                "https://hub/api?apikey=***#token=***",
            ),
            ("file:///data/store", "file:///data/store"),
            ("no url", "no url"),
        ] {
            assert_eq!(Url::new(url).to_string(), shown);
            assert_eq!(format!("{:?}", Url::new(url)), shown);
        }
    }

    #[test]
    fn values_are_masked_at_any_depth() {
        let value =
            json!({"BROKER_URL": "amqp://u:p@mq//", "SECRET_KEY": 1, "list": ["x://a:b@c"]});
        assert_eq!(
            masked("OMEGA_CELERY_CONFIG", &value),
            json!({"BROKER_URL": "amqp://***@mq//", "SECRET_KEY": "***", "list": ["x://***@c"]})
        );
        assert_eq!(masked("OMEGA_APIKEY", &json!("k")), json!("***"));
        assert_eq!(masked("OMEGA_APIKEY", &json!(["k"])), json!("***"));
    }

    #[test]
    fn messages_are_masked_url_by_url() {
        assert_eq!(
            mask_text("cannot reach mongodb://u:p@db/x, nor 'amqp://u:p@mq//'"),
            "cannot reach mongodb://***@db/x, nor 'amqp://***@mq//'"
        );
    }

    proptest! {
        #[test]
        fn no_password_shows(password in "CANARY[a-z:/@?#&=%]{0,12}", tail in "[a-z/]{0,8}") {
            let url = Url::new(format!("mongodb://user:{password}@host/{tail}"));
            let shown = url.to_string();
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
            prop_assert_eq!(&shown, &format!("{url:?}"));
        }

        #[test]
        fn masking_never_fails(text in "\\PC{0,60}") {
            mask_text(&text);
            mask_url(&text);
        }
    }
}
