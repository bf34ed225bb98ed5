"""docs/LEDGER.md names every account and every event."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from ledger.chart import LedgerAccountKind
from ledger.models import TransferEvent
from monitoring.integrity import double_entry, ledger_accounts

CHECKS = [check.name for check in (*double_entry.CHECKS, *ledger_accounts.CHECKS)]
TEXT = Path(settings.BASE_DIR, "docs", "LEDGER.md").read_text()


def read_first_column(heading: str) -> set[str]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Chart of accounts", set(LedgerAccountKind.values)),
        ("Which event posts what", set(TransferEvent.values)),
        ("Checking", {name for name in CHECKS if name.startswith("ledger_")}),
    ],
)
def test_every_name_is_in_its_table(heading: str, names: set[str]) -> None:
    assert read_first_column(heading) == names
