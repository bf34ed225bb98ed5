import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo.history import DemoNotAllowed, seed_history
from demo.quick_start import seed_demo


class Command(BaseCommand):
    help = "Creates the data that the quick start expects. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--admin-password",
            default=os.environ.get("ADMIN_PASSWORD", ""),
            help="Password of the administrator 'admin', who is created if missing. Default: $ADMIN_PASSWORD.",
        )

        parser.add_argument(
            "--payments",
            type=int,
            default=0,
            choices=range(10_001),
            metavar="0-10000",
            help="Also create a month of so many payments. A second run adds what is missing.",
        )

    def handle(self, *args: Any, admin_password: str, payments: int, **options: Any) -> None:
        seeded = seed_demo(admin_password=admin_password)
        self.stdout.write(f"merchant       {seeded.merchant_email}")
        self.stdout.write(f"payment        {seeded.payment_no} ({seeded.payment_status})")
        self.stdout.write(f"administrator  {seeded.admin_name} ({seeded.admin_account})")
        if payments:
            self._seed_history(payments)

    def _seed_history(self, payments: int) -> None:
        try:
            history = seed_history(payments=payments)
        except DemoNotAllowed as error:
            raise CommandError("PAYMENT_DEMO is not set: demo payments are not allowed here.") from error
        for scenario, count in sorted(history.added.items()):
            self.stdout.write(f"{count:>6}  {scenario.replace('_', ' ')}")
        self.stdout.write(
            f"history        {history.added.total()} payments added, {history.existing} there before"
        )
