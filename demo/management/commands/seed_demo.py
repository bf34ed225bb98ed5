import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo import history as demo_history
from demo import seed as demo


class Command(BaseCommand):
    help = "Creates what the quick start takes for granted. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--admin-password",
            default=os.environ.get("ADMIN_PASSWORD", ""),
            help="Of the administrator 'admin', if there is none yet. Default: $ADMIN_PASSWORD.",
        )

        parser.add_argument(
            "--payments",
            type=int,
            default=0,
            choices=range(10_001),
            metavar="0-10000",
            help="Also make a month of so many payments, of several merchants. A second run adds what is missing.",
        )

    def handle(self, *args: Any, admin_password: str, payments: int, **options: Any) -> None:
        seeded = demo.seed_demo(admin_password=admin_password)
        self.stdout.write(f"merchant       {seeded.merchant_email}")
        self.stdout.write(f"payment        {seeded.payment_no} ({seeded.payment_status})")
        self.stdout.write(f"administrator  {seeded.admin_name} ({seeded.admin_account})")
        if payments:
            self._seed_history(payments)

    def _seed_history(self, payments: int) -> None:
        try:
            history = demo_history.seed_history(payments=payments)
        except demo_history.NotADemo as error:
            raise CommandError("PAYMENT_DEMO is not set: this is no place for made-up payments.") from error
        for story, count in sorted(history.added.items()):
            self.stdout.write(f"{count:>6}  {story.replace('_', ' ')}")
        self.stdout.write(
            f"history        {history.added.total()} payments added, {history.kept} there before"
        )
