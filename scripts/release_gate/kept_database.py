"""A plugin of pytest for mutants: each of their processes uses the database that is there, which no mutant changes."""

from django.conf import settings


def pytest_configure() -> None:
    settings.DATABASES["default"].setdefault("TEST", {})["MIGRATE"] = False
