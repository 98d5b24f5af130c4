//! Where a script's package and what it needs are installed: a directory for each content,
//! made once, used as long as the content stays.

use super::Scripts;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use sha2::{Digest, Sha256};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

impl Scripts {
    /// The directory in which `requirement` is installed; `content` is what it depends on.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] with pip's last words.
    pub(super) fn installed(
        &self,
        requirement: &str,
        content: &[u8],
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(self.python.program().as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(content);
        let digest: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let place = self.cache.join(&digest);
        if place.is_dir() {
            return Ok(place);
        }
        std::fs::create_dir_all(&self.cache)
            .context(|| format!("cannot make {}", self.cache.display()))?;
        // Made aside, and moved when it is whole: others may do the same.
        let making = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.cache);
        let making = making.context(|| format!("cannot write below {}", self.cache.display()))?;
        progress.note(&format!("installing {requirement}"));
        self.install(requirement, making.path(), progress)?;
        match std::fs::rename(making.path(), &place) {
            Ok(()) => {
                let _ = making.keep();
            }
            // Another was first.
            Err(_) if place.is_dir() => {}
            Err(error) => return Err(error).context(|| format!("cannot make {}", place.display())),
        }
        Ok(place)
    }

    fn install(&self, requirement: &str, target: &Path, progress: &dyn Progress) -> Result<()> {
        let program = self.python.program();
        let log =
            tempfile::NamedTempFile::new().context(|| "cannot make a file for pip's output")?;
        let output = || log.reopen().context(|| "cannot write pip's output");
        let mut child = Command::new(program)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--target",
            ])
            .arg(target)
            .arg(requirement)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?)
            .process_group(0)
            .spawn()
            .context(|| format!("cannot start {}", program.display()))?;
        let status = loop {
            if let Some(status) = child.try_wait().context(|| "pip is lost")? {
                break status;
            }
            if progress.interrupted() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(log.path()).unwrap_or_default();
        let last = said
            .lines()
            .rev()
            .find(|line| line.to_lowercase().contains("error"));
        let last = last
            .or_else(|| said.lines().last())
            .unwrap_or("it says nothing")
            .trim()
            .to_owned();
        Err(
            Error::failed(format!("{requirement} cannot be installed: {last}")).hint(format!(
                "try it by hand: {} -m pip install {requirement}",
                program.display()
            )),
        )
    }
}
