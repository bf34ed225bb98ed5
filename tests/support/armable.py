"""Runs inside the platform's processes in the process tests: kills its process at a chosen crash point.

`common.crash` reads one point from the environment of its process. A process that was made armable takes a
new environment for it while it runs, so that a test can choose a point, and one process among several, without
starting anything: it writes `orders.<pid>` into the directory and sends ARM_SIGNAL. Processes that start later read
`standing.<role>`.

    gunicorn --config python:tests.support.armable_gunicorn     each of its workers
    celery … worker --include tests.support.armable_celery      each of its children
"""

import json
import os
import signal
from pathlib import Path

from tests.support.process_table import read_start

ARM_SIGNAL = signal.SIGRTMIN + 3
DIRECTORY = "TEST_ARM_DIRECTORY"


def make_armable(role: str) -> None:
    """Call in the main thread of the process. A file in the directory says that the process is listening, and when it
    was started: the kernel reuses process ids."""
    directory = Path(os.environ[DIRECTORY])
    orders = directory / f"orders.{os.getpid()}"
    taken: list[str] = []

    def take_orders(*_: object) -> None:
        taken.append(orders.read_text())
        _obey(taken[-1])
        orders.unlink()

    signal.signal(ARM_SIGNAL, take_orders)
    # The file comes first. A test that writes standing orders and finds no file of ours is read here, so no order is
    # missed.
    new = directory / f"new-sign.{os.getpid()}"
    new.write_text(str(read_start(os.getpid())))
    new.rename(directory / f"{role}.{os.getpid()}")
    standing = directory / f"standing.{role}"
    if standing.exists():
        _obey(standing.read_text())
    if taken:  # orders for this process that came while it read the standing ones
        _obey(taken[-1])


def _obey(orders: str) -> None:
    for name, value in json.loads(orders).items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
