"""Imports statements in a process of its own, so that its memory is that of importing alone."""

import multiprocessing
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.month_statements import StatementOnDisk


@dataclass(frozen=True, slots=True)
class Imported:
    """`memory_mb` is the highest so far, after each statement; `messages` is how often progress was shown."""

    import_seconds: float
    match_seconds: float
    post_seconds: float
    memory_mb: tuple[float, ...]
    messages: int


def import_in_child(statements: Sequence[StatementOnDisk], environment: str) -> Imported:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_import_all, [list(statements), environment])


def _import_all(statements: Sequence[StatementOnDisk], environment: str) -> Imported:
    import django

    django.setup()
    from settlements.models import StatementFormat
    from settlements.parsers.base import StatementIdentity
    from settlements.services.importing import import_statement
    from settlements.services.line_postings import post_lines
    from settlements.services.matching import match_statement

    seconds = [0.0, 0.0, 0.0]
    memory: list[float] = []
    messages: list[str] = []
    for number, each in enumerate(statements, start=1):
        began = time.monotonic()
        identity = StatementIdentity(each.channel, environment, None, each.day)
        with each.path.open("rb") as file:
            imported = import_statement(
                file=file, format=StatementFormat(each.format), identity=identity, progress=messages.append
            ).file
        ends = [time.monotonic()]
        match_statement(file_id=imported.id, progress=messages.append)
        ends.append(time.monotonic())
        post_lines(file_id=imported.id, progress=messages.append)
        ends.append(time.monotonic())
        for place, (start, end) in enumerate(zip([began, *ends], ends, strict=False)):
            seconds[place] += end - start
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(
            f"   {number} of {len(statements)}: {each.path.name}, {each.lines:,} lines,"
            f" {ends[-1] - began:.1f} s, {memory[-1]:.0f} MB",
            flush=True,
        )
    return Imported(seconds[0], seconds[1], seconds[2], tuple(memory), len(messages))
