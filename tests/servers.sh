#!/usr/bin/env bash
# Installs, once, the servers and the Python that the tests run against: about 10 minutes, most
# of it building the MongoDB-compatible server. Everything but Debian's packages goes into
# $OM_TEST_SERVERS (default ~/.cache/om-test-servers).
set -euo pipefail
home=${OM_TEST_SERVERS:-$HOME/.cache/om-test-servers}
mkdir -p "$home"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if [ -z "${OM_TEST_MONGO_URL:-}" ] && ! command -v mongod >/dev/null && [ ! -x "$home/secantus/bin/secantusd-rs" ]; then
  if ! command -v cmake >/dev/null || ! command -v g++ >/dev/null; then
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq cmake g++ >/dev/null
  fi
  # Runs as a process of its own and is never linked; asks for a newer rustc than it needs.
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  CARGO_TARGET_DIR=$build cargo install --quiet secantus-mdb --version 0.5.3-beta.193 --locked \
    --ignore-rust-version --root "$home/secantus"
fi
if [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || ! command -v openssl >/dev/null; then
  # The tests start servers of their own; the service that comes with the package stays off.
  policy=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null
    $sudo chmod +x /usr/sbin/policy-rc.d
    policy=mine
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq rabbitmq-server openssl >/dev/null
  [ -z "$policy" ] || $sudo rm /usr/sbin/policy-rc.d
fi
if ! command -v chromedriver >/dev/null; then
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
fi
if [ ! -e "$home/om-venv/complete" ]; then
  python3 -m venv "$home/om-venv"
  # ipykernel runs notebooks, pyarrow hands tables to Python's backend.
  "$home/om-venv/bin/pip" install -q --disable-pip-version-check 'omegaml[client]==0.18.0' ipykernel pyarrow
  touch "$home/om-venv/complete"
fi
if [ ! -x "$home/om-venv/bin/uv" ]; then
  "$home/om-venv/bin/pip" install -q --disable-pip-version-check uv
fi
if [ ! -x "$home/om-venv/bin/jupyter-lab" ]; then
  "$home/om-venv/bin/uv" pip install -q --python "$home/om-venv/bin/python" jupyterlab
fi
if [ ! -e "$home/mlflow-venv/complete" ]; then
  python3 -m venv "$home/mlflow-venv"
  "$home/om-venv/bin/uv" pip install -q --python "$home/mlflow-venv/bin/python" mlflow-skinny scikit-learn pandas pyarrow skops
  touch "$home/mlflow-venv/complete"
fi
if [ ! -e "$home/schemathesis-venv/complete" ]; then
  python3 -m venv "$home/schemathesis-venv"
  "$home/om-venv/bin/uv" pip install -q --python "$home/schemathesis-venv/bin/python" schemathesis
  touch "$home/schemathesis-venv/complete"
fi
if [ ! -e "$home/keras-venv/complete" ]; then
  python3 -m venv "$home/keras-venv"
  # The last TensorFlow with Keras 2, whose files omega|ml writes; pyarrow 16 is the last for its NumPy.
  "$home/om-venv/bin/uv" pip install -q --python "$home/keras-venv/bin/python" 'tensorflow-cpu==2.15.*' 'pyarrow==16.*' 'pandas<3'
  touch "$home/keras-venv/complete"
fi
