//! Source archives of Python packages: made of a directory, and looked at before they are
//! stored. pip builds them where they are run.

use crate::error::{Context, Error, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Builder, EntryType, Header};

/// The largest package.
const MOST: u64 = 1 << 30;

/// What is not part of a package.
const LEFT_OUT: [&str; 7] = [
    "__pycache__",
    ".git",
    ".venv",
    "venv",
    "build",
    "dist",
    ".pytest_cache",
];

/// The source archive of the package in a directory.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it has neither `setup.py` nor `pyproject.toml`.
pub(super) fn pack(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let shown = folder.display().to_string();
    let described = ["setup.py", "pyproject.toml"]
        .iter()
        .any(|file| folder.join(file).is_file());
    if !described {
        return Err(Error::invalid("it has neither a setup.py nor a pyproject.toml")
            .on(shown)
            .hint("a script is a Python package whose module has a function run(om, *args, **kwargs)"));
    }
    let mut files = Vec::new();
    collect(folder, Path::new(""), &mut files)?;
    files.sort();
    let mut size = 0;
    let files = files.into_iter().map(|file| {
        let bytes = std::fs::read(folder.join(&file))
            .context(|| format!("cannot read {}", file.display()))?;
        size += bytes.len() as u64;
        match size > MOST {
            true => Err(Error::invalid("the package has more than 1 GB").on(shown.clone())),
            false => Ok((file, bytes)),
        }
    });
    archive(name, &version(folder), files)
}

/// The source archive of a package of one module.
pub(super) fn of_module(name: &str, version: &str, source: &str) -> Result<Vec<u8>> {
    let setup = format!(
        "from setuptools import setup\n\nsetup(name='{name}', version='{version}', py_modules=['{name}'])\n"
    );
    let files = [
        ("setup.py".into(), setup),
        (format!("{name}.py").into(), source.to_owned()),
    ];
    let files = files.into_iter();
    archive(
        name,
        version,
        files.map(|(file, text)| Ok((file, text.into_bytes()))),
    )
}

/// A source archive of these files.
pub(super) fn archive(
    name: &str,
    version: &str,
    files: impl Iterator<Item = Result<(PathBuf, Vec<u8>)>>,
) -> Result<Vec<u8>> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let root = format!("{name}-{version}");
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for file in files {
        let (file, bytes) = file?;
        add(&mut archive, &Path::new(&root).join(&file), &bytes)?;
    }
    let about = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    add(
        &mut archive,
        &Path::new(&root).join("PKG-INFO"),
        about.as_bytes(),
    )?;
    archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .context(|| "cannot make the package's archive")
}

fn add(archive: &mut Builder<GzEncoder<Vec<u8>>>, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(EntryType::Regular);
    archive
        .append_data(&mut header, path, bytes)
        .context(|| format!("cannot add {} to the package", path.display()))
}

fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    let entries =
        std::fs::read_dir(&folder).context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if LEFT_OUT.contains(&shown.as_ref())
            || shown.ends_with(".egg-info")
            || shown.ends_with(".pyc")
        {
            continue;
        }
        let place = below.join(&name);
        // Links lead out of the package, or round in it.
        let kind = entry
            .file_type()
            .context(|| format!("cannot read {}", place.display()))?;
        if kind.is_dir() {
            collect(root, &place, files)?;
        } else if kind.is_file() && shown != "PKG-INFO" {
            files.push(place);
        }
    }
    Ok(())
}

/// The version that the package says it has.
fn version(folder: &Path) -> String {
    for file in ["pyproject.toml", "setup.py"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        for line in text.lines() {
            let Some((_, after)) = line.split_once("version") else {
                continue;
            };
            let Some(rest) = after.trim_start().strip_prefix('=') else {
                continue;
            };
            let quoted: Vec<&str> = rest.split(['"', '\'']).collect();
            if let [_, found, ..] = quoted.as_slice()
                && !found.is_empty()
                && found
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c))
            {
                return (*found).to_owned();
            }
        }
    }
    "0.0.0".to_owned()
}

/// Looks at an archive before it is stored: all of it must stay where it is unpacked.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`], naming the member.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let bad = |what: String| Error::invalid(format!("the archive is refused: {what}"));
    let mut archive = Archive::new(GzDecoder::new(bytes));
    let entries = archive
        .entries()
        .map_err(|error| bad("it is no .tar.gz".to_owned()).because(error))?;
    let (mut size, mut described) = (0u64, false);
    for entry in entries {
        let entry =
            entry.map_err(|error| bad("it is damaged, or no .tar.gz".to_owned()).because(error))?;
        let path = entry
            .path()
            .map_err(|error| bad("a name in it is none".to_owned()).because(error))?
            .into_owned();
        let shown = path.display();
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(bad(format!("{shown} leads out of it")));
        }
        let kind = entry.header().entry_type();
        if !(kind.is_file()
            || kind.is_dir()
            || kind.is_pax_global_extensions()
            || kind.is_pax_local_extensions())
        {
            return Err(bad(format!("{shown} is neither a file nor a directory")));
        }
        size = size.saturating_add(entry.size());
        if size > MOST {
            return Err(bad("it has more than 1 GB".to_owned()));
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        described |= ["setup.py", "pyproject.toml"].contains(&name);
    }
    match described {
        true => Ok(()),
        false => Err(bad(
            "it has neither a setup.py nor a pyproject.toml".to_owned()
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(members: &[(&str, EntryType)]) -> Vec<u8> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, kind) in members {
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(*kind);
            // As it is: the crate refuses what leads out.
            let bytes = header.as_gnu_mut().unwrap();
            bytes.name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, &[][..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn archives_stay_where_they_are() {
        let file = EntryType::Regular;
        assert!(
            check(&archive(&[
                ("p-1/setup.py", file),
                ("p-1/p/__init__.py", file)
            ]))
            .is_ok()
        );
        for (members, why) in [
            (
                vec![("p-1/setup.py", file), ("../evil.py", file)],
                "leads out",
            ),
            (
                vec![("p-1/setup.py", file), ("/etc/cron.d/x", file)],
                "leads out",
            ),
            (
                vec![("p-1/setup.py", file), ("p-1/../../x", file)],
                "leads out",
            ),
            (
                vec![("p-1/setup.py", file), ("p-1/link", EntryType::Symlink)],
                "neither a file",
            ),
            (vec![("p-1/readme", file)], "neither a setup.py"),
        ] {
            let error = check(&archive(&members)).unwrap_err().to_string();
            assert!(error.contains(why), "{members:?}: {error}");
        }
        assert!(check(b"no archive").is_err());
    }

    #[test]
    fn directories_become_archives() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("setup.py"), "from setuptools import setup\nsetup(name='hello', version=\"1.2\", packages=['hello'])").unwrap();
        std::fs::create_dir_all(home.path().join("hello/__pycache__")).unwrap();
        std::fs::write(home.path().join("hello/__init__.py"), "def run(om): pass").unwrap();
        std::fs::write(home.path().join("hello/__pycache__/x.pyc"), "x").unwrap();
        let bytes = pack(home.path(), "a/hello").unwrap();
        check(&bytes).unwrap();
        let mut archive = Archive::new(GzDecoder::new(bytes.as_slice()));
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "hello-1.2/hello/__init__.py",
                "hello-1.2/setup.py",
                "hello-1.2/PKG-INFO"
            ]
        );
        assert!(pack(&home.path().join("hello"), "hello").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes);
        }
    }
}
