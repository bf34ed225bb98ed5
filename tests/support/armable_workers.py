"""The workers of one host in one process group: saga workers, pollers and Celery. Tests can kill them at a crash
point.

    python -m tests.support.armable_workers <name> <workers> <children of Celery>

Like a supervisor, the parent replaces children that die.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

import django

_PR_SET_PDEATHSIG = 1
RESTART_SECONDS = 1.0


def main() -> None:
    name, workers, celery_children = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    command = [sys.executable, "-m", "celery", "--app", "payment_platform.celery:app", "worker"]
    options = ["--pool", "prefork", "--concurrency", celery_children, "--loglevel", "INFO"]
    alone = ["--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
    included = ["--include", "tests.support.armable_celery,tests.support.trip_saga"]
    celery_command = [*command, *options, *alone, *included]
    celery = subprocess.Popen(celery_command, preexec_fn=_die_with_parent)
    django.setup()
    from tests.support import trip_saga  # noqa: F401  (registers its definitions)

    running: set[int] = set()
    while True:
        while len(running) < workers:
            running.add(_fork())
        ended, _status = os.wait()
        running.discard(ended)
        if ended == celery.pid:
            time.sleep(RESTART_SECONDS)
            celery = subprocess.Popen(celery_command, preexec_fn=_die_with_parent)


def _fork() -> int:
    pid = os.fork()
    if pid:
        return pid
    _die_with_parent()
    from django.conf import settings

    from common.claim_loop import run_together
    from gateway.services import expiry, polling
    from sagas.worker import SagaWorker
    from tests.support.armable import make_armable

    make_armable("worker")
    run_together(
        *(
            SagaWorker(task_queue=queue, threads=settings.SAGA_WORKER_THREADS).run
            for queue in ("test", "default")
        ),
        *polling.build_pollers(),
        *expiry.build_expiry_loops(),
    )
    os._exit(0)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
