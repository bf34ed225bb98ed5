from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from common.claim_loop import run_together
from sagas.worker import SagaWorker


class Command(BaseCommand):
    help = "Continues sagas that are due, until it is told to stop. Any number may run. Each queue has its own threads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "queues", nargs="+", choices=settings.SAGA_TASK_QUEUES, help="the task queues to serve"
        )

    def handle(self, *args: Any, queues: list[str], **options: Any) -> None:
        threads = settings.SAGA_WORKER_THREADS
        run_together(*(SagaWorker(task_queue=queue, threads=threads).run for queue in dict.fromkeys(queues)))
