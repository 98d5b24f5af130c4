"""Times om and its named peers in one run and prints ratios. Started by run.sh.

Every figure is the median of several runs. om is always timed as a whole process, from
start to exit; peers that are libraries are timed inside their process, without imports,
which favours them.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OM = ROOT / "target/release/om"
HOME = Path(os.environ["OM_BENCH_HOME"])
PEERS = HOME / "peers/bin/python"
DATA = Path(os.environ.get("OM_DATA", ROOT.parent / "shared/data"))
WORK = Path(tempfile.mkdtemp(prefix="om-bench-"))
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": str(WORK),
    "OMEGA_STORE_URL": f"file://{WORK}/store",
    "LANG": "C.UTF-8",
}
rows = []


def run(command, env=None, check=True):
    """Wall seconds and peak resident megabytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        env=env or ENV,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if check and status:
        sys.exit(f"{command} failed:\n{stderr.decode()}")
    return wall, usage.ru_maxrss / 1024


def median(command, times=7, **kwargs):
    samples = [run(command, **kwargs) for _ in range(times)]
    return statistics.median(s[0] for s in samples), max(s[1] for s in samples)


def inside(code, times=5):
    """Median of the seconds that `code`, a Python program, prints for its work."""
    samples = []
    for _ in range(times):
        done = subprocess.run([PEERS, "-c", code], env=ENV, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        samples.append(float(done.stdout.split()[-1]))
    return statistics.median(samples)


def row(what, ours, peer, theirs, goal, extra=""):
    rows.append((what, ours, peer, theirs, goal, extra))
    ratio = ours / theirs
    print(f"{what:<44} om {ours * 1e3:9.1f} ms   {peer} {theirs * 1e3:9.1f} ms   ratio {ratio:7.4f}   goal {goal} {extra}", flush=True)


def om(*arguments):
    done = subprocess.run([OM, *map(str, arguments)], env=ENV, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"om {arguments}: {done.stderr}")
    return done.stdout


def wait_for(port):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("the MongoDB-compatible server did not start")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def startup():
    for number in range(16):
        om("datasets", "put", DATA / "iris.csv", f"set{number}", "--replace")
    version = median([OM, "--version"], 21)
    listing = median([OM, "datasets", "list"], 21)
    complete = median([OM, "--", "om", "datasets", "show", "se"], 21,
                      env=ENV | {"OM_COMPLETE": "sh"})
    port = free_port()
    server = subprocess.Popen(
        [HOME / "omegaml/bin/secantusd-py", "--host", "127.0.0.1", "--port", str(port),
         "--storage-path", str(WORK / "mongo")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        python_om = HOME / "omegaml/bin/om"
        env = ENV | {"OMEGA_MONGO_URL": f"mongodb://127.0.0.1:{port}/omega"}
        their_version = median([python_om, "--version"], 3, env=env)
        their_listing = median([python_om, "datasets", "list"], 3, env=env)
    finally:
        server.terminate()
        server.wait()
    row("om --version", version[0], "omegaml", their_version[0], "<= 0.01", f"{version[1]:.0f} MB / {their_version[1]:.0f} MB")
    row("om datasets list (16 objects)", listing[0], "omegaml", their_listing[0], "<= 0.01", f"{listing[1]:.0f} MB / {their_listing[1]:.0f} MB")
    row("completion of a name", complete[0], "omegaml list", their_listing[0], "<= 0.01", f"{complete[1]:.0f} MB")


def put():
    flights = DATA / "flights.csv.gz"
    ours = median([OM, "datasets", "put", flights, "flights", "--replace"], 5)
    null = '["NA", ""]'
    polars = inside(
        f"import polars as pl, time; t = time.perf_counter(); "
        f"pl.scan_csv({str(flights)!r}, null_values={null}, try_parse_dates=True, infer_schema_length=10_000)"
        f".sink_parquet({str(WORK / 'polars.parquet')!r}); print(time.perf_counter() - t)")
    pandas = inside(
        f"import pandas as pd, pyarrow, time; t = time.perf_counter(); "
        f"pd.read_csv({str(flights)!r}).to_parquet({str(WORK / 'pandas.parquet')!r}); print(time.perf_counter() - t)")
    row("put flights.csv.gz (336,776 x 19)", ours[0], "polars", polars, "<= 1.15", f"{ours[1]:.0f} MB")
    row("put flights.csv.gz (336,776 x 19)", ours[0], "pandas", pandas, "< 1", "")


def query():
    om("datasets", "put", DATA / "flights.csv.gz", "flights", "--replace")
    parquet = WORK / "flights.parquet"
    om("datasets", "get", "flights", parquet)
    out = WORK / "out.csv"
    ours = median([OM, "datasets", "get", "flights", out, "--where", "dep_delay >= 60 and origin == 'JFK'",
                   "--columns", "carrier,flight,dep_delay,arr_delay", "--yes"])
    theirs = inside(
        f"import duckdb, time; t = time.perf_counter(); "
        f"duckdb.sql(\"copy (select carrier, flight, dep_delay, arr_delay from '{parquet}' "
        f"where dep_delay >= 60 and origin = 'JFK') to '{out}' (header)\"); print(time.perf_counter() - t)", 7)
    row("filtered get to csv", ours[0], "duckdb", theirs, "<= 1")
    ours = median([OM, "datasets", "query", "flights", "--by", "carrier",
                   "--agg", "arr_delay=mean,max", "--agg", "flight=count", "-o", "csv"])
    theirs = inside(
        f"import duckdb, time; t = time.perf_counter(); "
        f"duckdb.sql(\"copy (select carrier, avg(arr_delay), max(arr_delay), count(flight) from '{parquet}' "
        f"group by carrier order by carrier) to '{out}' (header)\"); print(time.perf_counter() - t)", 7)
    row("grouped query", ours[0], "duckdb", theirs, "<= 1")


def fit():
    table = WORK / "table.parquet"
    inside(
        "import numpy as np, pandas as pd; r = np.random.default_rng(0); "
        "x = r.normal(size=(100_000, 20)); w = r.normal(size=20); "
        "d = pd.DataFrame(x, columns=[f'x{i}' for i in range(20)]); "
        "d['value'] = x @ w + r.normal(size=len(x)); d['label'] = (d.value > 0).astype(int); "
        f"d.to_parquet({str(table)!r}); print(0)", 1)
    om("datasets", "put", table, "table", "--replace")
    features = "table[^value,label]"
    cases = [
        ("linear-regression", "value", "sklearn.linear_model.LinearRegression()", [], "<= 1"),
        ("logistic-regression", "label", "sklearn.linear_model.LogisticRegression()", [], "<= 1"),
        ("random-forest", "label", "sklearn.ensemble.RandomForestClassifier(n_estimators=20, n_jobs=-1)", ["--param", "n_estimators=20"], "reported"),
        ("k-means", None, "sklearn.cluster.KMeans(n_clusters=8, n_init=1)", ["--param", "n_clusters=8", "--param", "n_init=1"], "reported"),
    ]
    for spec, target, theirs, params, goal in cases:
        om("models", "put", spec, "m", "--replace", *params)
        ours = median([OM, "runtime", "model", "m", "fit", features, *([f"table[{target}]"] if target else [])], 3)
        peer = inside(
            "import pandas as pd, sklearn.linear_model, sklearn.ensemble, sklearn.cluster, joblib, time; "
            f"t = time.perf_counter(); d = pd.read_parquet({str(table)!r}); x = d.drop(columns=['value', 'label']); "
            f"m = {theirs}; m.fit(x{', d.' + target if target else ''}); joblib.dump(m, {str(WORK / 'm.joblib')!r}); "
            "print(time.perf_counter() - t)", 3)
        row(f"fit {spec} 100k x 20", ours[0], "scikit-learn", peer, goal, f"{ours[1]:.0f} MB")


def memory():
    big = WORK / "big.csv"
    size = int(float(os.environ.get("OM_BENCH_GB", "5")) * 1e9)
    header = ",".join(f"c{i}" for i in range(10)) + "\n"
    block = "".join(
        f"{i},{i * 0.37:.4f},name{i % 977},{i % 7},{i * 1.5e-3:.6f},2024-01-{i % 28 + 1:02d},{i % 2 == 0},{i * 31 % 9973},{i / 7:.5f},text number {i % 101}\n"
        for i in range(200_000)).encode()
    with big.open("wb") as out:
        out.write(header.encode())
        written = 0
        while written < size:
            out.write(block)
            written += len(block)
    wall, peak = run([OM, "datasets", "put", big, "big", "--replace"])
    print(f"put of a {size / 1e9:.0f} GB csv: {wall:.1f} s, {size / 1e6 / wall:.0f} MB/s, peak {peak:.0f} MB (goal <= 600 MB)", flush=True)


def mongo():
    import mongo as section

    section.run(sys.modules[__name__])


def runtime():
    import runtime as section

    section.run(sys.modules[__name__])


def python():
    import python as section

    section.run(sys.modules[__name__])


def server():
    import server as section

    section.run(sys.modules[__name__])


def soak():
    import soak as section

    section.run(sys.modules[__name__])


SECTIONS = {"startup": startup, "put": put, "query": query, "fit": fit, "memory": memory,
            "mongo": mongo, "runtime": runtime, "python": python, "server": server, "soak": soak}
try:
    chosen = sys.argv[1:] or [name for name in SECTIONS if name != "soak"]
    for name in chosen:
        SECTIONS[name]()
    if out := os.environ.get("OM_BENCH_JSON"):
        Path(out).write_text(json.dumps(rows))
finally:
    shutil.rmtree(WORK, ignore_errors=True)
