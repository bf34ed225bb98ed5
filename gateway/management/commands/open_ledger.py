import sys
from typing import Any

from django.core.management.base import BaseCommand

from gateway.services.open_ledger import open_ledger


class Command(BaseCommand):
    help = (
        "Posts opening entries for payments, refunds and disputes that are not in the ledger. It may be repeated, and"
        " fails when a payment could not be opened."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        result = open_ledger()
        self.stdout.write(f"{result.opened} payments got opening entries.")
        for failure in result.failures:
            self.stderr.write(f"payment {failure.payment_id}: {failure.problem}")
        if result.failures:
            sys.exit(1)
