"""Reads the settings for another environment without another process."""

import os
import runpy
import sys
from typing import Any
from unittest import mock

PACKAGE = "payment_platform.settings."


def read_settings(module: str, **environment: str) -> dict[str, Any]:
    """The names of `payment_platform/settings/<module>.py`. Raises the error with which a process would fail at its
    start."""
    others = {name: loaded for name, loaded in sys.modules.items() if not name.startswith(PACKAGE)}
    with mock.patch.dict(os.environ, environment), mock.patch.dict(sys.modules, others, clear=True):
        return runpy.run_module(PACKAGE + module)
