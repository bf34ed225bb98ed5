from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import pruning


class Command(BaseCommand):
    help = "Deletes old idempotency keys, nonces, finished sagas, published events and consistency runs."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, count in asdict(pruning.prune_history()).items():
            self.stdout.write(f"{name:<20} {count}")
