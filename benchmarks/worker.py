"""A saga worker for benchmarks, in a process of its own:  python -m benchmarks.worker <threads>"""

import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from benchmarks import noop, slow  # noqa: F401  (their definitions)
from common.claim_loop import run_together
from sagas.models import DEFAULT_TASK_QUEUE
from sagas.worker import SagaWorker

if __name__ == "__main__":
    run_together(SagaWorker(task_queue=DEFAULT_TASK_QUEUE, threads=int(sys.argv[1])).run)
