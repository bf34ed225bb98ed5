"""The next release of the lab starts, and has its new flow version, columns and migrations."""

import subprocess
import sys
from pathlib import Path

from scripts.lab.next_release import last_migration, make_next_release
from scripts.local.config import ROOT

CODE = """
import django
django.setup()
from django.db.migrations.loader import MigrationLoader
from gateway.flows.payment_create import PAYMENT_CREATE
from gateway.models import Payment, Refund
from sagas.registry import find_definition
assert {PAYMENT_CREATE.version, find_definition("payment.create", 1).version} == {1, 2}
assert Payment().release == Refund().release == "next"
loader = MigrationLoader(None, ignore_no_migrations=True)
print(*(name for app, name in loader.graph.leaf_nodes("gateway")))
"""


def test_the_next_release_is_made_from_this_one(tmp_path: Path) -> None:
    target = tmp_path / "next"
    for _again in range(2):
        make_next_release(ROOT, target)
    command = [sys.executable, "-c", CODE]
    printed = subprocess.run(command, cwd=target, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.split() == [f"{int(last_migration(ROOT)[:4]) + 2:04d}_next_release_2"]
    assert last_migration(target) == printed.stdout.strip()
