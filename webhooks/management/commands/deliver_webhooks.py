import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from common import telemetry
from webhooks import worker


class Command(BaseCommand):
    help = "Delivers webhooks to merchants' endpoints until it is told to stop. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        telemetry.begin_process()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        worker.run(stop)
