//! Requests and replies, as bytes (PROTOCOL.md).

use crate::error::{Context, Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The version that is spoken.
pub const VERSION: u64 = 1;

const MOST_HEADER: u32 = 16 << 20;
const MOST_PARTS: u64 = 4 << 30;

/// What a backend is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    header: Map<String, Value>,
    parts: Vec<Vec<u8>>,
    /// The model's content, which is sent only to processes that do not have it.
    model: Option<(String, Vec<u8>)>,
    limit: Option<Duration>,
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The fields.
    pub header: Map<String, Value>,
    parts: Vec<Vec<u8>>,
}

impl Request {
    /// A request; `fields` is an object.
    pub fn new(call: &str, fields: Value) -> Self {
        let mut header = Map::new();
        header.insert("call".to_owned(), call.into());
        if let Value::Object(fields) = fields {
            header.extend(fields);
        }
        Request {
            header,
            ..Request::default()
        }
    }

    /// With bytes under this name.
    pub fn part(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.header.insert(name.to_owned(), self.parts.len().into());
        self.parts.push(bytes);
        self
    }

    /// With a model's content; `id` names it for good.
    pub fn model(mut self, id: &str, content: Vec<u8>) -> Self {
        self.header.insert("id".to_owned(), id.into());
        self.model = Some((id.to_owned(), content));
        self
    }

    /// Within this time.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How long it may take.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// What names the model's content.
    pub fn model_id(&self) -> Option<&str> {
        self.model.as_ref().map(|(id, _)| id.as_str())
    }

    /// Writes it, with the model's content or without.
    pub fn write(&self, out: &mut impl Write, with_model: bool) -> io::Result<()> {
        let mut header = self.header.clone();
        let mut parts: Vec<&[u8]> = self.parts.iter().map(Vec::as_slice).collect();
        if let Some((_, content)) = self.model.as_ref().filter(|_| with_model) {
            header.insert("model".to_owned(), parts.len().into());
            parts.push(content);
        }
        write(out, header, &parts)
    }
}

impl Reply {
    /// Reads one; `None` when nothing comes any more.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = [0; 4];
        if input.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        input.read_exact(&mut length[1..])?;
        let length = u32::from_be_bytes(length);
        if length > MOST_HEADER {
            return Err(io::Error::other(
                "it prints something else than replies on standard output",
            ));
        }
        let header = exactly(input, u64::from(length))?;
        let header: Map<String, Value> = serde_json::from_slice(&header)
            .map_err(|_| io::Error::other("the header of its reply is no JSON object"))?;
        let lengths = header.get("parts").and_then(Value::as_array);
        let lengths: Option<Vec<u64>> = lengths.into_iter().flatten().map(Value::as_u64).collect();
        let lengths =
            lengths.ok_or_else(|| io::Error::other("the parts of its reply have no lengths"))?;
        let whole = lengths
            .iter()
            .try_fold(0u64, |sum, length| sum.checked_add(*length));
        if whole.is_none_or(|whole| whole > MOST_PARTS) {
            return Err(io::Error::other("its reply is too large"));
        }
        let parts: io::Result<Vec<Vec<u8>>> = lengths
            .into_iter()
            .map(|length| exactly(input, length))
            .collect();
        Ok(Some(Reply {
            header,
            parts: parts?,
        }))
    }

    /// The bytes under this name.
    pub fn part(&self, name: &str) -> Option<&[u8]> {
        let place = self.header.get(name)?.as_u64()?;
        self.parts
            .get(usize::try_from(place).ok()?)
            .map(Vec::as_slice)
    }

    /// The type of the failure, if it is one.
    pub fn failure(&self) -> Option<&str> {
        let error = self.header.get("error")?;
        Some(error.get("type").and_then(Value::as_str).unwrap_or("Error"))
    }

    /// The reply, if it is no failure.
    ///
    /// # Errors
    /// What the backend says.
    pub fn checked(self) -> Result<Self> {
        let Some(kind) = self.failure() else {
            return Ok(self);
        };
        let text = |name: &str| {
            let value = self.header.get("error").and_then(|error| error.get(name));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        if let Some(trace) = Some(text("traceback")).filter(|trace| !trace.is_empty()) {
            tracing::debug!("the backend says: {trace}");
        }
        let error = match kind {
            "missing-package" => Error::failed(text("message")),
            kind => Error::new(ErrorKind::Invalid, format!("{kind}: {}", text("message"))),
        };
        Err(match text("hint") {
            "" => error,
            hint => error.hint(hint),
        })
    }
}

fn write(out: &mut impl Write, mut header: Map<String, Value>, parts: &[&[u8]]) -> io::Result<()> {
    let lengths: Vec<Value> = parts.iter().map(|part| part.len().into()).collect();
    header.insert("parts".to_owned(), lengths.into());
    let header = Value::Object(header).to_string();
    let length =
        u32::try_from(header.len()).map_err(|_| io::Error::other("the request is too large"))?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(header.as_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))?;
    out.flush()
}

/// Memory is taken as the bytes come: lengths are not believed.
fn exactly(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = input.take(length).read_to_end(&mut bytes)?;
    match read as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A frame as a part.
///
/// # Errors
/// What Polars says.
pub fn encode_frame(frame: &mut polars::prelude::DataFrame) -> Result<Vec<u8>> {
    use polars::prelude::SerWriter;
    let mut bytes = Vec::new();
    // Arrow's older layout of text, which every reader knows.
    polars::prelude::IpcStreamWriter::new(&mut bytes)
        .with_compat_level(polars::prelude::CompatLevel::oldest())
        .finish(frame)
        .map_err(|error| {
            Error::failed("the data cannot be handed to the backend").because(error)
        })?;
    Ok(bytes)
}

/// A part as a frame.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it is none.
pub fn decode_frame(bytes: &[u8]) -> Result<polars::prelude::DataFrame> {
    use polars::prelude::SerReader;
    polars::prelude::IpcStreamReader::new(io::Cursor::new(bytes))
        .finish()
        .context(|| "the backend's table is not in Arrow's stream format")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn requests_are_replies_to_a_reader() {
        let request = Request::new("fit", json!({"kind": "k"}))
            .part("x", vec![1, 2])
            .model("m", vec![3]);
        for (with, parts) in [(true, 2), (false, 1)] {
            let mut bytes = Vec::new();
            request.write(&mut bytes, with).unwrap();
            let read = Reply::read(&mut bytes.as_slice()).unwrap().unwrap();
            assert_eq!(read.parts.len(), parts);
            assert_eq!(read.part("x"), Some(&[1, 2][..]));
            assert_eq!(read.part("model").is_some(), with);
            assert_eq!(read.header["id"], "m");
        }
        assert!(Reply::read(&mut [].as_slice()).unwrap().is_none());
    }

    #[test]
    fn other_output_is_told() {
        let error = Reply::read(&mut &b"Traceback (most recent call last)"[..]).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
    }

    #[test]
    fn frames_come_back() {
        let mut frame = polars::prelude::df!("a" => [1i64, 2], "t" => ["x", "y"]).unwrap();
        let bytes = encode_frame(&mut frame).unwrap();
        assert!(decode_frame(&bytes).unwrap().equals(&frame));
        assert!(decode_frame(&bytes[..10]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Reply::read(&mut bytes.as_slice());
            let _ = decode_frame(&bytes);
        }

        #[test]
        fn no_header_panics(text in ".{0,60}") {
            let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
            bytes.extend(text.as_bytes());
            if let Ok(Some(reply)) = Reply::read(&mut bytes.as_slice()) {
                let _ = reply.part("x");
                let _ = reply.checked();
            }
        }
    }
}
