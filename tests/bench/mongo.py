"""MongoDB: tables and files put and got, against Python omegaml, pymongoarrow and what the
driver alone can do on the same server. A section of bench.py.

om is timed as a whole process, from a file to the database and back into an Arrow file.
Python omegaml, which is slow, is timed once.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

SERVERS = Path(os.environ.get("OM_TEST_SERVERS", Path.home() / ".cache/om-test-servers"))
ROWS = int(float(os.environ.get("OM_BENCH_ROWS", "2e6")))
FILE_GB = float(os.environ.get("OM_BENCH_FILE_GB", "1"))


@contextmanager
def server(bench):
    """A server with an empty database; its address with a user, whom Python omegaml's parallel
    puts need."""
    port = bench.free_port()
    program = shutil.which("mongod")
    options = ["--dbpath"] if program else ["--cache-size", "2G", "--log-file-max", "64MB", "--storage-path"]
    program = program or SERVERS / "secantus/bin/secantusd-rs"
    folder = bench.WORK / "mongo-server"
    folder.mkdir()
    process = subprocess.Popen(
        [str(program), "--auth", "--port", str(port), *options, str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bench.wait_for(port)
        python(bench.PEERS,
               f"import pymongo; pymongo.MongoClient('mongodb://127.0.0.1:{port}/?directConnection=true')"
               ".admin.command('createUser', 'admin', pwd='foobar', roles=['root']); print(0)", bench.ENV)
        yield f"mongodb://admin:foobar@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def python(program, code, env):
    """The numbers that a Python program prints last."""
    done = subprocess.run([str(program), "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [float(word) for word in done.stdout.split("\n")[-2].split()]


def limit(bench, url, *arguments, times=3):
    """Median seconds of the driver alone."""
    samples = []
    for _ in range(times):
        done = subprocess.run(
            [str(bench.ROOT / "target/release/examples/mongo_limits"), arguments[0], url, *map(str, arguments[1:])],
            capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        samples.append(float(done.stdout.split()[0]))
    return sorted(samples)[len(samples) // 2]


def tables(bench, url, env):
    flights, floats = bench.WORK / "flights.parquet", bench.WORK / "floats.parquet"
    array = bench.WORK / "floats.npy"
    bench.om("datasets", "put", bench.DATA / "flights.csv.gz", "flights", "--replace")
    bench.om("datasets", "get", "flights", flights)
    python(bench.PEERS,
           "import numpy as np, pandas as pd; r = np.random.default_rng(0); "
           f"a = r.normal(size=({ROWS}, 10)); np.save({str(array)!r}, a); "
           "d = pd.DataFrame(a, columns=[f'c{i}' for i in range(10)]); "
           f"d.to_parquet({str(floats)!r}); print(0)", bench.ENV)
    load_flights = f"pd.read_csv({str(bench.DATA / 'flights.csv.gz')!r})"
    load_floats = f"pd.DataFrame(np.load({str(array)!r}), columns=[f'c{{i}}' for i in range(10)])"
    out = bench.WORK / "out.arrow"
    for name, file, size, load in [
        ("flights", flights, "336,776 x 19", load_flights),
        ("floats", floats, f"{ROWS:,} x 10", load_floats),
    ]:
        put = put_anew(bench, file, name, env)
        get = bench.median([bench.OM, "datasets", "get", name, out, "--format", "arrow", "--yes"], 3, env=env)
        collection = collection_name(bench, url, name, env)
        insert = limit(bench, url, "insert", "omega", collection, "limit")
        drain = limit(bench, url, "drain", "omega", collection)
        arrow = sorted(python(
            bench.PEERS,
            "import pymongo, pymongoarrow.api as api, time; "
            f"c = pymongo.MongoClient({url!r}).omega[{collection!r}]\n"
            "times = []\n"
            "for _ in range(3):\n"
            "    t = time.perf_counter(); api.find_arrow_all(c, {}); times.append(time.perf_counter() - t)\n"
            "print(*times)", env))[1]
        their_put, their_get = python(
            SERVERS / "om-venv/bin/python",
            "import omegaml as om, numpy as np, pandas as pd, time; "
            f"d = {load}; t = time.perf_counter(); "
            "om.datasets.put(d, 'theirs', append=False); p = time.perf_counter() - t; "
            "t = time.perf_counter(); om.datasets.get('theirs'); g = time.perf_counter() - t; "
            "om.datasets.drop('theirs'); print(p, g)", env)
        memory = f"{put[1]:.0f} MB"
        bench.row(f"mongo put {name} ({size})", put[0], "omegaml", their_put, "<= 0.05", memory)
        bench.row(f"mongo put {name}", put[0], "ready-made BSON", insert, "<= 1.2")
        memory = f"{get[1]:.0f} MB"
        bench.row(f"mongo get {name} ({size})", get[0], "omegaml", their_get, "<= 0.05", memory)
        bench.row(f"mongo get {name}", get[0], "pymongoarrow", arrow, "<= 0.5")
        bench.row(f"mongo get {name}", get[0], "raw cursor drained", drain, "<= 1.2")


def put_anew(bench, file, name, env, times=3):
    """Median seconds and megabytes of puts under a name that is free: what is replaced takes
    the server of the tests as long to drop as to insert."""
    samples = []
    for _ in range(times):
        bench.run([bench.OM, "-q", "datasets", "drop", name], env=env, check=False)
        samples.append(bench.run([bench.OM, "datasets", "put", file, name], env=env))
    return sorted(wall for wall, _ in samples)[times // 2], max(memory for _, memory in samples)


def collection_name(bench, url, name, env):
    done = subprocess.run(
        [str(bench.PEERS), "-c",
         f"import pymongo; print(pymongo.MongoClient({url!r}).omega.metadata.find_one({{'name': {name!r}}})['collection'])"],
        env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def files(bench, url, env):
    big, out = bench.WORK / "big.bin", bench.WORK / "out.bin"
    with big.open("wb") as target:
        for _ in range(int(FILE_GB * 1000)):
            target.write(os.urandom(1_000_000))
    put = put_anew(bench, big, "big", env)
    plain_put = limit(bench, url, "upload", "plain", big, "big")
    get = bench.median([bench.OM, "datasets", "get", "big", out, "--yes"], 3, env=env)
    plain_get = limit(bench, url, "download", "plain", "big")
    bench.row(f"mongo put file ({FILE_GB:g} GB)", put[0], "driver's stream", plain_put, "<= 1.25", f"{put[1]:.0f} MB")
    bench.row(f"mongo get file ({FILE_GB:g} GB)", get[0], "driver's stream", plain_get, "<= 1.25", f"{get[1]:.0f} MB")


def run(bench):
    with server(bench) as address:
        env = {name: value for name, value in bench.ENV.items() if name != "OMEGA_STORE_URL"}
        env["OMEGA_MONGO_URL"] = f"{address}/omega"
        url = f"{address}/?authSource=admin"
        tables(bench, url, env)
        files(bench, url, env)
