"""gunicorn as the platform runs it. Tests can kill its workers at a crash point."""

from gunicorn.workers.base import Worker

from payment_platform.gunicorn_conf import *  # noqa: F403
from tests.support.armable import make_armable


def post_worker_init(_worker: Worker) -> None:
    make_armable("web")
