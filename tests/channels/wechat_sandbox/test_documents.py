"""docs/WECHAT-SANDBOX.md names every fault and every call of the control API."""

import re
from pathlib import Path

from channels.wechat.sandbox import control
from channels.wechat.sandbox.api import ROUTES
from channels.wechat.sandbox.faults import FaultKind

DOCUMENT = (Path(__file__).parents[3] / "docs" / "WECHAT-SANDBOX.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return DOCUMENT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_fault_is_documented() -> None:
    rows = re.findall(r"^\| (`.+?) \|", section("Faults"), re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(FaultKind)


def test_every_operation_is_documented() -> None:
    for route in ROUTES:
        assert f"`{route.operation}`" in section("Faults")


def test_every_command_is_documented() -> None:
    documented = set()
    for methods, path in re.findall(
        r"^\| `([A-Z`, ]+) (/sandbox/[\w/-]+)", section("Control API"), re.MULTILINE
    ):
        documented |= {(method, path) for method in re.findall(r"[A-Z]+", methods)}
    assert documented == set(control._HANDLERS)
