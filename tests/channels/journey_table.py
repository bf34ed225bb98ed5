"""A pytest plugin that prints the conformance tests as a table of journeys and payment methods: `make journeys`.

A cell is empty if the payment method does not support the journey, such as an authorization with a QR code.
"""

import re
from collections import defaultdict
from typing import Any

# `test_journey[parameters]`: the harness's name is one of the parameters.
_TEST = re.compile(r".*test_(?P<journey>\w+)\[(?P<parameters>.+)\]")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    from tests.channels.harnesses import HARNESSES  # needs the settings, which a plugin is loaded before

    longest_name_first = sorted(HARNESSES, key=len, reverse=True)
    cases: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            found = _TEST.fullmatch(report.nodeid)
            name = found and next((each for each in longest_name_first if each in found["parameters"]), None)
            if found and name:
                cases[found["journey"].replace("_", " ")][name].append(outcome == "passed")
    terminalreporter.write_line("")
    terminalreporter.write_line(f"| journey | {' | '.join(HARNESSES)} |")
    terminalreporter.write_line("| --- |" + " --- |" * len(HARNESSES))
    for journey, results in sorted(cases.items()):
        cells = " | ".join(_describe(results.get(name, [])) for name in HARNESSES)
        terminalreporter.write_line(f"| {journey} | {cells} |")


def _describe(results: list[bool]) -> str:
    return f"{sum(results)}/{len(results)}" if results else ""
