"""A worker refuses a task that it does not know, so each task of the schedule must be found."""

from pathlib import Path

from payment_platform.celery import TASK_PACKAGES, app
from payment_platform.schedule import beat_schedule
from scripts.local.config import ROOT

NOT_OURS = {"tests", "node_modules"}


def list_packages_with_tasks() -> list[str]:
    found = (path.relative_to(ROOT).parent for path in ROOT.glob("[a-z]*/**/tasks.py"))
    return sorted(".".join(package.parts) for package in found if is_ours(package))


def is_ours(package: Path) -> bool:
    return package.parts[0] not in NOT_OURS


def test_a_worker_loads_every_module_of_tasks() -> None:
    assert sorted(TASK_PACKAGES) == list_packages_with_tasks()


def test_a_worker_knows_every_scheduled_task() -> None:
    app.loader.import_default_modules()
    assert set(beat_schedule(sweep_seconds=2)) <= set(app.tasks)
