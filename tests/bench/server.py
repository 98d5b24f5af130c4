"""The server: predictions of one linear model over HTTP, asked by the same load generators,
against Python omega|ml's server (gunicorn, with a worker behind it) and `mlflow models serve`;
how soon it answers, and tables through it against the same store read directly. A section of
bench.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import mongo
import runtime

PYTHON = mongo.SERVERS / "om-venv/bin"
SECONDS = 8
CLIENTS = 16
STARTS = 9
COLUMNS = [f"x{n}" for n in range(10)]
ONE = {name: 0.5 for name in COLUMNS}


@contextmanager
def serving(command, env, log, url):
    """A server that answers at `url`; the seconds until it did."""
    began = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], env=env, start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    answer.read()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > 120:
                    sys.exit(f"{command[0]} does not answer, see {log.name}")
                time.sleep(0.001)
        yield time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def full(bench, method, url, body):
    """Requests a second of as many as can be, and the median and 99th percentile then (wrk)."""
    script = bench.WORK / "request.lua"
    script.write_text(
        f'wrk.method = "{method}"\nwrk.body = [==[{body}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n')
    told = subprocess.run(
        ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency", "-s", str(script), url],
        capture_output=True, text=True, check=True).stdout
    if found := re.search(r"Non-2xx or 3xx responses: (\d+)", told):
        sys.exit(f"{url}: {found[0]}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
    return rate, *(seconds(re.search(rf"\s{share}%\s+(\S+)", told)[1]) for share in (50, 99))


def half(method, url, body, rate):
    """Median and 99th percentile at half of that rate (hey)."""
    clients = max(1, min(CLIENTS, int(rate / 50)))
    told = subprocess.run(
        ["hey", "-z", f"{SECONDS}s", "-c", str(clients), "-q", str(rate / 2 / clients), "-m", method,
         "-T", "application/json", "-d", body, url],
        capture_output=True, text=True, check=True).stdout
    if "[200]" not in told:
        sys.exit(f"{url}: {told}")
    # Of too few answers there are no percentiles.
    found = (re.search(rf"{share}%+ in ([\d.]+) secs", told) or re.search(rf"{word}:\s+([\d.]+) secs", told)
             for share, word in ((50, "Average"), (99, "Slowest")))
    return [float(match[1]) for match in found]


def ours(bench, log):
    rows = "\n".join(",".join(str((n * k) % 17 / 17) for k in range(1, 12)) for n in range(1, 500))
    csv = bench.WORK / "train.csv"
    csv.write_text(",".join([*COLUMNS, "y"]) + "\n" + rows + "\n")
    bench.om("datasets", "put", csv, "train", "--replace")
    bench.om("models", "put", "linear-regression", "line", "--replace")
    bench.om("runtime", "model", "line", "fit", "train[^y]", "train[y]")
    port = bench.free_port()
    at = f"http://127.0.0.1:{port}"
    command = [bench.OM, "server", "--port", port, "--no-ui"]
    starts = []
    for _ in range(STARTS):
        with serving(command, bench.ENV, log, f"{at}/api/v1/ping") as took:
            starts.append(took)
    body = json.dumps({"columns": COLUMNS, "data": [ONE]})
    with serving(command, bench.ENV, log, f"{at}/api/v1/ping"):
        url = f"{at}/api/v1/model/line/predict"
        rate, *busy = full(bench, "PUT", url, body)
        return sorted(starts)[STARTS // 2], rate, busy, half("PUT", url, body, rate)


def omegaml(bench, log):
    with mongo.server(bench) as address, runtime.broker(bench) as broker:
        env = {name: value for name, value in bench.ENV.items() if name != "OMEGA_STORE_URL"}
        env |= {"OMEGA_MONGO_URL": f"{address}/omega", "OMEGA_BROKER": broker, "C_FORCE_ROOT": "1"}
        mongo.python(PYTHON / "python", f"""
import omegaml as om, pandas as pd, numpy as np
from sklearn.linear_model import LinearRegression
X = pd.DataFrame(np.random.rand(500, 10), columns={COLUMNS!r}); y = X.sum(axis=1)
om.models.put(LinearRegression().fit(X, y), 'line'); print(0)""", env)
        worker = runtime.worker([PYTHON / "celery", "-A", "omegaml.celeryapp", "worker", "--queues", "default",
                                 "--concurrency", 2, "--loglevel", "ERROR"], env, log)
        port = bench.free_port()
        at = f"http://127.0.0.1:{port}"
        command = [PYTHON / "gunicorn", "omegaml.server.restapi.app:serve_objects()", "--bind",
                   f"127.0.0.1:{port}", "--workers", 2, "--threads", 8, "--timeout", 120]
        body = json.dumps({"columns": COLUMNS, "data": [ONE]})
        try:
            with serving(command, env, log, f"{at}/api/v1/ping") as started:
                url = f"{at}/api/v1/model/line/predict"
                rate, *busy = full(bench, "PUT", url, body)
                return started, rate, busy, half("PUT", url, body, rate)
        finally:
            runtime.stop(worker)


def mlflow(bench, log):
    model = bench.WORK / "mlflow-model"
    bench.inside(f"""
import mlflow.sklearn, pandas as pd, numpy as np, shutil
from sklearn.linear_model import LinearRegression
shutil.rmtree({str(model)!r}, ignore_errors=True)
X = pd.DataFrame(np.random.rand(500, 10), columns={COLUMNS!r}); y = X.sum(axis=1)
mlflow.sklearn.save_model(LinearRegression().fit(X, y), {str(model)!r}); print(0)""", times=1)
    port = bench.free_port()
    at = f"http://127.0.0.1:{port}"
    programs = bench.PEERS.parent
    env = bench.ENV | {"PATH": f"{programs}:{bench.ENV['PATH']}"}
    command = [programs / "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1",
               "-p", port, "--workers", 2]
    body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [list(ONE.values())]}})
    with serving(command, env, log, f"{at}/ping") as started:
        rate, *busy = full(bench, "POST", f"{at}/invocations", body)
        return started, rate, busy, half("POST", f"{at}/invocations", body, rate)


def tables(bench, log):
    """The same table, got directly and through a server."""
    bench.om("datasets", "put", bench.DATA / "flights.csv.gz", "flights", "--replace")
    port = bench.free_port()
    remote = {name: value for name, value in bench.ENV.items() if name != "OMEGA_STORE_URL"}
    remote |= {"OMEGA_RESTAPI_URL": f"http://127.0.0.1:{port}", "OMEGA_USERID": "eva", "OMEGA_APIKEY": "none"}
    with serving([bench.OM, "server", "--port", port], bench.ENV, log, f"http://127.0.0.1:{port}/healthz"):
        for what, get in (
            ("flights got as an Arrow file", ["datasets", "get", "flights", bench.WORK / "out.arrow"]),
            ("flights by origin", ["datasets", "query", "flights", "--by", "origin", "--agg", "arr_delay=mean"]),
        ):
            through, _ = bench.median([bench.OM, *get], env=remote)
            direct, _ = bench.median([bench.OM, *get])
            bench.row(f"server: {what}", through, "directly", direct, "<= 1.5")


def run(bench):
    with open(bench.WORK / "servers.log", "w") as log:
        tables(bench, log)
        mine = ours(bench, log)
        print(f"server: start to first answer {mine[0] * 1e3:.0f} ms (goal <= 100 ms)", flush=True)
        print(f"server: half load, median {mine[3][0] * 1e3:.1f} ms, p99 {mine[3][1] * 1e3:.1f} ms (goal <= 3 ms)",
              flush=True)
        for name, peer in (("omegaml", omegaml), ("mlflow", mlflow)):
            theirs = peer(bench, log)
            goal = "<= 0.02" if name == "omegaml" else "reported"
            bench.row("server: start to first answer", mine[0], name, theirs[0], "reported")
            bench.row("server: a prediction, of many", 1 / mine[1], name, 1 / theirs[1], goal,
                      f"{mine[1]:.0f}/s, {theirs[1]:.0f}/s")
            bench.row("server: latency at full load, p99", mine[2][1], name, theirs[2][1], "reported")
            bench.row("server: latency at half load, p99", mine[3][1], name, theirs[3][1], "reported")
