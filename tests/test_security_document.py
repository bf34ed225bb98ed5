"""docs/SECURITY.md names tests that exist, and every step of the release gate."""

import re

from scripts.local.config import ROOT
from scripts.release_gate.__main__ import STEPS

DOCUMENT = ROOT / "docs" / "SECURITY.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_named_test_exists() -> None:
    named = NAMED.findall(DOCUMENT.read_text())
    assert len(named) > 60
    for file, name in named:
        source = (ROOT / file).read_text()
        assert not name or re.search(rf"^ *def {name}\(", source, re.MULTILINE), f"{file}::{name}"


def test_each_row_has_a_test_or_a_step_of_the_gate() -> None:
    for line in DOCUMENT.read_text().partition("## The release gate")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0] not in ("threat", "risk", "---"):
            step = re.fullmatch(r"the gate: `(\w+)`", cells[2])
            assert NAMED.search(cells[2]) or (step and step[1] in STEPS), line


def test_each_step_of_the_gate_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert described == list(STEPS)
