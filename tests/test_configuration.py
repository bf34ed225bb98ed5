"""docs/CONFIGURATION.md names every variable that production processes read, as the code reads it."""

import re
from pathlib import Path

import pytest

from scripts import configuration
from scripts.local.config import ROOT

# Set by operating systems, tests and scripts, not by operators.
OTHERS = {
    "DJANGO_SETTINGS_MODULE",
    "LC_ALL",
    "LC_MESSAGES",
    "LANG",
    "USER",
    "SUDO_USER",
    "PAYMENT_CRASH_AT",
    "PAYMENT_CRASH_SPARES",
    "PAYMENT_LOSE_ANSWER_OF",
    "PROMETHEUS_MULTIPROC_DIR",
    "ADMIN_PASSWORD",
}
READ = re.compile(r'(?:env\.\w+|os\.environ(?:\.get|\.setdefault)?)[\(\[]\s*"([A-Z][A-Z0-9_]+)"')
OURS = (
    "audit backoffice channels checkout common demo events gateway idempotency merchants monitoring orders"
    " payment_platform sagas staff webhooks"
).split()


def test_the_document_is_current() -> None:
    assert configuration.DOCUMENT.read_text() == configuration.document(), (
        "run: python -m scripts.configuration"
    )


def test_no_variable_is_left_out() -> None:
    documented = {variable.name for variable in configuration.variables()}
    read = {
        name
        for folder in OURS
        for source in Path(ROOT, folder).rglob("*.py")
        for name in READ.findall(source.read_text())
    }
    assert read - OTHERS == documented


def test_a_variable_without_a_description_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.py").write_text('X = env.str("X", default="")\n')
    monkeypatch.setattr(configuration, "ROOT", tmp_path)
    monkeypatch.setattr(configuration, "SOURCES", {"settings.py": "Settings"})
    with pytest.raises(configuration.Undocumented, match=r"settings\.py:1: X"):
        configuration.document()
