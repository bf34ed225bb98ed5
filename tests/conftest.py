from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections


def pytest_configure(config: pytest.Config) -> None:
    """Each process of the test run has a Redis database of its own, as it has in PostgreSQL: what one test sees,
    counts or flushes is nobody else's."""
    worker: str = getattr(config, "workerinput", {}).get("workerid", "gw0")
    address = f"redis://{settings.REDIS_HOST}:{settings.REDIS_PORT}/{int(worker.removeprefix('gw')) + 1}"
    settings.CACHES["default"]["LOCATION"] = settings.CELERY_BROKER_URL = address


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The test database cannot be dropped while the second pool still holds connections to it."""
    yield
    connections["simulator"].close_pool()
