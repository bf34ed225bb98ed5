"""The cost of a hostile merchant: latency of one merchant's sagas alone, and beside another's slow backlog.

One worker with the places of production. The hostile merchant has a backlog of sagas whose call takes seconds; the
other begins one saga after the other. Latency is the time from the commit that creates a saga to its end. Both are
measured in alternating rounds of one run; the aim is a ratio of the medians below 1.2.
"""

import statistics
import subprocess
import sys
import time
import uuid

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from benchmarks import slow
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from sagas import wakeups
from sagas.models import ACTIVE_SAGA_STATUSES, DEFAULT_TASK_QUEUE, SagaInstance, SagaStatus
from sagas.start import start_saga
from tests.support.waiting import wait_until

BENCHMARK = Benchmark(
    "fairness",
    "The latency of one merchant's sagas alone, and beside another's backlog of sagas whose call takes 5 s.",
    "A worker's places: half of them at most go to one merchant while others wait.",
)

QUICK_SECONDS, SLOW_SECONDS = 0.05, 5.0
GIVEN_UP_SECONDS = 120


def measure(effort: Effort) -> list[Figure]:
    count, backlog = effort.choose(30, 3), effort.choose(300, 40)
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", str(settings.SAGA_WORKER_THREADS)],
    )
    alone: list[float] = []
    beside: list[float] = []
    try:
        for _warm_up in range(10):
            _latency()
        for _round in range(effort.rounds):
            alone.append(statistics.median(_latency() for _ in range(count)))
            for _ in range(backlog):
                _begin("hostile", SLOW_SECONDS)
            wakeups.send_wakeup_now(DEFAULT_TASK_QUEUE)
            wait_until(_hostile_is_at_work, GIVEN_UP_SECONDS, "the hostile merchant's sagas to be claimed")
            beside.append(statistics.median(_latency() for _ in range(count)))
            _close_hostile_sagas()
            time.sleep(SLOW_SECONDS + 1)
    finally:
        worker.terminate()
        worker.wait()
    base = median_figure("a saga alone, p50", alone, "ms")
    return [
        base,
        median_figure(
            f"a saga beside {backlog} slow ones of another merchant, p50",
            beside,
            "ms",
            base=base,
            aim="below 1.2",
        ),
    ]


def _close_hostile_sagas() -> None:
    """So that the next round begins alone. A pending saga must begin before it can fail."""
    hostile = SagaInstance.objects.filter(fairness_key="hostile", status__in=ACTIVE_SAGA_STATUSES)
    hostile.update(status=SagaStatus.IN_PROGRESS)
    fence = F("fence") + 1  # the worker's late writes change nothing
    hostile.update(status=SagaStatus.FAILED, lease_expires_at=None, lease_owner="", fence=fence)


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
