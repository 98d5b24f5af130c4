//! A request as the resources see it: path, query, headers and body, decoded once.

use super::reply::Failure;
use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// What a client asks.
#[derive(Debug)]
pub struct Request {
    /// `GET`
    pub method: String,
    /// The path, percent-decoded.
    pub path: String,
    /// The path as it was sent.
    pub raw_path: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// Where it comes from.
    pub peer: Option<IpAddr>,
}

impl Request {
    /// A request for `target`, a path that may have a query.
    ///
    /// # Errors
    /// 400 for a path that is not UTF-8 once decoded.
    pub fn new(
        method: &str,
        target: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Self, Failure> {
        let (raw_path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = percent_decode_str(raw_path)
            .decode_utf8()
            .map_err(|_| Failure::new(400, "the path is not UTF-8"))?;
        Ok(Request {
            method: method.to_owned(),
            path: path.into_owned(),
            raw_path: raw_path.to_owned(),
            query: pairs(query),
            headers,
            body,
            peer: None,
        })
    }

    /// The last value of `name` in the query.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut named = self.query.iter().rev().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// A field of a form that was sent in the body.
    pub fn form_value(&self, name: &str) -> Option<String> {
        let kind = self.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        let fields = pairs(std::str::from_utf8(&self.body).ok()?);
        let mut named = fields.into_iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value)
    }

    /// The bucket that is asked for: by a header, or, on pages and in stores, by the query or
    /// a form.
    pub fn bucket(&self, page: bool) -> Option<String> {
        let named = self.header("bucket").map(str::to_owned);
        let of_page = || {
            let asked = self.param("bucket").map(str::to_owned);
            asked.or_else(|| self.form_value("bucket"))
        };
        let named = named.or_else(|| page.then(of_page).flatten());
        named.filter(|name| !name.is_empty())
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the answer is not waited for: the header `async` or the query says so.
    pub fn is_async(&self) -> bool {
        let said = self.header("async").or_else(|| self.param("async"));
        said.is_some_and(is_true)
    }

    /// The body as JSON; none where the client does not say that it is JSON, or sends none.
    ///
    /// # Errors
    /// 400 for what is no JSON.
    pub fn json(&self) -> Result<Option<Value>, Failure> {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_json = kind.eq_ignore_ascii_case("application/json")
            || (kind.starts_with("application/") && kind.ends_with("+json"));
        if !is_json || self.body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&self.body)
            .map(Some)
            .map_err(|error| {
                tracing::debug!("a body that is no JSON: {error}");
                Failure::new(
                    400,
                    "The browser (or proxy) sent a request that this server could not understand.",
                )
            })
    }

    /// The body as a JSON object, empty where there is none.
    ///
    /// # Errors
    /// As [`Request::json`]; 400 for JSON that is no object.
    pub fn fields(&self) -> Result<Map<String, Value>, Failure> {
        match self.json()? {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(fields)) => Ok(fields),
            Some(_) => Err(Failure::raised("ValueError", "the body is not an object")),
        }
    }
}

/// As omega|ml has it: what starts with y, t or 1.
pub fn is_true(text: &str) -> bool {
    text.to_lowercase().starts_with(['y', 't', '1'])
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_decoded() {
        let request = Request::new(
            "GET",
            "/api/v1/dataset/a%2Fb?x__gte=1+2&name=%C3%A9&flag",
            HeaderMap::new(),
            Vec::new(),
        )
        .unwrap();
        assert_eq!(request.path, "/api/v1/dataset/a/b");
        assert_eq!(request.param("x__gte"), Some("1 2"));
        assert_eq!(request.param("name"), Some("é"));
        assert_eq!(request.param("flag"), Some(""));
        assert!(Request::new("GET", "/%ff", HeaderMap::new(), Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_target_and_body_is_answered(target in "\\PC{0,40}", body in ".*") {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "application/json".parse().unwrap());
            if let Ok(request) = Request::new("PUT", &target, headers, body.into_bytes()) {
                let _ = (request.fields(), request.is_async());
            }
        }
    }
}
