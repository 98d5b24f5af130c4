"""Python's part: models of scikit-learn on om's workers, which keep a Python warm, and on
Celery's (Python omega|ml's), asked by the same client on the same broker and database;
notebooks against papermill, with the same kernel. A section of bench.py.
"""

import json
import subprocess

import mongo
import runtime

ROWS = 100_000
MODEL = """
import warnings; warnings.filterwarnings("ignore")
import numpy as np, pandas as pd, omegaml as om
from sklearn.linear_model import LogisticRegression
r = np.random.default_rng(0)
x = pd.DataFrame(r.normal(size=(ROWS, 4)), columns=list("abcd"))
om.datasets.put(x, "points", append=False)
om.datasets.put(x.head(1), "point", append=False)
om.models.put(LogisticRegression().fit(x, x["a"] > 0), "clf")
print(0)
"""
ONE = ("omegaml.tasks.omega_predict", '["clf", "point"], {"pure_python": true}')
ALL = ("omegaml.tasks.omega_predict", '["clf", "points"], {"pure_python": true}')


def models(bench):
    with mongo.server(bench) as address, runtime.broker(bench) as url:
        python = mongo.SERVERS / "om-venv/bin"
        env = {name: value for name, value in bench.ENV.items() if name != "OMEGA_STORE_URL"}
        env |= {"OMEGA_MONGO_URL": f"{address}/omega", "OMEGA_BROKER": url, "C_FORCE_ROOT": "1",
                "OMEGA_PYTHON": str(python / "python")}
        mongo.python(python / "python", MODEL.replace("ROWS", str(ROWS)), env)
        celery = [python / "celery", "-A", "omegaml.celeryapp", "worker", "--queues", "theirs",
                  "--concurrency", 2, "--loglevel", "ERROR"]
        om = [bench.OM, "runtime", "worker", "--queues", "ours", "--concurrency", 2]
        measured = []
        for queue, command in (("ours", om), ("theirs", celery)):
            with open(bench.WORK / f"{queue}.log", "w") as log:
                process = runtime.worker(command, env, log)
                try:
                    ask = lambda mode, count, task: runtime.numbers(
                        runtime.load(bench, mode, url, queue, count, *task))
                    ask("latency", 5, ONE)
                    measured.append((ask("latency", 200 if queue == "ours" else 30, ONE),
                                     ask("latency", 3, ALL)[0]))
                finally:
                    runtime.stop(process)
        (ours, all_ours), (theirs, all_theirs) = measured
        bench.row("worker: scikit-learn predicts one stored row, median", ours[0], "omegaml", theirs[0], "reported")
        bench.row("worker: the same, 99th percentile", ours[1], "omegaml", theirs[1], "reported")
        bench.row(f"worker: scikit-learn predicts {ROWS:,} stored rows", all_ours, "omegaml", all_theirs, "reported",
                  f"{ROWS / all_ours:,.0f} rows/s, {ROWS / all_theirs:,.0f} rows/s")


def notebooks(bench):
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "outputs": [], "execution_count": None, "source": "x = 1\nprint(x)"}
    book = {"cells": [cell], "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}}
    file, out = bench.WORK / "empty.ipynb", bench.WORK / "out.ipynb"
    file.write_text(json.dumps(book))
    env = bench.ENV | {"OMEGA_PYTHON": str(bench.PEERS)}
    subprocess.run([bench.OM, "jobs", "put", file, "empty"], env=env, check=True, capture_output=True)
    ours = bench.median([bench.OM, "jobs", "run", "empty"], 5, env=env)
    papermill = bench.PEERS.parent / "papermill"
    theirs = bench.median([papermill, "--no-progress-bar", file, out], 5, env=env | {"PATH": f"{papermill.parent}:{env['PATH']}"})
    bench.row("notebook with one cell, start to end", ours[0], "papermill", theirs[0], "< 1", f"{ours[1]:.0f} MB / {theirs[1]:.0f} MB")


def run(bench):
    models(bench)
    notebooks(bench)
