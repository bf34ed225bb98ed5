"""gunicorn as the platform runs it, with workers that take orders to die."""

from gunicorn.workers.base import Worker

from payment_platform.gunicorn_conf import *  # noqa: F403
from tests.support.armable import make_armable


def post_worker_init(_worker: Worker) -> None:
    make_armable("web")
