"""The cost of a hostile merchant: latency of one merchant's sagas alone, and beside another's slow backlog.

    python -m scripts.local.testing python -m benchmarks.fairness [--sagas 60] [--backlog 300] [--slow 5]

One worker with the places of production. The hostile merchant has a backlog of sagas whose call takes seconds; the
other begins one saga after the other. Latency is the time from the commit that creates a saga to its end. Both are
measured twice, in turns, in one run; the aim is a ratio of the medians below 1.2.
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

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from benchmarks import slow
from sagas import wakeups
from sagas.models import ACTIVE_SAGA_STATUSES, DEFAULT_TASK_QUEUE, SagaInstance, SagaStatus
from sagas.start import start_saga
from tests.support.waiting import wait_until

QUICK_SECONDS = 0.05
GIVEN_UP_SECONDS = 120


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sagas", type=int, default=60)
    options.add_argument("--backlog", type=int, default=300)
    options.add_argument("--slow", type=float, default=5.0, help="seconds of a hostile call")
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", str(settings.SAGA_WORKER_THREADS)],
    )
    alone: list[float] = []
    beside: list[float] = []
    try:
        for _warm_up in range(10):
            _latency()
        for _round in range(2):
            alone += [_latency() for _ in range(chosen.sagas // 2)]
            for _ in range(chosen.backlog):
                _begin("hostile", chosen.slow)
            wakeups.send_wakeup_now(DEFAULT_TASK_QUEUE)
            wait_until(_hostile_is_at_work, GIVEN_UP_SECONDS, "the hostile merchant's sagas to be claimed")
            beside += [_latency() for _ in range(chosen.sagas // 2)]
            # Closed, so that the next round begins alone. A pending saga must begin before it can fail.
            hostile = SagaInstance.objects.filter(fairness_key="hostile", status__in=ACTIVE_SAGA_STATUSES)
            hostile.update(status=SagaStatus.IN_PROGRESS)
            hostile.update(status=SagaStatus.FAILED, lease_expires_at=None, lease_owner="")
            time.sleep(chosen.slow + 1)
    finally:
        worker.terminate()
        worker.wait()
    for title, latencies in (("alone", alone), ("beside the backlog", beside)):
        ordered = sorted(latencies)
        print(f"{title:>20}: p50 {statistics.median(ordered):6.0f} ms   max {ordered[-1]:6.0f} ms")
    print(
        f"ratio of the medians: {statistics.median(beside) / statistics.median(alone):.2f} (aim: below 1.2)"
    )


def _begin(key: str, seconds: float) -> uuid.UUID:
    saga_id = uuid.uuid4()
    with transaction.atomic(durable=True):
        start_saga(
            slow.DEFINITION,
            saga_id=saga_id,
            business_id=str(saga_id),
            data={"seconds": seconds},
            leased=False,
            fairness_key=key,
        )
    return saga_id


def _latency() -> float:
    """Milliseconds from the commit to the end of a quick saga."""
    saga_id = _begin("other", QUICK_SECONDS)
    began = time.perf_counter()
    wakeups.send_wakeup_now(DEFAULT_TASK_QUEUE)
    ended = SagaInstance.objects.filter(id=saga_id, status=SagaStatus.COMPLETED)
    wait_until(ended.exists, GIVEN_UP_SECONDS, "the saga to end", interval=0.005)
    return (time.perf_counter() - began) * 1000


def _hostile_is_at_work() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM saga_instances WHERE fairness_key = 'hostile' AND lease_expires_at > now()"
        )
        return bool(cursor.fetchone()[0] >= settings.SAGA_WORKER_THREADS // 2)


if __name__ == "__main__":
    main()
