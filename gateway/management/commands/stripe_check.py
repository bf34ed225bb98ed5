from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.base import LIVE, TEST
from channels.stripe import setup, webhooks


class Command(BaseCommand):
    help = (
        "Checks how Stripe is set up for us: the secret keys and their environment, the webhook endpoint, its events"
        " and its API version. Changes nothing. Exit code 1 when there is a problem."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--environment", choices=[TEST, LIVE], help="Default: both, where connected.")
        parser.add_argument(
            "--events", action="store_true", help="Only list the events that the endpoint must send."
        )

    def handle(self, *args: Any, environment: str | None, events: bool, **options: Any) -> None:
        if events:
            self.stdout.write("\n".join(webhooks.EVENTS))
            return
        problems = 0
        for each in (TEST, LIVE):
            if environment in (None, each):
                for finding in setup.check_setup(each):
                    problems += finding.is_problem
                    self.stdout.write(f"{'PROBLEM' if finding.is_problem else 'ok'}  {finding.text}")
        if problems:
            raise CommandError(f"{problems} problem(s).", returncode=1)
