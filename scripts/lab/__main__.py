"""`./scripts/lab.sh`: one command of the lab."""

import argparse
import time
from collections.abc import Callable

from scripts.lab import database, faults, lifecycle, network, report, supervisor
from scripts.lab.checking import print_verdict, settle_and_check
from scripts.lab.client import read_journal
from scripts.lab.plan import HOSTS, ZONES, Folders, HostRole, UnknownHost, find_host, list_zone
from scripts.lab.running import WRITES_PER_SECOND, run_scenario, start_load
from scripts.lab.scenarios import SCENARIOS, UnknownScenario, find_scenario
from scripts.local import errors
from scripts.local.errors import StackError
from scripts.restore_drill.report import FAILED, read_last_report

JOURNAL = "load.jsonl"


def main() -> int:
    options = _parse()
    folders = Folders.from_environment()
    try:
        command: Callable[[Folders, argparse.Namespace], int] = options.command
        return command(folders, options)
    except (UnknownHost, UnknownScenario) as error:
        raise StackError(str(error)) from error


def _up(folders: Folders, _options: argparse.Namespace) -> int:
    lifecycle.up(folders)
    return 0


def _down(folders: Folders, _options: argparse.Namespace) -> int:
    lifecycle.down(folders)
    print("the lab is gone; its logs and results are in", folders.home)
    return 0


def _status(_folders: Folders, _options: argparse.Namespace) -> int:
    if not network.list_namespaces():
        print("there is no lab: ./scripts/lab.sh up builds it")
        return 1
    for name, state in supervisor.list_states().items():
        print(f"{name:<24} {state.lower()}")
    for member in database.list_members():
        print(f"{member.name:<24} {member.role} {member.state}")
    return 0


def _cut(_folders: Folders, options: argparse.Namespace) -> int:
    if options.what in ZONES:
        faults.cut_zone(options.what)
    elif options.from_role:
        faults.cut_from(find_host(options.what), HostRole(options.from_role))
    else:
        faults.cut(find_host(options.what))
    return 0


def _slow(_folders: Folders, options: argparse.Namespace) -> int:
    list_zone(options.zone)
    faults.slow_zone(options.zone, options.milliseconds / 2000)
    return 0


def _kill(_folders: Folders, options: argparse.Namespace) -> int:
    primary = database.find_primary() if options.what == "primary" else None
    for host in (
        [primary or find_host(options.what)] if options.what not in ZONES else list_zone(options.what)
    ):
        faults.kill(host)
        print(f"{host.name} is dead")
    return 0


def _heal(folders: Folders, _options: argparse.Namespace) -> int:
    faults.heal_everything(folders, HOSTS, ZONES)
    lifecycle.wait_until_ready()
    return 0


def _load(folders: Folders, options: argparse.Namespace) -> int:
    load = start_load(folders, folders.results / JOURNAL, options.rate)
    time.sleep(options.seconds)
    load.stop(options.seconds)
    outcomes = read_journal(folders.results / JOURNAL)
    print(f"{sum(each.is_confirmed for each in outcomes)} of {len(outcomes)} writes were confirmed")
    return 0


def _check(folders: Folders, _options: argparse.Namespace) -> int:
    """Compares what was confirmed to the last `load` with all books."""
    verdict = settle_and_check(folders, read_journal(folders.results / JOURNAL))
    print_verdict(verdict)
    return 0 if verdict.is_clean else 1


def _scenario(folders: Folders, options: argparse.Namespace) -> int:
    scenarios = [find_scenario(name) for name in options.names] or list(SCENARIOS)
    kept = True
    for scenario in scenarios:
        print(f"{scenario.name}: {scenario.title} …", flush=True)
        result = run_scenario(folders, scenario, writes_per_second=options.rate, rounds=options.rounds)
        kept &= result.is_kept
        print(report.to_table([result]), report.describe(result), sep="\n", flush=True)
    return 0 if kept else 1


def _report(folders: Folders, _options: argparse.Namespace) -> int:
    results = report.load_all(folders, [scenario.name for scenario in SCENARIOS])
    table = report.to_table(results)
    (folders.results / "report.md").write_text(table + "\n")
    print(table)
    for result in results:
        if text := report.describe(result):
            print(f"{result.scenario}:\n{text}")
    drill = read_last_report()
    print(f"\nthe last restore drill:\n{drill or 'none: ./scripts/restore-drill.sh runs it'}")
    is_drill_passed = drill is None or FAILED not in drill
    return 0 if results and all(result.is_kept for result in results) and is_drill_passed else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab.sh", description="docs/HIGH-AVAILABILITY.md")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    where = f"a host ({', '.join(host.name for host in HOSTS)}) or a zone ({', '.join(ZONES)})"

    def add(
        name: str, run: Callable[[Folders, argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=run)
        return added

    add("up", _up, "build the lab and wait until it takes payments")
    add("status", _status, "show every program and the database cluster")
    cut = add("cut", _cut, "pull a cable")
    cut.add_argument("what", help=where)
    cut.add_argument(
        "--from-role", choices=[role.value for role in HostRole], help="only to the hosts of this role"
    )
    slow = add("slow", _slow, "delay everything between a zone and the others")
    slow.add_argument("zone", choices=ZONES)
    slow.add_argument("--milliseconds", type=float, default=200.0, help="more for a round trip (default 200)")
    kill = add("kill", _kill, "kill every process of a host or zone")
    kill.add_argument("what", help=f"{where}, or primary")
    add("heal", _heal, "undo cuts, kills, slow links and full disks, and wait until all is well")
    load = add("load", _load, "send payments and refunds for some time")
    load.add_argument("--seconds", type=float, default=60.0)
    load.add_argument("--rate", type=float, default=WRITES_PER_SECOND, help="payments a second")
    add("check", _check, "compare what was confirmed to the last load with all books")
    scenario = add("scenario", _scenario, "run faults under load, all or those that are named")
    scenario.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in SCENARIOS))
    scenario.add_argument("--rate", type=float, default=WRITES_PER_SECOND, help="payments a second")
    scenario.add_argument("--rounds", type=int, help="how often the fault comes")
    add(
        "report",
        _report,
        "print the table of all scenarios that have run, and that of the last restore drill",
    )
    add("down", _down, "remove the lab")
    return parser.parse_args()


if __name__ == "__main__":
    errors.run(main)
