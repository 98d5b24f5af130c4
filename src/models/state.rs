//! The stored form of an estimator's state: MessagePack with named fields. Reading it
//! builds plain data and runs no code.

use crate::error::{Context, Error, ErrorKind, IntoError, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deepest nesting that is read; trees nest as deep as they are tall.
const MAX_DEPTH: usize = 512;

/// `value` as MessagePack.
pub fn save<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).context(|| "cannot serialise the model")
}

/// A value from all of `bytes`.
pub fn load<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut reader).context(|| "cannot read the stored model")
}

/// What was learned, or the error for an estimator that has not learned yet.
pub fn fitted<T>(state: &Option<T>) -> Result<&T> {
    state
        .as_ref()
        .ok_or_else(|| Error::conflict("the model is not trained yet").hint("fit it first"))
}

impl IntoError for rmp_serde::encode::Error {}
impl IntoError for rmp_serde::decode::Error {
    fn error_kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn values_come_back_and_cut_bytes_are_corrupt() {
        let matrix = array![[1.0, f64::NAN], [f64::INFINITY, -0.0]];
        let bytes = save(&matrix).unwrap();
        let back: Array2<f64> = load(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{matrix:?}"));
        for cut in 0..bytes.len() {
            let error = load::<Array2<f64>>(bytes.get(..cut).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let bytes = vec![0x91; 100_000];
        assert!(load::<serde_json::Value>(&bytes).is_err());
    }
}
