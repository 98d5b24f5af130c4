//! Wheels as source archives, which Python omega|ml's workers can install: those of Python
//! alone, whose files are the package's.

use super::package;
use crate::error::{Context, Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::PathBuf;

/// The largest package.
const MOST: u64 = 1 << 30;

/// The source archive of a wheel's package, for the script `name`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what is no wheel, has compiled parts, or has no module
/// that is called like the script.
pub(super) fn unpacked(file: &str, bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let tags = file.trim_end_matches(".whl").rsplit('-');
    if tags.take(2).ne(["any", "none"]) {
        return Err(
            Error::invalid("the wheel is for one platform, a worker may have another")
                .hint("store the package's source, or let workers get it: pypi://NAME"),
        );
    }
    let contents = read(bytes)?;
    let about = contents
        .iter()
        .find(|(path, _)| path.ends_with(".dist-info/METADATA"))
        .ok_or_else(|| Error::invalid("the wheel has no metadata"))?;
    let about = Metadata::of(&String::from_utf8_lossy(&about.1));
    let files: Vec<(String, Vec<u8>)> = contents
        .into_iter()
        .filter(|(path, _)| {
            let top = path.split('/').next().unwrap_or_default();
            !top.ends_with(".dist-info") && !top.ends_with(".data")
        })
        .collect();
    let module = name.rsplit('/').next().unwrap_or(name);
    let single = format!("{module}.py");
    if !files
        .iter()
        .any(|(path, _)| *path == single || path.split('/').next() == Some(module))
    {
        return Err(
            Error::invalid(format!("the wheel has no module `{module}`"))
                .hint("a script is called like its module"),
        );
    }
    let setup = about.setup(module, &files);
    let all = std::iter::once(("setup.py".to_owned(), setup.into_bytes())).chain(files);
    package::archive(
        module,
        &about.version,
        all.map(|(path, bytes)| Ok((PathBuf::from(path), bytes))),
    )
}

/// The files of a wheel.
fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let failed = || "the wheel is damaged";
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| Error::invalid("it is no wheel").because(error))?;
    let mut files = Vec::new();
    let mut left = MOST;
    for number in 0..archive.len() {
        let file = archive
            .by_index(number)
            .map_err(|error| Error::invalid(failed()).because(error))?;
        if file.is_dir() {
            continue;
        }
        let path = file
            .enclosed_name()
            .filter(|_| !file.is_symlink())
            .and_then(|path| path.to_str().map(str::to_owned))
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the wheel's `{}` leads out of it",
                    String::from_utf8_lossy(file.name_raw())
                ))
            })?;
        let mut content = Vec::new();
        file.take(left + 1)
            .read_to_end(&mut content)
            .context(failed)?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| Error::invalid("the package has more than 1 GB"))?;
        files.push((path, content));
    }
    Ok(files)
}

/// What a wheel says of itself.
struct Metadata {
    version: String,
    requires: Vec<String>,
    python: Option<String>,
}

impl Metadata {
    fn of(text: &str) -> Self {
        let mut about = Metadata {
            version: "0.0.0".to_owned(),
            requires: Vec::new(),
            python: None,
        };
        // The description follows an empty line.
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((field, value)) = line.split_once(": ") else {
                continue;
            };
            let value = value.trim();
            match field {
                "Version" => value.clone_into(&mut about.version),
                "Requires-Python" => about.python = Some(value.to_owned()),
                // What extras need, nobody has asked for.
                "Requires-Dist" if !value.contains("extra ==") => {
                    about.requires.push(value.to_owned());
                }
                _ => {}
            }
        }
        about
    }

    /// A `setup.py` that installs these files; JSON's texts, lists and objects are Python's.
    fn setup(&self, name: &str, files: &[(String, Vec<u8>)]) -> String {
        let mut modules = Vec::new();
        let mut packages = BTreeSet::new();
        let mut data: Map<String, Value> = Map::new();
        for (path, _) in files {
            let Some((folder, file)) = path.rsplit_once('/') else {
                modules.extend(path.strip_suffix(".py"));
                continue;
            };
            let package = folder.replace('/', ".");
            if !file.ends_with(".py") {
                let of = data.entry(package.clone()).or_insert_with(|| json!([]));
                if let Some(list) = of.as_array_mut() {
                    list.push(file.into());
                }
            }
            packages.insert(package);
        }
        let mut words = json!({
            "name": name, "version": self.version, "py_modules": modules,
            "packages": packages, "package_data": data, "install_requires": self.requires,
        });
        if let (Some(python), Some(words)) = (&self.python, words.as_object_mut()) {
            words.insert("python_requires".to_owned(), python.as_str().into());
        }
        format!("from setuptools import setup\n\nsetup(**{words})\n")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, text) in files {
            archive
                .start_file(*path, SimpleFileOptions::default())
                .unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    const ABOUT: &str = "Metadata-Version: 2.1\nName: hello\nVersion: 1.2\nRequires-Python: >=3.8\nRequires-Dist: six>=1\nRequires-Dist: rich; extra == 'nice'\n\nVersion: not this\n";

    #[test]
    fn a_wheel_becomes_a_source_archive() {
        let bytes = wheel(&[
            ("hello/__init__.py", "def run(om): return 1\n"),
            ("hello/data/words.txt", "a\n"),
            ("hello-1.2.dist-info/METADATA", ABOUT),
        ]);
        let archive = unpacked("hello-1.2-py3-none-any.whl", &bytes, "etl/hello").unwrap();
        package::check(&archive).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
        let mut setup = String::new();
        let mut paths = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if path.ends_with("setup.py") {
                entry.read_to_string(&mut setup).unwrap();
            }
            paths.push(path);
        }
        assert!(
            paths.contains(&"hello-1.2/hello/data/words.txt".to_owned()),
            "{paths:?}"
        );
        for part in [
            r#""version":"1.2""#,
            r#""packages":["hello","hello.data"]"#,
            r#""package_data":{"hello.data":["words.txt"]}"#,
            r#""install_requires":["six>=1"]"#,
            r#""python_requires":">=3.8""#,
        ] {
            assert!(setup.contains(part), "{part} in {setup}");
        }
    }

    #[test]
    fn other_wheels_are_refused() {
        let said = |file: &str, files: &[(&str, &str)]| {
            let error = unpacked(file, &wheel(files), "hello").unwrap_err();
            error.message().to_owned()
        };
        let about = ("hello-1.dist-info/METADATA", ABOUT);
        let any = "hello-1-py3-none-any.whl";
        assert!(said("hello-1-cp311-cp311-linux_x86_64.whl", &[about]).contains("one platform"));
        assert!(said(any, &[("other.py", ""), about]).contains("no module `hello`"));
        assert!(said(any, &[("hello.py", "")]).contains("no metadata"));
        assert!(said(any, &[("../hello.py", ""), about]).contains("leads out"));
        assert!(unpacked(any, b"PK nothing", "hello").is_err());
    }
}
