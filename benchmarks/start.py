"""The delay of a saga on an idle platform: from the commit that creates it to its first step in a worker.

One saga at a time: the next begins when the last one is over. The worker polls every
SAGA_SWEEP_SECONDS, which is far longer, so this measures the wake-up hint.
"""

import statistics
import subprocess
import sys
import time
import uuid

from django.db import transaction

from benchmarks import noop
from benchmarks.figures import Benchmark, Effort, Figure, get_percentile, median_figure
from sagas.models import SagaInstance, SagaStatus, SagaStep
from sagas.start import start_saga
from tests.support.waiting import wait_until

BENCHMARK = Benchmark(
    "start",
    "The delay from the commit of a saga to its first step in a worker that is idle.",
    "The wake-up hint through Redis, the claim and the first write; polls come far later.",
)

GIVEN_UP_SECONDS = 60
WORKER = ["-m", "benchmarks.worker", "2"]


def measure(effort: Effort) -> list[Figure]:
    worker = subprocess.Popen([sys.executable, *WORKER])
    medians, p99s = [], []
    try:
        for _warm_up in range(10):
            _start()
        for _round in range(effort.rounds):
            spent = [_start() for _ in range(effort.choose(200, 5))]
            medians.append(statistics.median(spent))
            p99s.append(get_percentile(spent, 99))
    finally:
        worker.terminate()
        worker.wait()
    return [
        median_figure("first step of a saga, p50", medians, "ms", aim="below 50"),
        median_figure("first step of a saga, p99", p99s, "ms", aim="below 50"),
    ]


def _start() -> float:
    saga_id = uuid.uuid4()
    with transaction.atomic(durable=True):
        start_saga(noop.DEFINITION, saga_id=saga_id, business_id=str(saga_id), data={}, leased=False)
        began = time.time()
    completed = SagaInstance.objects.filter(id=saga_id, status=SagaStatus.COMPLETED)
    wait_until(completed.exists, GIVEN_UP_SECONDS, "a worker to take the saga up")
    first = SagaStep.objects.get(saga_id=saga_id, step_order=1)
    assert first.result is not None
    return float((first.result["at"] - began) * 1000)
