"""Workers: om's and Celery's (Python omega|ml's) on the same RabbitMQ, the same database and
with the same concurrency, asked by the same client. A section of bench.py.

The task is omega|ml's ping, which does nothing: what is measured is the way there and back.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import mongo

PYTHON = mongo.SERVERS / "om-venv/bin"
BROKER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
CONCURRENCY = 4
STARTS = 5


@contextmanager
def broker(bench):
    """A RabbitMQ without systemd, on free ports; its address."""
    folder = bench.WORK / "rabbit"
    folder.mkdir()
    port, distribution, mapper = (bench.free_port() for _ in range(3))
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.file.level = warning\n")
    (folder / "plugins").write_text("[].")
    env = bench.ENV | {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    process = subprocess.Popen([BROKER], env=env, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bench.wait_for(port)
        time.sleep(3)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        subprocess.run(["epmd", "-port", str(mapper), "-kill"], env=env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def load(bench, mode, url, queue, count, *task):
    return subprocess.Popen(
        [str(bench.ROOT / "target/release/examples/task_load"), mode, url, queue, str(count), *task],
        stdout=subprocess.PIPE, text=True)


def numbers(process):
    out, _ = process.communicate()
    if process.returncode:
        sys.exit("the client of the workers failed")
    return [float(word) for word in out.split("\n")[-2].split()]


def memory(pid):
    """Resident megabytes of a process and its children, without counting shared pages twice."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        total += int(re.search(r"^Pss:\s+(\d+)", lines.read(), re.M)[1])
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return total / 1024 + sum(memory(child) for child in children.read().split())


def worker(command, env, log):
    return subprocess.Popen([str(part) for part in command], env=env, start_new_session=True,
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(bench, url, env, queue, command, tasks):
    """Seconds from the start to the first answer, tasks a second, latencies, megabytes."""
    with open(bench.WORK / f"{queue}.log", "w") as log:
        starts = []
        for _ in range(STARTS):
            first = load(bench, "first", url, queue, 1)
            first.stdout.readline()
            start = time.time()
            process = worker(command, env, log)
            starts.append(numbers(first)[0] - start)
            stop(process)
        process = worker(command, env, log)
        try:
            numbers(load(bench, "rate", url, queue, tasks // 10))
            idle = memory(process.pid)
            latency = numbers(load(bench, "latency", url, queue, min(tasks, 1000)))
            running = load(bench, "rate", url, queue, tasks)
            loaded = 0
            while running.poll() is None:
                loaded = max(loaded, memory(process.pid))
                time.sleep(0.1)
            seconds = numbers(running)[0]
        finally:
            stop(process)
    return sorted(starts)[STARTS // 2], tasks / seconds, latency, (idle, loaded)


def run(bench):
    with mongo.server(bench) as address, broker(bench) as url:
        env = {name: value for name, value in bench.ENV.items() if name != "OMEGA_STORE_URL"}
        env |= {"OMEGA_MONGO_URL": f"{address}/omega", "OMEGA_BROKER": url, "C_FORCE_ROOT": "1"}
        celery = [PYTHON / "celery", "-A", "omegaml.celeryapp", "worker", "--queues", "theirs",
                  "--concurrency", CONCURRENCY, "--loglevel", "ERROR"]
        om = [bench.OM, "runtime", "worker", "--queues", "ours", "--concurrency", CONCURRENCY]
        ours = measure(bench, url, env, "ours", om, 20_000)
        theirs = measure(bench, url, env, "theirs", celery, 1_000)
        bench.row("worker: start to first answer", ours[0], "Celery", theirs[0], "<= 50 ms")
        bench.row("worker: a no-op task, of many", 1 / ours[1], "Celery", 1 / theirs[1], "<= 0.05",
                  f"{ours[1]:.0f}/s, {theirs[1]:.0f}/s")
        bench.row("worker: latency, median", ours[2][0], "Celery", theirs[2][0], "<= 0.2 and 3 ms")
        bench.row("worker: latency, 99th percentile", ours[2][1], "Celery", theirs[2][1], "reported")
        for what, mine, other in zip(("idle", "loaded"), ours[3], theirs[3]):
            print(f"worker: memory {what}: om {mine:.0f} MB, Celery {other:.0f} MB (goal <= 30 MB)", flush=True)
