from typing import Any

from django.core.management.base import BaseCommand, CommandError

from settlements.services.fetching import FetchFailed, fetch_due_statements


class Command(BaseCommand):
    help = (
        "Fetches the settlement statements that exist by now from all channels, and matches and posts them. A periodic"
        " task does the same each hour."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(f"{fetch_due_statements()} new statements.")
        except FetchFailed as error:
            raise CommandError(f"Not all statements were fetched: {error}") from error
