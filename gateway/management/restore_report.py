"""Writes the report of `manage.py reconcile --since-restore`."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict

from django.core.management.base import CommandError
from django.utils import timezone

from gateway.services.adoption.origins import Origin
from gateway.services.adoption.since_restore import (
    UNFINISHED,
    Finding,
    FindingKind,
    ListedCounts,
    Restore,
    reconcile_since_restore,
)
from gateway.services.reconciliation.differences import CLOCK_MARGIN


def write_restore_report(
    write: Callable[[str], object], *, moment: dt.datetime, origins: Mapping[str, Origin], as_json: bool
) -> int:
    """Writes each finding as it is made, then the counts. Returns the exit code."""
    until = timezone.now()
    if moment >= until:
        raise CommandError("--since-restore must be a time in the past.", returncode=2)
    counts, found = ListedCounts(), Counter[FindingKind]()
    restore = Restore(moment=moment, until=until + CLOCK_MARGIN, origins=origins)
    for finding in reconcile_since_restore(restore=restore, counts=counts):
        found[finding.kind] += 1
        write(json.dumps(asdict(finding), ensure_ascii=False) if as_json else _format(finding))
    totals = {kind.value: found[kind] for kind in FindingKind}
    if as_json:
        write(json.dumps({"listed": asdict(counts), "found": totals}))
    else:
        named = ", ".join(f"{kind} {number}" for kind, number in totals.items())
        write(
            f"{counts.payments} payments and {counts.refunds} refunds listed, {counts.agreed} agreed, "
            f"{counts.foreign} without a number of ours. Found: {named}."
        )
        if found[FindingKind.ADOPTED]:
            write("Each adopted payment and refund has an open review: manage.py payment_reviews list")
    return _choose_exit_code(found)


def _choose_exit_code(found: Counter[FindingKind]) -> int:
    if found[FindingKind.LIST_UNREAD]:
        return 2
    return 1 if any(found[kind] for kind in UNFINISHED) else 0


def _format(finding: Finding) -> str:
    amount = f"{finding.amount_minor} {finding.currency}".strip() if finding.currency else ""
    names = " ".join(name for name in (finding.reference, finding.channel_no, amount, finding.reason) if name)
    return f"{finding.kind:<12} {finding.channel} {finding.environment} {names}"
