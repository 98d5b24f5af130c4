"""Whether the server's memory stays flat: predictions, rows, queries, uploads and a reader of
the log, for as long as is asked for. A section of bench.py that has to be named.

Prints resident megabytes every half minute, and how many requests of each kind were answered
and refused; OM_SOAK_MINUTES says for how long (10).
"""

import json
import os
import subprocess
import threading
import time
import urllib.request

MINUTES = float(os.environ.get("OM_SOAK_MINUTES", "10"))


def resident(pid):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def run(bench):
    bench.om("datasets", "put", bench.DATA / "flights.csv.gz", "flights", "--replace")
    bench.om("datasets", "put", bench.DATA / "iris.csv", "iris", "--replace")
    bench.om("models", "put", "linear-regression", "line", "--replace")
    bench.om("runtime", "model", "line", "fit", "iris[sepal_length,sepal_width]", "iris[petal_length]")
    server = subprocess.Popen([bench.OM, "server", "--port", "0"], env=bench.ENV, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    url = server.stdout.readline().strip()
    end = time.time() + MINUTES * 60
    counts = {}

    def ask(kind, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                while answer.read(1 << 20):
                    pass
            done = "answered"
        except Exception:
            done = "refused"
        counts[kind, done] = counts.get((kind, done), 0) + 1

    rows = json.dumps({"columns": ["sepal_length", "sepal_width"],
                       "data": {"sepal_length": [5.1], "sepal_width": [3.5]}}).encode()
    table = json.dumps({"data": {"n": list(range(1000))}, "append": False}).encode()
    work = [
        ("prediction", "PUT", "/api/v1/model/line/predict", rows),
        ("prediction", "PUT", "/api/v1/model/line/predict", rows),
        ("query", "GET", "/api/v1/store/datasets/flights/rows?where=dep_delay%3E120&format=json", None),
        ("download", "GET", "/api/v1/store/datasets/flights/rows?format=parquet", None),
        ("upload", "PUT", "/api/v1/dataset/sent", table),
        ("page", "GET", "/datasets/flights", None),
        ("missing", "GET", "/api/v1/dataset/nothing", None),
    ]

    def client(number):
        place = number
        while time.time() < end:
            ask(*work[place % len(work)])
            place += 1

    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for one in clients:
        one.start()
    start = time.time()
    try:
        while time.time() < end:
            time.sleep(min(30, max(0.1, end - time.time())))
            print(f"soak: {time.time() - start:5.0f} s  {resident(server.pid):6.0f} MB  {sum(counts.values())} requests", flush=True)
        for one in clients:
            one.join()
        print("soak:", ", ".join(f"{kind} {done} {count}" for (kind, done), count in sorted(counts.items())), flush=True)
    finally:
        server.terminate()
        server.wait()
