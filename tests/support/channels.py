"""The simulator with somebody listening on the line: tests may look at, lose or change what passes.

line = tap(monkeypatch)
line.before = lambda operation, request: seen.append(operation)
line.after = lambda operation, answer: replace(answer, …)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from channels import registry
from channels.simulator.channel import SimulatorChannel


class Killed(BaseException):
    """The end of the process, as far as one thread can play it: nothing of ours catches it."""


class InterceptedSimulator:
    """A channel whose calls go through two hooks. `name` and `parse_webhook` are the simulator's own."""

    def __init__(self) -> None:
        self._simulator = SimulatorChannel()
        self.before: Callable[[str, Any], None] = lambda operation, request: None
        self.after: Callable[[str, Any], Any] = lambda operation, answer: answer

    def __getattr__(self, operation: str) -> Any:
        inner = getattr(self._simulator, operation)
        if operation in ("name", "parse_webhook"):
            return inner

        def call(request: Any) -> Any:
            self.before(operation, request)
            return self.after(operation, inner(request))

        return call

    def kill_before(self, operation: str) -> None:
        """The caller dies with its call not yet made."""

        def die(called: str, _request: Any) -> None:
            if called == operation:
                raise Killed

        self.before = die

    def kill_after(self, operation: str) -> None:
        """The caller dies with the bank's answer on its way."""

        def die(called: str, answer: Any) -> Any:
            if called == operation:
                raise Killed
            return answer

        self.after = die

    def mend(self) -> None:
        self.before, self.after = (lambda operation, request: None), (lambda operation, answer: answer)


def intercept_simulator(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    line = InterceptedSimulator()
    monkeypatch.setattr(registry, "_simulator", line)
    return line


class AdditionalChannel(InterceptedSimulator):
    """A channel of another name, on books of the same kind. Its script is in the payment's metadata under its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __getattr__(self, operation: str) -> Any:
        call = super().__getattr__(operation)
        if operation != "create_payment":
            return call
        return lambda request: call(
            replace(request, metadata={"simulate": request.metadata.get(self.name, "")})
        )


def add_channel(monkeypatch: pytest.MonkeyPatch, name: str) -> AdditionalChannel:
    bank = AdditionalChannel(name)
    monkeypatch.setitem(registry._further, name, bank)
    return bank
