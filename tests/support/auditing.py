"""Runs the integrity checks after each test of a file that imports the fixture `_audited`."""

from collections.abc import Iterator

import pytest
from django.db import connection

from monitoring.integrity.search import SETTLED, find_all_violations


def findings() -> list[str]:
    """All violations, those of unfinished work included."""
    with connection.cursor() as cursor:
        # The further channels of tests keep their charges in the simulator's ledger; `ledger_agrees` compares those.
        found = find_all_violations(cursor, grace=SETTLED, skip=["charge_has_payment"])
    return [str(violation) for violation in found]


@pytest.fixture(autouse=True)
def _audited(transactional_db: None) -> Iterator[None]:
    yield
    found = findings()
    assert not found, "\n".join(found)
