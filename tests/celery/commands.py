"""Runs Celery's own commands one after the other, because starting takes seconds.

    commands.py '[["inspect", "ping"], …]'   prints [[exit code, output], …] as JSON
"""
import json
import sys

from celery.bin.celery import celery
from click.testing import CliRunner

answers = []
for command in json.loads(sys.argv[1]):
    done = CliRunner().invoke(celery, ["-A", "omegaml.celeryapp", *command])
    answers.append([done.exit_code, done.output])
json.dump(answers, sys.stdout)
