"""A client whose results are kept in MongoDB: what om's worker keeps there, Celery reads."""

import json
import os
import sys

os.environ["OMEGA_RESULT_BACKEND"] = os.environ["OMEGA_MONGO_URL"]

import celery
import omegaml as om

PATIENCE = 90
app = om.runtime.celeryapp
# The address that clients make up has a time limit that Celery reads in another unit: 2.5 ms.
app.conf.result_backend = os.environ["OMEGA_MONGO_URL"]


def signature(task, *args, label="rust-shared", **kwargs):
    kwargs = dict(kwargs, pure_python=True, __bucket=None)
    return app.signature(task, args=args, kwargs=kwargs, queue=label)


def ping(*args, **kwargs):
    return signature("omegaml.tasks.omega_ping", *args, **kwargs)


def outcome(promise):
    try:
        return promise.get(timeout=PATIENCE)
    except Exception as error:
        return [type(error).__name__, str(error)]


one = ping("one").delay()
answer = outcome(one)
if not isinstance(answer, dict):
    sys.exit(f"no answer: {answer}")
# Another process reads it, or the same once more.
again = app.AsyncResult(one.id)
failed = ping(exception=True).delay()
chord = celery.chord([ping(1), ping(2), ping(3)], app=app)
body = ping("after")
body.options["queue"] = "rust-shared"
together = chord(body)
broken = celery.chord([ping(1), ping(2, exception=True)], app=app)(body.clone())
print(json.dumps({
    "answer": answer["args"],
    "again": [again.state, again.get()["args"]],
    "failed": [type(failed.get(timeout=PATIENCE, propagate=False)).__name__, failed.state],
    "chord": outcome(together)["args"],
    "broken": type(broken.get(timeout=PATIENCE, propagate=False)).__name__,
    "keys": list(app.backend.collection.find_one({"_id": one.id})),
}))
