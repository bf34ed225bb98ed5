"""Saga workers: places, leases and retries."""

from payment_platform.settings.base import env

# Interval at which a worker looks for due sagas when no wake-up hint comes, and at which Celery beat sweeps.
SAGA_SWEEP_SECONDS: float = env.float("SAGA_SWEEP_SECONDS", default=2.0)
# Each task queue has workers of its own, so that test traffic never takes a place of live traffic: manage.py run_sagas.
SAGA_TASK_QUEUES = ("live", "test", "default")
# Sagas at a time in one worker, per task queue. One merchant's sagas hold at most half of them.
SAGA_WORKER_THREADS: int = env.int("SAGA_WORKER_THREADS", default=64)
# How many sagas, polls and deliveries a worker process works on at a time. Those that wait for a channel or an endpoint
# are not counted.
WORKER_PLACES: int = env.int("WORKER_PLACES", default=8)
# How long a worker holds a saga. A channel call must end well within the lease: see sagas.definitions.
SAGA_LEASE_SECONDS: float = env.float("SAGA_LEASE_SECONDS", default=30.0)
# The pause before the first retry of a step; it doubles with each one, with full jitter.
SAGA_RETRY_BASE_SECONDS: float = env.float("SAGA_RETRY_BASE_SECONDS", default=1.0)
# The longest pause between two retries.
SAGA_RETRY_CAP_SECONDS: float = env.float("SAGA_RETRY_CAP_SECONDS", default=60.0)
