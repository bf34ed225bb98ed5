"""The saga of `benchmarks.fairness`: one EXTERNAL step that takes as long as its data says."""

import time

from common.external_calls import release_while_waiting
from sagas import registry
from sagas.definitions import EXTERNAL, Call, Definition, Step
from sagas.outcomes import Outcome, Success

NAME = "benchmark.slow"


def _wait(call: Call) -> Outcome:
    with release_while_waiting():
        time.sleep(call.data["seconds"])
    return Success()


DEFINITION = registry.register(Definition(NAME, 1, "benchmark", 3600, (Step("step1", _wait, kind=EXTERNAL),)))
