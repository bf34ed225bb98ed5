import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ledger import closes


class Command(BaseCommand):
    help = (
        "Closes every day of the ledger that is over: signs the digest of its entries. With --verify, compares all"
        " closed days with the ledger as it is now, and fails when one has changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--verify", action="store_true", help="Compare closed days with the ledger.")

    def handle(self, *args: Any, verify: bool, **options: Any) -> None:
        if not verify:
            for close in closes.close_days():
                self.stdout.write(f"closed {close}: {close.transfer_count} transfers")
            return
        broken = closes.verify_days()
        for problem in broken:
            self.stdout.write(str(problem))
        if broken:
            sys.exit(1)
        self.stdout.write("All closed days are unchanged.")
