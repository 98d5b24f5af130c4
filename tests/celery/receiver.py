"""Receives events as Celery's monitors do, until all that are wanted have come.

    receiver.py WORKER TYPE...   prints the first event of each type, of that worker, as JSON
"""
import json
import sys
import time

import omegaml as om

worker, wanted = sys.argv[1], set(sys.argv[2:])
app = om.setup().runtime.celeryapp
state = app.events.State()
found = {}


def handle(event):
    state.event(event)
    if event["hostname"] == worker and event["type"] in wanted and event["type"] not in found:
        found[event["type"]] = {key: value for key, value in event.items() if key != "clock"}
    receiver.should_stop = wanted <= set(found)


with app.connection_for_read() as connection:
    receiver = app.events.Receiver(connection, handlers={"*": handle})
    print("ready", file=sys.stderr, flush=True)
    end = time.time() + 90
    while not receiver.should_stop and time.time() < end:
        try:
            receiver.capture(limit=None, timeout=2, wakeup=False)
        except TimeoutError:
            pass
alive = {name: one.alive for name, one in state.workers.items()}
tasks = {task.name: task.state for _, task in state.tasks_by_timestamp() if task.worker and task.worker.hostname == worker}
json.dump({"events": found, "alive": alive, "tasks": tasks}, sys.stdout)
