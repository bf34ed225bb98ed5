"""Makes the next release: a copy of this one with the parts that a rolling upgrade is about.

Nothing is published yet and migrations are edited in place, so no earlier commit has a schema from which `migrate`
leads to today's. The next release is therefore made here:

- expand migrations: two columns, one of them required, a backfill in batches and an index built online;
- code that writes and reads the new columns with each payment and refund;
- a second version of the definition of payment.create, which the code before does not know.
"""

import shutil
from pathlib import Path

APP = "gateway"
NEXT = "next"  # what the new code writes into the new columns
BACKFILLED = "before"
DEFINITION, VERSION = "payment.create", 2
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".local", ".mypy_cache", ".ruff_cache", "__pycache__", "node_modules", "site"
)

_COLUMNS = '''\
"""Expand: the release before inserts rows without these columns."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "{last}")]

    operations = [
        migrations.AddField("payment", "release", models.CharField(max_length=20, null=True, default=None)),
        migrations.AddField("refund", "release", models.CharField(max_length=20, default="", db_default="")),
    ]
'''
_BIG_TABLE = '''\
"""In batches and online, beside payments."""

from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline, UpdateInBatches


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "{columns}")]

    operations = [
        UpdateInBatches("payments", "UPDATE payments SET release = '{backfilled}' WHERE id = ANY(%s)"),
        AddIndexOnline("payment", models.Index(fields=["release", "created_at"], name="payment_by_release")),
    ]
'''
_MODELS = """

Payment.add_to_class("release", models.CharField(max_length=20, null=True, default="{next}"))
Refund.add_to_class("release", models.CharField(max_length=20, default="{next}", db_default=""))
"""
_DEFINITION = """

PAYMENT_CREATE = register(dataclasses.replace(PAYMENT_CREATE, version={version}))
"""


def make_next_release(source: Path, target: Path) -> None:
    """Replaces what is in the target."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=_LEFT_OUT, symlinks=True)
    last = last_migration(source)
    columns, big_table = (f"{int(last[:4]) + step:04d}_next_release_{step}" for step in (1, 2))
    folder = target / APP / "migrations"
    (folder / f"{columns}.py").write_text(_COLUMNS.format(last=last))
    (folder / f"{big_table}.py").write_text(_BIG_TABLE.format(columns=columns, backfilled=BACKFILLED))
    _append(
        target / APP / "models" / "__init__.py", "from django.db import models\n", _MODELS.format(next=NEXT)
    )
    _append(
        target / APP / "flows" / "payment_create.py",
        "import dataclasses\n",
        _DEFINITION.format(version=VERSION),
    )


def last_migration(source: Path) -> str:
    """The name of the app's last migration, to which the way back leads."""
    return max(file.stem for file in (source / APP / "migrations").glob("[0-9]*.py"))


def _append(file: Path, imported: str, text: str) -> None:
    """The import stands before the rest, behind the docstring's end, which Python does not mind."""
    file.write_text(f"{file.read_text()}\n\n{imported}{text}")
