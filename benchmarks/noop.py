"""The saga of the benchmarks: three EXTERNAL steps, the most expensive kind, that do nothing.

The first one returns its time.
"""

import time

from sagas import registry
from sagas.definitions import EXTERNAL, Call, Definition, Step
from sagas.outcomes import Outcome, Success

NAME = "benchmark.noop"


def _began(_call: Call) -> Outcome:
    return Success({"at": time.time()})


def _nothing(_call: Call) -> Outcome:
    return Success()


DEFINITION = registry.register(
    Definition(
        NAME,
        1,
        "benchmark",
        3600,
        (
            Step("step1", _began, kind=EXTERNAL),
            Step("step2", _nothing, kind=EXTERNAL),
            Step("step3", _nothing, kind=EXTERNAL),
        ),
    )
)
