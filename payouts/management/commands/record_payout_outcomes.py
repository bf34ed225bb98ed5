import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from common.errors import OperationRefused
from common.terminal import terminal_name, use_terminal_language
from payouts.services.outcomes import CSV_COLUMNS, read_outcomes, record_outcome


def _refuse_confirmation(_approver: str, _requester: str) -> str:
    return _("Confirm it in the back office.")


class Command(BaseCommand):
    help = (
        "Records what the bank answered to payouts, from a CSV file with the columns "
        f"{', '.join(CSV_COLUMNS)}. It can be repeated: what is known already is skipped. Failures and returns take "
        "effect when two people have recorded the same in the back office."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--actor", required=True, help="Your name, for the audit log.")
        parser.add_argument("--reason", required=True, help="Such as the number of the bank's report.")

    def handle(self, *args: Any, file: Path, actor: str, reason: str, **options: Any) -> None:
        with use_terminal_language():
            try:
                outcomes = read_outcomes(file.read_bytes())
            except (OSError, OperationRefused) as error:
                raise CommandError(str(error)) from error
            refused = 0
            for outcome in outcomes:
                try:
                    is_new = record_outcome(
                        outcome=outcome,
                        actor=terminal_name(actor),
                        reason=reason,
                        find_conflict=_refuse_confirmation,
                    )
                except OperationRefused as error:
                    refused += 1
                    self.stdout.write(f"{outcome.payout_no}: {error}")
                else:
                    self.stdout.write(f"{outcome.payout_no}: {outcome.status if is_new else 'known already'}")
        if refused:
            sys.exit(1)
