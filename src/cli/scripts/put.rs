//! `om scripts put`.

use crate::cli::Session;
use crate::cli::objects::metadata_line;
use crate::error::Result;
use crate::store::PutMode;
use clap::{Args, ValueHint};

/// Store a package or a program.
///
/// A package is a directory with a setup.py or pyproject.toml, its source archive
/// (.tar.gz), or a wheel without compiled parts (.whl); its module, called like the script, has a function run(om, *args, **kwargs).
/// uv or pip gets others when they run: git+https://HOST/PATH, pypi://NAME. Any executable is a
/// script too: arguments as they are, keyword arguments as JSON on its input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om scripts put ./helloworld helloworld
  om scripts put dist/helloworld-1.0-py3-none-any.whl helloworld
  om scripts put git+https://github.com/acme/etl.git etl
  om scripts put pypi://cowsay cowsay
  om scripts put ./convert.sh convert")]
pub struct Put {
    /// Directory, archive, executable, or where pip gets it
    #[arg(value_hint = ValueHint::AnyPath)]
    source: String,
    /// Name of the script
    name: String,
    /// Replace a script of this name, with its attributes
    #[arg(long)]
    replace: bool,
}

impl Put {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let mode = if self.replace {
            PutMode::Replace
        } else {
            PutMode::Auto
        };
        let source = self.source.strip_prefix("pkg://").unwrap_or(&self.source);
        let metadata = session
            .omega()?
            .scripts
            .put_script(source, &self.name, mode)?;
        metadata_line(session, &metadata)
    }
}
