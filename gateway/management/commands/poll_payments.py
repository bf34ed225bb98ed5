from typing import Any

from django.core.management.base import BaseCommand

from common.claim_loop import run_together
from gateway.services import expiry, polling


class Command(BaseCommand):
    help = (
        "Polls channels about open payments and refunds, and expires payments whose time to pay is over, until it is"
        " stopped. Any number may run."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        run_together(*polling.build_pollers(), *expiry.build_expiry_loops())
