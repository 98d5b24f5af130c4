//! What identifies an object, and the storage names derived from it
//! (spec/storage.md §2 and §4).

use crate::config::DEFAULT_BUCKET;
use sha1::{Digest, Sha1};
use std::fmt;

/// The identity of an object: bucket, prefix (with its trailing slash) and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The bucket as stored; the default bucket is [`DEFAULT_BUCKET`].
    pub bucket: String,
    /// The store's prefix, e.g. `data/`.
    pub prefix: String,
    /// The object's name.
    pub name: String,
}

impl Key {
    /// A key of these parts.
    pub fn new(bucket: &str, prefix: &str, name: &str) -> Self {
        Key {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
        }
    }

    /// omega|ml's `object_store_key`: the SHA-1 in hex of bucket, prefix and name with the
    /// extension `ext`, after `/` → `_` and `..` → `.` (spec/storage.md §4).
    pub fn storage_name(&self, ext: &str) -> String {
        let name = if self.name.ends_with(ext) {
            self.name.clone()
        } else {
            format!("{}.{ext}", self.name)
        };
        let text = format!("{}.{}.{name}", self.bucket, self.prefix)
            .replace('/', "_")
            .replace("..", ".");
        hex::encode(Sha1::digest(text.as_bytes()))
    }

    /// The collection that holds the object's rows or documents.
    pub fn collection(&self) -> String {
        self.storage_name(".datastore")
    }
}

/// `data/sales`, with the bucket in front unless it is the default one.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bucket != DEFAULT_BUCKET {
            write!(f, "{}:", self.bucket)?;
        }
        write!(f, "{}{}", self.prefix, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of spec/storage.md §4.
    #[test]
    fn storage_names_are_those_of_the_specification() {
        let cases = [
            (
                "omegaml",
                "data/",
                "sales",
                ".datastore",
                "774c6442fbb5a65efa342fcf03c68c24af31715d",
            ),
            (
                "mybucket",
                "data/",
                "sales",
                ".datastore",
                "0348fe3cb2e08ad7178c6f98847e509d781b71fd",
            ),
            (
                "omegaml",
                "data/",
                "raw/sales",
                ".datastore",
                "db8d802c2852ab229ad7e8ecc65e42ba3da53dda",
            ),
            (
                "omegaml",
                "data/",
                ".omega/logs",
                ".datastore",
                "396e91aa664ac4285e0c71318bd8a51f12f124c6",
            ),
            (
                "omegaml",
                "data/",
                "weights",
                "np",
                "0abe6f66cc1cac40c12557a64a151fe1c46854e3",
            ),
            (
                "omegaml",
                "data/",
                "inp",
                "np",
                "4503755fd875a1f7f5e837396991adf02050525d",
            ),
            (
                "omegaml",
                "data/",
                "notes.txt",
                "file",
                "8ec457136f0df3e076eaf70bef385e86357d0b61",
            ),
            (
                "omegaml",
                "data/",
                "sales",
                ".hdf",
                "92da7c879550cc4571f56661071b82402a52e391",
            ),
            (
                "omegaml",
                "models/",
                "mymodel",
                "omm",
                "dfb32e1f5f5b4faa2f2453de7b8d1d0f4afcdcc3",
            ),
            (
                "omegaml",
                "models/",
                "experiments/myexp",
                "omm",
                "1dbb9c57bbef89e44642e1a1bd7536c52eaa4197",
            ),
            (
                "omegaml",
                "scripts/",
                "hello",
                "pkg",
                "e25163015b221f052484a73a62a95099a13cde7a",
            ),
            (
                "omegaml",
                "jobs/",
                "mynb.ipynb",
                "omx",
                "c71e013aa0afdf9b873277b0a24a0ca47bf5300d",
            ),
        ];
        for (bucket, prefix, name, ext, expected) in cases {
            assert_eq!(
                Key::new(bucket, prefix, name).storage_name(ext),
                expected,
                "{name}"
            );
        }
    }
}
