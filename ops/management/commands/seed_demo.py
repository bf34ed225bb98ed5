import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ops.services import demo


class Command(BaseCommand):
    help = "Creates what the quick start takes for granted. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--admin-password",
            default=os.environ.get("ADMIN_PASSWORD", ""),
            help="Of the administrator 'admin', if there is none yet. Default: $ADMIN_PASSWORD.",
        )

    def handle(self, *args: Any, admin_password: str, **options: Any) -> None:
        seeded = demo.seed_demo(admin_password=admin_password)
        self.stdout.write(f"merchant       {seeded.merchant_email}")
        self.stdout.write(f"payment        {seeded.payment_no} ({seeded.payment_status})")
        self.stdout.write(f"administrator  {seeded.admin_name} ({seeded.admin_account})")
