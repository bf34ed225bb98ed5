import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger import close_heads, closes


class Command(BaseCommand):
    help = (
        "Closes every day of the ledger that is over: signs the digest of its entries. With --verify, compares all"
        " closed days with the ledger as it is now, and fails when one has changed. With --heads, prints the newest"
        " digest of each chain: keep it outside of the database, and give it to --verify with --kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--verify", action="store_true", help="Compare closed days with the ledger.")
        parser.add_argument(
            "--kept", type=Path, help="With --verify: a file of lines that --heads has printed."
        )
        parser.add_argument("--heads", action="store_true", help="Print the newest digest of each chain.")

    def handle(self, *args: Any, verify: bool, kept: Path | None, heads: bool, **options: Any) -> None:
        if kept is not None and not verify:
            raise CommandError("--kept needs --verify.")
        if heads:
            for head in close_heads.list_heads():
                self.stdout.write(str(head))
        elif verify:
            self._verify(kept)
        else:
            for close in closes.close_days():
                self.stdout.write(f"closed {close}: {close.transfer_count} transfers")

    def _verify(self, kept: Path | None) -> None:
        broken = closes.verify_days()
        if kept is not None:
            broken += close_heads.find_changed_heads(_read_kept(kept))
        for problem in broken:
            self.stdout.write(str(problem))
        if broken:
            sys.exit(1)
        self.stdout.write("All closed days are unchanged.")


def _read_kept(path: Path) -> list[close_heads.ChainHead]:
    try:
        return close_heads.read_heads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
