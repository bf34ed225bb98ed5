"""Runs one scenario from the beginning to the stored result."""

import datetime as dt
import functools
import time
from collections import Counter
from pathlib import Path

from scripts.lab import database, faults, figures, lifecycle, report
from scripts.lab.checking import LabVerdict, settle_and_check
from scripts.lab.client import Outcome, read_journal
from scripts.lab.figures import Round
from scripts.lab.load import LabLoad
from scripts.lab.plan import HOSTS, ZONES, Folders
from scripts.lab.report import ScenarioResult
from scripts.lab.scenarios import FaultScenario, Lab, judge_losing_side, run_round
from scripts.lab.settings import BANK_DESK_URL, PUBLIC_URL, Secrets, read_bank_settings
from scripts.local.waiting import wait_until

WRITES_PER_SECOND = 6.0
CALM_SECONDS = 12.0
# After a fault is healed, the load goes on until it was served as before for so long.
AFTER_SECONDS = 20.0
RECOVER_SECONDS = 240.0
DRAIN_SECONDS = 120.0


def start_load(folders: Folders, journal: Path, writes_per_second: float) -> LabLoad:
    journal.unlink(missing_ok=True)
    load = LabLoad(
        PUBLIC_URL,
        lifecycle.load_merchant(folders),
        journal,
        bank_url=BANK_DESK_URL,
        bank_account=read_bank_settings(folders)["WECHAT_TEST_MCH_ID"],
        writes_per_second=writes_per_second,
    )
    load.start()
    return load


def run_scenario(
    folders: Folders,
    scenario: FaultScenario,
    *,
    writes_per_second: float = WRITES_PER_SECOND,
    rounds: int | None = None,
) -> ScenarioResult:
    """Raises `StackError` when the lab cannot be brought back. Everything that was done to it is undone in any case."""
    lab = Lab(folders, Secrets.load(folders), database.wait_until_whole())
    journal = folders.results / f"{scenario.name}.jsonl"
    load = start_load(folders, journal, writes_per_second)
    done: list[Round] = []
    losing_side: list[str] = []
    has_writers = False
    try:
        for _round in range(rounds or scenario.rounds):
            lab.primary = database.wait_until_whole()
            settle = functools.partial(_wait_for_rate, load)
            done.append(run_round(scenario, lab, calm_seconds=CALM_SECONDS, settle=settle))
            has_writers = has_writers or bool(lab.writers)
            losing_side += judge_losing_side(lab, done[-1].fault_at, done[-1].until)
    finally:
        load.stop(DRAIN_SECONDS)
        faults.heal_everything(folders, HOSTS, ZONES)
        for writer in lab.writers:
            writer.stop()
    lifecycle.wait_until_ready()
    outcomes = read_journal(journal)
    verdict = settle_and_check(folders, outcomes)
    result = _sum_up(scenario, done, outcomes, verdict, losing_side if has_writers else None, lab)
    report.save(folders, result)
    return result


def _wait_for_rate(load: LabLoad) -> None:
    """Waits until writes are confirmed again, then a little longer."""
    wait_until(lambda: _confirms_within(load, 2.0), RECOVER_SECONDS)
    time.sleep(AFTER_SECONDS)


def _confirms_within(load: LabLoad, seconds: float) -> bool:
    before = load.count_confirmed()
    time.sleep(seconds)
    return load.count_confirmed() > before


def _sum_up(
    scenario: FaultScenario,
    rounds: list[Round],
    outcomes: list[Outcome],
    verdict: LabVerdict,
    losing_side: list[str] | None,
    lab: Lab,
) -> ScenarioResult:
    refused = Counter(
        str(outcome.status) for outcome in outcomes if outcome.status is not None and not outcome.is_confirmed
    )
    recoveries = [figures.first_success(outcomes, each) for each in rounds]
    return ScenarioResult(
        scenario=scenario.name,
        title=scenario.title,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        rounds=len(rounds),
        writes_per_second=min(
            figures.confirmed_rate(outcomes, each.calm_from, each.fault_at) for each in rounds
        ),
        failovers=sum(each.new_primary is not None for each in rounds),
        requests=sum(outcome.requests for outcome in outcomes),
        confirmed=sum(outcome.is_confirmed for outcome in outcomes),
        healed=sum(outcome.is_healed for outcome in outcomes),
        refused=dict(refused),
        errors=dict(sum((Counter(outcome.errors) for outcome in outcomes), Counter())),
        lost=verdict.lost,
        doubled=verdict.doubled,
        losing_side=losing_side,
        disagreements=lab.problems + verdict.unsettled + verdict.inconsistent,
        failover_seconds=[each.failover_seconds for each in rounds if each.failover_seconds is not None],
        recovery_seconds=[each for each in recoveries if each is not None],
        client_seconds=sorted(second for each in rounds for second in figures.interruptions(outcomes, each)),
        as_before_seconds=[figures.back_to_rate(outcomes, each) for each in rounds],
        notes=lab.notes,
    )
