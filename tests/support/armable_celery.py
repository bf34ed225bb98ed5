"""Included by a Celery worker: lets tests kill its children at a crash point."""

from celery.signals import worker_process_init

from tests.support.armable import make_armable


@worker_process_init.connect
def _child_started(**_: object) -> None:
    make_armable("worker")
