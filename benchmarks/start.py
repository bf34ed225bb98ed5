"""The delay of a saga on an idle platform: from the commit that creates it to its first step in a worker.

    python -m scripts.local.testing python -m benchmarks.start [--sagas 200]

One saga at a time: the next begins when the last one is over. The worker polls every
SAGA_SWEEP_SECONDS, which is far longer, so this measures the wake-up hint.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import uuid

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import transaction

from benchmarks import noop
from sagas.models import SagaInstance, SagaStatus, SagaStep
from sagas.start import start_saga
from tests.support.waiting import wait_until

AIM_MS = 50
GIVEN_UP_SECONDS = 60
WORKER = ["-m", "benchmarks.worker", "2"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sagas", type=int, default=200)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    worker = subprocess.Popen([sys.executable, *WORKER])
    try:
        for _warm_up in range(10):
            _start()
        spent = sorted(_start() for _ in range(chosen.sagas))
    finally:
        worker.terminate()
        worker.wait()
    print(
        f"idle start of {chosen.sagas} sagas: p50 {statistics.median(spent):.1f} ms,"
        f" p99 {statistics.quantiles(spent, n=100)[98]:.1f} ms, max {spent[-1]:.1f} ms (aim: below {AIM_MS} ms)"
    )


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


if __name__ == "__main__":
    main()
