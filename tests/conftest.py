from collections.abc import Iterator

import pytest
from django.db import connections


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="Longer random schedules, with PostgreSQL restarts; 10,000 payments through outages of Kafka.",
    )


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The test database cannot be dropped while the second pool still holds connections to it."""
    yield
    connections["simulator"].close_pool()
