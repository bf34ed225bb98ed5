from typing import Any

from django.core.management.base import BaseCommand

from gateway.services.open_ledger import open_ledger


class Command(BaseCommand):
    help = "Posts opening entries for payments, refunds and disputes that are not in the ledger. It may be repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{open_ledger()} payments got opening entries.")
