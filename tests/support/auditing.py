"""Lets the auditor judge what a test left behind. A test file imports the fixture that it wants to be judged by."""

from collections.abc import Iterator

import pytest
from django.db import connection

from monitoring.books.audit import SETTLED, audit


def findings() -> list[str]:
    """What is wrong, as if everything had been left alone for years: nothing may be unfinished either."""
    with connection.cursor() as cursor:
        return [str(finding) for finding in audit(cursor, grace=SETTLED)]


@pytest.fixture(autouse=True)
def _audited(transactional_db: None) -> Iterator[None]:
    yield
    found = findings()
    assert not found, "\n".join(found)
