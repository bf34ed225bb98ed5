from typing import Any

from django.core.management.base import BaseCommand

from common.claim_loop import run_together
from webhooks import worker


class Command(BaseCommand):
    help = "Delivers webhooks to merchants' endpoints until it is stopped. Any number of these can run."

    def handle(self, *args: Any, **options: Any) -> None:
        run_together(worker.run)
