//! `om`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    omega::cli::main()
}
