//! Where a script's package and what it needs are installed, by uv where it is on the search
//! path, else by pip: a directory for each content, made once, used as long as the content stays.

use super::Scripts;
use crate::config::interpreter::on_path;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::progress::Progress;
use sha2::{Digest, Sha256};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest reason that is told, in characters.
const LONGEST: usize = 500;

impl Scripts {
    /// The directory in which `requirement` is installed; `content` is what it depends on.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] with the last words of uv or pip.
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
        let digest = hex::encode(hash.finalize().split_at(16).0);
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
        let log = tempfile::NamedTempFile::new()
            .context(|| "cannot make a file for the installer's output")?;
        let words = || "cannot write the installer's output";
        let output = log.reopen().context(words)?;
        // uv is many times faster, and works for a Python without pip.
        let uv = on_path("uv");
        let mut installer = match &uv {
            Some(uv) => {
                let mut command = Command::new(uv);
                command.args(["pip", "install", "--quiet", "--no-progress", "--python"]);
                command.arg(program);
                command
            }
            None => {
                let mut pip = Command::new(program);
                pip.args(["-m", "pip", "install", "--quiet"]);
                pip.args(["--disable-pip-version-check", "--no-input"]);
                pip
            }
        };
        let name = installer.get_program().to_string_lossy().into_owned();
        let mut child = installer
            .arg("--target")
            .arg(target)
            .arg(requirement)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context(words)?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context(|| format!("cannot start {name}"))?;
        let status = loop {
            if let Some(status) = child.try_wait().context(|| "the installer is lost")? {
                break status;
            }
            if progress.interrupted() {
                crate::jobs::end_process(&mut child);
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(log.path()).unwrap_or_default();
        let reason = reason(&said, uv.is_some());
        Err(
            Error::failed(format!("{requirement} cannot be installed: {reason}")).hint(format!(
                "try it by hand: {} pip install {requirement}",
                match uv.is_some() {
                    true => name,
                    false => format!("{} -m", program.display()),
                }
            )),
        )
    }
}

/// Why, of what an installer has said: of pip's words the last error, all of uv's, which gives
/// its reason after it, over several lines with a tree drawn before them.
fn reason(said: &str, uv: bool) -> String {
    let mut errors = said.lines().rev();
    let error = errors.find(|line| !uv && line.to_lowercase().contains("error"));
    let words: Vec<&str> = error
        .unwrap_or(said)
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric))
        .collect();
    match words.join(" ") {
        text if text.is_empty() => "it says nothing".to_owned(),
        text => text.chars().take(LONGEST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found() {
        let pip =
            "Collecting x\nERROR: Could not find a version\nERROR: No matching distribution\n";
        assert_eq!(reason(pip, false), "ERROR: No matching distribution");
        let uv = "error: No solution found:\n  ╰─▶ Because x was not found\n      it cannot be.\n";
        assert_eq!(
            reason(uv, true),
            "error: No solution found: Because x was not found it cannot be."
        );
        assert_eq!(reason("\n", true), "it says nothing");
    }
}
