"""The part of the process tests that runs inside the platform's processes: it takes orders to die.

`common.crash` reads one point from the environment of its process. A process that was made armable takes a
new environment for it while it runs, so that a test can choose a point, and one process among several, without
starting anything: it writes `orders.<pid>` into the directory and sends ARM_SIGNAL. `standing.<role>` is for those
that start later.

    gunicorn --config python:tests.support.armable_gunicorn     each of its workers
    celery … worker --include tests.support.armable_celery      each of its children
"""

import json
import os
import signal
from pathlib import Path

ARM_SIGNAL = signal.SIGRTMIN + 3
DIRECTORY = "TEST_ARM_DIRECTORY"


def make_armable(role: str) -> None:
    """Call in the main thread of the process. Its sign in the directory says that it is listening."""
    directory = Path(os.environ[DIRECTORY])
    orders = directory / f"orders.{os.getpid()}"

    def take_orders(*_: object) -> None:
        _obey(orders)
        orders.unlink()

    signal.signal(ARM_SIGNAL, take_orders)
    standing = directory / f"standing.{role}"
    if standing.exists():
        _obey(standing)
    (directory / f"{role}.{os.getpid()}").touch()


def _obey(orders: Path) -> None:
    for name, value in json.loads(orders.read_text()).items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
