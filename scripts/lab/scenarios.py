"""Faults under load. Each ends with the lab whole again and the checks of `checking`."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scripts.lab import database, faults, lifecycle, losing_side, supervisor
from scripts.lab.figures import Round
from scripts.lab.migrating import Migration
from scripts.lab.plan import DATABASES, GATEWAYS, WORKERS, Folders, Host, HostRole, list_zone
from scripts.lab.settings import Secrets
from scripts.lab.upgrading import Upgrade
from scripts.local.errors import StackError
from scripts.local.waiting import wait_until

FAILOVER_SECONDS = 180.0


@dataclass(slots=True)
class Lab:
    """What a scenario works on, and what it finds out."""

    folders: Folders
    secrets: Secrets
    primary: Host
    writers: list[losing_side.Writer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # each breaks the promise
    notes: list[str] = field(default_factory=list)
    migration: Migration | None = None
    upgrade: Upgrade | None = None

    def write_from(self, writer: losing_side.Writer) -> None:
        """Its writes have to be confirmed before the cut, so that silence afterwards means something."""
        self.writers.append(writer)
        if not wait_until(writer.has_begun, 60):
            raise StackError("the writer beside the fault has nothing confirmed while all is well")


Action = Callable[[Lab], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScenario:
    name: str
    title: str
    inject: Action
    heal: Action
    prepare: Action | None = None  # before the load is measured
    begin: Action | None = None  # right before the fault
    fails_over: bool = False
    rounds: int = 1
    fault_seconds: float = 30.0  # how long it lasts, once a failover is over


def _kill_primary(lab: Lab) -> None:
    faults.kill(lab.primary)


def _revive_primary(lab: Lab) -> None:
    faults.revive(lab.primary)


def _write_at_primary(lab: Lab) -> None:
    passwords = lab.secrets.passwords
    lab.write_from(losing_side.Writer.at_database(lab.primary, "postgres", passwords.postgres))


def _move_primary_beside_a_gateway(lab: Lab) -> None:
    """Zone c has no gateway: nobody could write on the losing side."""
    if lab.primary.zone not in [gateway.zone for gateway in GATEWAYS]:
        _switch_over(lab)
        lab.primary = database.require_primary()
    gateway = next(each for each in GATEWAYS if each.zone == lab.primary.zone)
    lab.write_from(losing_side.Writer.at_gateway(gateway, lifecycle.load_merchant(lab.folders)))
    _write_at_primary(lab)


def _zone(lab: Lab) -> str:
    assert lab.primary.zone is not None
    return lab.primary.zone


def _kill_zone(lab: Lab) -> None:
    for host in list_zone(_zone(lab)):
        faults.kill(host)


def _revive_zone(lab: Lab) -> None:
    for host in list_zone(_zone(lab)):
        faults.revive(host)


def _cut_from(hosts: Sequence[Host], role: HostRole) -> Action:
    def cut(_lab: Lab) -> None:
        for host in hosts:
            faults.cut_from(host, role)

    return cut


def _heal(hosts: Sequence[Host]) -> Action:
    def heal(_lab: Lab) -> None:
        for host in hosts:
            faults.heal(host)

    return heal


def _restart_everything(lab: Lab) -> None:
    """As a release does it: host by host, each process gets SIGTERM and ends its work. Then the databases: the
    standbys, and the primary when it is none any more."""
    for host in (*GATEWAYS, *WORKERS):
        _restart([name for name in supervisor.list_names(host) if name.split(".")[1] in _OURS])
        lifecycle.wait_until_host_ready(host)
    for standby in (host for host in DATABASES if host != lab.primary):
        _restart([f"{standby.name}.patroni"])
        database.wait_until_whole()
    _switch_over(lab)
    _restart([f"{lab.primary.name}.patroni"])
    database.wait_until_whole()


def _restart(names: list[str]) -> None:
    supervisor.stop(names)
    supervisor.start(names)


def _switch_over(lab: Lab) -> None:
    for refusal, times in Counter(database.switch_over(lab.primary)).items():
        lab.notes.append(f"Patroni refused the switchover {times} times: {refusal}")


_OURS = frozenset({"web", "relay", "webhooks", "celery", "sagas", "poller", "beat"})


def _fill_disk(lab: Lab) -> None:
    """PostgreSQL has some write-ahead log in reserve: it is made to use it up, for which it would need minutes."""
    faults.fill_disk(lab.folders, lab.primary)
    if not database.use_up_log(lab.secrets.passwords):
        lab.notes.append("the write-ahead log was not used up")


def _begin_migration(lab: Lab) -> None:
    lab.migration = Migration(lab.folders, lab.secrets.passwords)
    lab.migration.begin()


def _finish_migration(lab: Lab) -> None:
    assert lab.migration is not None
    _revive_primary(lab)
    database.wait_until_whole()
    lab.problems += lab.migration.finish()


def _prepare_upgrade(lab: Lab) -> None:
    lab.upgrade = Upgrade(lab.folders, lab.secrets)
    lab.upgrade.prepare()


def _roll_out(lab: Lab) -> None:
    assert lab.upgrade is not None
    lab.notes += lab.upgrade.roll_out()


def _roll_back(lab: Lab) -> None:
    assert lab.upgrade is not None
    lab.problems += lab.upgrade.roll_back()


def _nothing(_lab: Lab) -> None:
    return


SCENARIOS: tuple[FaultScenario, ...] = (
    FaultScenario(
        name="kill-primary",
        title="the primary's host dies",
        inject=_kill_primary,
        heal=_revive_primary,
        fails_over=True,
        rounds=3,
        fault_seconds=5,
    ),
    FaultScenario(
        name="cut-primary",
        title="the primary's cable is cut",
        prepare=_write_at_primary,
        inject=lambda lab: faults.cut(lab.primary),
        heal=lambda lab: faults.heal(lab.primary),
        fails_over=True,
        rounds=2,
        fault_seconds=20,
    ),
    FaultScenario(
        name="cut-zone",
        title="the primary's zone is cut off, with its gateway, worker, Redis and RabbitMQ",
        prepare=_move_primary_beside_a_gateway,
        inject=lambda lab: faults.cut_zone(_zone(lab)),
        heal=lambda lab: faults.heal_zone(_zone(lab)),
        fails_over=True,
        fault_seconds=20,
    ),
    FaultScenario(
        name="kill-zone",
        title="all hosts of the primary's zone die",
        inject=_kill_zone,
        heal=_revive_zone,
        fails_over=True,
        fault_seconds=10,
    ),
    FaultScenario(
        name="gateway-without-database",
        title="a gateway reaches no database",
        inject=_cut_from(GATEWAYS[:1], HostRole.DATABASE),
        heal=_heal(GATEWAYS[:1]),
    ),
    FaultScenario(
        name="gateway-without-redis",
        title="a gateway reaches no Redis and no Sentinel",
        inject=_cut_from(GATEWAYS[:1], HostRole.CACHE),
        heal=_heal(GATEWAYS[:1]),
    ),
    FaultScenario(
        name="gateway-without-broker",
        title="a gateway and a worker reach no RabbitMQ",
        inject=_cut_from((GATEWAYS[0], WORKERS[0]), HostRole.BROKER),
        heal=_heal((GATEWAYS[0], WORKERS[0])),
    ),
    FaultScenario(
        name="slow-zone",
        title="200 ms more for each round trip to the primary's zone",
        inject=lambda lab: faults.slow_zone(_zone(lab)),
        heal=lambda lab: faults.heal_zone(_zone(lab)),
    ),
    FaultScenario(
        name="disk-full",
        title="the primary's disk is full",
        inject=_fill_disk,
        heal=lambda lab: faults.free_disk(lab.folders, lab.primary),
        fails_over=True,
        fault_seconds=5,
    ),
    FaultScenario(
        name="migration",
        title="the primary's host dies in the middle of a migration, which is then run again",
        begin=_begin_migration,
        inject=_kill_primary,
        heal=_finish_migration,
        fails_over=True,
        fault_seconds=5,
    ),
    FaultScenario(
        name="rolling-restart",
        title="every process restarts: the platform host by host, the standbys, the primary after a switchover",
        inject=_restart_everything,
        heal=_nothing,
        fault_seconds=5,
    ),
    FaultScenario(
        name="rolling-upgrade",
        title="the next release is rolled out host by host, with its migrations, and back",
        prepare=_prepare_upgrade,
        inject=_roll_out,
        heal=_roll_back,
        fault_seconds=10,
    ),
)


class UnknownScenario(Exception):
    """No scenario has this name."""


def find_scenario(name: str) -> FaultScenario:
    """Raises `UnknownScenario`."""
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise UnknownScenario(f"{name}: give one of {', '.join(each.name for each in SCENARIOS)}")


def run_round(scenario: FaultScenario, lab: Lab, *, calm_seconds: float, settle: Callable[[], None]) -> Round:
    """One fault under a load that runs already. `settle` waits until the load is served again."""
    if scenario.prepare is not None:
        scenario.prepare(lab)
    calm_from = time.time()
    time.sleep(calm_seconds)
    if scenario.begin is not None:
        scenario.begin(lab)
    fault_at = time.time()
    scenario.inject(lab)
    failover_seconds, new_primary = _wait_for_failover(scenario, lab, fault_at)
    time.sleep(scenario.fault_seconds)
    scenario.heal(lab)
    lifecycle.wait_until_ready()
    settle()
    return Round(calm_from, fault_at, time.time(), failover_seconds, new_primary)


def _wait_for_failover(scenario: FaultScenario, lab: Lab, fault_at: float) -> tuple[float | None, str | None]:
    if not scenario.fails_over:
        return None, None
    others = [host for host in DATABASES if host != lab.primary]
    if not wait_until(lambda: database.find_primary(others) is not None, FAILOVER_SECONDS, interval=0.25):
        lab.notes.append(f"no other database took writes within {FAILOVER_SECONDS:.0f} s")
        return None, None
    found = database.find_primary(others)
    return time.time() - fault_at, found.name if found else None


def judge_losing_side(lab: Lab, cut_at: float, healed_at: float) -> list[str]:
    """Writes that were confirmed on the side that had lost and that the surviving side does not have."""
    confirmed = [each for writer in lab.writers for each in writer.stop()]
    lab.writers.clear()
    if not confirmed:
        return []
    known = database.list_witnesses(lab.secrets.passwords)
    return [
        f"{each.name}, {each.at - cut_at:+.1f} s after the cut"
        for each in confirmed
        if each.name not in known and each.at < healed_at
    ]
