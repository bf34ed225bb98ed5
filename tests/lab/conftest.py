"""The scenarios build a whole lab: they are collected only with --long."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_heavy = collection_path.name == "test_scenarios.py"
    return True if is_heavy and not config.getoption("--long", False) else None
