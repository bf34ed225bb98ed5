"""A rolling upgrade and the way back: two releases side by side on the schema of the newer one."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from scripts.lab import database, lifecycle, supervisor
from scripts.lab.next_release import (
    APP,
    BACKFILLED,
    DEFINITION,
    NEXT,
    VERSION,
    last_migration,
    make_next_release,
)
from scripts.lab.plan import GATEWAYS, WORKERS, Folders, Host
from scripts.lab.processes import list_platform
from scripts.lab.settings import Secrets
from scripts.local.config import ROOT
from scripts.local.waiting import wait_until

# Another checkout that plays the old release. Its migrations are those of this one. Without it: this one.
OLD_RELEASE = "LAB_OLD_RELEASE"
TOGETHER_SECONDS = 20.0  # so long half of the hosts run each release
FINISH_SECONDS = 120.0

_BY_RELEASE = "SELECT coalesce(release, 'old'), count(*) FROM payments GROUP BY 1"
_OPEN = """
    SELECT count(*) FROM saga_instances WHERE definition = %s AND definition_version = %s
    AND status IN ('pending', 'in_progress')
"""
_IN_REVIEW = (
    "SELECT count(*) FROM saga_instances WHERE needs_attention AND attention_reason LIKE 'no definition%%'"
)


class Upgrade:
    def __init__(self, folders: Folders, lab_secrets: Secrets) -> None:
        self._folders, self._secrets = folders, lab_secrets
        self._old = Path(os.environ.get(OLD_RELEASE) or ROOT).absolute()
        self._new = folders.home / "next-release"

    def prepare(self) -> None:
        make_next_release(ROOT, self._new)
        if self._old != ROOT:
            self._roll([*GATEWAYS, *WORKERS], self._old)

    def roll_out(self) -> list[str]:
        """Migrates, then replaces host after host. For some time each release runs on a gateway and on a worker.
        Returns notes."""
        begun = time.monotonic()
        lifecycle.manage(self._folders, "migrate", "--no-input", code=self._new)
        note = f"migrated under load in {time.monotonic() - begun:.1f} s"
        self._roll([GATEWAYS[0], WORKERS[0]], self._new)
        time.sleep(TOGETHER_SECONDS)
        self._roll([GATEWAYS[1], WORKERS[1]], self._new)
        return [note]

    def roll_back(self) -> list[str]:
        """The old code on the new schema, then the old schema. Returns what is wrong."""
        self._roll([GATEWAYS[0]], self._old)
        time.sleep(TOGETHER_SECONDS)
        self._roll([GATEWAYS[1]], self._old)
        problems = []
        # The old workers do not know these.
        if not wait_until(lambda: self._count(_OPEN, DEFINITION, VERSION) == 0, FINISH_SECONDS, interval=0.5):
            problems.append(f"sagas of {DEFINITION} version {VERSION} are still open")
        self._roll(WORKERS, self._old)
        problems += self._find_problems()
        lifecycle.manage(self._folders, "migrate", "--no-input", APP, last_migration(ROOT), code=self._new)
        if self._old != ROOT:
            self._roll([*GATEWAYS, *WORKERS], ROOT)
        return problems

    def _find_problems(self) -> list[str]:
        """Each release must have written, or the upgrade has shown nothing."""
        with database.connect(self._secrets.passwords) as session:
            found = {str(name): int(count) for name, count in session.execute(_BY_RELEASE).fetchall()}
        problems = [
            f"no payment is of release {name}: {found}"
            for name in (BACKFILLED, "old", NEXT)
            if not found.get(name)
        ]
        if unknown := self._count(_IN_REVIEW):
            problems.append(f"{unknown} sagas need review because a worker did not know their definition")
        return problems

    def _count(self, query: str, *parameters: object) -> int:
        with database.connect(self._secrets.passwords) as session:
            row = session.execute(query, parameters).fetchone()
        return int(row[0]) if row else 0

    def _roll(self, hosts: Iterable[Host], code: Path) -> None:
        for host in hosts:
            ours = [each for each in list_platform(self._folders, self._secrets, code) if each.host == host]
            names = [each.name for each in ours]
            supervisor.stop(names)
            supervisor.write_scripts(self._folders, ours)
            supervisor.start(names)
            lifecycle.wait_until_host_ready(host)
