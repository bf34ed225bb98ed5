"""The workers of one host in one process group: saga workers, which take orders to die, and Celery.

    python -m tests.support.armable_workers <name> <saga workers> <children of Celery>

Like a supervisor, the parent replaces a saga worker that dies. It ends when Celery does.
"""

import ctypes
import os
import signal
import subprocess
import sys

import django

_PR_SET_PDEATHSIG = 1


def main() -> None:
    name, workers, celery_children = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    command = [sys.executable, "-m", "celery", "--app", "payment_platform.celery:app", "worker"]
    options = ["--pool", "prefork", "--concurrency", celery_children, "--loglevel", "INFO"]
    alone = ["--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
    included = ["--include", "tests.support.armable_celery,tests.support.journey"]
    celery = subprocess.Popen([*command, *options, *alone, *included], preexec_fn=_die_with_parent)
    django.setup()
    from tests.support import journey  # noqa: F401  (its flows)

    running: set[int] = set()
    while True:
        while len(running) < workers:
            running.add(_fork())
        ended, _status = os.wait()
        running.discard(ended)
        if ended == celery.pid:
            sys.exit(1)


def _fork() -> int:
    pid = os.fork()
    if pid:
        return pid
    _die_with_parent()
    from django.core.management import call_command

    from tests.support.armable import make_armable

    make_armable("worker")
    call_command("run_sagas", "live", "test", "default")
    os._exit(0)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
