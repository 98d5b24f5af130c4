#!/usr/bin/env bash
# All tests. Installs the servers that they need (tests/servers.sh); the tests start and stop them.
#   tests/run.sh [cargo test arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || {
  echo "cargo is missing: install Rust 1.95 or newer, see https://rustup.rs" >&2
  exit 1
}
command -v cc >/dev/null || {
  echo "a C compiler is missing: apt-get install -y gcc" >&2
  exit 1
}
tests/servers.sh
failed=0
cargo test --no-fail-fast "$@" || failed=$?
# The same commands, with the store behind a server.
if [ $# = 0 ]; then
  OM_TEST_REMOTE=1 cargo test --no-fail-fast --test cli_datasets --test cli_models --test cli_copy || failed=$?
fi
exit $failed
