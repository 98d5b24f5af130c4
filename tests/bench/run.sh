#!/usr/bin/env bash
# Benchmarks, side by side in one run against the named peers: prints a table of ratios.
# The section soak (ten minutes of load on the server) has to be named.
#   tests/bench/run.sh [section…]      sections: startup put query fit memory mongo runtime python server (default: all)
# Peers come from PyPI into throw-away environments under $OM_BENCH_HOME (default ~/.cache/om-bench).
set -euo pipefail
cd "$(dirname "$0")/../.."
home=${OM_BENCH_HOME:-$HOME/.cache/om-bench}
mkdir -p "$home"
if [ ! -x "$home/peers/bin/python" ]; then
  python3 -m venv "$home/peers"
  "$home/peers/bin/pip" install -q polars==1.* pandas pyarrow duckdb scikit-learn
fi
if [ ! -x "$home/omegaml/bin/om" ]; then
  python3 -m venv "$home/omegaml"
  "$home/omegaml/bin/pip" install -q --pre 'omegaml[client]==0.18.0' 'secantusdb==0.7.0b3'
fi
case " ${*:-mongo} " in *" runtime "*) tests/servers.sh ;; esac
case " ${*:-mongo} " in *" mongo "*)
  tests/servers.sh
  "$home/peers/bin/python" -c 'import pymongoarrow' 2>/dev/null || "$home/peers/bin/pip" install -q pymongoarrow
esac
case " ${*:-python} " in *" python "*)
  tests/servers.sh
  [ -x "$home/peers/bin/papermill" ] || "$home/peers/bin/pip" install -q papermill ipykernel ;;
esac
case " ${*:-server} " in *" server "*)
  tests/servers.sh
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  if ! command -v wrk >/dev/null || ! command -v hey >/dev/null; then
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq wrk hey >/dev/null
  fi
  [ -x "$home/peers/bin/mlflow" ] || "$home/peers/bin/pip" install -q mlflow
  "$home/peers/bin/python" -c 'import pymongo' 2>/dev/null || "$home/peers/bin/pip" install -q pymongo
  python=${OM_TEST_SERVERS:-$HOME/.cache/om-test-servers}/om-venv/bin
  [ -x "$python/gunicorn" ] || "$python/pip" install -q gunicorn
esac
cargo build --release --quiet --bin om --example mongo_limits --example task_load
exec env OM_BENCH_HOME="$home" "$home/peers/bin/python" tests/bench/bench.py "$@"
