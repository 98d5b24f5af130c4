"""A Python client of omega|ml that runs what it is told.

Reads lines of JSON, each a piece of Python source; answers each with a line of JSON:
{"value": …}, what its last line is worth, or {"class": "ValueError", "module": "builtins",
"message": "…"}, what it raised. Names stay from one piece to the next. It ends with its
standard input.
"""
import ast
import json
import sys
import time
import traceback

answers = sys.stdout
sys.stdout = sys.stderr

import numpy as np
import omegaml as om
import pandas as pd
from celery.exceptions import TimeoutError

PATIENCE = 90  # seconds that anything may take


def plain(value):
    """What JSON has not, as plain Python has it."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, pd.DataFrame):
        return value.to_dict("list")
    if isinstance(value, pd.Series):
        return value.tolist()
    return repr(value)


def on(label, bucket=None):
    """The runtime, for one task to the workers of a label."""
    return (om.setup(bucket=bucket) if bucket else om).runtime.require(label=label)


def get(promise):
    return promise.get(timeout=PATIENCE, interval=0.02)


def send(queue, body, content_type, task=None, id=None, reply_to=None, **headers):
    """Publishes a body as it is."""
    if task:
        headers.update(task=task, id=id, lang="py")
    with om.runtime.celeryapp.connection_for_write() as connection:
        connection.Producer().publish(
            body, exchange="", routing_key=queue, content_type=content_type, headers=headers,
            content_encoding="binary", delivery_mode=2, correlation_id=id, reply_to=reply_to)


def depth(queue):
    """Messages that wait in a queue; None when there is no such queue."""
    with om.runtime.celeryapp.connection_for_write() as connection:
        try:
            return connection.default_channel.queue_declare(queue, passive=True).message_count
        except connection.channel_errors:
            return None


def taken(queue):
    """The oldest message of a queue: its headers and its body, as latin-1."""
    with om.runtime.celeryapp.connection_for_write() as connection:
        message = connection.default_channel.basic_get(queue, no_ack=True)
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        return {"headers": message.headers, "body": body.decode("latin-1")}


def run(source, names):
    lines = ast.parse(source)
    last = lines.body.pop() if isinstance(lines.body[-1], ast.Expr) else None
    exec(compile(lines, "<test>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<test>", "eval"), names) if last else None


names = dict(globals())
for line in sys.stdin:
    try:
        answer = {"value": run(json.loads(line), names)}
        text = json.dumps(answer, default=plain)
    except Exception as error:
        traceback.print_exc()
        text = json.dumps({"class": type(error).__name__, "module": type(error).__module__, "message": str(error)})
    answers.write(text + "\n")
    answers.flush()
